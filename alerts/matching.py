"""Which findings a rule looks at, and which of them match: pure decisions on names and numbers."""

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
"""Names and patterns are few and come again with every window."""


def concerns(rule: Rule, model: str, segment: str, window: str) -> bool:
    """Whether a rule is for a model, a segment and a window of these names."""
    return (
        (not rule.models or model in rule.models)
        and (not rule.windows or window in rule.windows)
        and _matches(segment, rule.segment)
    )


def covers(rule: Rule, subject: str, statistic: str, *, realised: bool) -> bool:
    """Whether a rule looks at what has these names, in evaluations of that kind."""
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
    """A value, or bound, as the rule counts it; NaN if it is unknown."""
    return value if rule.change_from_reference is None else value - finding.reference


def says_something(rule: Rule, finding: Finding) -> bool:
    """Whether a finding decides anything for a rule, either way."""
    if rule.when == "insufficient":
        return True
    unknown = rule.metric is not None and math.isnan(number_of(rule, finding, finding.value))
    return finding.status != "insufficient" and not unknown


def holds(rule: Rule, finding: Finding, *, crossed: bool) -> bool:
    """Whether the condition of a rule holds for a finding; ``crossed``: it did before."""
    if rule.metric is None:
        return finding.status == rule.when
    value, limit = finding.value, rule.limit
    if crossed:
        # What has crossed must come back past `recover`, not just past the threshold: no flapping in between. And it
        # must come back itself: that one is no longer sure of it is no recovery.
        limit = limit if rule.recover is None else rule.recover
    elif rule.sure:
        value = finding.upper if rule.low_is_bad else finding.lower
    # No comparison with NaN is true: without a bound nothing is sure.
    number = number_of(rule, finding, value)
    if rule.change_from_reference is not None:
        return number <= limit if rule.low_is_bad else number >= limit
    return number < limit if rule.low_is_bad else number > limit


@dataclass(frozen=True, slots=True)
class View:
    """What an evaluation says to one rule.

    Attributes:
        matched: findings that match, worst first.
        unseen: what had matched before, and about which this evaluation says nothing.
    """

    matched: tuple[Finding, ...]
    unseen: frozenset[tuple[str, str]]


def look(
    rule: Rule, findings: Sequence[Finding], crossed: frozenset[tuple[str, str]], *, firing: bool, realised: bool
) -> View | None:
    """Looks at the findings of an evaluation.

    Args:
        rule: that concerns the evaluation.
        findings: of the evaluation.
        crossed: subject and statistic of what has matched before and not been seen to come back.
        firing: whether the rule's alert fires.
        realised: the kind of the evaluation.

    Returns:
        None when there is nothing to learn, so that the alert stays where it stands.
    """
    matched: list[Finding] = []
    silent: set[tuple[str, str]] = set()
    learned = False
    for finding in findings:
        if rule.metric is None:
            # Cheap questions first. That one other finding is known is enough; which ones it is does not matter.
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
    """How far a finding is over its threshold, or under one that must not be undercut; sorts the worst first."""
    if rule.metric is not None:
        number = number_of(rule, finding, finding.value)
        return -number if rule.low_is_bad else number
    threshold = finding.threshold
    most = finding.value if math.isnan(finding.upper) else finding.upper
    if finding.status == "breached" and most < threshold:
        return 1 + (threshold - most) / threshold if threshold > 0 else threshold - most
    strength = finding.value if math.isnan(finding.lower) else finding.lower
    if math.isnan(strength):
        return -math.inf
    return strength / threshold if threshold > 0 else strength
