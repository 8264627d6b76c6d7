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
    value, lower, upper = judgement.value.tolist(), judgement.lower.tolist(), judgement.upper.tolist()
    debiased = judgement.debiased.tolist()
    status, threshold = judgement.status.tolist(), judgement.threshold.tolist()
    for place, subject in enumerate(reference.layout.subjects):
        for number, statistic in enumerate(statistics):
            verdict: Status = _STATUS.get(status[number][place], "ok")
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
            findings.append(
                Finding(
                    subject,
                    statistic,
                    value[number][place],
                    lower[number][place],
                    upper[number][place],
                    threshold[number],
                    verdict,
                    detail,
                    debiased[number][place],
                )
            )
    return tuple(findings)
