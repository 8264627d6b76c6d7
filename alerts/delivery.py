"""Brings saved notifications to their receivers: at least once, in order for each, however long it takes.

The outbox is durable and belongs to the daemon. A `Courier` makes one attempt with what it is handed and
reports what came of it; when the next one is due is decided, and saved, by the daemon with the pure functions
here.
"""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from alerts.http import TransportError
from alerts.sinks.log import Log
from alerts.sinks.outcome import Dead, Delivered, Outcome, Retry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from alerts.http import Transport
    from alerts.sinks import Sink

_FIRST_DELAY, _GREATEST_DELAY = 1.0, 300.0
_LONGEST_WISH = 3600.0
MAX_AGE_MS = 7 * 86_400_000
"""An alert that nobody could be told of for a week is no news: it is given up after a last attempt."""

SPACING_MS = 1_000
"""Least time between two notifications to one receiver: Slack takes one a second."""


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """A notification that is saved before it is sent.

    Attributes:
        id: the idempotency key.
        kind: ``trigger`` or ``resolve``.
        payload: JSON text without secrets, in the receiver's words.
        created, not_before: epoch ms of the wall clock.
        attempts: made so far.
        last_error: what came of the last one; empty before the first.
    """

    id: str
    receiver: str
    kind: str
    dedup_key: str
    payload: str
    created: int
    attempts: int = 0
    not_before: int = 0
    last_error: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What one attempt came to."""

    entry: OutboxEntry
    outcome: Outcome


def next_delay(attempts: int, fraction: float, wish_seconds: float | None) -> float:
    """Seconds until the next attempt: a random share of a ceiling that doubles from 1 s to 5 min.

    Full jitter, so that daemons that lost a receiver together do not come back to it together; but never
    under 1 s, and never sooner than the receiver asked.

    Args:
        attempts: made so far, from 1.
        fraction: random, from 0 to 1.
        wish_seconds: the receiver's ``Retry-After``; obeyed up to an hour.
    """
    ceiling = min(_GREATEST_DELAY, _FIRST_DELAY * 2.0 ** min(attempts - 1, 30))
    return max(_FIRST_DELAY, ceiling * fraction, min(wish_seconds or 0.0, _LONGEST_WISH))


def due(
    outbox: Iterable[OutboxEntry], in_flight: Mapping[str, str], last_sent: Mapping[str, int], now: int
) -> list[OutboxEntry]:
    """What to attempt now: the oldest entry of each receiver that is not busy.

    Only the oldest, so that a resolve never overtakes its trigger. A wall clock that was set back holds
    nothing up: what is further ahead than any delay can reach is due.

    Args:
        outbox: in order of planning.
        in_flight: receiver → id of the entry that is being attempted.
        last_sent: receiver → when something was last handed to it, epoch ms.
        now: epoch ms.
    """
    heads: dict[str, OutboxEntry] = {}
    for entry in outbox:
        heads.setdefault(entry.receiver, entry)
    return [
        entry
        for receiver, entry in heads.items()
        if receiver not in in_flight
        and not 0 < entry.not_before - now <= _LONGEST_WISH * 1000
        and not 0 <= now - last_sent.get(receiver, now - SPACING_MS) < SPACING_MS
    ]


def settle(report: Report, now: int, fraction: float) -> OutboxEntry | None:
    """The entry as it is to be kept after an attempt; None when it is done with."""
    entry, outcome = report.entry, report.outcome
    if isinstance(outcome, Delivered | Dead):
        return None
    if now - entry.created > MAX_AGE_MS:
        return None
    attempts = entry.attempts + 1
    delay = next_delay(attempts, fraction, outcome.after_seconds)
    return replace(entry, attempts=attempts, not_before=now + int(delay * 1000), last_error=outcome.reason)


class Delivery(Protocol):
    """Takes saved entries for one attempt each, and tells later what came of it."""

    def submit(self, entry: OutboxEntry) -> None:
        """Hands over an entry for one attempt."""

    def reports(self) -> list[Report]:
        """What has come of attempts since the last call."""


class Courier:
    """One thread a receiver, so that a slow one holds up nobody else.

    Args:
        sinks: receiver name → sink.
        transport: sends requests.
        wall: epoch seconds.
    """

    def __init__(self, sinks: Mapping[str, Sink], transport: Transport, wall: Callable[[], float]) -> None:
        self._sinks, self._transport, self._wall = sinks, transport, wall
        self._reports: queue.SimpleQueue[Report] = queue.SimpleQueue()
        self._desks: dict[str, queue.SimpleQueue[OutboxEntry | None]] = {}
        self._threads: list[threading.Thread] = []

    def submit(self, entry: OutboxEntry) -> None:
        """Hands over an entry for one attempt."""
        desk = self._desks.get(entry.receiver)
        if desk is None:
            desk = self._desks[entry.receiver] = queue.SimpleQueue()
            name = f"deliver-{entry.receiver}"
            thread = threading.Thread(target=self._work, args=(desk,), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        desk.put(entry)

    def reports(self) -> list[Report]:
        """What has come of attempts since the last call."""
        reports = []
        while True:
            try:
                reports.append(self._reports.get_nowait())
            except queue.Empty:
                return reports

    def close(self, timeout_seconds: float) -> None:
        """Lets attempts under way finish for a while; what does not is sent again after the next start."""
        for desk in self._desks.values():
            desk.put(None)
        for thread in self._threads:
            thread.join(timeout_seconds)

    def _work(self, desk: queue.SimpleQueue[OutboxEntry | None]) -> None:
        while (entry := desk.get()) is not None:
            self._reports.put(Report(entry, self._attempt(entry)))

    def _attempt(self, entry: OutboxEntry) -> Outcome:
        sink = self._sinks.get(entry.receiver)
        if sink is None:
            return Dead("the receiver is no longer configured")
        try:
            if isinstance(sink, Log):
                sink.deliver(entry)
                return Delivered()
            return sink.read(self._transport(sink.request(entry)), self._wall())
        except TransportError as error:
            return Retry(str(error))
        except Exception as error:  # noqa: BLE001 - one broken receiver must not stop the others
            return Dead(type(error).__name__)
