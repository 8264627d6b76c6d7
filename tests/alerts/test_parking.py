"""What waits for a receiver with a fault of its own, and when a receiver counts as failing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from alerts.circuit import CLOSED, Circuit
from alerts.outbox import OutboxEntry
from alerts.parking import STUCK_MS, Standing, begins_to_fail, past_incidents, still_fails

REFUSING = Circuit(opened=True, refused=True, reason="HTTP 404")
NOW = 10**12


def entry(name: str, kind: str, key: str = "k", **more: object) -> OutboxEntry:
    return replace(OutboxEntry(name, "team", kind, key, "{}", NOW), **more)  # type: ignore[arg-type]


def past(
    *entries: OutboxEntry, circuit: Circuit = REFUSING, standing: Standing | None = None, in_flight: str = ""
) -> list[str]:
    found = past_incidents(entries, {"team": in_flight}, {"team": circuit}, standing or Standing())
    return [one.id for one in found.get("team", [])]


def test_a_parked_beginning_and_its_end_are_old_news_and_the_summary_comes_first() -> None:
    both = entry("a", "trigger"), entry("b", "resolve")
    assert past(*both) == ["a", "b"]
    assert past(*both, entry("s", "summary", "old")) == ["s", "a", "b"]
    assert past(entry("s", "summary", "old")) == []
    parked = replace(both[0], parked=True), both[1]
    assert past(*parked, circuit=CLOSED) == ["a", "b"]


def test_what_is_open_or_may_have_arrived_is_left_alone() -> None:
    both = entry("a", "trigger"), entry("b", "resolve")
    assert past(both[0]) == []
    assert past(*both, circuit=CLOSED) == []
    assert past(*both, circuit=replace(REFUSING, refused=False)) == []
    assert past(replace(both[0], unsure=True), both[1]) == []
    assert past(*both, in_flight="a") == []
    assert past(both[1]) == []  # the beginning was delivered


def test_a_receiver_that_takes_no_resolves_is_asked_by_its_open_incidents() -> None:
    trigger = entry("a", "trigger")
    assert past(trigger, standing=Standing(unresolved={"team"})) == ["a"]
    assert past(trigger, standing=Standing(open_keys={"k"}, unresolved={"team"})) == []


@pytest.mark.parametrize(
    ("entries", "circuit", "reason"),
    [
        ([], REFUSING, "HTTP 404"),
        ([], replace(REFUSING, refused=False), ""),
        ([entry("a", "trigger", parked=True, last_error="HTTP 401")], CLOSED, "HTTP 401"),
        ([entry("a", "trigger", attempts=3, attempted=NOW, last_error="HTTP 503")], CLOSED, ""),
        ([entry("a", "trigger", created=NOW - STUCK_MS, attempts=3, attempted=NOW, last_error="HTTP 503")], CLOSED,
         "HTTP 503"),
        # Others have been delivered since, and it is not suspected itself.
        ([entry("a", "trigger", created=NOW - STUCK_MS, attempts=3, attempted=NOW - 5, last_error="HTTP 503")],
         Circuit(delivered_at=NOW), ""),
        ([entry("a", "trigger", created=NOW - STUCK_MS)], CLOSED, ""),
    ],
)  # fmt: skip
def test_a_receiver_begins_to_fail(entries: list[OutboxEntry], circuit: Circuit, reason: str) -> None:
    assert begins_to_fail(entries, circuit, NOW) == reason


def test_a_receiver_fails_until_something_was_delivered() -> None:
    tried = entry("a", "trigger", attempts=1, attempted=NOW)
    assert still_fails([], replace(CLOSED, opened=True))
    assert still_fails([tried], CLOSED)
    assert not still_fails([tried], Circuit(delivered_at=NOW))
    assert still_fails([replace(tried, suspect=True)], Circuit(delivered_at=NOW))
    assert not still_fails([entry("b", "trigger")], CLOSED)
