"""Receivers that refuse one alert, everything or nothing: no alert is lost or blocks another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.backoff import LONGEST_WISH
from alerts.circuit import CLOSED, Circuit, after_attempt, after_start
from alerts.outbox import MAX_AGE_MS, PARKED_MS, SPACING_MS, OutboxEntry, Report, due, expired, released, settle
from alerts.outcome import Dead, Delivered, Outcome, Refused, Retry

NOW = 1_700_000_000_000
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
SLOWEST_PROBE = 300_000

Answers = Callable[[OutboxEntry, int], Outcome]


def entry(key: str, kind: str = "trigger", created: int = NOW) -> OutboxEntry:
    return OutboxEntry(f"{kind}-{key}", "team", kind, key, "{}", created)


@dataclass
class Simulation:
    """One receiver and the daemon's decisions about it in virtual time; answers come at once."""

    answers: Answers
    outbox: list[OutboxEntry]
    now: int = NOW
    fraction: float = 0.5
    circuit: Circuit = CLOSED
    last: dict[str, int] = field(default_factory=dict)
    sent: list[tuple[int, str, Outcome]] = field(default_factory=list)
    delivered: dict[str, int] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.outbox = list(self.outbox)

    def turn(self) -> None:
        for item in expired(self.outbox, {"team": self.circuit}):
            self.outbox.remove(item)
            self.dropped.append(item.id)
        for item in due(self.outbox, {}, self.last, self.now, {"team": self.circuit}):
            outcome = self.answers(item, self.now)
            self.last["team"] = self.now
            self.sent.append((self.now, item.id, outcome))
            kept = settle(Report(item, outcome), self.now, self.fraction, self.circuit.delivered_at)
            was_open, suspect = self.circuit.opened, (kept or item).suspect
            self.circuit = after_attempt(
                self.circuit, item.dedup_key, outcome, self.now, self.fraction, suspect=suspect
            )
            place = self.outbox.index(item)
            self.outbox[place : place + 1] = [] if kept is None else [kept]
            if isinstance(outcome, Delivered):
                self.delivered[item.id] = self.now
            elif kept is None:
                self.dropped.append(item.id)
            if was_open and not self.circuit.opened:
                self.outbox = [released(waiting) for waiting in self.outbox]

    def run(self, until: int) -> None:
        """Turns at every moment at which something can become due."""
        while self.now < until and self.outbox:
            self.turn()
            moments = [self.circuit.probe_at, self.last.get("team", 0) + SPACING_MS]
            moments += [item.not_before for item in self.outbox]
            self.now = min((moment for moment in moments if moment > self.now), default=self.now + SPACING_MS)

    def restart(self) -> None:
        self.circuit = after_start(self.circuit)
        self.outbox = [released(item) for item in self.outbox]
        self.last = {}


FAILURES = st.one_of(
    st.builds(Retry, st.just("HTTP 500")),
    st.builds(Retry, st.just("HTTP 429"), st.sampled_from((0.5, 30.0, 600.0, 1e6))),
    st.just(Retry("TimeoutError", answered=False)),
    st.just(Refused("HTTP 403")),
)


# One alert that a receiver never takes


@pytest.mark.long
@pytest.mark.parametrize("fraction", [0.0, 1.0])
@pytest.mark.parametrize(
    "failure",
    [Retry("HTTP 500"), Retry("HTTP 429", 3600.0), Retry("TimeoutError", answered=False), Refused("HTTP 403")],
)
def test_an_alert_that_is_refused_for_ever_delays_a_thousand_others_by_seconds(
    failure: Outcome, fraction: float
) -> None:
    waiting = [entry("poison"), *(entry(f"good-{number}") for number in range(1_000))]
    world = Simulation(
        lambda item, _: failure if item.dedup_key == "poison" else Delivered(), waiting, fraction=fraction
    )
    world.run(NOW + 1_000 * SPACING_MS + 30 * SPACING_MS)
    assert len(world.delivered) == 1_000
    assert [item.id for item in world.outbox] == ["trigger-poison"]
    order = [int(name.rpartition("-")[2]) for name in world.delivered]
    assert order == sorted(order)


