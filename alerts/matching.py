"""Rules, and which findings they look at: pure decisions on names and numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING

from alerts.subjects import BREACHABLE, ESTIMATED, ONLY_BY_NAME, REALISED

if TYPE_CHECKING:
    from alerts.evaluation import Finding

_matches = lru_cache(maxsize=2**16)(fnmatchcase)
"""Names and patterns are few and come again with every window."""


@dataclass(frozen=True, slots=True)
class Rule:
    """When to alert, and whom to tell.

    Attributes:
        when: status that a finding must have; None for a rule on a number. ``drifted`` looks at drift alone,
            ``breached`` at performance, versions, fairness, labels and data quality alone.
        metric: statistic that is compared with a number of the rule's own, whatever its status.
        above, below, change_from_reference: that number, one of the three; None for a rule on a status. The last is
            compared with the value less that on the reference: a fall by that much if it is negative, else a rise.
        recover: what a value (or change) that has crossed it must come back past before the alert ends; None for the
            same number.
        sure: the number must lie beyond the whole confidence interval for the alert to begin. It ends by the value.
        estimated: looks at estimated performance and nothing else.
        subject, statistic, segment: patterns such as ``feature:*``. A subject of ``*`` leaves out estimated
            performance; and, for a rule on a number, what is not the metric itself (the difference of a version, the
            count of bad segments) and the KS statistic of performance, since ``ks`` means the distance there.
        models, windows: names; empty for all.
        hold_ms: how long the condition must hold, in event time; 0 fires at once.
        resolve_ms: how long it must be clear, in event time; 0 resolves at once.
        notify: names of receivers.
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
    change_from_reference: float | None = None
    sure: bool = False
    estimated: bool = False

    @property
    def limit(self) -> float:
        """The number of a rule on a number; NaN for one on a status."""
        given = (self.above, self.below, self.change_from_reference)
        return next((number for number in given if number is not None), math.nan)

    @property
    def low_is_bad(self) -> bool:
        """Whether a rule on a number waits for something to fall."""
        return self.below is not None or (self.change_from_reference is not None and self.change_from_reference < 0)


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
