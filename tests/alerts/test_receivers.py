"""Receivers that fail, as the daemon lives through it: who is notified, what waits, what is summarised and saved."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import msgspec
import structlog
from structlog.testing import capture_logs

from alerts.delivery import Courier
from alerts.http import AddressRefusedError, HttpRequest, HttpResponse, TransportError
from alerts.outbox import OutboxEntry, Report
from alerts.policy import ReceiverPolicy
from alerts.sink import Sink
from monitor.alerting.alerting import Alerting
from monitor.alerting.outbox import Receivers
from monitor.alerting.receivers import AlertingSetup
from monitor.receivers.log import Log
from monitor.receivers.pagerduty import PagerDuty
from monitor.receivers.slack import Slack
from monitor.receivers.webhook import Webhook
from tests.servers.receiver import ROUTING_KEY, _pagerduty_fault, _slack_fault
from tests.support.alerts import DAY, DRIFTED, HOUR, MINUTE, START, evaluation, psi, rule

NOW = 1_700_000_000_000
CALM = psi("feature:dep_delay", 0.001, "ok")
Answer = Callable[[HttpRequest], int]


@dataclass
class World:
    """An `Alerting` whose attempts are answered at once: by ``answers``, receiver → status of a request."""

    answers: dict[str, int | Answer | Exception] = field(default_factory=dict)
    policies: tuple[ReceiverPolicy, ...] = (ReceiverPolicy("team"), ReceiverPolicy("other"))
    sinks: dict[str, Sink] = field(default_factory=dict)
    now: int = NOW

    def __post_init__(self) -> None:
        self.accepted: dict[str, list[dict[str, object]]] = {}
        self.attempts: dict[str, int] = {}
        self.logged: list[str] = []
        self.done: list[Report] = []
        self.start()

    def start(self, documents: dict[str, bytes] | None = None, outbox: tuple[OutboxEntry, ...] = ()) -> None:
        names = [policy.name for policy in self.policies]
        rules = {name: rule(name, notify=("team",), models=(name,)) for name in "abcdefgh"}
        sinks = {name: self.sinks.get(name, Webhook(name, f"http://{name}/")) for name in names}
        self.courier = Courier(sinks, self.transport, lambda: self.now / 1000)
        routing = AlertingSetup(rules, {policy.name: policy for policy in self.policies}, sinks, None)
        self.alerting = Alerting(routing, self, structlog.get_logger(), lambda: 0.5)
        if documents is not None:
            self.alerting.restore(documents, outbox)

    def restart(self) -> None:
        """As after a crash: what is saved goes through JSON and back."""
        saved = [msgspec.json.encode(entry) for entry in self.alerting.outbox.values()]
        outbox = tuple(msgspec.json.decode(entry, type=OutboxEntry) for entry in saved)
        self.done = []
        self.start(self.alerting.documents(), outbox)

    def transport(self, request: HttpRequest) -> HttpResponse:
        name = request.url.split("/")[2]
        self.attempts[name] = self.attempts.get(name, 0) + 1
        answer = self.answers.get(name, 200)
        if isinstance(answer, Exception):
            raise answer
        status = answer if isinstance(answer, int) else answer(request)
        if status < 300:
            self.accepted.setdefault(name, []).append(json.loads(request.body))
        return HttpResponse(status, {}, b"")

    def submit(self, entry: OutboxEntry) -> None:
        self.done.append(Report(entry, self.courier.attempt(entry)))

    def reports(self) -> list[Report]:
        done, self.done = self.done, []
        return done

    def fire(self, name: str, *, ends: bool = False, at: int = START) -> None:
        """An incident of one of the rules, which are told apart by the model that they look at."""
        found = evaluation(CALM, at=at + HOUR, model=name) if ends else evaluation(*DRIFTED, at=at, model=name)
        self.alerting.observe(found, self.now)

    def run(self, milliseconds: int, step: int = 1_000) -> None:
        for _ in range(0, milliseconds, step):
            self.alerting.mark_saved()
            self.alerting.deliver(self.now)
            self.now += step

    def rules_of(self, name: str) -> list[tuple[object, object]]:
        return [(body["rule"], body["event"]) for body in self.accepted.get(name, [])]


def rule_of(request: HttpRequest) -> object:
    return json.loads(request.body)["rule"]


# Faults of one message


def test_an_alert_that_a_receiver_answers_500_to_blocks_no_other() -> None:
    world = World({"team": lambda request: 500 if rule_of(request) == "a" else 200})
    for name in "abcde":
        world.fire(name)
    world.run(MINUTE)
    assert world.rules_of("team") == [(name, "alert.firing") for name in "bcde"]
    assert [entry.dedup_key for entry in world.alerting.outbox.values()] != []
    for name in "abcde":
        world.fire(name, ends=True)
    world.run(10 * MINUTE)
    assert world.rules_of("team")[4:] == [(name, "alert.resolved") for name in "bcde"]
    world.answers = {}
    world.run(10 * MINUTE)
    own = [event for name, event in world.rules_of("team") if name == "a"]
    assert own == ["alert.firing", "alert.resolved"]


def test_a_refused_message_is_dropped_with_its_end_and_the_others_hear_of_it() -> None:
    world = World({"team": lambda request: 400 if rule_of(request) == "a" else 200})
    world.fire("a")
    world.run(5_000)
    assert world.alerting.results["team", "dead"] == 1
    (body,) = world.accepted["other"]
    assert body["event"] == "alert.firing"
    assert body["summary"] == "leewayd cannot notify team: HTTP 400"
    world.fire("a", ends=True)
    world.run(MINUTE)
    assert "team" not in world.accepted
    assert world.alerting.settled
    # The next alert that is taken ends the fault.
    world.fire("b")
    world.run(5_000)
    assert world.rules_of("team") == [("b", "alert.firing")]
    assert [body["event"] for body in world.accepted["other"]] == ["alert.firing", "alert.resolved"]


def test_the_end_of_a_dropped_alert_that_waits_already_is_dropped_with_it() -> None:
    world = World({"team": 400})
    world.fire("a")
    world.fire("a", ends=True)
    world.run(5_000)
    assert world.attempts["team"] == 1
    assert world.alerting.results["team", "suppressed"] == 1
    assert world.alerting.settled


def test_an_alert_that_may_have_got_through_before_it_was_refused_gets_its_end() -> None:
    world = World({"team": TransportError("ReadTimeoutError")})
    world.fire("a")
    world.run(3_000)
    world.answers["team"] = 400
    world.run(MINUTE)
    assert world.alerting.results["team", "dead"] == 1
    world.answers["team"] = 200
    world.fire("a", ends=True)
    world.run(MINUTE)
    assert world.rules_of("team") == [("a", "alert.resolved")]


def test_a_dropped_alert_is_reported_even_if_the_next_one_is_taken_at_once() -> None:
    world = World({"team": lambda request: 422 if rule_of(request) == "a" else 200})
    world.fire("a")
    world.fire("b")
    world.run(20_000)
    assert [body["event"] for body in world.accepted["other"]] == ["alert.firing", "alert.resolved"]


# Faults of the receiver


def test_a_receiver_with_a_wrong_token_keeps_its_alerts_and_gets_them_in_order_after_a_restart() -> None:
    world = World({"team": 403})
    for name in "abcd":
        world.fire(name)
    world.run(2 * HOUR)
    assert world.alerting.receivers()["team"].parked == 4
    assert world.alerting.results["team", "dead"] == 0
    assert world.attempts["team"] < 80
    (body,) = world.accepted["other"]
    assert (body["event"], body["rule"], body["severity"]) == ("alert.firing", "receiver failing", "error")
    world.answers = {}
    world.restart()
    world.run(10_000)
    assert world.rules_of("team") == [(name, "alert.firing") for name in "abcd"]
    assert [body["event"] for body in world.accepted["other"]] == ["alert.firing", "alert.resolved"]
    assert world.alerting.settled


def test_incidents_that_ended_while_a_receiver_refused_them_come_as_one_summary() -> None:
    world = World({"team": 404})
    for name in "abc":
        world.fire(name)
    world.run(MINUTE)
    world.fire("a", ends=True)
    world.run(MINUTE)
    world.fire("c", ends=True)
    world.run(HOUR)
    assert world.alerting.results["team", "summarised"] >= 4
    assert len([entry for entry in world.alerting.outbox.values() if entry.receiver == "team"]) == 2
    world.answers = {}
    world.restart()
    world.run(MINUTE)
    bodies = world.accepted["team"]
    assert set(world.rules_of("team")) == {("b", "alert.firing"), ("past incidents", "alert.resolved")}
    assert len(bodies) == 2
    (summary,) = [body for body in bodies if body["rule"] == "past incidents"]
    assert str(summary["summary"]).startswith("2 incidents began and ended")
    details = [finding["detail"] for finding in summary["findings"]]  # type: ignore[attr-defined]
    assert [detail[:2] for detail in details] == ["a ", "c "]
    assert world.alerting.settled


def test_a_week_of_flapping_behind_a_refusal_is_one_summary_of_bounded_size() -> None:
    world = World({"team": 410})
    for number in range(100):
        world.fire("a", at=START + 2 * number * HOUR)
        world.run(2_000)
        world.fire("a", ends=True, at=START + 2 * number * HOUR)
        world.run(HOUR, step=60_000)
    (summary,) = [entry for entry in world.alerting.outbox.values() if entry.receiver == "team"]
    assert (summary.kind, summary.incidents, len(summary.about)) == ("summary", 100, 20)
    world.answers = {}
    world.run(HOUR)
    (body,) = world.accepted["team"]
    assert "100 incidents" in str(body["summary"])
    # The fault was one, however long it took.
    assert [body["event"] for body in world.accepted["other"]] == ["alert.firing", "alert.resolved"]


def test_a_receiver_without_resolves_is_not_called_for_an_incident_that_is_over() -> None:
    world = World({"team": 403}, policies=(ReceiverPolicy("team", resolves=False), ReceiverPolicy("other")))
    world.fire("a")
    world.run(MINUTE)
    world.fire("a", ends=True)
    world.run(MINUTE)
    world.answers = {}
    world.run(HOUR)
    assert world.rules_of("team") == [("past incidents", "alert.resolved")]


def test_a_call_for_a_retraining_is_made_when_the_receiver_works_again() -> None:
    world = World({"team": 403}, policies=(ReceiverPolicy("team", retrains=True), ReceiverPolicy("other")))
    world.fire("a")
    world.run(MINUTE)
    world.fire("a", ends=True)
    world.run(HOUR)
    world.answers = {}
    world.run(HOUR)
    assert world.rules_of("team") == [("a", "retrain")]


def test_the_summary_and_the_alert_about_a_receiver_are_understood_by_every_kind_of_receiver() -> None:
    written: list[str] = []
    sinks: dict[str, Sink] = {
        "slack": Slack("slack", "http://slack/"),
        "pager": PagerDuty("pager", ROUTING_KEY, "http://pager/"),
        "log": Log("log", lambda kind, text: written.append(text)),
    }
    policies = tuple(ReceiverPolicy(name) for name in ("team", "slack", "pager", "log"))
    world = World({"team": 401}, policies, sinks)
    world.fire("a")
    world.run(MINUTE)
    assert world.accepted["slack"][0]["text"] == "leewayd cannot notify team: HTTP 401"
    assert world.accepted["pager"][0]["event_action"] == "trigger"
    assert written[0].startswith("leewayd cannot notify team: HTTP 401")
    world.answers = {}
    world.run(HOUR)
    assert str(world.accepted["slack"][1]["text"]).startswith("Resolved:")
    assert world.accepted["pager"][1]["event_action"] == "resolve"
    assert world.accepted["pager"][0]["dedup_key"] == world.accepted["pager"][1]["dedup_key"]
    # And the summary, to a pager that was refused itself.
    for sink in (PagerDuty("team", ROUTING_KEY, "http://team/"), Slack("team", "http://team/")):
        world = World({"team": 403}, sinks={"team": sink})
        world.fire("a")
        world.run(MINUTE)
        world.fire("a", ends=True)
        world.run(MINUTE)
        world.answers = {}
        world.run(HOUR)
        (summary,) = world.accepted["team"]
        fault = _pagerduty_fault(summary, 0) if isinstance(sink, PagerDuty) else _slack_fault(summary)
        assert fault == ""
        assert "1 incident began and ended" in json.dumps(summary)


def test_an_address_that_must_not_be_reached_is_a_fault_of_the_receiver() -> None:
    world = World({"team": AddressRefusedError("the host name leads to a metadata address")})
    world.fire("a")
    world.run(5_000)
    assert world.alerting.results["team", "parked"] == 1
    reason = "the host name leads to a metadata address"
    assert world.accepted["other"][0]["summary"] == f"leewayd cannot notify team: {reason}"


# Faults that last, and receivers without others


def test_a_receiver_that_answers_nothing_for_a_quarter_of_an_hour_is_reported_and_not_before() -> None:
    world = World({"team": TransportError("ConnectTimeoutError")})
    world.fire("a")
    world.run(14 * MINUTE)
    assert "other" not in world.accepted
    world.run(10 * MINUTE)
    (body,) = world.accepted["other"]
    assert body["summary"] == "leewayd cannot notify team: ConnectTimeoutError"
    world.restart()
    world.run(HOUR)
    assert len(world.accepted["other"]) == 1
    world.answers = {}
    world.run(10 * MINUTE)
    assert [body["event"] for body in world.accepted["other"]] == ["alert.firing", "alert.resolved"]


def test_without_another_receiver_the_fault_stands_in_readyz_the_log_and_a_metric() -> None:
    written: list[str] = []
    policies = (ReceiverPolicy("team"), ReceiverPolicy("retrain", retrains=True), ReceiverPolicy("log"))
    with capture_logs() as logs:
        world = World({"team": 404}, policies, {"log": Log("log", lambda kind, text: written.append(text))})
        assert world.alerting.unheard_fault == ""
        world.fire("a")
        world.run(5_000)
    assert world.alerting.unheard_fault == "notifications to team fail: HTTP 404"
    assert [line["reason"] for line in logs if line["event"] == "receiver failing"] == ["HTTP 404"]
    assert written[0].startswith("leewayd cannot notify team: HTTP 404")
    assert "retrain" not in world.accepted
    assert not world.alerting.receivers()["team"].works
    world.answers = {}
    world.run(HOUR)
    assert world.alerting.unheard_fault == ""
    assert world.alerting.receivers()["team"].works


def test_when_all_receivers_fail_readyz_names_all_of_them() -> None:
    world = World({"team": 404, "other": 403})
    world.fire("a")
    world.run(HOUR)
    assert world.alerting.unheard_fault == "notifications to team fail: HTTP 404; notifications to other fail: HTTP 403"
    world.answers = {}
    world.run(HOUR)
    assert world.alerting.settled
    assert world.rules_of("team")[0] == ("a", "alert.firing")
    # The other one was mended too late for the news of the first, and hears of it in its summary.
    assert world.rules_of("other") == [("past incidents", "alert.resolved")]
    assert world.alerting.unheard_fault == ""


def test_a_fault_of_an_alert_of_its_own_does_not_go_round_in_circles() -> None:
    world = World({"team": 404, "other": 404, "third": 404}, tuple(map(ReceiverPolicy, ("team", "other", "third"))))
    world.fire("a")
    world.run(DAY, step=30_000)
    assert len(world.alerting.outbox) <= 4


def test_a_restart_while_a_receiver_refuses_neither_loses_nor_repeats_the_news() -> None:
    world = World({"team": 403})
    world.fire("a")
    world.fire("b")
    for _ in range(20):
        world.run(MINUTE)
        world.restart()
    assert len(world.accepted["other"]) == 1
    assert world.alerting.receivers()["team"].parked == 2
    assert world.attempts["team"] < 100
    world.answers = {}
    world.run(HOUR)
    assert world.rules_of("team") == [("a", "alert.firing"), ("b", "alert.firing")]


def test_a_circuit_outlives_a_restart() -> None:
    world = World({"team": TransportError("ConnectTimeoutError")})
    for name in "abc":
        world.fire(name)
    world.run(10 * MINUTE)
    sent = world.attempts["team"]
    world.restart()
    world.run(3_000)
    assert world.attempts["team"] <= sent + 1


# What older versions saved


def test_an_outbox_that_an_older_version_saved_goes_on() -> None:
    old = (
        b'{"id":"trigger-1","receiver":"team","kind":"trigger","dedup_key":"k","payload":"{}","created":1700000000000,'
        b'"attempts":3,"not_before":1700000000000,"last_error":"HTTP 503"}'
    )
    entry = msgspec.json.decode(old, type=OutboxEntry)
    world = World()
    world.start({}, (entry,))
    world.run(2_000)
    assert world.accepted["team"] == [{}]


def test_what_is_remembered_of_receivers_that_are_no_longer_configured_is_forgotten() -> None:
    world = World({"team": 404})
    world.fire("a")
    world.run(MINUTE)
    saved = msgspec.msgpack.decode(world.alerting.documents()["receivers"], type=Receivers)
    assert set(saved.faults) == {"team"}
    world.policies = (ReceiverPolicy("other"),)
    entries = tuple(replace(entry) for entry in world.alerting.outbox.values())
    world.start(world.alerting.documents(), entries)
    assert world.alerting.unheard_fault == ""
    world.run(MINUTE)
    assert world.alerting.settled
