"""A JSON POST to any URL: for people's own tools, and to start a retraining with the evidence for it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from alerts.http import HttpRequest
from alerts.moments import rfc3339
from alerts.sinks.outcome import by_status
from alerts.sinks.payload import to_json

if TYPE_CHECKING:
    from alerts.delivery import OutboxEntry
    from alerts.evaluation import Finding
    from alerts.http import HttpResponse
    from alerts.messages import Words
    from alerts.policy import Notice
    from alerts.sinks.outcome import Outcome

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Webhook:
    """A URL, with fixed headers and, if given, a bearer token."""

    name: str
    url: str = field(repr=False)
    token: str | None = field(repr=False, default=None)
    headers: Mapping[str, str] = field(repr=False, default_factory=dict)
    timeout_seconds: float = 10.0

    def request(self, entry: OutboxEntry) -> HttpRequest:
        """The POST of an outbox entry; who has seen its ``Idempotency-Key`` has seen the entry."""
        headers = {**self.headers, "Idempotency-Key": entry.id}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        return HttpRequest(self.url, entry.payload.encode(), headers, self.timeout_seconds)

    def read(self, response: HttpResponse, now: float) -> Outcome:
        """The usual reading of HTTP; 409 says that the receiver has it already."""
        return by_status(200 if response.status == 409 else response.status, response.headers, now)


def render(notice: Notice, words: Words) -> bytes:
    """The body; its keys are a contract, told in ``docs/alerts.md``."""
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
    """JSON has no NaN."""
    return value if math.isfinite(value) else None
