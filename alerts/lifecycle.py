"""When what rules find becomes an alert, and when that ends: pure decisions, time as an argument.

An alert belongs to a rule and one window of one series. It is pending while its condition holds but not yet
long enough, firing after that, and resolved once the condition has been clear for long enough.

Too little data is neither good nor bad news. A finding that says nothing leaves its alert where it stands: it
never fires one, and never resolves one that rests on it, however well the other findings look.

Evaluations are of two kinds that share the names of their windows: those of drift windows, judged at once, and those of
realised performance, judged when labels have come, perhaps weeks later. A finding belongs to one kind by its subject,
and alerts of the two have keys of their own. So an evaluation never touches an alert of the other kind, not even of a
rule that looks at both, such as ``when = "breached"`` for every subject.
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
"""Evidence is saved and sent; a model with hundreds of drifted features is told by its worst."""


class AlertKey(NamedTuple):
    """Which alert; ``realised`` tells on which kind of evaluation it rests."""

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
        rows: in that window.
        findings: those that matched, worst first, at most `KEPT_FINDINGS`.
        offsets: the messages that fed the window.
        matched: how many findings matched, those not kept too.
        labelled_rows: how many of the rows have a label, where performance is realised.
        subjects: how many subjects matched, those not kept too; 0 where an older version saved it.
        fault: as in `alerts.evaluation.Evaluation`.
        lost: what the window lacks because messages were lost, in words; empty when it is whole.
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
    """Where an alert stands; times are epoch ms of event time.

    Attributes:
        since: when the condition began to hold.
        fired: when it began to fire; None while pending.
        clear_since: since when a firing alert's condition is clear; None while it holds.
        crossed: subject and statistic of every finding that has matched and not been seen to come back.
    """

    state: Literal["pending", "firing"]
    since: int
    evidence: Evidence
    fired: int | None = None
    clear_since: int | None = None
    crossed: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Transition:
    """An alert that changed.

    Attributes:
        at: when, epoch ms of event time.
        since: when its condition began to hold.
        evidence: of the last evaluation in which the condition held.
        reason: why it was resolved; empty otherwise.
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
    """The alerts after an evaluation, and what changed."""

    states: Mapping[AlertKey, AlertState]
    transitions: tuple[Transition, ...]


def step(rules: Sequence[Rule], states: Mapping[AlertKey, AlertState], evaluation: Evaluation) -> Step:
    """Applies every rule to one evaluation.

    Returns:
        All alerts after it, and those that changed, in the order of the rules.
    """
    after: dict[AlertKey, AlertState] | None = None
    transitions: list[Transition] = []
    # There may be a thousand findings, nearly all of drift and nearly none of them news.
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
    """Resolves the alerts of a series that has had no rows for its longest window, of one kind or (None) of both."""
    gone = [
        key
        for key in states
        if (key.model, key.version, key.segment) == (model, version, segment) and realised in (None, key.realised)
    ]
    return _drop(states, gone, at, rules, "the series ended: no rows within its longest window")


def drop_unknown(
    states: Mapping[AlertKey, AlertState], rules: Sequence[Rule], models: Mapping[str, Sequence[str]], at: int
) -> Step:
    """Resolves alerts that no evaluation will ever touch again, because the configuration has changed.

    That is: the rule, the model or the window is gone, or the rule no longer covers the alert's series or any of the
    findings that it rests on.

    Args:
        states: the alerts.
        rules: those configured now.
        models: model name → names of its windows, those of performance too.
        at: event time.
    """
    known = {rule.name: rule for rule in rules}
    gone = [
        key
        for key, state in states.items()
        if key.rule not in known
        or key.window not in models.get(key.model, ())
        or not concerns(known[key.rule], key.model, key.segment, key.window)
        or (state.crossed and not any(covers(known[key.rule], *name, realised=key.realised) for name in state.crossed))
    ]
    return _drop(states, gone, at, rules, "no longer configured")


def _drop(
    states: Mapping[AlertKey, AlertState], gone: list[AlertKey], at: int, rules: Sequence[Rule], reason: str
) -> Step:
    severities = {rule.name: rule.severity for rule in rules}
    transitions = tuple(
        Transition(
            key, "resolved", at, severities.get(key.rule, "warning"), states[key].since, states[key].evidence, reason
        )
        for key in gone
        if states[key].state == "firing"
    )
    dropped = frozenset(gone)
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
