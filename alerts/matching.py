"""Which findings a rule covers, and which findings match it: pure decisions on names and numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING

from alerts.evaluation import Finding
from alerts.subjects import BREACHABLE, ESTIMATED, ONLY_BY_NAME, REALISED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alerts.rules import Rule

_matches = lru_cache(maxsize=2**16)(fnmatchcase)
"""Cached, because few names and patterns repeat with every window."""


def concerns(rule: Rule, model: str, segment: str, window: str) -> bool:
    """Whether a rule covers a model, segment and window with these names."""
    return (
        (not rule.models or model in rule.models)
        and (not rule.windows or window in rule.windows)
        and _matches(segment, rule.segment)
    )


def covers(rule: Rule, subject: str, statistic: str, *, realised: bool) -> bool:
    """Whether a rule covers findings with these names, in evaluations of the given kind."""
    family = subject.partition(":")[0]
    if (family in REALISED) != realised:
        return False
    if rule.metric is None and rule.when != "insufficient" and (family in BREACHABLE) != (rule.when == "breached"):
        return False
    if statistic != rule.metric if rule.metric is not None else not _matches(statistic, rule.statistic):
        return False
    if rule.estimated:
        return family == ESTIMATED
    if rule.subject.strip("*"):
        return _matches(subject, rule.subject)
    if rule.metric is None:
        return family != ESTIMATED
    return family not in ONLY_BY_NAME and not (statistic == "ks" and family == "performance")


def number_of(rule: Rule, finding: Finding, value: float) -> float:
    """A value or bound, minus the reference if the rule is on a change; NaN if unknown."""
    return value if rule.change_from_reference is None else value - finding.reference


def says_something(rule: Rule, finding: Finding) -> bool:
    """Whether a finding can decide a rule's condition, as true or as false."""
    if rule.when == "insufficient":
        return True
    unknown = rule.metric is not None and math.isnan(number_of(rule, finding, finding.value))
    return finding.status != "insufficient" and not unknown


def holds(rule: Rule, finding: Finding, *, crossed: bool) -> bool:
    """Whether the condition of a rule holds for a finding.

    Args:
        crossed: whether it held before and the value has not recovered since.
    """
    if rule.metric is None:
        return finding.status == rule.when
    value, limit = finding.value, rule.limit
    if crossed:
        # The value must come back past `recover`, not just past the threshold, so that alerts do not flap. The value
        # itself must come back: a wider confidence interval alone is no recovery.
        limit = limit if rule.recover is None else rule.recover
    elif rule.sure:
        value = finding.upper if rule.low_is_bad else finding.lower
    # Comparisons with NaN are false: without a bound the condition never holds.
    number = number_of(rule, finding, value)
    if rule.change_from_reference is not None:
        return number <= limit if rule.low_is_bad else number >= limit
    return number < limit if rule.low_is_bad else number > limit


@dataclass(frozen=True, slots=True)
class View:
    """An evaluation as seen by one rule.

    Attributes:
        matched: findings that match, worst first.
        unseen: subject and statistic that matched before and on which this evaluation has too little data.
    """

    matched: tuple[Finding, ...]
    unseen: frozenset[tuple[str, str]]


def look(
    rule: Rule, findings: Sequence[Finding], crossed: frozenset[tuple[str, str]], *, firing: bool, realised: bool
) -> View | None:
    """Applies a rule to the findings of an evaluation.

    Args:
        rule: covers the evaluation's series and window.
        findings: of the evaluation.
        crossed: subject and statistic of findings that have matched before and have not recovered since.
        firing: whether the rule's alert fires.
        realised: the kind of the evaluation.

    Returns:
        None when the findings decide nothing, so that the alert keeps its state.
    """
    matched: list[Finding] = []
    silent: set[tuple[str, str]] = set()
    learned = False
    for finding in findings:
        if rule.metric is None:
            # Cheap checks first: one decisive finding is enough, so further findings without a match are skipped.
            if learned and finding.status != rule.when and finding.status != "insufficient":
                continue
        elif finding.statistic != rule.metric:
            continue
        name = (finding.subject, finding.statistic)
        shown_only = rule.metric is None and math.isnan(finding.threshold)
        if shown_only or not covers(rule, *name, realised=realised):
            continue
        if not says_something(rule, finding):
            silent.add(name)
            continue
        learned = True
        if holds(rule, finding, crossed=firing and name in crossed):
            matched.append(finding)
    unseen = crossed & silent
    if not learned or (unseen and not matched):
        return None
    matched.sort(key=lambda finding: (-_badness(rule, finding), finding.subject, finding.statistic))
    return View(tuple(matched), unseen)


def _badness(rule: Rule, finding: Finding) -> float:
    """How far a finding is beyond its threshold, upwards or downwards; sorts the worst first."""
    if rule.metric is not None:
        number = number_of(rule, finding, finding.value)
        return -number if rule.low_is_bad else number
    threshold = finding.threshold
    upper = finding.value if math.isnan(finding.upper) else finding.upper
    if finding.status == "breached" and upper < threshold:
        return 1 + (threshold - upper) / threshold if threshold > 0 else threshold - upper
    lower = finding.value if math.isnan(finding.lower) else finding.lower
    if math.isnan(lower):
        return -math.inf
    return lower / threshold if threshold > 0 else lower
