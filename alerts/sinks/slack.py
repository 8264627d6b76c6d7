"""Slack incoming webhooks."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from alerts.http import HttpRequest
from alerts.messages import summary
from alerts.sinks.outcome import Dead, by_status

if TYPE_CHECKING:
    from alerts.delivery import OutboxEntry
    from alerts.http import HttpResponse
    from alerts.messages import Words
    from alerts.policy import Notice
    from alerts.sinks.outcome import Outcome

_HEADER, _SECTION = 150, 3000
_MARKS = {"info": ":information_source:", "warning": ":warning:", "error": ":x:", "critical": ":rotating_light:"}


@dataclass(frozen=True, slots=True)
class Slack:
    """A channel; its URL is a secret."""

    name: str
    url: str = field(repr=False)
    timeout_seconds: float = 10.0

    def request(self, entry: OutboxEntry) -> HttpRequest:
        """The POST of an outbox entry."""
        return HttpRequest(self.url, entry.payload.encode(), timeout_seconds=self.timeout_seconds)

    def read(self, response: HttpResponse, now: float) -> Outcome:
        """Slack answers ``ok``, or an error word that tells a person what is wrong with the webhook."""
        outcome = by_status(response.status, response.headers, now)
        if isinstance(outcome, Dead):
            word = response.body[:60].decode("ascii", "replace")
            return Dead(f"{outcome.reason} {word}" if word.replace("_", "").isalnum() else outcome.reason)
        return outcome


def escape(text: str) -> str:
    """Slack's three special characters, escaped: names come from data."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def render(notice: Notice, words: Words) -> bytes:
    """The message: a header, the facts, the findings, the links."""
    mark = ":white_check_mark:" if notice.kind == "resolve" else _MARKS[notice.rule.severity]
    blocks: list[object] = [
        {"type": "header", "text": {"type": "plain_text", "text": summary(words.title, _HEADER), "emoji": False}}
    ]
    facts = "\n".join(f"*{label}* {escape(fact)}" for label, fact in words.facts)
    blocks.append(_section(f"{mark} {facts}"))
    if words.findings:
        blocks.append(_section("\n".join(f"• {escape(finding)}" for finding in words.findings)))
    if words.links:
        # A link's URL comes from the configuration, not from data; `|` and `>` would end it early.
        links = (f"<{url.replace('>', '%3E').replace('|', '%7C')}|{label}>" for label, url in words.links)
        blocks.append(_section(" · ".join(links)))
    return json.dumps({"text": escape(words.title), "blocks": blocks}, ensure_ascii=False).encode()


def _section(text: str) -> dict[str, object]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": summary(text, _SECTION)}}
