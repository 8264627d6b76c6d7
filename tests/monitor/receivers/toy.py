"""A receiver that leewayd does not have, in one file: what `CONTRIBUTING.md` asks of a new one, and no more."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from alerts.http import HttpRequest
from alerts.outcome import Dead, Refused, by_status
from alerts.payload import to_json
from alerts.sink import HttpSink
from monitor.receivers.base import ReceiverSection, Secret

if TYPE_CHECKING:
    from alerts.http import HttpResponse
    from alerts.messages import AlertText
    from alerts.outbox import OutboxEntry
    from alerts.outcome import Outcome
    from alerts.policy import Notice
    from monitor.receivers.base import Setting


class ToyReceiver(ReceiverSection):
    """A bell in a room."""

    SECRETS: ClassVar = (Secret("bell_code", "code of the bell", lambda code, _: "" if code.isdigit() else "digits"),)

    type: Literal["toy"]
    bell_code_file: Path | None = None
    bell_code_env: str | None = None
    room: str = "kitchen"

    def sink(self, setting: Setting) -> Toy:
        return Toy(self.room, setting.secrets["bell_code"], self.timeout_seconds)


@dataclass(frozen=True, slots=True)
class Toy(HttpSink):
    room: str
    code: str = field(repr=False)
    timeout_seconds: float

    def render(self, notice: Notice, words: AlertText) -> bytes:
        return to_json({"ring": notice.kind, "say": words.title})

    def request(self, entry: OutboxEntry) -> HttpRequest:
        body = {**json.loads(entry.payload), "code": self.code}
        return HttpRequest(
            f"https://bells.example.org/{self.room}", to_json(body), timeout_seconds=self.timeout_seconds
        )

    def read(self, response: HttpResponse, now: float) -> Outcome:
        if response.body == b"wrong code":
            return Refused("the code is wrong")
        return Dead("too loud") if response.status == 413 else by_status(response.status, response.headers, now)
