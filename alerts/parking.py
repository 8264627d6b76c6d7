"""Parked notifications: refused because of a fault of the receiver, they wait until it is repaired. Pure.

If an incident ends meanwhile, one summary for all such incidents replaces its trigger and its resolve.
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
"""A receiver is failing if a notification has waited for this time, whatever the receiver answers."""

MAX_TITLES = 20
"""A summary lists the latest `MAX_TITLES` incidents and counts the others."""


@dataclass(frozen=True, slots=True)
class ReceiverFault:
    """The fault of a receiver, which leewayd reports to the other receivers; durable.

    Attributes:
        since: epoch ms of the wall clock.
        reason: such as ``HTTP 404``.
        dedup_key: key of leewayd's alert about the fault.
        told: receivers that got this alert, and so must get its end.
        lost: title of a dropped notification; empty if none was dropped.
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
    """The incidents that are still open.

    Attributes:
        open_keys: dedup keys of open incidents.
        unresolved: receivers that get no resolves, so that only `open_keys` shows whether an incident has ended;
            without retraining receivers, which get their call even after the incident.
    """

    open_keys: Container[str] = ()
    unresolved: Container[str] = ()


def past_incidents(
    outbox: Iterable[OutboxEntry], in_flight: Mapping[str, str], circuits: Mapping[str, Circuit], standing: Standing
) -> dict[str, list[OutboxEntry]]:
    """Receiver → its waiting summary, if any, and its parked notifications of ended incidents, for one new summary.

    An incident whose trigger may have reached the receiver (a time-out) is left out, because it needs its resolve.

    Args:
        outbox: in order of planning.
        in_flight: receiver → id of the entry in its current attempt.
        circuits: receiver → its circuit.
        standing: the incidents that are still open.
    """
    alerts: dict[tuple[str, str], list[OutboxEntry]] = {}
    for entry in outbox:
        alerts.setdefault((entry.receiver, entry.dedup_key), []).append(entry)
    ended: dict[str, list[OutboxEntry]] = {}
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
                ended.setdefault(receiver, []).extend(entries)
    return {receiver: summaries.get(receiver, []) + entries for receiver, entries in ended.items()}


def begins_to_fail(entries: Iterable[OutboxEntry], circuit: Circuit, now: int) -> str:
    """Why a receiver counts as failing; empty if it does not.

    Args:
        entries: entries of the receiver.
        circuit: circuit of the receiver.
        now: epoch ms.
    """
    if circuit.opened and circuit.refused:
        return circuit.reason
    for entry in entries:
        if entry.parked or (now - entry.created >= STUCK_MS and _fails(entry, circuit)):
            return entry.last_error
    return ""


def still_fails(entries: Iterable[OutboxEntry], circuit: Circuit) -> bool:
    """Whether a failing receiver still fails: no delivery since, or one alert keeps failing."""
    return circuit.opened or any(_fails(entry, circuit) for entry in entries)


def _fails(entry: OutboxEntry, circuit: Circuit) -> bool:
    return entry.attempts > 0 and (entry.parked or entry.suspect or entry.attempted > circuit.delivered_at)
