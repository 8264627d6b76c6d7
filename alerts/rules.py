"""When a finding becomes an alert: pure decisions, time as an argument.

An alert belongs to a rule and one window of one series. It is pending while its condition holds but not yet long enough,
firing after that, and resolved once the condition has been clear for long enough.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal, NamedTuple

from alerts.evaluation import Evaluation, Finding, OffsetRange

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

KEPT_FINDINGS = 50


@dataclass(frozen=True, slots=True)
class Rule:
    """When to alert, and whom to tell.

    Attributes:
        when: status that a finding must have; None for a rule on a number.
        metric, above, below, recover: statistic and its limits; ``recover`` must be passed before the alert ends.
        subject, statistic, segment: patterns such as ``feature:*``.
        models, windows: names; empty for all.
        hold_ms: how long the condition must hold, in event time.
        resolve_ms: how long it must be clear.
    """

    name: str
    when: str | None = None
    metric: str | None = None
    above: float | None = None
    below: float | None = None
    recover: float | None = None
    subject: str = "*"
    statistic: str = "*"
    models: tuple[str, ...] = ()
    windows: tuple[str, ...] = ()
    segment: str = "*"
    hold_ms: int = 0
    resolve_ms: int = 0
    severity: str = "warning"
    notify: tuple[str, ...] = ()
    runbook: str | None = None


class AlertKey(NamedTuple):
    """Which alert."""

    rule: str
    model: str
    version: str
    segment: str
    window: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """The evaluation that an alert rests on, with the findings that matched, worst first."""

    start: int
    end: int
    rows: int
    findings: tuple[Finding, ...]
    offsets: tuple[OffsetRange, ...] = ()
    matched: int = 0


@dataclass(frozen=True, slots=True)
class AlertState:
    """Where an alert stands; times are epoch ms of event time."""

    state: Literal["pending", "firing"]
    since: int
    evidence: Evidence
    fired: int | None = None
    clear_since: int | None = None


@dataclass(frozen=True, slots=True)
class Transition:
    """An alert that changed."""

    key: AlertKey
    state: Literal["pending", "firing", "resolved"]
    at: int
    severity: str
    since: int
    evidence: Evidence
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """The alerts after an evaluation, and what changed."""

    states: Mapping[AlertKey, AlertState]
    transitions: tuple[Transition, ...]


def step(rules: Sequence[Rule], states: Mapping[AlertKey, AlertState], evaluation: Evaluation) -> Step:
    """Applies every rule to one evaluation.

    Findings on too little data neither fire nor resolve anything (unless a rule asks for just that): an alert never
    comes from silence, and silence is never taken for recovery.
    """
    after = dict(states)
    transitions: list[Transition] = []
    for rule in rules:
        if not _concerns(rule, evaluation):
            continue
        key = AlertKey(rule.name, evaluation.model, evaluation.version, evaluation.segment, evaluation.window)
        findings = [finding for finding in evaluation.findings if _watches(rule, finding)]
        old = states.get(key)
        matched = [finding for finding in findings if _holds(rule, finding, active=old is not None and old.state == "firing")]
        judged = [finding for finding in findings if _says_something(rule, finding)]
        if not matched and not judged:
            continue
        new, changed = _advance(rule, key, old, evaluation, matched)
        transitions += changed
        if new is None:
            after.pop(key, None)
        else:
            after[key] = new
    return Step(after, tuple(transitions))


def end_series(
    states: Mapping[AlertKey, AlertState], model: str, version: str, segment: str, at: int, rules: Sequence[Rule]
) -> Step:
    """Resolves the alerts of a series that has had no rows for its longest window."""
    gone = [key for key in states if (key.model, key.version, key.segment) == (model, version, segment)]
    return _drop(states, gone, at, rules, "the series ended: no rows within its longest window")


def drop_unknown(
    states: Mapping[AlertKey, AlertState], rules: Sequence[Rule], models: Mapping[str, Sequence[str]], at: int
) -> Step:
    """Resolves alerts whose rule, model or window is no longer configured.

    Args:
        states: the alerts.
        rules: those configured now.
        models: model name → names of its windows.
        at: event time.
    """
    names = {rule.name for rule in rules}
    gone = [key for key in states if key.rule not in names or key.window not in models.get(key.model, ())]
    return _drop(states, gone, at, rules, "no longer configured")


def _drop(
    states: Mapping[AlertKey, AlertState], gone: list[AlertKey], at: int, rules: Sequence[Rule], reason: str
) -> Step:
    severities = {rule.name: rule.severity for rule in rules}
    transitions = tuple(
        Transition(key, "resolved", at, severities.get(key.rule, "warning"), states[key].since, states[key].evidence, reason)
        for key in gone
        if states[key].state == "firing"
    )
    return Step({key: state for key, state in states.items() if key not in set(gone)}, transitions)


def _concerns(rule: Rule, evaluation: Evaluation) -> bool:
    return (
        (not rule.models or evaluation.model in rule.models)
        and (not rule.windows or evaluation.window in rule.windows)
        and fnmatchcase(evaluation.segment, rule.segment)
    )


def _watches(rule: Rule, finding: Finding) -> bool:
    if not fnmatchcase(finding.subject, rule.subject):
        return False
    if rule.metric is not None:
        return finding.statistic == rule.metric
    return not math.isnan(finding.threshold) and fnmatchcase(finding.statistic, rule.statistic)


def _says_something(rule: Rule, finding: Finding) -> bool:
    if rule.when == "insufficient":
        return True
    return finding.status != "insufficient" and not (rule.metric is not None and math.isnan(finding.value))


def _holds(rule: Rule, finding: Finding, *, active: bool) -> bool:
    if rule.metric is None:
        return finding.status == rule.when
    if not _says_something(rule, finding):
        return False
    # While it fires, the value must come back past `recover`, not just past the threshold: no flapping in between.
    if rule.above is not None:
        limit = rule.recover if active and rule.recover is not None else rule.above
        return finding.value > limit
    assert rule.below is not None  # noqa: S101 - the configuration gives one of the two
    limit = rule.recover if active and rule.recover is not None else rule.below
    return finding.value < limit


def _severity_of(finding: Finding) -> float:
    """How far a finding is over its threshold; sorts the worst first."""
    strength = finding.value if math.isnan(finding.lower) else finding.lower
    if math.isnan(strength):
        return -math.inf
    return strength / finding.threshold if finding.threshold > 0 else strength


def _advance(
    rule: Rule, key: AlertKey, old: AlertState | None, evaluation: Evaluation, matched: list[Finding]
) -> tuple[AlertState | None, list[Transition]]:
    at = evaluation.at
    if matched:
        worst = sorted(matched, key=lambda finding: (-_severity_of(finding), finding.subject, finding.statistic))
        evidence = Evidence(
            evaluation.start, evaluation.end, evaluation.rows, tuple(worst[:KEPT_FINDINGS]), evaluation.offsets, len(worst)
        )
        if old is not None and old.state == "firing":
            return replace(old, evidence=evidence, clear_since=None), []
        since = at if old is None else old.since
        if at - since >= rule.hold_ms:
            fired = Transition(key, "firing", at, rule.severity, since, evidence)
            return AlertState("firing", since, evidence, fired=at), [fired]
        pending = AlertState("pending", since, evidence)
        return pending, [Transition(key, "pending", at, rule.severity, since, evidence)] if old is None else []
    if old is None or old.state == "pending":
        return None, []
    clear_since = at if old.clear_since is None else old.clear_since
    if at - clear_since >= rule.resolve_ms:
        return None, [Transition(key, "resolved", at, rule.severity, old.since, old.evidence, "back within bounds")]
    return replace(old, clear_since=clear_since), []
