"""The quality of the data, and who is responsible for a drift, as findings."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from alerts.evaluation import Finding
from detectors.drift.attribution import attribute
from detectors.drift.judge import INSUFFICIENT, STATISTICS
from detectors.layout import MISSING
from detectors.quality.rates import BREACHED, QualitySettings, explain_quality
from detectors.quality.rates import STATISTICS as QUALITIES
from monitor.evaluate.schema_changes import listed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from alerts.evaluation import Status
    from detectors.drift.judge import Judgement
    from detectors.drift.reference import Reference
    from detectors.layout import Counts
    from detectors.quality.rates import Quality
    from monitor.evaluate.extra_counts import Duplicates

_NAN = float("nan")
_NAMED = 5
_STATUS: dict[int, Status] = {BREACHED: "breached", INSUFFICIENT: "insufficient"}


def quality_findings(reference: Reference, counts: Counts, found: Quality, held_back: str) -> tuple[Finding, ...]:
    """One finding a rate that applies to a subject, ``found`` of these counts."""
    # A cell of an array costs more than one of a list, and there are thousands.
    cells = zip(
        found.value.T.tolist(), found.lower.T.tolist(), found.upper.T.tolist(),
        found.threshold.T.tolist(), found.status.T.tolist(), strict=True,
    )  # fmt: skip
    findings = []
    for place, (subject, columns) in enumerate(zip(reference.layout.subjects, cells, strict=True)):
        name = f"quality:{subject.removeprefix('feature:')}"
        for statistic, value, lower, upper, threshold, verdict in zip(QUALITIES, *columns, strict=True):
            if math.isnan(value):
                continue
            status = _STATUS.get(verdict, "ok")
            detail = ""
            if held_back:
                status, detail = "insufficient", held_back
            elif status == "breached":
                detail = explain_quality(reference, counts, place, statistic)
            findings.append(Finding(name, statistic, value, lower, upper, threshold, status, detail))
    return tuple(findings)


def gone_finding(
    reference: Reference, counts: Counts, settings: QualitySettings, held_back: str
) -> tuple[Finding, ...]:
    """How many features no record of the window has a value of, though the reference does; chance is ruled out."""
    rows = int(counts.rows)
    held = reference.counts.bins
    usual = np.minimum((held[:, MISSING] + 1) / (float(reference.counts.rows) + 1), 1.0)
    # Dependent rows count as fewer independent rows.
    surprising = rows / reference.dispersion.missing * np.log(usual) < np.log(settings.alpha)
    gone = (counts.bins[:, MISSING] == rows) & (held[:, MISSING] < reference.counts.rows) & surprising
    subjects = reference.layout.subjects
    names = [subjects[place].removeprefix("feature:") for place in np.flatnonzero(gone).tolist()]
    status: Status = "breached" if names else "ok"
    detail = f"no record holds a value of {listed(names)}" if names else ""
    if held_back or rows < settings.min_rows:
        status, detail = "insufficient", held_back
    return (Finding("quality", "features_gone", float(len(names)), _NAN, _NAN, 0.0, status, detail),)


def duplicates_finding(
    duplicates: Duplicates, counts: NDArray[np.int64], rows: int, settings: QualitySettings, held_back: str
) -> tuple[Finding, ...]:
    """The share of rows that came again under the id of another one, in the whole window."""
    value, lower, upper = duplicates.rate(counts, rows, settings.alpha)
    status: Status = "breached" if lower > settings.min_change else "ok"
    detail = f"{value:.1%} of records repeat the id of another record" if status == "breached" else ""
    if held_back or math.isnan(value) or rows < settings.min_rows:
        status, detail = "insufficient", held_back or "too few rows with an id"
    return (Finding("quality", "duplicate_rate", value, lower, upper, settings.min_change, status, detail),)


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
