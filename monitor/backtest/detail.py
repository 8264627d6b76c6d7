"""Selects the evaluations that `leewayd backtest --json` writes."""

from __future__ import annotations

import math
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alerts.evaluation import Evaluation, Status

    Series = tuple[str, str, str, str, bool]


class JsonDetail(StrEnum):
    """The values of ``--json-detail``."""

    ALL = "all"
    JUDGED = "judged"
    CHANGED = "changed"


class Selection:
    """Chooses the evaluations to write.

    Args:
        detail: which evaluations to write.
    """

    def __init__(self, detail: JsonDetail) -> None:
        self._detail = detail
        self._statuses: dict[Series, dict[tuple[str, str], Status]] = {}

    def of(self, evaluation: Evaluation) -> Evaluation | None:
        """The evaluation as written, possibly with fewer findings; None if it is left out."""
        if self._detail is JsonDetail.JUDGED:
            return _judged(evaluation)
        if self._detail is JsonDetail.CHANGED:
            return evaluation if self._changed(evaluation) else None
        return evaluation

    def _changed(self, evaluation: Evaluation) -> bool:
        series = evaluation.model, evaluation.version, evaluation.segment, evaluation.window, evaluation.realised
        statuses = {(finding.subject, finding.statistic): finding.status for finding in evaluation.findings}
        before = self._statuses.get(series)
        self._statuses[series] = statuses
        return statuses != before


def _judged(evaluation: Evaluation) -> Evaluation | None:
    """The evaluation without insufficient findings; None if no finding with a threshold remains."""
    findings = tuple(finding for finding in evaluation.findings if finding.status != "insufficient")
    if all(math.isnan(finding.threshold) for finding in findings):
        return None
    return replace(evaluation, findings=findings)
