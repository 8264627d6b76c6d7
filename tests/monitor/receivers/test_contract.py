"""The contract that every kind of receiver keeps, whatever the names in the data are."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alerts.delivery import Courier
from alerts.evaluation import Finding
from alerts.http import HttpResponse, Urllib3Transport
from alerts.messages import AlertText, words
from alerts.outbox import OutboxEntry
from alerts.outcome import Dead, Delivered, Refused, Retry, by_status, retry_after
from alerts.payload import to_json
from alerts.policy import Notice, ReceiverPolicy
from alerts.sink import Sink
from monitor.receivers.log import Log
from monitor.receivers.pagerduty import PagerDuty
from monitor.receivers.registry import RECEIVERS
from monitor.receivers.slack import Slack, _cut_escaped, escape
from monitor.receivers.webhook import Webhook
from tests.servers.receiver import ROUTING_KEY, WEBHOOK_PATH, Answer, Received, Receiver
from tests.support.alerts import DRIFTED, NAN, evaluation, notices, psi, resolve, rule, trigger

SECRET = "xoxb-very-secret"
TRANSPORT = Urllib3Transport()  # one for all: making it takes 30 ms
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
KINDS = sorted(MAKE, key=lambda kind: kind.__name__)


def said(notice: Notice) -> AlertText:
    return words(notice, "https://grafana.example.org/d/x?model={model}&segment={segment}")


def send(sink: Sink, notice: Notice) -> tuple[OutboxEntry, object]:
    payload = sink.render(notice, said(notice)).decode()
    entry = OutboxEntry(notice.id, "r", notice.kind, notice.dedup_key, payload, 0)
    return entry, Courier({"r": sink}, TRANSPORT, lambda: 0.0).attempt(entry)


SHARED: list[Receiver] = []


@pytest.fixture(scope="module", autouse=True)
def shared_receiver() -> Iterator[None]:
    """One for all of these tests: to stop one takes 50 ms."""
    with Receiver() as receiver:
        SHARED.append(receiver)
        yield
        SHARED.remove(receiver)


def requests_of(kind: type, *sent: Notice) -> list[Received]:
    receiver = SHARED[0]
    receiver.requests.clear()
    sink = MAKE[kind](receiver)
    for notice in sent:
        assert send(sink, notice)[1] == Delivered(), receiver.requests[-1:]
    return list(receiver.requests)


def hostile_notice(text: str) -> Notice:
    finding = Finding(f"feature:{text}", "psi", 0.4, NAN, math.inf, 0.02, "drifted", f"{text} moved up")
    found = evaluation(finding, model=text or "m", version=text or "-", segment=text or "all")
    return notices([rule(name=text or "r", severity="critical", runbook="https://wiki.example.org/a|b>c")], [found])[
        "trigger"
    ]


def test_every_receiver_of_the_registry_keeps_this_contract() -> None:
    assert {section.sink.__annotations__["return"] for section in RECEIVERS} == {kind.__name__ for kind in MAKE}


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
    for kind in KINDS:
        requests_of(kind, hostile_notice(text))


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


def test_slack_reads_no_names_from_data_as_links_or_mentions() -> None:
    text = "https://evil.example @here #general <!channel> &amp; <@U123>"
    for notice in (hostile_notice(text), resolve()):
        (request,) = requests_of(Slack, notice)
        sections = [block["text"] for block in request.body["blocks"] if block["type"] == "section"]
        assert sections
        assert all(section["verbatim"] is True for section in sections)
        for section in sections:
            assert "<!" not in section["text"]
            assert "<@" not in section["text"]
            if not section["text"].startswith("<https://grafana"):
                assert "&" not in re.sub("&(amp|lt|gt);", "", section["text"])
        assert all(block["text"].get("emoji") is False for block in request.body["blocks"] if block["type"] == "header")


def test_a_link_cannot_end_early() -> None:
    (request,) = requests_of(Slack, trigger(runbook="https://wiki.example.org/a|b>c<!channel>"))
    assert request.body["blocks"][-1]["text"]["text"] == "<https://wiki.example.org/a%7Cb%3Ec%3C!channel%3E|Runbook>"


def test_a_routing_key_that_pagerduty_does_not_know_is_a_fault_of_the_receiver() -> None:
    sink = PagerDuty("r", ROUTING_KEY)
    body = b'{"status":"invalid event","errors":["Invalid routing key"]}'
    assert sink.read(HttpResponse(400, {}, body), 0.0) == Refused("HTTP 400, unknown routing key")
    assert sink.read(HttpResponse(400, {}, b'{"errors":["summary is too long"]}'), 0.0) == Dead("HTTP 400")


def test_slack_tells_why_it_refuses() -> None:
    sink = Slack("r", "http://x/")
    assert sink.read(HttpResponse(404, {}, b"no_service"), 0.0) == Refused("HTTP 404 no_service")
    assert sink.read(HttpResponse(403, {}, b"<html>..."), 0.0) == Refused("HTTP 403")


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
        f"- {wind}. Change of the missing share 0.412, confidence interval 0.388 to 0.436, threshold 0.02",
        f"- {delay}. PSI 0.214, confidence interval 0.187 to 0.243, threshold 0.02",
        f"- {carrier}. PSI 0.1, confidence interval 0.0875 to 0.14, threshold 0.02",
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


# Numbers, lengths and kinds of news that no sink may break on


def told_of(*findings: Finding) -> tuple[Notice, Notice]:
    """Trigger and resolve on findings that the rules need not have let through."""
    told = []
    for notice in (trigger(), resolve()):
        evidence = replace(notice.transition.evidence, findings=findings)
        told.append(replace(notice, transition=replace(notice.transition, evidence=evidence)))
    return told[0], told[1]


@pytest.mark.parametrize("number", [NAN, math.inf, -math.inf, 1e308, -0.0, 5e-324])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_numbers_that_json_does_not_have_break_nothing(kind: type, number: float) -> None:
    finding = Finding("feature:age", "psi", number, number, number, number, "drifted")
    requests_of(kind, *told_of(finding))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_resolve_keeps_the_contract_whatever_it_resolves(kind: type, text: str) -> None:
    first = hostile_notice(text)
    why = replace(first.transition, state="resolved", reason=text)
    requests_of(kind, replace(first, kind="resolve", transition=why))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_hundreds_of_drifted_features_with_long_names_fit(kind: type) -> None:
    many = tuple(psi(f"feature:{'<&>' * 300}{number}", 0.4, "drifted", "&" * 5_000) for number in range(300))
    requests_of(kind, *told_of(*many))


@pytest.mark.parametrize("severity", ["info", "warning", "error", "critical"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_severity_is_known_to_every_receiver(kind: type, severity: str) -> None:
    first = trigger()
    requests_of(kind, replace(first, rule=replace(first.rule, severity=severity)))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_payload_is_the_same_again_whenever_it_is_rendered(kind: type) -> None:
    # After a crash before saving, the notice is planned and rendered once more under the same id.
    assert trigger().id == trigger().id
    sink = MAKE[kind](SHARED[0])
    assert sink.render(trigger(), said(trigger())) == sink.render(trigger(), said(trigger()))


def entry_of(kind: type, notice: Notice) -> OutboxEntry:
    payload = MAKE[kind](SHARED[0]).render(notice, said(notice)).decode()
    return OutboxEntry(notice.id, "r", notice.kind, notice.dedup_key, payload, 0)


# Slack


def test_slack_shows_the_title_the_facts_the_findings_and_the_links_in_that_order() -> None:
    (request,) = requests_of(Slack, trigger(runbook="https://wiki.example.org/drift"))
    texts = [block["text"]["text"] for block in request.body["blocks"]]
    assert texts[0] == "feature drift on flights (version v7): wind_speed and 3 more have drifted"
    assert texts[1].startswith(
        ":rotating_light: *Severity* critical\n*Since* 2013-04-02 06:00 UTC\n*Seen in* window 1h"
    )
    assert [line[:12] for line in texts[2].splitlines()] == [
        "• wind_speed",
        "• dep_delay ",
        "• carrier: '",
        "• and 1 more",
    ]
    assert texts[3:] == [
        "<https://grafana.example.org/d/x?model=flights&segment=all|Dashboard>",
        "<https://wiki.example.org/drift|Runbook>",
    ]


def test_slack_marks_a_resolve_as_good_news() -> None:
    (request,) = requests_of(Slack, resolve())
    assert request.body["blocks"][1]["text"]["text"].startswith(":white_check_mark: *Why* back within bounds")


@given(st.text(alphabet="&<>ab", max_size=60), st.integers(5, 40))
def test_escaped_text_is_cut_to_its_limit_and_never_within_an_escaped_character(text: str, limit: int) -> None:
    found = _cut_escaped(escape(text), limit)
    assert len(found) <= limit
    # What is left of an `&` that lost its end would be shown as it stands, or swallow what follows.
    assert "&" not in found.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "")


def test_a_link_too_long_for_slack_is_left_out_and_the_message_still_comes() -> None:
    (request,) = requests_of(Slack, trigger(runbook="https://wiki.example.org/" + "x" * 4_000))
    texts = [block["text"]["text"] for block in request.body["blocks"]]
    assert len(texts) == 4
    # Not half of it either, which would be shown as plain text.
    assert not any("wiki.example.org" in text for text in texts)


def test_slack_that_is_busy_is_asked_again_when_it_said() -> None:
    busy = HttpResponse(429, {"retry-after": "30"}, b"rate_limited")
    assert Slack("r", "http://x/").read(busy, 0.0) == Retry("HTTP 429", 30.0)


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"no service", b"<script>", b"a\nb", b"_"])
def test_what_is_no_word_of_slacks_is_not_shown(body: bytes) -> None:
    assert Slack("r", "http://x/").read(HttpResponse(404, {}, body), 0.0) == Refused("HTTP 404")


# PagerDuty


def test_a_pagerduty_summary_is_cut_to_its_limit_and_shows_it() -> None:
    long = evaluation(*DRIFTED, model="m" * 900, version="v" * 900)
    told = notices([rule(name="r" * 900, severity="error")], [long])["trigger"]
    (request,) = requests_of(PagerDuty, told)
    summary = request.body["payload"]["summary"]
    assert len(summary) == 1024
    assert summary.endswith("…")


def test_a_pagerduty_event_tells_when_in_event_time_and_from_what() -> None:
    payload = requests_of(PagerDuty, trigger())[0].body["payload"]
    assert payload["timestamp"] == "2013-04-02T06:00:00Z"
    assert (payload["component"], payload["group"], payload["class"]) == ("flights", "v7", "feature drift")


def test_a_pagerduty_resolve_is_a_key_and_nothing_else() -> None:
    (request,) = requests_of(PagerDuty, resolve())
    assert set(request.body) == {"routing_key", "event_action", "dedup_key"}


def test_a_daemon_can_give_pagerduty_a_source_of_its_own() -> None:
    sink = PagerDuty("r", ROUTING_KEY, "http://x/", source="leewayd-eu")
    sent = json.loads(sink.request(entry_of(PagerDuty, trigger())).body)
    assert sent["payload"]["source"] == "leewayd-eu"
    assert sent["routing_key"] == ROUTING_KEY


# Webhook


def test_a_webhook_without_a_token_sends_no_authorization() -> None:
    assert "Authorization" not in Webhook("r", "http://x/").request(entry_of(Webhook, trigger())).headers


@pytest.mark.parametrize("name", ["Idempotency-Key", "idempotency-key", "IDEMPOTENCY-KEY"])
def test_no_configured_header_replaces_the_idempotency_key(name: str) -> None:
    with Receiver() as receiver:
        sink = Webhook("r", receiver.webhook_url, token=SECRET, headers={name: "forged", "X-Team": "us"})
        entry, outcome = send(sink, trigger())
        assert outcome == Delivered()
        (request,) = receiver.requests
        assert request.headers["idempotency-key"] == entry.id
        assert request.headers["x-team"] == "us"


def test_a_retry_carries_the_same_idempotency_key_and_body() -> None:
    with Receiver() as receiver:
        receiver.script(WEBHOOK_PATH, Answer(503))
        sink = Webhook("r", receiver.webhook_url)
        assert send(sink, trigger())[1] == Retry("HTTP 503")
        assert send(sink, trigger())[1] == Delivered()
        first, second = receiver.requests
        assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
        assert first.body == second.body


def test_only_the_webhook_takes_409_for_delivered() -> None:
    answer = HttpResponse(409, {}, b"")
    assert PagerDuty("r", ROUTING_KEY).read(answer, 0.0) == Dead("HTTP 409")
    assert Slack("r", "http://x/").read(answer, 0.0) == Dead("HTTP 409")


def test_unknown_numbers_are_null_and_known_ones_exact() -> None:
    finding = Finding("feature:age", "psi", 0.1 + 0.2, NAN, math.inf, 0.02, "drifted", "age moved up")
    (request,) = requests_of(Webhook, told_of(finding)[0])
    assert request.body["findings"] == [
        {
            "subject": "feature:age", "statistic": "psi", "value": 0.1 + 0.2, "lower": None, "upper": None,
            "threshold": 0.02, "status": "drifted", "detail": "age moved up",
        }
    ]  # fmt: skip


# Outcomes that `test_transport` does not name


@pytest.mark.parametrize("status", [0, 100, 199, 302, 307, 402, 405, 407])
def test_a_strange_status_is_a_fault_of_the_receiver(status: int) -> None:
    assert by_status(status, {"retry-after": "1"}, 0.0) == Refused(f"HTTP {status}")


@pytest.mark.parametrize("status", [400, 406, 413, 415, 418, 422, 499])
def test_a_refused_message_is_not_tried_again(status: int) -> None:
    assert by_status(status, {"retry-after": "1"}, 0.0) == Dead(f"HTTP {status}")


@given(st.integers(-1_000, 10_000), st.dictionaries(st.just("retry-after"), st.text(max_size=30)))
def test_no_answer_whatever_breaks_its_reading(status: int, headers: dict[str, str]) -> None:
    assert isinstance(by_status(status, headers, 0.0), Delivered | Retry | Refused | Dead)


def test_a_retry_after_of_hundreds_of_digits_is_only_a_long_time() -> None:
    found = retry_after("9" * 400, 0.0)
    assert found is not None
    assert found > 3600


@given(
    st.from_regex(
        r"(Mon, )?\d{1,3} (Jan|Feb|Foo) \d{1,6} \d{1,3}:\d{1,3}(:\d{1,3})?( GMT| [+-]\d{1,6}| X)?", fullmatch=True
    )
)
def test_no_broken_date_raises(text: str) -> None:
    found = retry_after(text, 1_700_000_000.0)
    assert found is None or found >= 0


def test_json_is_utf_8_with_a_question_mark_for_half_a_character_and_refuses_nan() -> None:
    assert to_json({"a": "é\ud800"}) == '{"a": "é?"}'.encode()
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json({"a": NAN})
