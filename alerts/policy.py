"""From changed alerts to notifications: grouped into incidents, sent once, limited by cooldowns. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

from alerts.lifecycle import AlertKey, Transition
from alerts.rules import Rule

if TYPE_CHECKING:
    from collections.abc import Sequence

Kind = Literal["trigger", "resolve", "summary"]
"""A summary reports incidents that began and ended before they could be delivered."""


class IncidentKey(NamedTuple):
    """Key of an incident: it contains all windows and segments of a model version on which a rule fires."""

    rule: str
    model: str
    version: str


@dataclass(frozen=True, slots=True)
class Incident:
    """An open incident.

    Attributes:
        dedup_key: identifies the incident to receivers, from its first trigger to its resolve.
        opened: epoch ms of event time.
        firing: its firing alerts; never empty.
        told: receivers that were notified of its start, and so must be notified of its end.
    """

    dedup_key: str
    opened: int
    firing: tuple[AlertKey, ...]
    told: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReceiverPolicy:
    """Which notifications a receiver gets.

    Attributes:
        resolves: whether it is notified of the end of an incident.
        retrains: whether a trigger starts a retraining, with the evidence.
        cooldown_ms: least event time between two triggers for one model, whatever the rule; 0 for none.
    """

    name: str
    resolves: bool = True
    retrains: bool = False
    cooldown_ms: int = 0


@dataclass(frozen=True, slots=True)
class Notice:
    """One change of an incident for one receiver, not yet in the receiver's format.

    Attributes:
        id: the idempotency key: unique, and reproduced when a restart plans the change again.
        at, opened: time of the change, and start of the incident; epoch ms of event time.
        transition: the alert that opened or closed the incident.
        firing: number of the incident's alerts that fire at this time.
    """

    id: str
    receiver: str
    kind: Kind
    dedup_key: str
    at: int
    opened: int
    transition: Transition
    rule: Rule
    firing: int
    retrains: bool


@dataclass(frozen=True, slots=True)
class Suppressed:
    """A trigger that was not sent, and why."""

    receiver: str
    model: str
    rule: str
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The notices to send, and the incidents and cooldowns after the transitions."""

    notices: tuple[Notice, ...]
    incidents: Mapping[IncidentKey, Incident]
    cooldowns: Mapping[str, int]
    suppressed: tuple[Suppressed, ...]


def plan(
    transitions: Sequence[Transition],
    incidents: Mapping[IncidentKey, Incident],
    cooldowns: Mapping[str, int],
    rules: Mapping[str, Rule],
    receivers: Mapping[str, ReceiverPolicy],
) -> Plan:
    """Decides which receivers are notified of which transitions.

    The first alert of an incident sends a trigger; alerts that join the incident send nothing; the incident is
    resolved with its last alert. A trigger suppressed by a cooldown, or a retraining suppressed by a fault of the feed,
    is never sent later: the next trigger is that of the next incident.

    Args:
        transitions: in order.
        incidents: open incidents before the transitions.
        cooldowns: ``receiver/model`` → event time of the last trigger.
        rules, receivers: as configured, by name.
    """
    open_now = dict(incidents)
    quiet = dict(cooldowns)
    notices: list[Notice] = []
    suppressed: list[Suppressed] = []
    for change in transitions:
        key = IncidentKey(change.key.rule, change.key.model, change.key.version)
        incident = open_now.get(key)
        if change.state == "firing":
            if incident is not None:
                joined = tuple(dict.fromkeys((*incident.firing, change.key)))
                open_now[key] = replace(incident, firing=joined)
                continue
            rule = rules[change.key.rule]
            dedup_key = dedup_key_of(key, change.at)
            notified = []
            for name in dict.fromkeys(rule.notify):
                receiver = receivers[name]
                slot = f"{name}/{change.key.model}"
                if receiver.retrains and change.evidence.fault:
                    # Retraining on a broken feed would make things worse.
                    suppressed.append(Suppressed(name, change.key.model, rule.name, change.evidence.fault))
                    continue
                if receiver.cooldown_ms and slot in quiet and change.at - quiet[slot] < receiver.cooldown_ms:
                    suppressed.append(Suppressed(name, change.key.model, rule.name, "cooldown"))
                    continue
                quiet[slot] = change.at
                notified.append(name)
                notices.append(_notice(receiver, "trigger", dedup_key, change.at, change, rule, 1))
            open_now[key] = Incident(dedup_key, change.at, (change.key,), tuple(notified))
        elif change.state == "resolved" and incident is not None:
            still_firing = tuple(alert for alert in incident.firing if alert != change.key)
            if still_firing:
                open_now[key] = replace(incident, firing=still_firing)
                continue
            del open_now[key]
            rule_now = rules.get(change.key.rule)
            if rule_now is None:
                rule_now = Rule(change.key.rule, severity=change.severity)
            for name in incident.told:
                receiver_now = receivers.get(name)
                if receiver_now is not None and receiver_now.resolves and not receiver_now.retrains:
                    notices.append(
                        _notice(receiver_now, "resolve", incident.dedup_key, incident.opened, change, rule_now, 0)
                    )
    return Plan(tuple(notices), open_now, quiet, tuple(suppressed))


def dedup_key_of(key: IncidentKey, opened: int) -> str:
    """A key of bounded length (PagerDuty accepts 255 characters) that a restart does not change."""
    digest = hashlib.sha256("\x00".join((*key, str(opened))).encode("utf-8", "surrogatepass")).hexdigest()[:24]
    return f"leeway-{digest}"


def notice_id(dedup_key: str, kind: Kind, receiver: str) -> str:
    """The idempotency key of a notice."""
    digest = hashlib.sha256(f"{dedup_key}\x00{kind}\x00{receiver}".encode()).hexdigest()[:24]
    return f"{kind}-{digest}"


def _notice(
    receiver: ReceiverPolicy,
    kind: Kind,
    dedup_key: str,
    opened: int,
    change: Transition,
    rule: Rule,
    firing: int,
) -> Notice:
    return Notice(
        id=notice_id(dedup_key, kind, receiver.name),
        receiver=receiver.name,
        kind=kind,
        dedup_key=dedup_key,
        at=change.at,
        opened=opened,
        transition=change,
        rule=rule,
        firing=firing,
        retrains=receiver.retrains,
    )
