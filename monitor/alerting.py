"""Evaluations in, saved notifications out: the rules, incidents and outbox of the running daemon."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from alerts.delivery import OutboxEntry, due, settle
from alerts.messages import words
from alerts.policy import Incident, IncidentKey, Notice, ReceiverPolicy, plan
from alerts.rules import AlertKey, AlertState, Rule, Transition, drop_unknown, end_series, step
from alerts.sinks import RENDER, Sink
from alerts.sinks.outcome import Dead, Delivered
from monitor.snapshot import AlertGroup

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from structlog.typing import FilteringBoundLogger

    from alerts.delivery import Delivery, Report
    from alerts.evaluation import Evaluation
    from alerts.rules import Step

_RESULTS = ("delivered", "retried", "dead", "suppressed")
_ALERTS = msgspec.msgpack.Decoder(list[tuple[AlertKey, AlertState]])
_INCIDENTS = msgspec.msgpack.Decoder(list[tuple[IncidentKey, Incident]])
_COOLDOWNS = msgspec.msgpack.Decoder(dict[str, int])


@dataclass(frozen=True, slots=True)
class Routing:
    """Rules and receivers, as configured.

    Attributes:
        rules: name → rule.
        receivers: name → what it wants to hear.
        sinks: name → where it is.
        dashboard_url: what texts link to.
    """

    rules: Mapping[str, Rule]
    receivers: Mapping[str, ReceiverPolicy]
    sinks: Mapping[str, Sink]
    dashboard_url: str | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What evaluations led to."""

    transitions: tuple[Transition, ...]
    notices: tuple[Notice, ...]


