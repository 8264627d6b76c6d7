"""The life of an alert: pending, firing, resolved. Pure decisions, with time as an argument.

An alert belongs to a rule and one window of one series. It is pending while its condition holds but not yet
long enough, firing after that, and resolved once the condition has been clear for long enough.

Too little data neither fires nor resolves an alert. An alert keeps its state while a finding that it rests on has
too little data, even if all other findings are good.

Evaluations are of two kinds that share the names of their windows: drift evaluations, judged at once, and evaluations
of realised performance, judged when labels have arrived, perhaps weeks later. A finding's subject decides its kind, and
the key of an alert contains the kind. So an evaluation never changes an alert of the other kind, even for a rule
that covers both kinds, such as ``when = "breached"`` for every subject.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

from alerts.evaluation import Evaluation, Finding, OffsetRange, subject_of
from alerts.matching import View, concerns, covers, look

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alerts.rules import Rule

KEPT_FINDINGS = 50
"""Cap on saved and sent evidence: of hundreds of drifted features, an alert keeps the worst."""


class AlertKey(NamedTuple):
    """Key of an alert; ``realised`` is the kind of its evaluations."""

    rule: str
    model: str
    version: str
    segment: str
    window: str
    realised: bool = False


@dataclass(frozen=True, slots=True)
class Evidence:
    """The last evaluation in which an alert's condition held.

    Attributes:
        start, end: its window, epoch ms of event time, half-open.
        rows: rows in the window.
        findings: matching findings, worst first, at most `KEPT_FINDINGS`.
        offsets: the messages that fed the window.
        matched: number of matching findings, including findings not kept.
        labelled_rows: rows with a label, for realised performance.
        subjects: number of matching subjects, including subjects not kept; 0 in state saved by an older version.
        fault: as in `alerts.evaluation.Evaluation`.
        lost: the messages missing from the window, in words; empty when none were lost.
    """

    start: int
    end: int
    rows: int
    findings: tuple[Finding, ...]
    offsets: tuple[OffsetRange, ...] = ()
    matched: int = 0
    labelled_rows: int = 0
    subjects: int = 0
    fault: str = ""
    lost: str = ""


@dataclass(frozen=True, slots=True)
class AlertState:
    """State of an alert; times are epoch ms of event time.

    Attributes:
        since: start of the condition.
        fired: when the alert began to fire; None while pending.
        clear_since: since when a firing alert's condition is clear; None while it holds.
        crossed: subject and statistic of every finding that has matched and has not recovered since.
    """

    state: Literal["pending", "firing"]
    since: int
    evidence: Evidence
    fired: int | None = None
    clear_since: int | None = None
    crossed: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of an alert's state.

    Attributes:
        at: time of the change, epoch ms of event time.
        since: start of the alert's condition.
        evidence: from the last evaluation in which the condition held.
        reason: why the alert was resolved; empty otherwise.
    """

    key: AlertKey
    state: Literal["pending", "firing", "resolved"]
    at: int
    severity: str
    since: int
    evidence: Evidence
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """All alerts after an evaluation, and the changes."""

    states: Mapping[AlertKey, AlertState]
    transitions: tuple[Transition, ...]


def step(rules: Sequence[Rule], states: Mapping[AlertKey, AlertState], evaluation: Evaluation) -> Step:
    """Applies every rule to one evaluation.

    Returns:
        All alerts after the evaluation, and the changes in the order of the rules.
    """
    after: dict[AlertKey, AlertState] | None = None
    transitions: list[Transition] = []
    # Of perhaps a thousand findings nearly all are drift, and few are bad: this skips most rules early.
    statuses = {finding.status for finding in evaluation.findings}
    for rule in rules:
        if not concerns(rule, evaluation.model, evaluation.segment, evaluation.window):
            continue
        series = (evaluation.model, evaluation.version, evaluation.segment, evaluation.window)
        key = AlertKey(rule.name, *series, evaluation.realised)
        old = states.get(key)
        if old is None and rule.metric is None and rule.when not in statuses:
            continue
        crossed = frozenset() if old is None else frozenset(old.crossed)
        firing = old is not None and old.state == "firing"
        view = look(rule, evaluation.findings, crossed, firing=firing, realised=evaluation.realised)
        if view is None:
            continue
        new, changed = _advance(rule, key, old, evaluation, view)
        transitions += changed
        if new is not old:
            after = dict(states) if after is None else after
            if new is None:
                after.pop(key, None)
            else:
                after[key] = new
    return Step(states if after is None else after, tuple(transitions))


