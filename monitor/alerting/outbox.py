"""The outbox: notifications that are saved, sent, retried, parked or dropped, and the health of their receivers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from alerts.circuit import CLOSED, Circuit, after_attempt, after_start
from alerts.outbox import OutboxEntry, due, expired, released, settle
from alerts.outcome import Dead, Delivered, Refused, Retry
from alerts.own import failing_notice, fault_key, recovered_notice, summary_notice
from alerts.parking import MAX_TITLES, ReceiverFault, Standing, begins_to_fail, past_incidents, still_fails
from alerts.status import ReceiverStatus
from monitor.common.codec import decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from structlog.typing import FilteringBoundLogger

    from alerts.delivery import Delivery
    from alerts.messages import AlertText
    from alerts.outbox import Report
    from alerts.policy import Notice
    from monitor.alerting.receivers import AlertingSetup

RESULTS = ("delivered", "retried", "parked", "summarised", "dead", "suppressed")


@dataclass(frozen=True, slots=True)
class Receivers:
    """The state of receivers that survives restarts.

    Attributes:
        circuits: receiver → its latest answers.
        faults: receiver → its fault.
    """

    circuits: dict[str, Circuit] = field(default_factory=dict)
    faults: dict[str, ReceiverFault] = field(default_factory=dict)


class Outbox:
    """Holds undelivered notifications, and the state of their receivers.

    Args:
        routing: receivers.
        courier: sends notifications to receivers.
        log: past-tense events.
        random: a fraction from 0 to 1, for the jitter of retries.
    """

    def __init__(
        self, routing: AlertingSetup, courier: Delivery, log: FilteringBoundLogger, random: Callable[[], float]
    ) -> None:
        self._routing, self._courier, self._log, self._random = routing, courier, log, random
        self.entries: dict[str, OutboxEntry] = {}
        self.circuits: dict[str, Circuit] = {}
        self.faults: dict[str, ReceiverFault] = {}
        # Counters start at zero, so that a rate includes the first failure.
        self.results = Counter({(name, result): 0 for name in routing.receivers for result in RESULTS})
        self._silent = {
            name for name, receiver in routing.receivers.items() if not receiver.resolves and not receiver.retrains
        }
        self._changed: dict[str, OutboxEntry] = {}
        self._finished: list[str] = []
        self._unsaved: set[str] = set()
        self._in_flight: dict[str, str] = {}
        self._last_sent: dict[str, int] = {}
        self.urgent = False

    def restore(self, document: bytes | None, entries: Sequence[OutboxEntry], open_keys: Iterable[str]) -> None:
        """Restores the outbox from a checkpoint; parked notifications are retried, as the receiver may be repaired.

        Args:
            document: as returned by `document`; None for the first start.
            entries: in order of planning.
            open_keys: dedup keys of open incidents.
        """
        saved = Receivers() if document is None else decode(document, Receivers)
        configured = self._routing.receivers
        self.entries = {entry.id: entry for entry in entries}
        self.circuits = {name: circuit for name, circuit in saved.circuits.items() if name in configured}
        self.faults = {name: fault for name, fault in saved.faults.items() if name in configured}
        self._summarise(open_keys)
        self.circuits = {name: after_start(circuit) for name, circuit in self.circuits.items()}
        self._release(self.entries.values())

    def document(self) -> bytes:
        """The state of the receivers, for a checkpoint."""
        return encode(Receivers(self.circuits, self.faults))

    def put(self, notice: Notice, words: AlertText, wall_ms: int) -> OutboxEntry:
        """Renders a notice for its receiver and adds it; it is sent once it is saved."""
        payload = self._routing.sinks[notice.receiver].render(notice, words).decode()
        about = (words.title,)
        entry = OutboxEntry(notice.id, notice.receiver, notice.kind, notice.dedup_key, payload, wall_ms, about=about)
        self._add(entry)
        return entry

    def deliver(self, wall_ms: int, open_keys: Iterable[str]) -> list[OutboxEntry]:
        """Processes the results of attempts and submits due notifications. Only saved notifications are sent.

        Args:
            wall_ms: epoch ms.
            open_keys: dedup keys of open incidents.

        Returns:
            Triggers that will never reach their receiver, so that it needs no resolve.
        """
        self._summarise(open_keys)
        unheard = [entry for report in self._courier.reports() if (entry := self._settle(report, wall_ms)) is not None]
        busy = set(self._in_flight.values())
        for entry in expired(self.entries.values(), self.circuits):
            if entry.id not in busy:
                self._drop(entry, "too old", wall_ms)
        self._judge_receivers(wall_ms)
        saved = [entry for entry in self.entries.values() if entry.id not in self._unsaved]
        for entry in due(saved, self._in_flight, self._last_sent, wall_ms, self.circuits):
            self._in_flight[entry.receiver] = entry.id
            self._last_sent[entry.receiver] = wall_ms
            self._courier.submit(entry)
        return unheard

    def changes(self) -> tuple[tuple[OutboxEntry, ...], tuple[str, ...]]:
        """Entries to save and ids to delete."""
        return tuple(self._changed.values()), tuple(self._finished)

    def mark_saved(self) -> None:
        """Marks the last `changes` as saved: they may be sent."""
        self._changed.clear()
        self._finished.clear()
        self._unsaved.clear()
        self.urgent = False

    def waiting(self) -> dict[str, tuple[int, int | None]]:
        """Receiver → number of waiting notifications, and the creation time of the oldest (epoch ms)."""
        waiting: dict[str, tuple[int, int | None]] = dict.fromkeys(self._routing.receivers, (0, None))
        for entry in self.entries.values():
            count, oldest = waiting.get(entry.receiver, (0, None))
            waiting[entry.receiver] = (count + 1, entry.created if oldest is None else min(oldest, entry.created))
        return waiting

    def status(self) -> dict[str, ReceiverStatus]:
        """Receiver → whether it works, and the number of notifications parked for it."""
        parked = Counter(entry.receiver for entry in self.entries.values() if self._is_parked(entry))
        return {name: ReceiverStatus(name not in self.faults, parked[name]) for name in self._routing.receivers}

    @property
    def unheard_fault(self) -> str:
        """The failing receivers whose failure was reported to no other receiver, with reasons; else empty."""
        return "; ".join(
            f"notifications to {name} fail: {fault.reason}"
            for name, fault in self.faults.items()
            if not any(self._reaches_people(other) for other in fault.told)
        )

    def _reaches_people(self, name: str) -> bool:
        sink = self._routing.sinks.get(name)
        return name not in self.faults and sink is not None and sink.heard_by_people

    def _settle(self, report: Report, wall_ms: int) -> OutboxEntry | None:
        entry, outcome = report.entry, report.outcome
        name = entry.receiver
        self._in_flight.pop(name, None)
        self.urgent = True
        before = self.circuits.get(name, CLOSED)
        kept = settle(report, wall_ms, self._random(), before.delivered_at)
        suspect = entry.suspect if kept is None else kept.suspect
        after = after_attempt(before, entry.dedup_key, outcome, wall_ms, self._random(), suspect=suspect)
        if name in self._routing.receivers:
            self.circuits[name] = after
        if kept is not None:
            result, event = ("parked",) * 2 if isinstance(outcome, Refused) else ("retried", "not delivered yet")
            self.results[name, result] += 1
            self._save(kept)
            self._log.warning(f"notification {event}", receiver=name, attempts=kept.attempts, error=kept.last_error)
        if before.opened and not after.opened:
            self._release(item for item in self.entries.values() if item.receiver == name)
        if kept is not None:
            return None
        if isinstance(outcome, Delivered):
            self._remove(entry, "delivered")
            self._log.info("notification delivered", receiver=name, kind=entry.kind)
            if name in self.faults:
                self.faults[name] = replace(self.faults[name], undelivered=False)
            return None
        if isinstance(outcome, Dead):
            return self._drop(entry, outcome.reason, wall_ms)
        return self._drop(replace(entry, unsure=entry.unsure or isinstance(outcome, Retry)), "too old", wall_ms)

    def _drop(self, entry: OutboxEntry, reason: str, wall_ms: int) -> OutboxEntry | None:
        """Drops a notification; returns it if it is a trigger that its receiver certainly never got."""
        name = entry.receiver
        self._remove(entry, "dead")
        self._log.error("notification dropped", receiver=name, kind=entry.kind, about=entry.about, reason=reason)
        if name in self._routing.receivers:
            fault = self.faults.get(name) or self._begin_fault(name, reason, wall_ms)
            lost = fault.lost or next(iter(entry.about), "a notification")
            self.faults[name] = replace(fault, lost=lost, undelivered=True)
        if entry.kind != "trigger" or entry.unsure:
            return None
        for other in [item for item in self.entries.values() if item.receiver == name]:
            if other.dedup_key == entry.dedup_key and other.kind == "resolve":
                self._remove(other, "suppressed")
                self._log.info(
                    "notification suppressed", receiver=name, kind=other.kind, reason="its trigger was dropped"
                )
        return entry

    def _summarise(self, open_keys: Iterable[str]) -> None:
        if not any(map(self._is_parked, self.entries.values())):
            return
        standing = Standing({*open_keys, *(fault.dedup_key for fault in self.faults.values())}, self._silent)
        for name, entries in past_incidents(self.entries.values(), self._in_flight, self.circuits, standing).items():
            if name not in self._routing.receivers:
                continue
            triggers = [entry for entry in entries if entry.kind != "resolve"]
            titles = [title for entry in triggers for title in entry.about][-MAX_TITLES:]
            incidents = sum(entry.incidents for entry in triggers)
            latest = max(entries, key=lambda entry: entry.attempted)
            at = max(entry.created for entry in entries)
            for entry in entries:
                self._remove(entry, "summarised")
            notice, words = summary_notice(
                self._routing.receivers[name], [entry.id for entry in entries], titles, incidents, at
            )
            summary = self.put(notice, words, at)
            self._add(
                replace(
                    summary, attempts=latest.attempts, attempted=latest.attempted, not_before=latest.not_before,
                    last_error=latest.last_error, parked=latest.parked, suspect=latest.suspect,
                    about=tuple(titles), incidents=incidents,
                )
            )  # fmt: skip
            self._log.warning("incidents summarised", receiver=name, incidents=incidents)

    def _judge_receivers(self, wall_ms: int) -> None:
        """Begins and ends faults of receivers, and notifies the other receivers of both."""
        own: dict[str, list[OutboxEntry]] = {}
        for entry in self.entries.values():
            own.setdefault(entry.receiver, []).append(entry)
        for name in self._routing.receivers:
            entries, circuit = own.get(name, []), self.circuits.get(name, CLOSED)
            fault = self.faults.get(name)
            if fault is None and (reason := begins_to_fail(entries, circuit, wall_ms)):
                self._begin_fault(name, reason, wall_ms)
            elif fault is not None and not fault.undelivered and not still_fails(entries, circuit):
                del self.faults[name]
                self._log.info("receiver recovered", receiver=name)
                self._report_recovery(name, fault, wall_ms)
                self.urgent = True
        for name, fault in list(self.faults.items()):
            for other, policy in self._routing.receivers.items():
                works = other not in self.faults and not self.circuits.get(other, CLOSED).opened
                if works and not policy.retrains and other not in fault.told:
                    self.put(*failing_notice(policy, name, fault), wall_ms)
                    fault = self.faults[name] = replace(fault, told=(*fault.told, other))

    def _begin_fault(self, name: str, reason: str, wall_ms: int) -> ReceiverFault:
        fault = self.faults[name] = ReceiverFault(wall_ms, reason, fault_key(name, wall_ms))
        self._log.error("receiver failing", receiver=name, reason=reason)
        self.urgent = True
        return fault

    def _report_recovery(self, name: str, fault: ReceiverFault, wall_ms: int) -> None:
        for other in fault.told:
            policy = self._routing.receivers.get(other)
            unsent = [
                entry
                for entry in self.entries.values()
                if (entry.receiver, entry.dedup_key) == (other, fault.dedup_key)
                and entry.attempts == 0
                and not fault.lost
                and self._in_flight.get(other) != entry.id
            ]
            for entry in unsent:
                self._remove(entry, "suppressed")
            if policy is not None and policy.resolves and not unsent:
                self.put(*recovered_notice(policy, name, fault, wall_ms), wall_ms)

    def _is_parked(self, entry: OutboxEntry) -> bool:
        circuit = self.circuits.get(entry.receiver, CLOSED)
        return entry.parked or (circuit.opened and circuit.refused)

    def _release(self, entries: Iterable[OutboxEntry]) -> None:
        for entry in [entry for entry in entries if entry.parked]:
            self._save(released(entry))

    def _add(self, entry: OutboxEntry) -> None:
        self._save(entry)
        self._unsaved.add(entry.id)
        if entry.id in self._finished:
            self._finished.remove(entry.id)
        self.urgent = True

    def _save(self, entry: OutboxEntry) -> None:
        self.entries[entry.id] = self._changed[entry.id] = entry

    def _remove(self, entry: OutboxEntry, result: str) -> None:
        self.entries.pop(entry.id, None)
        self._changed.pop(entry.id, None)
        self._unsaved.discard(entry.id)
        self._finished.append(entry.id)
        self.results[entry.receiver, result] += 1
        self.urgent = True