class Alerting:
    """Holds alerts, incidents, cooldowns and the outbox.

    Args:
        routing: rules and receivers.
        courier: brings notifications to receivers.
        log: past-tense events.
        random: a fraction from 0 to 1, for the jitter of retries.
    """

    def __init__(
        self, routing: Routing, courier: Delivery, log: FilteringBoundLogger, random: Callable[[], float]
    ) -> None:
        self._routing, self._courier, self._log, self._random = routing, courier, log, random
        self._rules = tuple(routing.rules.values())
        self.states: Mapping[AlertKey, AlertState] = {}
        self.incidents: Mapping[IncidentKey, Incident] = {}
        self.cooldowns: Mapping[str, int] = {}
        self.outbox: dict[str, OutboxEntry] = {}
        # Counters stand at zero from the start, so that a rate sees the first failure.
        self.results = Counter({(name, result): 0 for name in routing.receivers for result in _RESULTS})
        self._changed: dict[str, OutboxEntry] = {}
        self._finished: list[str] = []
        self._unsaved: set[str] = set()
        self._in_flight: dict[str, str] = {}
        self._last_sent: dict[str, int] = {}
        self.urgent = False

    def restore(self, documents: Mapping[str, bytes], outbox: Sequence[OutboxEntry]) -> None:
        """Goes on from a checkpoint."""
        if "alerts" in documents:
            self.states = dict(_ALERTS.decode(documents["alerts"]))
            self.incidents = dict(_INCIDENTS.decode(documents["incidents"]))
            self.cooldowns = _COOLDOWNS.decode(documents["cooldowns"])
        self.outbox = {entry.id: entry for entry in outbox}

    def documents(self) -> dict[str, bytes]:
        """What a checkpoint saves, apart from the outbox. MessagePack, because JSON has no NaN."""
        encode = msgspec.msgpack.encode
        return {
            "alerts": encode(list(self.states.items())),
            "incidents": encode(list(self.incidents.items())),
            "cooldowns": encode(self.cooldowns),
        }

    def observe(self, evaluation: Evaluation, wall_ms: int) -> Outcome:
        """Applies the rules to an evaluation and puts the notifications that follow into the outbox."""
        return self._apply(step(self._rules, self.states, evaluation), wall_ms)

    def end_series(
        self, model: str, version: str, segment: str, at: int, wall_ms: int, *, realised: bool = False
    ) -> Outcome:
        """Resolves the alerts of a series that is gone: those of drift windows, or those on realised performance."""
        moved = end_series(self.states, model, version, segment, at, self._rules, realised=realised)
        return self._apply(moved, wall_ms)

    def drop_unknown(self, models: Mapping[str, Sequence[str]], at: int, wall_ms: int) -> Outcome:
        """Resolves alerts that the configuration no longer knows."""
        return self._apply(drop_unknown(self.states, self._rules, models, at), wall_ms)

    def _apply(self, moved: Step, wall_ms: int) -> Outcome:
        self.states = moved.states
        if not moved.transitions:
            return Outcome((), ())
        planned = plan(moved.transitions, self.incidents, self.cooldowns, self._routing.rules, self._routing.receivers)
        self.incidents, self.cooldowns = planned.incidents, planned.cooldowns
        for change in moved.transitions:
            self._log.info(
                f"alert {change.state}", rule=change.key.rule, model=change.key.model, version=change.key.version,
                segment=change.key.segment, window=change.key.window, subjects=change.evidence.matched,
            )  # fmt: skip
        for held in planned.suppressed:
            self.results[held.receiver, "suppressed"] += 1
            self._log.info(
                "notification suppressed", receiver=held.receiver, model=held.model, rule=held.rule, reason=held.reason
            )
        for notice in planned.notices:
            self._put(notice, wall_ms)
        return Outcome(moved.transitions, planned.notices)

    def _put(self, notice: Notice, wall_ms: int) -> None:
        sink = self._routing.sinks[notice.receiver]
        payload = RENDER[type(sink)](notice, words(notice, self._routing.dashboard_url)).decode()
        entry = OutboxEntry(notice.id, notice.receiver, notice.kind, notice.dedup_key, payload, wall_ms)
        self.outbox[entry.id] = self._changed[entry.id] = entry
        self._unsaved.add(entry.id)
        self.urgent = True

    def deliver(self, wall_ms: int) -> None:
        """Takes in what became of attempts, and hands over what is due. Only what is saved is ever sent."""
        for report in self._courier.reports():
            self._settle(report, wall_ms)
        saved = [entry for entry in self.outbox.values() if entry.id not in self._unsaved]
        for entry in due(saved, self._in_flight, self._last_sent, wall_ms):
            self._in_flight[entry.receiver] = entry.id
            self._last_sent[entry.receiver] = wall_ms
            self._courier.submit(entry)

    def _settle(self, report: Report, wall_ms: int) -> None:
        entry, outcome = report.entry, report.outcome
        self._in_flight.pop(entry.receiver, None)
        kept = settle(report, wall_ms, self._random())
        self.urgent = True
        if kept is not None:
            self.results[entry.receiver, "retried"] += 1
            self.outbox[entry.id] = self._changed[entry.id] = kept
            self._log.warning(
                "notification not delivered yet", receiver=entry.receiver, attempts=kept.attempts, error=kept.last_error
            )
            return
        self.outbox.pop(entry.id, None)
        self._changed.pop(entry.id, None)
        self._finished.append(entry.id)
        if isinstance(outcome, Delivered):
            self.results[entry.receiver, "delivered"] += 1
            self._log.info("notification delivered", receiver=entry.receiver, kind=entry.kind)
        else:
            self.results[entry.receiver, "dead"] += 1
            reason = outcome.reason if isinstance(outcome, Dead) else "too old"
            self._log.error("notification given up", receiver=entry.receiver, kind=entry.kind, reason=reason)

    def changes(self) -> tuple[tuple[OutboxEntry, ...], tuple[str, ...]]:
        """Entries to save and ids to delete."""
        return tuple(self._changed.values()), tuple(self._finished)

    def mark_saved(self) -> None:
        """What `changes` told has been saved: it may be sent."""
        self._changed.clear()
        self._finished.clear()
        self._unsaved.clear()
        self.urgent = False

    @property
    def settled(self) -> bool:
        """Whether nothing waits to be delivered."""
        return not self.outbox

    def waiting(self) -> dict[str, tuple[int, int | None]]:
        """Receiver → how many notifications wait, and since when the oldest has (epoch ms)."""
        found: dict[str, tuple[int, int | None]] = dict.fromkeys(self._routing.receivers, (0, None))
        for entry in self.outbox.values():
            count, oldest = found.get(entry.receiver, (0, None))
            found[entry.receiver] = (count + 1, entry.created if oldest is None else min(oldest, entry.created))
        return found

    def counts(self, versions: Mapping[str, Sequence[str]]) -> dict[AlertGroup, int]:
        """Alerts by group; groups without any are there with 0, so that a query always finds them.

        Args:
            versions: model → its versions.
        """
        found: dict[AlertGroup, int] = {}
        for rule in self._rules:
            for model, names in versions.items():
                if not rule.models or model in rule.models:
                    for version in names:
                        for state in ("pending", "firing"):
                            found[AlertGroup(model, version, rule.name, rule.severity, state)] = 0
        for key, alert in self.states.items():
            rule_now = self._routing.rules.get(key.rule)
            severity = rule_now.severity if rule_now else "warning"
            group = AlertGroup(key.model, key.version, key.rule, severity, alert.state)
            found[group] = found.get(group, 0) + 1
        return found
