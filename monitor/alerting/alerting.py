"""The rules, incidents and outbox of the running daemon: evaluations in, saved notifications out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from alerts.lifecycle import AlertKey, AlertState, Transition, drop_unknown, end_series, step
from alerts.messages import words
from alerts.policy import Incident, IncidentKey, Notice, plan
from alerts.status import AlertGroup
from alerts.subjects import is_known, subject_named
from monitor.alerting.outbox import Outbox
from monitor.common.codec import decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from structlog.typing import FilteringBoundLogger

    from alerts.delivery import Delivery
    from alerts.evaluation import Evaluation, Finding
    from alerts.lifecycle import Step
    from alerts.outbox import OutboxEntry
    from alerts.status import ReceiverStatus
    from monitor.alerting.receivers import AlertingSetup

Alerts = list[tuple[AlertKey, AlertState]]
Incidents = list[tuple[IncidentKey, Incident]]
Cooldowns = dict[str, int]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Alert transitions and notifications caused by evaluations."""

    transitions: tuple[Transition, ...]
    notices: tuple[Notice, ...]


class Alerting:
    """Holds alerts, incidents, cooldowns and the outbox.

    Args:
        routing: rules and receivers.
        courier: sends notifications to receivers.
        log: past-tense events.
        random: a fraction from 0 to 1, for the jitter of retries.
    """

    def __init__(
        self, routing: AlertingSetup, courier: Delivery, log: FilteringBoundLogger, random: Callable[[], float]
    ) -> None:
        self._routing, self._log = routing, log
        self._rules = tuple(routing.rules.values())
        self.states: Mapping[AlertKey, AlertState] = {}
        self.incidents: Mapping[IncidentKey, Incident] = {}
        self.cooldowns: Mapping[str, int] = {}
        self._unknown: set[tuple[str, str]] = set()
        self._outgoing = Outbox(routing, courier, log, random)

    def restore(self, documents: Mapping[str, bytes], outbox: Sequence[OutboxEntry]) -> None:
        """Restores the state from a checkpoint."""
        if "alerts" in documents:
            self.states = dict(decode(documents["alerts"], Alerts))
            self.incidents = dict(decode(documents["incidents"], Incidents))
            self.cooldowns = decode(documents["cooldowns"], Cooldowns)
        self._outgoing.restore(documents.get("receivers"), outbox, self._open_keys())

    def documents(self) -> dict[str, bytes]:
        """The documents that a checkpoint saves, apart from the outbox."""
        return {
            "alerts": encode(list(self.states.items())),
            "incidents": encode(list(self.incidents.items())),
            "cooldowns": encode(self.cooldowns),
            "receivers": self._outgoing.document(),
        }

    def observe(self, evaluation: Evaluation, wall_ms: int) -> Outcome:
        """Applies the rules to an evaluation and puts the resulting notifications into the outbox."""
        for finding in evaluation.findings:
            if not is_known(finding.subject, finding.statistic):
                self._report_unknown(finding)
        return self._apply(step(self._rules, self.states, evaluation), wall_ms)

    def _report_unknown(self, finding: Finding) -> None:
        """Logs a finding that `alerts.subjects` does not list: it counts as drift until the list is corrected."""
        name = (subject_named(finding.subject).name, finding.statistic)
        if name not in self._unknown:
            self._unknown.add(name)
            self._log.error("unknown finding", subject=name[0], statistic=name[1])

    def end_series(
        self, model: str, version: str, segment: str, at: int, wall_ms: int, *, realised: bool = False
    ) -> Outcome:
        """Resolves the alerts of a series that has ended, either on drift or on realised performance."""
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
        for dropped in planned.suppressed:
            self._outgoing.results[dropped.receiver, "suppressed"] += 1
            self._log.info(
                "notification suppressed",
                receiver=dropped.receiver,
                model=dropped.model,
                rule=dropped.rule,
                reason=dropped.reason,
            )
        for notice in planned.notices:
            self._outgoing.put(notice, words(notice, self._routing.dashboard_url), wall_ms)
        return Outcome(moved.transitions, planned.notices)

    def deliver(self, wall_ms: int) -> None:
        """Processes the results of attempts and submits due notifications. Only saved notifications are sent."""
        for trigger in self._outgoing.deliver(wall_ms, self._open_keys()):
            # The receiver never got the trigger, so it needs no resolve.
            self.incidents = {
                key: replace(incident, told=tuple(name for name in incident.told if name != trigger.receiver))
                if incident.dedup_key == trigger.dedup_key
                else incident
                for key, incident in self.incidents.items()
            }

    def _open_keys(self) -> list[str]:
        return [incident.dedup_key for incident in self.incidents.values()]

    def changes(self) -> tuple[tuple[OutboxEntry, ...], tuple[str, ...]]:
        """Entries to save and ids to delete."""
        return self._outgoing.changes()

    def mark_saved(self) -> None:
        """Marks the last `changes` as saved: they may be sent."""
        self._outgoing.mark_saved()

    @property
    def outbox(self) -> Mapping[str, OutboxEntry]:
        """Undelivered notifications by id."""
        return self._outgoing.entries

    @property
    def results(self) -> Mapping[tuple[str, str], int]:
        """(receiver, result) → number of notifications with this result."""
        return self._outgoing.results

    @property
    def urgent(self) -> bool:
        """Whether a checkpoint is due soon, because a notification waits to be sent or must not be sent again."""
        return self._outgoing.urgent

    @property
    def settled(self) -> bool:
        """Whether no notification waits for delivery."""
        return not self._outgoing.entries

    @property
    def unheard_fault(self) -> str:
        """The failing receivers whose failure was reported to no other receiver, with reasons; else empty."""
        return self._outgoing.unheard_fault

    def waiting(self) -> dict[str, tuple[int, int | None]]:
        """Receiver → number of waiting notifications, and the creation time of the oldest (epoch ms)."""
        return self._outgoing.waiting()

    def receivers(self) -> dict[str, ReceiverStatus]:
        """Receiver → whether it works, and the number of notifications parked for it."""
        return self._outgoing.status()

    def counts(self, versions: Mapping[str, Sequence[str]]) -> dict[AlertGroup, int]:
        """Alerts by group; groups without alerts have 0, so that a query always finds them.

        Args:
            versions: model → its versions.
        """
        counts: dict[AlertGroup, int] = {}
        for rule in self._rules:
            for model, names in versions.items():
                if not rule.models or model in rule.models:
                    for version in names:
                        for state in ("pending", "firing"):
                            counts[AlertGroup(model, version, rule.name, rule.severity, state)] = 0
        for key, alert in self.states.items():
            rule_now = self._routing.rules.get(key.rule)
            severity = rule_now.severity if rule_now else "warning"
            group = AlertGroup(key.model, key.version, key.rule, severity, alert.state)
            counts[group] = counts.get(group, 0) + 1
        return counts
