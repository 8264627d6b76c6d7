"""What no clock, no order of answers and no broken receiver may do to delivery; beside `test_outbox`."""

from __future__ import annotations

import itertools
import random
import statistics
import threading
import time
from dataclasses import dataclass, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.backoff import next_delay
from alerts.delivery import Courier
from alerts.http import HttpRequest, HttpResponse
from alerts.outbox import MAX_AGE_MS, SPACING_MS, OutboxEntry, Report, due, settle
from alerts.outcome import Dead, Delivered, Outcome, Retry
from monitor.receivers.log import Log
from monitor.receivers.webhook import Webhook
from tests.support.alerts import DAY, HOUR, MINUTE

NOW = 1_700_000_000_000


def entry(name: str = "one", receiver: str = "team", **changes: object) -> OutboxEntry:
    return replace(OutboxEntry(name, receiver, "trigger", "key", "{}", NOW), **changes)  # type: ignore[arg-type]


@dataclass
class World:
    """The daemon's loop in virtual time: what is due is answered at once, by ``answer``."""

    outbox: list[OutboxEntry]
    now: int = NOW

    def __post_init__(self) -> None:
        self.last_sent: dict[str, int] = {}
        self.sent: list[tuple[int, str]] = []
        self.delivered: list[str] = []

    def turn(self, outcome: Outcome, fraction: float = 0.5, receiver: str | None = None) -> None:
        for item in due(self.outbox, {}, self.last_sent, self.now):
            if receiver is not None and item.receiver != receiver:
                continue
            self.sent.append((self.now, item.id))
            self.last_sent[item.receiver] = self.now
            kept = settle(Report(item, outcome), self.now, fraction)
            if isinstance(outcome, Delivered):
                self.delivered.append(item.id)
            at = self.outbox.index(item)
            self.outbox[at : at + 1] = [] if kept is None else [kept]


# Delays


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_without_a_wish_the_delay_is_a_share_of_a_doubling_ceiling(attempts: int, fraction: float) -> None:
    ceiling = min(300.0, 2.0 ** min(attempts - 1, 30))
    assert next_delay(attempts, fraction, None) == max(1.0, ceiling * fraction)


def test_a_wish_of_more_than_an_hour_is_cut_to_an_hour() -> None:
    assert next_delay(1, 0.0, 3600.0) == 3600.0
    assert next_delay(1, 0.0, 86_400.0) == 3600.0
    # `Retry-After: 999…9` of 400 digits is read as infinity.
    assert next_delay(1, 0.0, float("inf")) == 3600.0


def test_a_wish_for_less_than_the_jitter_shortens_nothing() -> None:
    assert next_delay(9, 1.0, 5.0) == 256.0
    assert next_delay(1, 0.0, 0.0) == 1.0


# What is due


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(-DAY, DAY), st.booleans()),
        max_size=12,
    ),
    st.dictionaries(st.sampled_from("abc"), st.integers(-DAY, DAY)),
    st.sets(st.sampled_from("abc")),
)
def test_what_is_due_is_the_head_of_a_receiver_that_is_free(
    items: list[tuple[str, int, bool]], sent: dict[str, int], busy: set[str]
) -> None:
    outbox = [
        entry(str(number), receiver, not_before=NOW + ahead, kind="resolve" if end else "trigger")
        for number, (receiver, ahead, end) in enumerate(items)
    ]
    found = due(outbox, dict.fromkeys(busy, "?"), {name: NOW + ahead for name, ahead in sent.items()}, NOW)
    heads = {receiver: min(i for i, item in enumerate(items) if item[0] == receiver) for receiver, _, _ in items}
    assert len({item.receiver for item in found}) == len(found)
    for item in found:
        assert item.receiver not in busy
        assert int(item.id) == heads[item.receiver]
        assert item.not_before <= NOW or item.not_before - NOW > HOUR


def test_the_hour_that_a_receiver_may_ask_for_is_waited_out_in_full() -> None:
    waiting = [entry(not_before=NOW + HOUR)]
    assert due(waiting, {}, {}, NOW) == []
    assert due(waiting, {}, {}, NOW + HOUR - 1) == []
    assert due(waiting, {}, {}, NOW + HOUR) == waiting


def test_spacing_is_kept_for_each_receiver_on_its_own() -> None:
    outbox = [entry("a"), entry("b", "other")]
    last = {"team": NOW, "other": NOW - SPACING_MS}
    assert [item.id for item in due(outbox, {}, last, NOW)] == ["b"]
    assert [item.id for item in due(outbox, {}, last, NOW + SPACING_MS - 1)] == ["b"]
    assert [item.id for item in due(outbox, {}, last, NOW + SPACING_MS)] == ["a", "b"]


