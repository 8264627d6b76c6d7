"""The daemon's own log as a receiver: for a first look, or beside the others as a record."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from alerts.sinks.payload import to_json

if TYPE_CHECKING:
    from alerts.delivery import OutboxEntry
    from alerts.messages import Words
    from alerts.policy import Notice


@dataclass(frozen=True, slots=True)
class Log:
    """Writes each notification as one event."""

    name: str
    write: Callable[[str, str], object]
    """Called with ``trigger`` or ``resolve`` and the text."""

    def deliver(self, entry: OutboxEntry) -> None:
        """Writes it."""
        self.write(entry.kind, json.loads(entry.payload)["text"])


def render(notice: Notice, words: Words) -> bytes:
    """The text."""
    return to_json({"text": words.text()})
