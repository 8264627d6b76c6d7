"""A JSON POST to any URL: for other tools, and to start a retraining with its evidence."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from alerts.http import HttpRequest, header_fault
from alerts.moments import rfc3339
from alerts.outcome import by_status
from alerts.payload import to_json
from alerts.policy import ReceiverPolicy
from alerts.sink import HttpSink
from monitor.common.durations import DAY
from monitor.common.option_types import Duration
from monitor.receivers.base import ReceiverSection, Secret, usable_token, usable_url

if TYPE_CHECKING:
    from alerts.evaluation import Finding
    from alerts.http import HttpResponse
    from alerts.messages import AlertText
    from alerts.outbox import OutboxEntry
    from alerts.outcome import Outcome
    from alerts.policy import Notice
    from monitor.receivers.base import Setting

SCHEMA_VERSION = 1


class WebhookReceiver(ReceiverSection):
    """A JSON POST; with ``purpose = "retrain"`` a retraining trigger with a cooldown."""

    SECRETS: ClassVar = (
        Secret("url", "URL", usable_url, plain=True),
        Secret("token", "token", usable_token, required=False),
    )

    type: Literal["webhook"]
    url: str | None = None
    url_file: Path | None = None
    url_env: str | None = None
    token_file: Path | None = None
    token_env: str | None = None
    headers: dict[str, str] = {}
    purpose: Literal["notify", "retrain"] = "notify"
    cooldown: Duration | None = None

    def sink(self, setting: Setting) -> Webhook:
        """A sink that posts to the URL."""
        secrets = setting.secrets
        return Webhook(self.name, secrets["url"], secrets.get("token"), dict(self.headers), self.timeout_seconds)

    @property
    def policy(self) -> ReceiverPolicy:
        """Which notifications the receiver gets; by default, a retraining starts at most once a day."""
        retrains = self.purpose == "retrain"
        cooldown = self.cooldown if self.cooldown is not None else DAY if retrains else 0
        return ReceiverPolicy(self.name, self.send_resolved, retrains, cooldown)

    def own_faults(self, allow_private: bool) -> Iterator[str]:
        """Headers that cannot be sent."""
        for number, (name, value) in enumerate(self.headers.items(), 1):
            if fault := header_fault(name, value):
                yield f"headers: number {number}: {fault}"


@dataclass(frozen=True, slots=True)
class Webhook(HttpSink):
    """A URL with fixed headers and, if configured, a bearer token."""

    name: str
    url: str = field(repr=False)
    token: str | None = field(repr=False, default=None)
    headers: Mapping[str, str] = field(repr=False, default_factory=dict)
    timeout_seconds: float = 10.0

    def request(self, entry: OutboxEntry) -> HttpRequest:
        """The POST of an outbox entry; a receiver detects repeats by the ``Idempotency-Key``."""
        headers = {**self.headers, "Idempotency-Key": entry.id}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        return HttpRequest(self.url, entry.payload.encode(), headers, self.timeout_seconds)

    def read(self, response: HttpResponse, now: float) -> Outcome:
        """The default meaning of HTTP statuses; 409 means that the receiver already has the notification."""
        return by_status(200 if response.status == 409 else response.status, response.headers, now)

    def render(self, notice: Notice, words: AlertText) -> bytes:
        """The body; its keys are a contract, documented in ``docs/alerts.md``."""
        key, evidence = notice.transition.key, notice.transition.evidence
        event = "retrain" if notice.retrains else "alert.firing" if notice.kind == "trigger" else "alert.resolved"
        body = {
            "schema_version": SCHEMA_VERSION,
            "event": event,
            "idempotency_key": notice.id,
            "dedup_key": notice.dedup_key,
            "at": rfc3339(notice.at),
            "rule": notice.rule.name,
            "severity": notice.rule.severity,
            "model": key.model,
            "version": key.version,
            "segment": key.segment,
            "summary": words.title,
            "since": rfc3339(notice.transition.since),
            "reason": notice.transition.reason,
            "window": {
                "name": key.window,
                "start": rfc3339(evidence.start),
                "end": rfc3339(evidence.end),
                "rows": evidence.rows,
                "offsets": [
                    {"topic": part.topic, "partition": part.partition, "first": part.first, "last": part.last}
                    for part in evidence.offsets
                ],
            },
            "findings": [_finding(finding) for finding in evidence.findings],
            "links": [{"href": url, "text": label} for label, url in words.links],
        }
        return to_json(body)


def _finding(finding: Finding) -> dict[str, object]:
    return {
        "subject": finding.subject,
        "statistic": finding.statistic,
        "value": _plain(finding.value),
        "lower": _plain(finding.lower),
        "upper": _plain(finding.upper),
        "threshold": _plain(finding.threshold),
        "status": finding.status,
        "detail": finding.detail,
    }


def _plain(value: float) -> float | None:
    """A finite number, or None, because JSON has no NaN."""
    return value if math.isfinite(value) else None