@settings(max_examples=12, deadline=None)
@given(st.lists(FAILURES, min_size=2, max_size=5), st.floats(0.2, 1))
def test_several_alerts_that_are_refused_for_ever_cost_the_others_one_round_of_probes_each_at_most(
    failures: list[Outcome], fraction: float
) -> None:
    poison = {f"poison-{number}": failure for number, failure in enumerate(failures)}
    waiting = [entry(key) for key in poison] + [entry(f"good-{number}") for number in range(30)]
    world = Simulation(lambda item, _: poison.get(item.dedup_key, Delivered()), waiting, fraction=fraction)
    bound = int(LONGEST_WISH * 1000 + SLOWEST_PROBE) * (len(poison) + 1) + 1_000 * SPACING_MS
    world.run(NOW + bound)
    assert len(world.delivered) == 30
    assert {item.dedup_key for item in world.outbox} == set(poison)
    # From now on they are known: a new alert goes out at once, whatever they do.
    new = entry("new", created=world.now)
    world.outbox.append(new)
    began = world.now
    world.run(began + 2 * int(LONGEST_WISH * 1000))
    assert new.id in world.delivered


def test_known_poison_never_opens_the_circuit_again() -> None:
    poison = {"a", "b", "c"}
    waiting = [entry(key) for key in sorted(poison)] + [entry(f"good-{number}") for number in range(10)]
    world = Simulation(lambda item, _: Retry("HTTP 500") if item.dedup_key in poison else Delivered(), waiting)
    world.run(NOW + HOUR)
    for number in range(200):
        before = world.now
        world.outbox.append(entry(f"later-{number}", created=before))
        world.run(before + 20 * SPACING_MS)
        assert world.delivered[f"trigger-later-{number}"] - before <= 2 * SPACING_MS


# A receiver that takes nothing


@pytest.mark.long
@settings(max_examples=20, deadline=None)
@given(FAILURES, st.integers(2, 50), st.floats(0.1, 1))
def test_a_receiver_that_is_down_gets_single_probes_with_back_off(
    failure: Outcome, count: int, fraction: float
) -> None:
    world = Simulation(lambda *_: failure, [entry(f"key-{number:02d}") for number in range(count)], fraction=fraction)
    world.run(NOW + DAY)
    assert len(world.sent) < 12 + DAY / (SLOWEST_PROBE * fraction)
    assert world.dropped == []
    assert len(world.outbox) == count


def test_probes_go_round_the_waiting_alerts() -> None:
    world = Simulation(lambda *_: Retry("HTTP 500"), [entry(f"key-{number}") for number in range(5)])
    world.run(NOW + DAY)
    probed = [name for _, name, _ in world.sent]
    for start in range(len(probed) - 10):
        assert len(set(probed[start : start + 10])) == 5


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(FAILURES, st.integers(1, 6 * HOUR)), max_size=3),
    st.floats(0.2, 1),
    st.integers(1, 12),
    st.booleans(),
)
def test_whatever_went_wrong_all_that_waits_goes_out_after_the_first_good_probe(
    outages: list[tuple[Outcome, int]], fraction: float, count: int, restarts: bool
) -> None:
    waiting = [entry(f"key-{number:02d}", kind) for number in range(count) for kind in ("trigger", "resolve")]
    current: list[Outcome] = [Delivered()]
    world = Simulation(lambda *_: current[0], waiting, fraction=fraction)
    for failure, length in outages:
        current[0] = failure
        world.run(world.now + length)
    current[0] = Delivered()
    if restarts:
        world.restart()
    healthy = world.now
    world.run(healthy + int(LONGEST_WISH * 1000) * 2)
    assert world.outbox == []
    assert world.dropped == []
    assert len(world.delivered) == 2 * count
    assert max(world.delivered.values()) - healthy <= LONGEST_WISH * 1000 + SLOWEST_PROBE + 2 * count * SPACING_MS
    for number in range(count):
        key = f"key-{number:02d}"
        assert world.delivered[f"trigger-{key}"] < world.delivered[f"resolve-{key}"]


def test_parked_alerts_go_out_in_order_after_a_restart() -> None:
    world = Simulation(lambda *_: Refused("HTTP 404"), [entry(f"key-{number}") for number in range(9)])
    world.run(NOW + 5 * HOUR)
    world.answers = lambda *_: Delivered()
    world.restart()
    began = world.now
    world.run(began + MINUTE)
    assert list(world.delivered) == [f"trigger-key-{number}" for number in range(9)]
    assert max(world.delivered.values()) - began < 9 * SPACING_MS