def test_a_clock_set_back_a_little_delays_by_no_more_than_that_and_a_retry() -> None:
    world = World([entry()])
    world.turn(Retry("HTTP 503"), fraction=1.0)
    world.now -= 20 * MINUTE
    until = world.now + 20 * MINUTE + 301_000
    while not world.delivered and world.now <= until:
        world.now += 1_000
        world.turn(Delivered())
    assert world.delivered == ["one"]


def test_nothing_to_send_is_nothing_due() -> None:
    assert due([], {}, {"gone": NOW}, NOW) == []


# What is kept


def test_a_dead_entry_makes_way_for_the_next_of_its_receiver() -> None:
    world = World([entry("a"), entry("b")])
    world.turn(Dead("HTTP 400"))
    world.now += SPACING_MS
    world.turn(Delivered())
    assert (world.outbox, world.delivered) == ([], ["b"])


def test_after_a_week_an_entry_gets_a_last_attempt_and_is_given_up_only_if_that_fails() -> None:
    week_old = entry(created=NOW - MAX_AGE_MS - 1, attempts=2_000)
    assert due([week_old], {}, {}, NOW) == [week_old]
    assert settle(Report(week_old, Retry("HTTP 503")), NOW, 0.5) is None
    # On the day itself it still stands.
    assert settle(Report(entry(created=NOW - MAX_AGE_MS), Retry("HTTP 503")), NOW, 0.5) is not None


def test_a_retry_changes_how_an_entry_stands_and_never_what_it_says() -> None:
    before = entry(kind="resolve", dedup_key="leeway-1", payload='{"a": 1}', created=NOW - DAY)
    after = settle(Report(before, Retry("HTTP 429", 10.0)), NOW, 0.0)
    assert after is not None
    assert replace(after, attempts=0, attempted=0, not_before=0, last_error="", unsure=False) == before


# Whole histories, in virtual time

OUTCOMES = st.one_of(
    st.just(Delivered()),
    st.builds(Retry, st.just("HTTP 503"), st.none() | st.floats(0, 1e6)),
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(("pager", "chat")), min_size=1, max_size=8),
    st.lists(
        st.tuples(OUTCOMES, st.floats(0, 1), st.integers(0, 400_000), st.sampled_from(("pager", "chat"))), max_size=40
    ),
)
def test_whatever_a_receiver_answers_it_gets_everything_once_in_order_and_spaced(
    receivers: list[str], answers: list[tuple[Outcome, float, int, str]]
) -> None:
    world = World([entry(str(number), name) for number, name in enumerate(receivers)])
    for outcome, fraction, passed, receiver in answers:
        world.turn(outcome, fraction, receiver)
        world.now += passed
    while world.outbox:
        world.turn(Delivered())
        world.now += SPACING_MS * 60
    for name in set(receivers):
        own = [str(number) for number, owner in enumerate(receivers) if owner == name]
        assert [done for done in world.delivered if done in own] == own
        times = [at for at, sent in world.sent if sent in own]
        assert all(later - earlier >= SPACING_MS for earlier, later in itertools.pairwise(times))


def outage(seed: int) -> World:
    """A trigger and its resolve through an hour of errors and out of it, with random jitter."""
    world, jitter = World([entry("trigger"), entry("resolve", kind="resolve")]), random.Random(seed)  # noqa: S311
    while world.now < NOW + HOUR:
        world.turn(Retry("HTTP 503"), jitter.random())
        # Straight to the moment that something is due: nothing before it could have been sent.
        world.now = max(world.now + SPACING_MS, world.outbox[0].not_before)
    while world.outbox:
        world.turn(Delivered())
        world.now += SPACING_MS
    return world


def test_an_hour_of_errors_is_some_thirty_attempts_on_the_trigger_and_none_on_its_resolve() -> None:
    worlds = [outage(seed) for seed in range(100)]
    attempts = [len(world.sent) - 2 for world in worlds]
    assert 25 < statistics.fmean(attempts) < 40
    assert max(attempts) < 40
    for world in worlds:
        assert {name for at, name in world.sent if at < NOW + HOUR} == {"trigger"}
        assert world.delivered == ["trigger", "resolve"]
        # Back to normal within five minutes of the receiver's return.
        assert world.sent[-1][0] <= NOW + HOUR + 301_000


def test_an_outage_of_more_than_a_week_loses_old_news_and_not_what_comes_after() -> None:
    world = World([entry("old")])
    while world.outbox and world.now < NOW + 2 * MAX_AGE_MS:
        world.turn(Retry("TimeoutError"), fraction=1.0)
        world.now = max(world.now + SPACING_MS, world.outbox[0].not_before if world.outbox else 0)
    assert world.outbox == []
    assert MAX_AGE_MS < world.now - NOW <= MAX_AGE_MS + HOUR
    world.outbox.append(entry("new", created=world.now))
    world.turn(Delivered())
    assert world.delivered == ["new"]


