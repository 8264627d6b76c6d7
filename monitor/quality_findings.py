"""The quality of the data, and who is responsible for a drift, as findings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from alerts.evaluation import Finding
from detectors.attribution import attribute
from detectors.judge import INSUFFICIENT, STATISTICS
from detectors.quality import BREACHED, QualitySettings, explain_quality, judge_quality
from detectors.quality import STATISTICS as QUALITIES

if TYPE_CHECKING:
    from alerts.evaluation import Status
    from detectors.judge import Judgement
    from detectors.layout import Counts
    from detectors.reference import Reference

_NAN = float("nan")
_NAMED = 5


def quality_findings(
    reference: Reference, counts: Counts, settings: QualitySettings, held_back: str
) -> tuple[Finding, ...]:
    """One finding a rate that applies to a subject."""
    found = judge_quality(reference, counts, settings)
    findings = []
    for place, subject in enumerate(reference.layout.subjects):
        name = f"quality:{subject.removeprefix('feature:')}"
        for number, statistic in enumerate(QUALITIES):
            if np.isnan(found.value[number, place]):
                continue
            verdict = int(found.status[number, place])
            status: Status = "breached" if verdict == BREACHED else "insufficient" if verdict == INSUFFICIENT else "ok"
            detail = ""
            if held_back:
                status, detail = "insufficient", held_back
            elif status == "breached":
                detail = explain_quality(reference, counts, place, statistic)
            value, lower, upper, threshold = (
                float(part[number, place]) for part in (found.value, found.lower, found.upper, found.threshold)
            )
            findings.append(Finding(name, statistic, value, lower, upper, threshold, status, detail))
    return tuple(findings)


def attribution_finding(
    reference: Reference, judgement: Judgement, findings: tuple[Finding, ...]
) -> tuple[Finding, ...]:
    """Who is responsible, where anything has drifted: how many, and in the detail the greatest shares."""
    if not any(finding.status == "drifted" and finding.statistic == "psi" for finding in findings):
        return ()
    found = attribute(judgement.debiased[STATISTICS.index("psi")], judgement.p_value)
    named = [place for place in found.order.tolist() if found.responsible[place]]
    parts = [
        f"{reference.layout.subjects[place].removeprefix('feature:')} {found.shares[place]:.0%}"
        for place in named[:_NAMED]
    ]
    rest = sum(float(found.shares[place]) for place in named[_NAMED:])
    if len(named) > _NAMED:
        parts.append(f"{len(named) - _NAMED} more {rest:.0%}")
    detail = "of all change: " + ", ".join(parts) if parts else ""
    return (Finding("attribution", "responsible", float(len(named)), _NAN, _NAN, _NAN, "ok", detail),)
