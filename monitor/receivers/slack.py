"""Slack incoming webhooks.

Limits of Slack's Block Kit: 50 blocks per message, 150 characters per header, 3000 characters per section.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from alerts.http import HttpRequest
from alerts.messages import cut
from alerts.outcome import Dead, Refused, by_status
from alerts.payload import to_json
from alerts.sink import HttpSink
from monitor.receivers.base import ReceiverSection, Secret, usable_url

if TYPE_CHECKING:
    from alerts.http import HttpResponse
    from alerts.messages import AlertText
    from alerts.outbox import OutboxEntry
    from alerts.outcome import Outcome
    from alerts.policy import Notice
    from monitor.receivers.base import Setting

_HEADER, _SECTION = 150, 3000
_MARKS = {
    "info": ":information_source:",
    "warning": ":warning:",
    "error": ":x:",
    "critical": ":rotating_light:",
}


class SlackReceiver(ReceiverSection):
    """A Slack incoming webhook; its URL is a secret."""

    SECRETS: ClassVar = (Secret("url", "URL", usable_url),)

    type: Literal["slack"]
    url_file: Path | None = None
    url_env: str | None = None

    def sink(self, setting: Setting) -> Slack:
        """A sink that posts to the channel."""
        return Slack(self.name, setting.secrets["url"], self.timeout_seconds)


@dataclass(frozen=True, slots=True)
class Slack(HttpSink):
    """A Slack channel; the URL of its webhook is a secret."""

    name: str
    url: str = field(repr=False)
    timeout_seconds: float = 10.0

    def request(self, entry: OutboxEntry) -> HttpRequest:
        """The POST of an outbox entry."""
        return HttpRequest(self.url, entry.payload.encode(), timeout_seconds=self.timeout_seconds)

    def read(self, response: HttpResponse, now: float) -> Outcome:
        """Adds Slack's error word, which names the fault of the webhook, to the reason of a failure."""
        outcome = by_status(response.status, response.headers, now)
        word = response.body[:60].decode("ascii", "replace")
        if isinstance(outcome, Dead | Refused) and word.replace("_", "").isalnum():
            return replace(outcome, reason=f"{outcome.reason} {word}")
        return outcome

    def render(self, notice: Notice, words: AlertText) -> bytes:
        """The message: a header, the facts, the findings, the links."""
        mark = ":white_check_mark:" if notice.kind == "resolve" else _MARKS[notice.rule.severity]
        facts = "\n".join(f"*{escape(label)}* {escape(fact)}" for label, fact in words.facts)
        blocks: list[object] = [
            {"type": "header", "text": {"type": "plain_text", "text": cut(words.title, _HEADER), "emoji": False}},
            _section(f"{mark} {facts}"),
        ]
        if words.findings:
            blocks.append(_section("\n".join(f"• {escape(finding)}" for finding in words.findings)))
        for label, url in words.links:
            # The URL comes from the configuration, not from data; `|` and `>` would end it early.
            target = url.replace("<", "%3C").replace(">", "%3E").replace("|", "%7C")
            link = f"<{target}|{escape(label)}>"
            # Slack refuses a message with a truncated link, so a link that is too long is left out.
            if len(link) <= _SECTION:
                blocks.append(_section(link))
        return to_json({"text": _cut_escaped(escape(words.title), _SECTION), "blocks": blocks})


def escape(text: str) -> str:
    """Escapes Slack's special characters: names come from data, and ``<!channel>`` would notify the whole channel."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _section(text: str) -> dict[str, object]:
    # Verbatim: Slack must not turn names that look like a URL, a channel or `@here` into links or mentions.
    return {"type": "section", "text": {"type": "mrkdwn", "text": _cut_escaped(text, _SECTION), "verbatim": True}}


def _cut_escaped(text: str, limit: int) -> str:
    """Truncates a text, but never within an escaped character."""
    return text if len(text) <= limit else re.sub(r"&[a-z]*$", "", text[: limit - 1]) + "…"
