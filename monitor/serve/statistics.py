"""The statistics of models on the metrics page. All models share one cap on the number of series."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from monitor.common.durations import parse_duration
from monitor.serve.finding_metrics import METRICS, claims, thresholds
from monitor.serve.label_metrics import Family
from monitor.serve.series_cap import shared

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alerts.evaluation import Evaluation
    from monitor.serve.finding_metrics import Claim
    from monitor.serve.label_metrics import Sample
    from monitor.serve.snapshot import EvaluationKey


class Statistics(NamedTuple):
    """The statistics on the page.

    Attributes:
        families: the metrics of all windows.
        shown: model → number of series on the page.
        dropped: model → number of series left out by the cap.
    """

    families: list[Family]
    shown: dict[str, int]
    dropped: dict[str, int]


class _Window(NamedTuple):
    """The series that a window could show, kept until the window is judged again."""

    evaluation: Evaluation
    claims: list[Claim]
    thresholds: dict[str, float]


class StatisticsPage:
    """Chooses the series of model statistics.

    Args:
        max_series: the greatest number of series on the page.
    """

    def __init__(self, max_series: int) -> None:
        self._max_series = max_series
        self._windows: dict[tuple[EvaluationKey, bool], _Window] = {}

    def collect(
        self, evaluations: Mapping[EvaluationKey, Evaluation], realised: Mapping[EvaluationKey, Evaluation]
    ) -> Statistics:
        """The series on the page.

        Args:
            evaluations: the newest evaluation of each series and window.
            realised: the newest evaluation of realised performance of each series and window.
        """
        self._windows = {
            (key, late): self._window(key, late, evaluation)
            for late, group in ((False, evaluations), (True, realised))
            for key, evaluation in group.items()
        }
        # Sorting by rank keeps this order within a rank: short windows first, then versions and segments by name.
        wanted: dict[str, list[Claim]] = {}
        limits: dict[tuple[str, ...], float] = {}
        for key, late in sorted(self._windows, key=_page_order):
            window = self._windows[key, late]
            wanted.setdefault(key.model, []).extend(window.claims)
            limits |= {(key.model, statistic): limit for statistic, limit in window.thresholds.items()}
        for model_claims in wanted.values():
            model_claims.sort(key=lambda claim: claim.rank)
        return self._emitted(wanted, limits)

    def _window(self, key: EvaluationKey, late: bool, evaluation: Evaluation) -> _Window:
        before = self._windows.get((key, late))
        if before is not None and before.evaluation is evaluation:
            return before
        return _Window(evaluation, claims(key, evaluation), thresholds(evaluation))

    def _emitted(self, wanted: Mapping[str, list[Claim]], limits: Mapping[tuple[str, ...], float]) -> Statistics:
        granted = shared(
            {model: [(claim.rank, claim.size) for claim in model_claims] for model, model_claims in wanted.items()},
            self._max_series,
        )
        samples: dict[str, list[Sample]] = {name: [] for name in METRICS}
        shown, dropped = dict.fromkeys(wanted, 0), dict.fromkeys(wanted, 0)
        for model, model_claims in wanted.items():
            for claim, room in zip(model_claims, granted[model], strict=True):
                dropped[model] += claim.size - room
                if room:
                    emitted = claim.samples(room)
                    samples[claim.metric] += emitted
                    shown[model] += len(emitted)
        families = [Family(name, text, labels, samples[name]) for name, (text, labels) in METRICS.items()]
        text = "Threshold that the lower confidence bound of a judged drift statistic is compared with."
        families.append(Family("leeway_drift_threshold", text, ("model", "statistic"), list(limits.items())))
        return Statistics(families, shown, dropped)


def _page_order(which: tuple[EvaluationKey, bool]) -> tuple[int, str, str, bool]:
    key, late = which
    return parse_duration(key.window), key.version, key.segment, late
