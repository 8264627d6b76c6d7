"""A judgement of one window as findings, subject by subject."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerts.evaluation import Finding
from detectors.drift.explain import explain
from detectors.drift.judge import DRIFTED, INSUFFICIENT

if TYPE_CHECKING:
    from alerts.evaluation import Status
    from detectors.drift.judge import Judgement
    from detectors.drift.reference import Reference
    from detectors.layout import Counts
    from monitor.reference.profile import Profile

_STATUS: dict[int, Status] = {DRIFTED: "drifted", INSUFFICIENT: "insufficient"}


def findings_of(
    profile: Profile,
    reference: Reference,
    counts: Counts,
    judgement: Judgement,
    statistics: tuple[str, ...],
    held_back: str,
) -> tuple[Finding, ...]:
    """A judgement of one window as findings, subject by subject.

    Args:
        profile: for category names.
        reference: what the window was compared with.
        counts: of the window, without leading dimensions.
        judgement: of these counts.
        statistics: names of what it holds.
        held_back: why nothing may be concluded; empty when it may.
    """
    findings = []
    # A cell of an array costs more than one of a list, and there are thousands.
    cells = zip(
        *(part.T.tolist() for part in (judgement.value, judgement.lower, judgement.upper, judgement.debiased)),
        judgement.status.T.tolist(), strict=True,
    )  # fmt: skip
    threshold = judgement.threshold.tolist()
    for place, (subject, columns) in enumerate(zip(reference.layout.subjects, cells, strict=True)):
        for statistic, limit, value, lower, upper, debiased, status in zip(
            statistics, threshold, *columns, strict=True
        ):
            verdict: Status = _STATUS.get(status, "ok")
            detail = ""
            if held_back:
                verdict, detail = "insufficient", held_back
            elif verdict == "drifted":
                detail = explain(
                    reference,
                    counts,
                    place,
                    statistic,
                    lambda column, subject=subject: profile.category(subject, column),  # type: ignore[misc]  # bound now
                )
            findings.append(Finding(subject, statistic, value, lower, upper, limit, verdict, detail, debiased))
    return tuple(findings)
