"""Saved notifications on their way: in order, at least once, through an hour of errors."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from alerts.backoff import next_delay
from alerts.delivery import Courier
from alerts.http import HttpRequest, HttpResponse, TransportError, Urllib3Transport
from alerts.outbox import MAX_AGE_MS, OutboxEntry, Report, due, settle
from alerts.outcome import Dead, Delivered, Retry
from alerts.policy import ReceiverPolicy
from monitor.alerting.alerting import Alerting
from monitor.alerting.receivers import AlertingSetup
from monitor.receivers.pagerduty import PagerDuty
from monitor.receivers.webhook import Webhook
from tests.servers.receiver import PAGERDUTY_PATH, ROUTING_KEY, WEBHOOK_PATH, Answer, Receiver
from tests.support.alerts import DRIFTED, HOUR, MINUTE, START, evaluation, psi, rule
from tests.support.logs import SILENT

NOW = 1_700_000_000_000


def entry(name: str = "one", receiver: str = "team", **changes: object) -> OutboxEntry:
    return replace(OutboxEntry(name, receiver, "trigger", "key", "{}", NOW), **changes)  # type: ignore[arg-type]


def names(found: list[OutboxEntry]) -> list[str]:
    return [item.id for item in found]


@given(st.integers(1, 10_000), st.floats(0, 1), st.none() | st.floats(0, 1e9))
def test_delays_are_between_a_second_and_an_hour_and_never_sooner_than_asked(
    attempts: int, fraction: float, wish: float | None
) -> None:
    delay = next_delay(attempts, fraction, wish)
    assert 1.0 <= delay <= 3600.0
    assert wish is None or delay >= min(wish, 3600.0)
    if wish is None:
        assert delay <= 300.0


def test_delays_double_up_to_five_minutes() -> None:
    assert [next_delay(attempts, 1.0, None) for attempts in range(1, 12)] == [
        1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300,
    ]  # fmt: skip


def test_only_the_oldest_of_each_receiver_is_due_so_no_resolve_overtakes_its_trigger() -> None:
    outbox = [entry("a"), entry("b", kind="resolve"), entry("c", receiver="other")]
    assert names(due(outbox, {}, {}, NOW)) == ["a", "c"]
    assert names(due(outbox, {"team": "a"}, {}, NOW)) == ["c"]
    waiting = [entry("a", not_before=NOW + 1), *outbox[1:]]
    assert names(due(waiting, {}, {}, NOW)) == ["c"]


def test_a_receiver_gets_at_most_one_a_second() -> None:
    assert names(due([entry()], {}, {"team": NOW - 500}, NOW)) == []
    assert names(due([entry()], {}, {"team": NOW - 1_000}, NOW)) == ["one"]


def test_a_wall_clock_that_was_set_back_holds_nothing_up() -> None:
    assert names(due([entry(not_before=NOW + 365 * 24 * HOUR)], {}, {"team": NOW + 24 * HOUR}, NOW)) == ["one"]


def test_what_an_attempt_came_to_decides_what_is_kept() -> None:
    assert settle(Report(entry(), Delivered()), NOW, 0.5) is None
    assert settle(Report(entry(), Dead("HTTP 400")), NOW, 0.5) is None
    kept = settle(Report(entry(attempts=3), Retry("HTTP 503", 60.0)), NOW, 0.5)
    assert kept == entry(attempts=4, not_before=NOW + 60_000, last_error="HTTP 503", attempted=NOW, unsure=True)
    assert settle(Report(entry(created=NOW - MAX_AGE_MS - 1), Retry("HTTP 503")), NOW, 0.5) is None


def webhook(name: str, url: str, **more: object) -> Webhook:
    return Webhook(name, url, **more)  # type: ignore[arg-type]


def attempts(courier: Courier, count: int) -> dict[str, object]:
    """Waits for some reports; receiver → what came of it."""
    found: dict[str, object] = {}
    while len(found) < count:
        found |= {report.entry.receiver: report.outcome for report in courier.reports()}
    return found


def test_a_receiver_that_hangs_holds_up_nobody_else() -> None:
    with Receiver() as slow, Receiver() as quick:
        import threading

        gate = threading.Event()
        slow.always(WEBHOOK_PATH, Answer(200, hold=gate))
        quick.always(WEBHOOK_PATH, Answer(200))
        sinks = {"slow": webhook("slow", slow.webhook_url), "quick": webhook("quick", quick.webhook_url)}
        courier = Courier(sinks, Urllib3Transport(), lambda: NOW / 1000)
        courier.submit(entry(receiver="slow"))
        courier.submit(entry(receiver="quick"))
        assert attempts(courier, 1) == {"quick": Delivered()}
        gate.set()
        assert attempts(courier, 1) == {"slow": Delivered()}
        courier.close(5)


def test_what_breaks_is_dead_for_itself_only() -> None:
    def transport(request: HttpRequest) -> HttpResponse:
        if "broken" in request.url:
            raise RuntimeError("a defect, with https://secret/ in it")
        if "away" in request.url:
            raise TransportError("ConnectTimeoutError")
        return HttpResponse(200, {}, b"")

    sinks = {name: webhook(name, f"http://{name}/") for name in ("broken", "away", "fine")}
    courier = Courier(sinks, transport, lambda: 0.0)
    for name in ("broken", "away", "fine", "unknown"):
        courier.submit(entry(receiver=name))
    assert attempts(courier, 4) == {
        "broken": Dead("RuntimeError"),
        "away": Retry("ConnectTimeoutError", answered=False),
        "fine": Delivered(),
        "unknown": Dead("the receiver is no longer configured"),
    }
    courier.close(5)


class Inline:
    """A courier without threads: attempts are made when they are handed over."""

    def __init__(self, real: Courier) -> None:
        self.real, self.done = real, []  # type: ignore[var-annotated]
        self.attempts = 0

    def submit(self, item: OutboxEntry) -> None:
        self.attempts += 1
        self.done.append(Report(item, self.real.attempt(item)))

    def reports(self) -> list[Report]:
        done, self.done = self.done, []
        return done


def alerting(url: str) -> tuple[Alerting, Inline]:
    sink = PagerDuty("on-call", ROUTING_KEY, url)
    found = rule(notify=("on-call",))
    inline = Inline(Courier({"on-call": sink}, Urllib3Transport(), lambda: NOW / 1000))
    routing = AlertingSetup({found.name: found}, {"on-call": ReceiverPolicy("on-call")}, {"on-call": sink}, None)
    log = SILENT
    return Alerting(routing, inline, log, lambda: 0.5), inline  # type: ignore[arg-type]


def test_an_hour_of_pagerduty_errors_loses_nothing_and_does_not_hammer() -> None:
    with Receiver() as receiver:
        receiver.always(PAGERDUTY_PATH, Answer(503))
        found, inline = alerting(receiver.pagerduty_url)
        found.observe(evaluation(*DRIFTED), NOW)
        found.observe(evaluation(psi("feature:dep_delay", 0.001, "ok"), at=START + HOUR), NOW)
        assert len(found.outbox) == 2
        found.deliver(NOW)
        assert inline.attempts == 0  # what is not saved is not sent
        found.mark_saved()
        for second in range(3_600):
            found.deliver(NOW + second * 1000)
        assert receiver.accepted(PAGERDUTY_PATH) == []
        assert 10 < inline.attempts < 40
        receiver.always(PAGERDUTY_PATH, None)
        for second in range(3_600, 4_600):
            found.deliver(NOW + second * 1000)
        events = [request.body for request in receiver.accepted(PAGERDUTY_PATH)]
        assert [event["event_action"] for event in events] == ["trigger", "resolve"]
        assert len({event["dedup_key"] for event in events}) == 1
        assert found.settled
        assert found.results["on-call", "delivered"] == 2
        assert found.results["on-call", "dead"] == 0


def test_a_429_with_retry_after_is_obeyed() -> None:
    with Receiver() as receiver:
        receiver.script(PAGERDUTY_PATH, Answer(429, (("Retry-After", "120"),)))
        found, inline = alerting(receiver.pagerduty_url)
        found.observe(evaluation(*DRIFTED), NOW)
        found.mark_saved()
        for second in range(119):
            found.deliver(NOW + second * 1000)
        assert inline.attempts == 1
        for second in range(119, 125):
            found.deliver(NOW + second * 1000)
        assert [request.status for request in receiver.requests] == [429, 202]


def test_undelivered_notifications_survive_a_restart_with_their_keys() -> None:
    with Receiver() as receiver:
        receiver.always(PAGERDUTY_PATH, Answer(500))
        found, _ = alerting(receiver.pagerduty_url)
        found.observe(evaluation(*DRIFTED), NOW)
        saved, documents = list(found.outbox.values()), found.documents()
        receiver.always(PAGERDUTY_PATH, None)
        again, _ = alerting(receiver.pagerduty_url)
        again.restore(documents, saved)
        again.deliver(NOW + MINUTE)
        (event,) = receiver.accepted(PAGERDUTY_PATH)
        assert event.body["dedup_key"] == saved[0].dedup_key
        # The alert goes on where it was: the same finding opens no second incident.
        assert again.observe(evaluation(*DRIFTED, at=START + HOUR), NOW).notices == ()
        assert json.loads(saved[0].payload)["dedup_key"] == event.body["dedup_key"]
