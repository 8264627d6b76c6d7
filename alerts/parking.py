"""Notifications that a receiver refused because of a fault of its own: they wait until it is mended. Pure.

If an incident ends meanwhile, its beginning and its end are old news: a summary takes their place, one for all of them.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import TYPE_CHECKING

from alerts.circuit import CLOSED, Circuit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from alerts.outbox import OutboxEntry

STUCK_MS = 900_000
"""A receiver that has not taken a notification for so long is failing, whatever it answers."""

MAX_TITLES = 20
"""A summary lists so many incidents, the latest ones, and counts the others."""


@dataclass(frozen=True, slots=True)
class ReceiverFault:
    """A receiver that fails, which the other receivers are notified of; durable.

    Attributes:
        since: epoch ms of the wall clock.
        reason: such as ``HTTP 404``.
        dedup_key: of leewayd's own alert about it.
        told: receivers that got that alert, and so must get its end.
        lost: title of a notification that was dropped; empty if none was.
        undelivered: a notification was dropped and none was delivered since: only a delivery ends the fault.
    """

    since: int
    reason: str
    dedup_key: str
    told: tuple[str, ...] = ()
    lost: str = ""
    undelivered: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """Which incidents are not over.

    Attributes:
        open_keys: dedup keys of incidents that are open.
        unresolved: receivers that are sent no resolves, so that only `open_keys` says whether an incident is over;
            without those that start a retraining, which wants its call all the same.
    """

    open_keys: Container[str] = ()
    unresolved: Container[str] = ()


def past_incidents(
    outbox: Iterable[OutboxEntry], in_flight: Mapping[str, str], circuits: Mapping[str, Circuit], standing: Standing
) -> dict[str, list[OutboxEntry]]:
    """Receiver → its parked notifications of incidents that are over, and the summary that they are to be added to.

    An incident whose trigger may have reached the receiver (a time-out) is left alone: it needs its resolve.

    Args:
        outbox: in order of planning.
        in_flight: receiver → id of the entry that is being attempted.
        circuits: receiver → its circuit.
        standing: which incidents are not over.
    """
    alerts: dict[tuple[str, str], list[OutboxEntry]] = {}
    for entry in outbox:
        alerts.setdefault((entry.receiver, entry.dedup_key), []).append(entry)
    found: dict[str, list[OutboxEntry]] = {}
    summaries: dict[str, list[OutboxEntry]] = {}
    for (receiver, key), entries in alerts.items():
        if any(entry.unsure or in_flight.get(receiver) == entry.id for entry in entries):
            continue
        first, last = entries[0], entries[-1]
        circuit = circuits.get(receiver, CLOSED)
        if first.kind == "summary":
            summaries.setdefault(receiver, []).append(first)
        elif first.kind == "trigger" and (first.parked or (circuit.opened and circuit.refused)):
            over = last.kind == "resolve" or (receiver in standing.unresolved and key not in standing.open_keys)
            if over:
                found.setdefault(receiver, []).extend(entries)
    return {receiver: summaries.get(receiver, []) + entries for receiver, entries in found.items()}


def begins_to_fail(entries: Iterable[OutboxEntry], circuit: Circuit, now: int) -> str:
    """Why a receiver is to be reported as failing; empty if it is not.

    Args:
        entries: those of the receiver.
        circuit: the receiver's.
        now: epoch ms.
    """
    if circuit.opened and circuit.refused:
        return circuit.reason
    for entry in entries:
        if entry.parked or (now - entry.created >= STUCK_MS and _fails(entry, circuit)):
            return entry.last_error
    return ""


def still_fails(entries: Iterable[OutboxEntry], circuit: Circuit) -> bool:
    """Whether a receiver that was failing still is: nothing has been delivered since, or one alert keeps failing."""
    return circuit.opened or any(_fails(entry, circuit) for entry in entries)


def _fails(entry: OutboxEntry, circuit: Circuit) -> bool:
    return entry.attempts > 0 and (entry.parked or entry.suspect or entry.attempted > circuit.delivered_at)
