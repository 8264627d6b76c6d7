"""The contract that every kind of receiver keeps, whatever the names in the data are."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alerts.delivery import Courier, OutboxEntry
from alerts.evaluation import Finding
from alerts.http import HttpResponse, Urllib3Transport
from alerts.messages import Words, words
from alerts.policy import Notice, ReceiverPolicy
from alerts.sinks import RENDER, Sink
from alerts.sinks.log import Log
from alerts.sinks.outcome import Dead, Delivered
from alerts.sinks.pagerduty import PagerDuty
from alerts.sinks.slack import Slack, escape
from alerts.sinks.webhook import Webhook
from tests.alerts.samples import DRIFTED, NAN, evaluation, notices, resolve, rule, trigger
from tests.servers.receiver import ROUTING_KEY, Received, Receiver

SECRET = "xoxb-very-secret"
HOSTILE = (
    "<!channel> & <https://evil.example|click>",
    "line\nbreak\r\ttab",
    "x" * 10_000,
    "\ud800 half a pair",
    "\x00\x07\x1b[31m",
    '"}],{"',
    "‮right to left",
)
MAKE: dict[type, Callable[[Receiver], Sink]] = {
    Slack: lambda receiver: Slack("r", receiver.slack_url),
    PagerDuty: lambda receiver: PagerDuty("r", ROUTING_KEY, receiver.pagerduty_url),
    Webhook: lambda receiver: Webhook("r", receiver.webhook_url, token=SECRET),
    Log: lambda receiver: Log("r", lambda kind, text: None),
}
KINDS = sorted(RENDER, key=lambda kind: kind.__name__)


def said(notice: Notice) -> Words:
    return words(notice, "https://grafana.example.org/d/x?model={model}&segment={segment}")


def send(sink: Sink, notice: Notice) -> tuple[OutboxEntry, object]:
    payload = RENDER[type(sink)](notice, said(notice)).decode()
    entry = OutboxEntry(notice.id, "r", notice.kind, notice.dedup_key, payload, 0)
    return entry, Courier({"r": sink}, Urllib3Transport(), lambda: 0.0)._attempt(entry)


def requests_of(kind: type, *sent: Notice) -> list[Received]:
    with Receiver() as receiver:
        sink = MAKE[kind](receiver)
        for notice in sent:
            assert send(sink, notice)[1] == Delivered(), receiver.requests[-1:]
        return receiver.requests


def hostile_notice(text: str) -> Notice:
    finding = Finding(f"feature:{text}", "psi", 0.4, NAN, math.inf, 0.02, "drifted", f"{text} moved up")
    found = evaluation(finding, model=text or "m", version=text or "-", segment=text or "all")
    return notices([rule(name=text or "r", severity="critical", runbook="https://wiki.example.org/a|b>c")], [found])[
        "trigger"
    ]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_has_a_sample_here(kind: type) -> None:
    assert kind in MAKE


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_trigger_and_resolve_keep_the_receivers_contract(kind: type) -> None:
    requests_of(kind, trigger(), resolve())


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_names_from_data_cannot_break_the_contract(kind: type, text: str) -> None:
    requests_of(kind, hostile_notice(text))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=200))
def test_no_text_whatever_breaks_the_contract(text: str) -> None:
    with Receiver() as receiver:
        for kind in KINDS:
            assert send(MAKE[kind](receiver), hostile_notice(text))[1] == Delivered(), receiver.requests[-1]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_what_is_saved_and_shown_holds_no_secret(kind: type) -> None:
    with Receiver() as receiver:
        sink = MAKE[kind](receiver)
        entry, _ = send(sink, trigger())
        for hidden in (ROUTING_KEY, SECRET, receiver.slack_url):
            assert hidden not in entry.payload
            assert hidden not in repr(sink)


def test_pagerduty_triggers_and_resolves_under_one_key() -> None:
    first, last = (request.body for request in requests_of(PagerDuty, trigger(), resolve()))
    assert (first["event_action"], last["event_action"]) == ("trigger", "resolve")
    assert first["dedup_key"] == last["dedup_key"]
    assert first["payload"]["source"] == "leewayd"
    assert first["payload"]["severity"] == "critical"
    assert first["payload"]["custom_details"]["findings"][0].startswith("wind_speed: the share of missing values")


def test_slack_cannot_be_made_to_call_everybody() -> None:
    assert escape("<!channel> & co") == "&lt;!channel&gt; &amp; co"
    (request,) = requests_of(Slack, hostile_notice(HOSTILE[0]))
    # The header is plain text, in which Slack reads no marks.
    marked = [block["text"]["text"] for block in request.body["blocks"] if block["text"]["type"] == "mrkdwn"]
    for text in (request.body["text"], *marked):
        assert "<!channel>" not in text
        assert "<https://evil" not in text


def test_slack_tells_why_it_refuses() -> None:
    sink = Slack("r", "http://x/")
    assert sink.read(HttpResponse(404, {}, b"no_service"), 0.0) == Dead("HTTP 404 no_service")
    assert sink.read(HttpResponse(403, {}, b"<html>..."), 0.0) == Dead("HTTP 403")


def test_the_webhook_carries_the_evidence_and_its_keys() -> None:
    (request,) = requests_of(Webhook, trigger(ReceiverPolicy("someone", retrains=True)))
    body = request.body
    assert body["event"] == "retrain"
    assert request.headers["idempotency-key"] == body["idempotency_key"]
    assert request.headers["authorization"] == f"Bearer {SECRET}"
    assert body["window"]["offsets"][0] == {
        "topic": "predictions", "partition": 0, "first": 120_034, "last": 131_875
    }  # fmt: skip
    assert [finding["subject"] for finding in body["findings"]] == [finding.subject for finding in DRIFTED]
    assert body["findings"][3]["upper"] is None


def test_a_webhook_that_has_it_already_says_409() -> None:
    sink = Webhook("r", "http://x/")
    assert sink.read(HttpResponse(409, {}, b""), 0.0) == Delivered()


def test_events_of_a_webhook_are_named_by_what_happened() -> None:
    first, last = (request.body for request in requests_of(Webhook, trigger(), resolve()))
    assert (first["event"], last["event"]) == ("alert.firing", "alert.resolved")
    assert last["reason"] == "back within bounds"
    assert first["idempotency_key"] != last["idempotency_key"]
    assert first["dedup_key"] == last["dedup_key"]


def test_the_log_gets_the_text() -> None:
    told: list[tuple[str, str]] = []
    sink = Log("r", lambda kind, text: told.append((kind, text)))
    send(sink, trigger())
    assert told[0][0] == "trigger"
    assert told[0][1].startswith("feature drift on flights")


def test_a_message_tells_what_how_much_how_sure_since_when_and_on_what() -> None:
    text = words(trigger(runbook="https://wiki.example.org/drift"), None).text()
    wind, delay, carrier, _ = (finding.detail for finding in DRIFTED)
    assert text.splitlines() == [
        "feature drift on flights (version v7): wind_speed and 3 more have drifted",
        "Severity: critical",
        "Since: 2013-04-02 06:00 UTC",
        "Seen in: window 1h, 2013-04-02 05:00 to 06:00 UTC, 11,842 rows",
        "Share of the proven drift: dep_delay 54%, carrier 25%, month 20%",
        f"- {wind}. Change of the missing share 0.412, surely between 0.388 and 0.436; it matters from 0.02",
        f"- {delay}. PSI 0.214, surely between 0.187 and 0.243; it matters from 0.02",
        f"- {carrier}. PSI 0.1, surely between 0.0875 and 0.14; it matters from 0.02",
        "- and 1 more",
        "Runbook: https://wiki.example.org/drift",
    ]


def test_one_drifted_feature_has_no_share_to_tell() -> None:
    found = notices([rule()], [evaluation(DRIFTED[1])])["trigger"]
    assert "Share" not in words(found, None).text()


def test_a_resolve_tells_how_long_it_lasted_and_why_it_ended() -> None:
    assert words(resolve(), None).text().splitlines() == [
        "Resolved: feature drift on flights (version v7)",
        "Why: back within bounds",
        "Lasted: 1 d 3 h, 2013-04-02 06:00 to 2013-04-03 09:00 UTC",
        "It was: wind_speed and 3 more, last seen in window 1h, 2013-04-02 05:00 to 06:00 UTC, 11,842 rows",
    ]


def test_links_are_filled_in_and_escaped() -> None:
    found = replace(evaluation(*DRIFTED, segment="city=São Paulo&x"))
    notice = notices([rule()], [found])["trigger"]
    assert said(notice).links == (
        ("Dashboard", "https://grafana.example.org/d/x?model=flights&segment=city%3DS%C3%A3o%20Paulo%26x"),
    )
