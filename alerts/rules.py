"""A rule: when to alert, and whom to notify."""

from __future__ import annotations

import math
from dataclasses import dataclass


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
