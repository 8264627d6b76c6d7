"""The network between the daemon and its receivers, and a courier without threads."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from alerts.delivery import Courier
from alerts.http import HttpRequest, HttpResponse, TransportError
from alerts.outbox import Report

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from alerts.http import Transport
    from alerts.outbox import OutboxEntry
    from alerts.sink import Sink


@dataclass
class Network:
    """Takes every request and remembers its body; every third one fails to connect."""

    bodies: list[dict[str, object]] = field(default_factory=list)
    calls: int = 0

    def __call__(self, request: HttpRequest) -> HttpResponse:
        self.calls += 1
        if self.calls % 3 == 0:
            raise TransportError("ConnectTimeoutError")
        self.bodies.append(json.loads(request.body))
        return HttpResponse(200, {}, b"ok")


class DirectCourier:
    """Makes each attempt at once, in the thread of the caller, so that a test decides what comes when."""

    def __init__(self, sinks: Mapping[str, Sink], transport: Transport, wall: Callable[[], float]) -> None:
        self._courier = Courier(sinks, transport, wall)
        self._reports: list[Report] = []

    def submit(self, entry: OutboxEntry) -> None:
        self._reports.append(Report(entry, self._courier.attempt(entry)))

    def reports(self) -> list[Report]:
        reports, self._reports = self._reports, []
        return reports
