"""The daemon's log as a receiver: for a first try, or as a record of notifications to other receivers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from alerts.outcome import Delivered, Outcome
from alerts.payload import to_json
from alerts.sink import Sink
from monitor.receivers.base import ReceiverSection

if TYPE_CHECKING:
    from alerts.http import Transport
    from alerts.messages import AlertText
    from alerts.outbox import OutboxEntry
    from alerts.policy import Notice
    from monitor.receivers.base import Setting


class LogReceiver(ReceiverSection):
    """The daemon's log."""

    type: Literal["log"]

    def sink(self, setting: Setting) -> Log:
        """A sink that writes to the log."""
        return Log(self.name, setting.write)


@dataclass(frozen=True, slots=True)
class Log(Sink):
    """Writes each notification as one log event."""

    name: str
    write: Callable[[str, str], object]
    """Logs an event; takes ``trigger`` or ``resolve``, and the text."""

    heard_by_people = False

    def attempt(self, entry: OutboxEntry, transport: Transport, wall: Callable[[], float]) -> Outcome:
        """Writes the notification to the log."""
        self.write(entry.kind, json.loads(entry.payload)["text"])
        return Delivered()

    def render(self, notice: Notice, words: AlertText) -> bytes:
        """The text as JSON."""
        return to_json({"text": words.text()})
