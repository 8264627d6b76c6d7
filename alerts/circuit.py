"""A circuit breaker per receiver: while a receiver fails, it gets single probes instead of all waiting alerts. Pure.

A single refused alert may be the alert's fault, so a circuit opens only when two different alerts fail one after the
other, or when no answer comes. Probes go through all waiting alerts in turn, so the circuit closes as soon as any alert
can be delivered.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from alerts.backoff import next_delay
from alerts.outcome import Dead, Delivered, Refused, Retry

if TYPE_CHECKING:
    from alerts.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Circuit:
    """The latest answers of a receiver; times are epoch ms.

    Attributes:
        failed: dedup keys that failed since the latest delivery, at most two.
        opened: True while only probes are sent.
        refused: whether the latest failure was the receiver's fault (a wrong token), so that its notifications are
            parked.
        probes: failures since the circuit opened.
        probe_at: earliest time of the next probe.
        probed: dedup key of the latest probe; the next probe takes the alert after it.
        failed_at, delivered_at: times of the latest failure and delivery; 0 before the first.
        reason: reason of the latest failure.
    """

    failed: tuple[str, ...] = ()
    opened: bool = False
    refused: bool = False
    probes: int = 0
    probe_at: int = 0
    probed: str = ""
    failed_at: int = 0
    delivered_at: int = 0
    reason: str = ""


CLOSED = Circuit()


def after_attempt(
    circuit: Circuit, dedup_key: str, outcome: Outcome, now: int, fraction: float, *, suspect: bool
) -> Circuit:
    """The circuit after an attempt.

    Args:
        circuit: the circuit before the attempt.
        dedup_key: key of the alert that was sent.
        outcome: result of the attempt.
        now: epoch ms.
        fraction: random, from 0 to 1, for the jitter of probes.
        suspect: this alert failed earlier while others were delivered, so its failures say nothing about the receiver.
    """
    if isinstance(outcome, Delivered):
        return Circuit(failed_at=circuit.failed_at, delivered_at=now)
    if isinstance(outcome, Dead):
        # The receiver rejected the message, so the receiver itself works.
        return Circuit(failed_at=circuit.failed_at, delivered_at=circuit.delivered_at)
    if suspect and not circuit.opened:
        return replace(circuit, failed_at=now)
    refused = isinstance(outcome, Refused)
    unanswered = isinstance(outcome, Retry) and not outcome.answered
    failed = tuple(dict.fromkeys((*circuit.failed, dedup_key)))[-2:]
    if not circuit.opened and not unanswered and len(failed) < 2:
        return replace(circuit, failed=failed, refused=refused, failed_at=now, reason=outcome.reason)
    probes = circuit.probes + 1
    wish = outcome.after_seconds if isinstance(outcome, Retry) else None
    return replace(
        circuit,
        failed=failed,
        opened=True,
        refused=refused,
        probes=probes,
        probe_at=now + int(next_delay(probes, fraction, wish) * 1000),
        probed=dedup_key,
        failed_at=now,
        reason=outcome.reason,
    )


def after_start(circuit: Circuit) -> Circuit:
    """The circuit after a restart, which probes a refusing receiver at once: it may have been repaired."""
    return replace(circuit, probes=0, probe_at=0, probed="") if circuit.refused else circuit
