"""PagerDuty, Events API v2: the trigger and the resolve of an incident share one dedup key."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from alerts.http import HttpRequest
from alerts.messages import cut
from alerts.moments import rfc3339
from alerts.outcome import Refused, by_status
from alerts.payload import to_json
from alerts.sink import HttpSink
from monitor.receivers.base import ReceiverSection, Secret, usable_url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alerts.http import HttpResponse
    from alerts.messages import AlertText
    from alerts.outbox import OutboxEntry
    from alerts.outcome import Outcome
    from alerts.policy import Notice
    from monitor.receivers.base import Setting

_SUMMARY = 1024


def routing_key_fault(key: str) -> str:
    """Why a text cannot be a routing key (an integration key of Events API v2); empty if it can."""
    if len(key) != 32 or not (key.isascii() and key.isalnum()):
        return "a PagerDuty routing key has 32 letters and digits"
    return ""


class PagerDutyReceiver(ReceiverSection):
    """PagerDuty Events API v2."""

    SECRETS: ClassVar = (Secret("routing_key", "routing key", lambda key, _: routing_key_fault(key)),)

    type: Literal["pagerduty"]
    routing_key_file: Path | None = None
    routing_key_env: str | None = None
    url: str = "https://events.pagerduty.com/v2/enqueue"

    def sink(self, setting: Setting) -> PagerDuty:
        """A sink that sends to the service."""
        return PagerDuty(self.name, setting.secrets["routing_key"], self.url, setting.source_name, self.timeout_seconds)

    def own_faults(self, allow_private: bool) -> Iterator[str]:
        """A URL that cannot be used."""
        if fault := usable_url(self.url, allow_private):
            yield f"url: {fault}"


@dataclass(frozen=True, slots=True)
class PagerDuty(HttpSink):
    """A PagerDuty service; events get its secret routing key only when they are sent."""

    name: str
    routing_key: str = field(repr=False)
    url: str = "https://events.pagerduty.com/v2/enqueue"
    source: str = "leewayd"
    timeout_seconds: float = 10.0

    def request(self, entry: OutboxEntry) -> HttpRequest:
        """The POST of an outbox entry."""
        event = json.loads(entry.payload)
        event["routing_key"] = self.routing_key
        if "payload" in event:
            event["payload"]["source"] = self.source
        return HttpRequest(self.url, to_json(event), timeout_seconds=self.timeout_seconds)

    def read(self, response: HttpResponse, now: float) -> Outcome:
        """202 is delivered, 400 is dropped, 429 and 5xx are retried.

        PagerDuty also answers 400 to an unknown routing key, which is a fault of the receiver.
        """
        text = response.body.lower()
        if response.status == 400 and (b"routing_key" in text or b"routing key" in text):
            return Refused("HTTP 400, unknown routing key")
        return by_status(response.status, response.headers, now)

    def render(self, notice: Notice, words: AlertText) -> bytes:
        """The event, without the routing key."""
        if notice.kind == "resolve":
            return to_json({"event_action": "resolve", "dedup_key": notice.dedup_key})
        key = notice.transition.key
        details: dict[str, object] = dict(words.facts)
        details["findings"] = list(words.findings)
        event = {
            "event_action": "trigger",
            "dedup_key": notice.dedup_key,
            "client": "leewayd",
            "payload": {
                "summary": cut(words.title, _SUMMARY),
                # `request` fills in the daemon's name together with the routing key.
                "source": "",
                "severity": notice.rule.severity,
                "timestamp": rfc3339(notice.at),
                "component": key.model,
                "group": key.version,
                "class": notice.rule.name,
                "custom_details": details,
            },
            "links": [{"href": url, "text": label} for label, url in words.links],
        }
        return to_json(event)