def test_parked_alerts_go_out_within_minutes_of_the_mend_without_a_restart() -> None:
    world = Simulation(lambda *_: Refused("HTTP 404"), [entry(f"key-{number}") for number in range(9)])
    world.run(NOW + 5 * HOUR)
    world.answers = lambda *_: Delivered()
    began = world.now
    world.run(began + HOUR)
    assert max(world.delivered.values()) - began <= PARKED_MS + 10 * SPACING_MS
    _, *rest = world.delivered
    assert rest == sorted(rest)


def test_a_restart_of_a_receiver_that_still_refuses_costs_one_request() -> None:
    world = Simulation(lambda *_: Refused("HTTP 404"), [entry(f"key-{number}") for number in range(500)])
    world.run(NOW + 5 * HOUR)
    sent = len(world.sent)
    world.restart()
    world.turn()
    assert len(world.sent) == sent + 1
    world.now += SPACING_MS // 2
    world.turn()
    assert len(world.sent) == sent + 1


def test_a_wait_that_the_receiver_asked_for_outlives_a_restart() -> None:
    world = Simulation(lambda *_: Retry("HTTP 429", 1800.0), [entry("a"), entry("b"), entry("c")])
    world.run(NOW + MINUTE)
    sent = len(world.sent)
    world.restart()
    world.run(NOW + 29 * MINUTE)
    assert len(world.sent) == sent
    world.run(NOW + 40 * MINUTE)
    assert len(world.sent) > sent


# What opens and closes a circuit


def test_failures_of_one_alert_never_open_a_circuit_and_those_of_two_do() -> None:
    circuit = CLOSED
    for _ in range(50):
        circuit = after_attempt(circuit, "a", Retry("HTTP 500"), NOW, 0.5, suspect=False)
        assert not circuit.opened
    assert after_attempt(circuit, "b", Retry("HTTP 500"), NOW, 0.5, suspect=False).opened
    between = after_attempt(circuit, "b", Delivered(), NOW, 0.5, suspect=False)
    assert not after_attempt(between, "c", Retry("HTTP 500"), NOW, 0.5, suspect=False).opened


def test_no_answer_opens_a_circuit_at_once() -> None:
    circuit = after_attempt(CLOSED, "a", Retry("TimeoutError", answered=False), NOW, 1.0, suspect=False)
    assert circuit.opened
    assert circuit.probe_at == NOW + 1_000


def test_an_answer_about_the_message_shows_that_the_receiver_works() -> None:
    circuit = after_attempt(CLOSED, "a", Retry("TimeoutError", answered=False), NOW, 1.0, suspect=False)
    assert not after_attempt(circuit, "a", Dead("HTTP 400"), NOW, 1.0, suspect=False).opened


# A week


@pytest.mark.long
def test_what_waits_behind_a_receiver_that_refuses_for_more_than_a_week_is_dropped() -> None:
    world = Simulation(lambda *_: Refused("HTTP 404"), [entry(f"key-{number}") for number in range(300)])
    world.run(NOW + MAX_AGE_MS + HOUR)
    assert world.outbox == []
    assert len(world.dropped) == 300


def test_after_a_week_without_power_what_waits_is_sent() -> None:
    world = Simulation(lambda *_: Refused("HTTP 404"), [entry(f"key-{number}") for number in range(5)])
    world.run(NOW + HOUR)
    world.now += 2 * MAX_AGE_MS
    world.answers = lambda *_: Delivered()
    world.restart()
    world.run(world.now + MINUTE)
    assert len(world.delivered) == 5


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.one_of(FAILURES, st.just(Delivered()), st.just(Dead("HTTP 400")))),
        max_size=60,
    ),
    st.integers(-DAY, DAY),
)
def test_no_answers_and_no_clock_lose_a_notification_or_send_an_end_before_its_beginning(
    script: list[tuple[str, Outcome]], jump: int
) -> None:
    waiting = [entry(key, kind) for kind in ("trigger", "resolve") for key in "abc"]
    lines = {key: [outcome for name, outcome in script if name == key] for key in "abc"}

    def answers(item: OutboxEntry, _: int) -> Outcome:
        line = lines[item.dedup_key]
        return line.pop(0) if line else Delivered()

    world = Simulation(answers, waiting)
    world.run(NOW + HOUR)
    world.now += jump
    world.run(world.now + 3 * DAY)
    assert world.outbox == []
    dead = {name for _, name, outcome in world.sent if isinstance(outcome, Dead)}
    assert {*world.delivered, *dead} == {item.id for item in waiting}
    for key in "abc":
        seen = [name for _, name, _ in world.sent if name.endswith(f"-{key}")]
        assert seen == sorted(seen, key=lambda name: name.startswith("resolve"))