def end_series(
    states: Mapping[AlertKey, AlertState],
    model: str,
    version: str,
    segment: str,
    at: int,
    rules: Sequence[Rule],
    *,
    realised: bool | None = None,
) -> Step:
    """Resolves the alerts of a series that has had no rows for its longest window.

    Args:
        realised: the kind of alerts; None for both kinds.
    """
    removed = [
        key
        for key in states
        if (key.model, key.version, key.segment) == (model, version, segment) and realised in (None, key.realised)
    ]
    return _drop(states, removed, at, rules, "the series ended: no rows within its longest window")


def drop_unknown(
    states: Mapping[AlertKey, AlertState], rules: Sequence[Rule], models: Mapping[str, Sequence[str]], at: int
) -> Step:
    """Resolves alerts that no evaluation can change any more, because the configuration has changed.

    That is: the rule, the model or the window was removed, or the rule no longer covers the alert's series or any
    finding that the alert rests on.

    Args:
        states: the alerts.
        rules: the rules configured now.
        models: model name → names of its windows, including performance windows.
        at: event time.
    """
    known = {rule.name: rule for rule in rules}
    removed = [
        key
        for key, state in states.items()
        if key.rule not in known
        or key.window not in models.get(key.model, ())
        or not concerns(known[key.rule], key.model, key.segment, key.window)
        or (state.crossed and not any(covers(known[key.rule], *name, realised=key.realised) for name in state.crossed))
    ]
    return _drop(states, removed, at, rules, "no longer configured")


def _drop(
    states: Mapping[AlertKey, AlertState], removed: list[AlertKey], at: int, rules: Sequence[Rule], reason: str
) -> Step:
    severities = {rule.name: rule.severity for rule in rules}
    transitions = tuple(
        Transition(
            key, "resolved", at, severities.get(key.rule, "warning"), states[key].since, states[key].evidence, reason
        )
        for key in removed
        if states[key].state == "firing"
    )
    dropped = frozenset(removed)
    return Step({key: state for key, state in states.items() if key not in dropped}, transitions)


def _advance(
    rule: Rule, key: AlertKey, old: AlertState | None, evaluation: Evaluation, view: View
) -> tuple[AlertState | None, list[Transition]]:
    at = evaluation.at
    if view.matched:
        evidence = Evidence(
            evaluation.start, evaluation.end, evaluation.rows, view.matched[:KEPT_FINDINGS], evaluation.offsets,
            len(view.matched), evaluation.labelled_rows, len({subject_of(finding) for finding in view.matched}),
            evaluation.fault, evaluation.lost,
        )  # fmt: skip
        names = {(finding.subject, finding.statistic) for finding in view.matched}
        crossed = tuple(sorted(names | view.unseen))
        if old is not None and old.state == "firing":
            return replace(old, evidence=evidence, clear_since=None, crossed=crossed), []
        since = at if old is None else old.since
        if at - since >= rule.hold_ms:
            fired = Transition(key, "firing", at, rule.severity, since, evidence)
            return AlertState("firing", since, evidence, fired=at, crossed=crossed), [fired]
        begun = [] if old is not None else [Transition(key, "pending", at, rule.severity, since, evidence)]
        return AlertState("pending", since, evidence, crossed=crossed), begun
    if old is None or old.state == "pending":
        return None, []
    clear_since = at if old.clear_since is None else old.clear_since
    if at - clear_since >= rule.resolve_ms:
        reason = "enough data again" if rule.when == "insufficient" else "back within bounds"
        return None, [Transition(key, "resolved", at, rule.severity, old.since, old.evidence, reason)]
    return replace(old, clear_since=clear_since), []
