"""Evaluations and findings, the input of the rules: one judged window of one series."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import msgspec

from alerts.subjects import EACH, LOST

Status = Literal["ok", "drifted", "breached", "insufficient"]


class Finding(msgspec.Struct, frozen=True, gc=False):
    """One statistic of one subject, judged.

    A struct, not a dataclass: a month of one-minute windows makes ten million findings, and a struct takes a fifth of
    the time to create.

    Attributes:
        subject: ``feature:age``, ``prediction``, ``score``, …
        statistic: ``psi``, ``ks``, ``missing``, …
        value: the point estimate; NaN when it cannot be computed.
        lower, upper: confidence bounds; NaN when the statistic has none.
        threshold: the lower bound is compared with it; NaN when the statistic is shown but not judged.
        status: the judgement; a statistic without a threshold is ``ok``, or ``insufficient`` on too few rows.
        detail: one sentence for people; often empty.
        debiased: the value minus the average contribution of sampling noise; NaN where that is unknown.
        reference: value of the statistic on the reference (performance only); NaN elsewhere.
    """

    subject: str
    statistic: str
    value: float
    lower: float
    upper: float
    threshold: float
    status: Status
    detail: str = ""
    debiased: float = math.nan
    reference: float = math.nan


def subject_of(finding: Finding) -> tuple[str, str]:
    """The subject of a finding as alerts count them: for performance, each metric is a subject."""
    return finding.subject, finding.statistic if finding.subject.partition(":")[0] in EACH else ""


@dataclass(frozen=True, slots=True)
class OffsetRange:
    """The messages of one partition that fed a window: offsets first to last, both included."""

    topic: str
    partition: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All findings of one window [start, end) of one series; times are epoch milliseconds of event time.

    Attributes:
        version: model version, ``-`` when records carry none.
        segment: ``all``, or ``column=value``.
        window: the configured length, ``1h``.
        at: when it was judged, in event time (the watermark had passed ``end``).
        realised: True for realised performance, whose labels may arrive long after the window.
        fault: why the window shows a broken feed rather than a change of the world, which suppresses retraining; empty
            otherwise.
    """

    model: str
    version: str
    segment: str
    window: str
    start: int
    end: int
    at: int
    rows: int
    labelled_rows: int
    findings: tuple[Finding, ...]
    offsets: tuple[OffsetRange, ...] = ()
    realised: bool = False
    fault: str = ""

    @property
    def lost(self) -> str:
        """The messages missing from the window, in words; empty when none were lost."""
        return next((finding.detail for finding in self.findings if finding.statistic == LOST), "")
