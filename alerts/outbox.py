"""Saved notifications, and when each is due for its next attempt. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from alerts.backoff import next_delay, waits
from alerts.circuit import CLOSED, Circuit
from alerts.outcome import Dead, Delivered, Outcome, Refused, Retry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MAX_AGE_MS = 7 * 86_400_000
"""After a week a notification gets a last attempt, and is dropped if that fails."""

PARKED_MS = 300_000
"""Interval between attempts to send a parked notification."""

SPACING_MS = 1_000
"""Least time between two notifications to one receiver: Slack accepts one per second."""


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """A notification that is saved before it is sent.

    Attributes:
        id: the idempotency key.
        kind: ``trigger``, ``resolve`` or ``summary``.
        payload: JSON text without secrets, in the receiver's format.
        created, not_before: epoch ms of the wall clock.
        attempts: number of attempts so far.
        last_error: reason of the last failure; empty before the first attempt.
        attempted: end of the last attempt, epoch ms; 0 before the first.
        parked: the last attempt failed because of a fault of the receiver, such as a wrong token.
        unsure: the receiver may have accepted a failed attempt, such as one that timed out.
        suspect: it failed while others were delivered, so the notification is at fault.
        about: its title; for a summary, the titles of its incidents.
        incidents: number of incidents that it reports.
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
    attempted: int = 0
    parked: bool = False
    unsure: bool = False
    suspect: bool = False
    about: tuple[str, ...] = ()
    incidents: int = 1


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of one attempt."""

    entry: OutboxEntry
    outcome: Outcome


def due(
    outbox: Iterable[OutboxEntry],
    in_flight: Mapping[str, str],
    last_sent: Mapping[str, int],
    now: int,
    circuits: Mapping[str, Circuit] | None = None,
) -> list[OutboxEntry]:
    """The notifications to attempt now: one for each receiver that is not busy.

    Only the oldest notification of an alert is eligible, so that a resolve never overtakes its trigger. Alerts do not
    wait for one another.

    Args:
        outbox: in order of planning.
        in_flight: receiver → id of the entry in its current attempt.
        last_sent: receiver → start of its last attempt, epoch ms.
        now: epoch ms.
        circuits: receiver → its circuit; closed if absent.
    """
    heads: dict[str, dict[str, OutboxEntry]] = {}
    for entry in outbox:
        heads.setdefault(entry.receiver, {}).setdefault(entry.dedup_key, entry)
    chosen = []
    for receiver, alerts in heads.items():
        if receiver in in_flight or 0 <= now - last_sent.get(receiver, now - SPACING_MS) < SPACING_MS:
            continue
        circuit = (circuits or {}).get(receiver, CLOSED)
        choose = _probe if circuit.opened else _oldest
        if (head := choose(list(alerts.values()), circuit, now)) is not None:
            chosen.append(head)
    return chosen


def _oldest(heads: Sequence[OutboxEntry], circuit: Circuit, now: int) -> OutboxEntry | None:
    """The notification that has waited longest: since it was planned, or since it failed if it may be at fault."""

    def waiting_since(entry: OutboxEntry) -> int:
        failed = entry.suspect or entry.attempted > circuit.delivered_at
        return min(entry.attempted if failed else entry.created, now)

    return min((entry for entry in heads if not waits(entry.not_before, now)), key=waiting_since, default=None)


def _probe(heads: Sequence[OutboxEntry], circuit: Circuit, now: int) -> OutboxEntry | None:
    """The next notification in turn after the latest probe."""
    if waits(circuit.probe_at, now):
        return None
    keys = [entry.dedup_key for entry in heads]
    first = keys.index(circuit.probed) + 1 if circuit.probed in keys else 0
    return next((entry for entry in (*heads[first:], *heads[:first]) if not waits(entry.not_before, now)), None)


def settle(report: Report, now: int, fraction: float, delivered_at: int = 0) -> OutboxEntry | None:
    """The entry to save after an attempt; None when it is delivered or dropped.

    Args:
        report: outcome of the attempt.
        now: epoch ms.
        fraction: random, from 0 to 1.
        delivered_at: the receiver's last delivery, epoch ms.
    """
    entry, outcome = report.entry, report.outcome
    if isinstance(outcome, Delivered | Dead) or now - entry.created > MAX_AGE_MS:
        return None
    attempts = entry.attempts + 1
    refused = isinstance(outcome, Refused)
    wish = outcome.after_seconds if isinstance(outcome, Retry) else None
    delay = PARKED_MS if refused else int(next_delay(attempts, fraction, wish) * 1000)
    return replace(
        entry,
        attempts=attempts,
        not_before=now + delay,
        last_error=outcome.reason,
        attempted=now,
        parked=refused,
        unsure=entry.unsure or not refused,
        suspect=entry.suspect or 0 < entry.attempted < delivered_at,
    )


def released(entry: OutboxEntry) -> OutboxEntry:
    """A parked entry, made due at once because the receiver works again or may have been repaired."""
    return replace(entry, parked=False, not_before=0) if entry.parked else entry


def expired(outbox: Iterable[OutboxEntry], circuits: Mapping[str, Circuit]) -> list[OutboxEntry]:
    """Entries that were more than a week old when their receiver last failed; they would wait for a probe forever."""
    return [
        entry
        for entry in outbox
        if (circuit := circuits.get(entry.receiver, CLOSED)).opened and circuit.failed_at - entry.created > MAX_AGE_MS
    ]
