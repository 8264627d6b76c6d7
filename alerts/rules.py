"""A rule: when to alert, and whom to notify."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """When to alert, and whom to notify.

    Attributes:
        when: status that a finding must have; None for a rule on a number. ``drifted`` covers drift alone,
            ``breached`` covers performance, versions, fairness, labels and data quality alone.
        metric: statistic that is compared with the rule's limit, whatever the status of the finding.
        above, below, change_from_reference: the limit; exactly one is given, or none for a rule on a status.
            ``change_from_reference`` is compared with the value minus the value on the reference: a negative limit
            means a fall, a positive limit a rise.
        recover: the value (or change) must come back past this number before the alert ends; None for the limit.
        sure: whether the whole confidence interval must be beyond the limit for the alert to begin. Only the value
            decides the end.
        estimated: whether the rule covers estimated performance and nothing else.
        subject, statistic, segment: patterns such as ``feature:*``. A subject of ``*`` leaves out estimated
            performance. For a rule on a number it also leaves out numbers that are not the metric itself (the
            difference of a version, the count of bad segments), and the KS statistic of performance, since ``ks``
            then means the distance between distributions.
        models, windows: names; empty for all.
        hold_ms: how long the condition must hold, in event time; 0 fires at once.
        resolve_ms: how long the condition must be clear, in event time; 0 resolves at once.
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
        """The limit of a rule on a number; NaN for a rule on a status."""
        limits = (self.above, self.below, self.change_from_reference)
        return next((limit for limit in limits if limit is not None), math.nan)

    @property
    def low_is_bad(self) -> bool:
        """Whether a rule on a number alerts on low values or falls."""
        return self.below is not None or (self.change_from_reference is not None and self.change_from_reference < 0)