# The courier


def wait_for(courier: Courier, count: int) -> list[Report]:
    found: list[Report] = []
    end = time.monotonic() + 10
    while len(found) < count and time.monotonic() < end:
        found += courier.reports()
    assert len(found) == count
    return found


def test_entries_of_one_receiver_are_attempted_in_the_order_they_were_handed_over() -> None:
    seen: list[str] = []

    def transport(request: HttpRequest) -> HttpResponse:
        seen.append(request.headers["Idempotency-Key"])
        return HttpResponse(200, {}, b"")

    courier = Courier({"team": Webhook("team", "http://h/")}, transport, lambda: 0.0)
    for number in range(50):
        courier.submit(entry(str(number)))
    reports = wait_for(courier, 50)
    assert seen == [report.entry.id for report in reports] == [str(number) for number in range(50)]
    courier.close(5)


def test_a_receiver_works_again_after_an_attempt_that_broke() -> None:
    broken = iter([RuntimeError("defect"), None])

    def transport(request: HttpRequest) -> HttpResponse:
        if error := next(broken):
            raise error
        return HttpResponse(200, {}, b"")

    courier = Courier({"team": Webhook("team", "http://h/")}, transport, lambda: 0.0)
    courier.submit(entry("a"))
    courier.submit(entry("b"))
    assert [report.outcome for report in wait_for(courier, 2)] == [Dead("RuntimeError"), Delivered()]
    courier.close(5)


def test_a_payload_that_the_sink_cannot_read_is_dead_and_tells_nothing_of_itself() -> None:
    courier = Courier(
        {"team": Log("team", lambda kind, text: None)}, lambda request: HttpResponse(200, {}, b""), time.time
    )
    courier.submit(entry(payload="{secret"))
    assert [report.outcome for report in wait_for(courier, 1)] == [Dead("JSONDecodeError")]
    courier.close(5)


def test_a_retry_after_that_is_a_date_is_read_by_the_couriers_clock() -> None:
    answer = HttpResponse(503, {"retry-after": "Tue, 14 Nov 2023 22:15:20 GMT"}, b"")
    courier = Courier({"team": Webhook("team", "http://h/")}, lambda request: answer, lambda: NOW / 1000)
    courier.submit(entry())
    assert [report.outcome for report in wait_for(courier, 1)] == [Retry("HTTP 503", 120.0)]
    courier.close(5)


def test_reports_are_told_once() -> None:
    courier = Courier({}, lambda request: HttpResponse(200, {}, b""), time.time)
    courier.submit(entry())
    assert len(wait_for(courier, 1)) == 1
    assert courier.reports() == []
    courier.close(5)


def test_receivers_that_hang_are_stopped_side_by_side() -> None:
    gate = threading.Event()

    def transport(request: HttpRequest) -> HttpResponse:
        gate.wait(30)
        return HttpResponse(200, {}, b"")

    names = [f"team-{number}" for number in range(20)]
    courier = Courier({name: Webhook(name, "http://h/") for name in names}, transport, lambda: 0.0)
    for name in names:
        courier.submit(entry(name, receiver=name))
    began = time.monotonic()
    courier.close(0.3)
    assert time.monotonic() - began < 1.5
    gate.set()


def test_nothing_is_attempted_after_the_courier_was_closed() -> None:
    seen: list[str] = []

    def transport(request: HttpRequest) -> HttpResponse:
        seen.append(request.url)
        return HttpResponse(200, {}, b"")

    courier = Courier({name: Webhook(name, f"http://{name}/") for name in "ab"}, transport, lambda: 0.0)
    courier.submit(entry("one", receiver="a"))
    wait_for(courier, 1)
    courier.close(5)
    courier.submit(entry("two", receiver="a"))
    courier.submit(entry("three", receiver="b"))
    time.sleep(0.05)
    assert seen == ["http://a/"]
    assert courier.reports() == []


def test_closing_waits_for_an_attempt_under_way_but_not_for_one_that_hangs() -> None:
    gate = threading.Event()

    def transport(request: HttpRequest) -> HttpResponse:
        gate.wait(10)
        return HttpResponse(200, {}, b"")

    courier = Courier({"team": Webhook("team", "http://h/")}, transport, lambda: 0.0)
    courier.submit(entry())
    began = time.monotonic()
    courier.close(0.1)
    assert time.monotonic() - began < 2
    assert courier.reports() == []
    gate.set()
    courier.close(5)
    assert [report.outcome for report in courier.reports()] == [Delivered()]
