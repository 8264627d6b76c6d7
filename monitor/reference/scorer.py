"""Converts outputs and labels to counts, and counts to metrics, behind one interface for all tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from detectors.fixed_point import grouped, joined, split
from detectors.performance.binary import Binary, binary_metrics, count_binary
from detectors.performance.calibration import Calibration, calibrate, calibrate_multiclass
from detectors.performance.error_model import ErrorModel, expected_errors, uncertainty
from detectors.performance.estimate import Estimate, quantile
from detectors.performance.multiclass import Multiclass, confusion, count_multiclass, multiclass_metrics
from detectors.performance.ranking import Ranking, count_ranking, ranking_metrics
from detectors.performance.regression import Regression, absolute_errors, count_regression, regression_metrics

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from detectors.array_types import Integers, Records
    from monitor.rows.records import ModelRows, PredictionOutputs

Task = Binary | Multiclass | Regression | Ranking
MAX_RELEVANT = 20
"""Relevant items kept of a ranking's label."""
DEFAULT_METRICS = {"binary": ("roc_auc", "accuracy"), "multiclass": ("accuracy",), "regression": ("mae",),
                   "ranking": ("ndcg",)}  # fmt: skip
"""Metrics that are judged unless the configuration names others; metrics that need scores are left out without them."""


@dataclass(frozen=True, slots=True)
class Scorer:
    """Counts the performance of one model.

    Attributes:
        task: the counts, and their parameters.
        calibrations: map scores to probabilities, one for each class with a score; None if the reference has no labels.
        error_model: expected errors of a regression; None if the reference has no labels.
    """

    task: Task
    calibrations: tuple[Calibration, ...] | None = None
    error_model: ErrorModel | None = None

    @property
    def width(self) -> int:
        """Number of counts of a pane's realised performance."""
        return self.task.width

    @property
    def prediction_type(self) -> list[tuple[str, str]]:
        """Fields of a prediction that are kept until its label arrives."""
        if isinstance(self.task, Binary):
            return [("predicted", "<f8"), ("score0", "<f8")]
        if isinstance(self.task, Multiclass):
            return [("predicted", "<f8"), *((f"score{index}", "<f8") for index in range(len(self.task.edges)))]
        if isinstance(self.task, Regression):
            return [("predicted", "<f8"), ("low", "<f8"), ("high", "<f8")]
        return [(f"item{index}", "<u8") for index in range(self.task.k)]

    @property
    def label_type(self) -> list[tuple[str, str]]:
        """Fields of a label."""
        if isinstance(self.task, Ranking):
            relevant = [(f"item{index}", "<u8") for index in range(MAX_RELEVANT)]
            return relevant + [(f"gain{index}", "<f8") for index in range(MAX_RELEVANT)]
        return [("value", "<f8")]

    def keep(self, outputs: PredictionOutputs, into: Records) -> None:
        """Writes outputs into rows whose dtype contains `prediction_type`."""
        if isinstance(self.task, Ranking):
            for index in range(self.task.k):
                into[f"item{index}"] = outputs.items[:, index]
            return
        into["predicted"] = outputs.predicted
        if isinstance(self.task, Regression):
            into["low"], into["high"] = outputs.low, outputs.high
        else:
            for index in range(_scores(self.task)):
                into[f"score{index}"] = outputs.scores[:, index] if outputs.scores.shape[1] > index else np.nan

    def realised(self, predictions: Records, labels: Records, groups: Integers, size: int) -> Integers:
        """int64[size, width]: counts of joined pairs by group."""
        task = self.task
        if isinstance(task, Ranking):
            items = np.stack([predictions[f"item{index}"] for index in range(task.k)], axis=1)
            relevant = np.stack([labels[f"item{index}"] for index in range(MAX_RELEVANT)], axis=1)
            gains = np.stack([labels[f"gain{index}"] for index in range(MAX_RELEVANT)], axis=1)
            return count_ranking(task, items, relevant, gains, groups, size)
        predicted, value = predictions["predicted"], labels["value"]
        if isinstance(task, Regression):
            return count_regression(task, predicted, value, predictions["low"], predictions["high"], groups, size)
        # Pairs without a prediction, or with a class that this reference lacks, are not counted.
        known = np.isfinite(predicted) & np.isfinite(value)
        predicted, value, groups = predicted[known], value[known], groups[known]
        if isinstance(task, Binary):
            return count_binary(task, predictions["score0"][known], predicted == 1.0, value, groups, size)
        scores = _matrix(predictions[known], len(task.edges))
        return count_multiclass(task, scores, _places(task, predicted), _one_hot(task, value), groups, size)

    def metrics(self, counts: Integers, alpha: float, phi: float) -> dict[str, Estimate]:
        """Every metric of counts int64[..., width]; intervals miss with probability ``alpha`` on each side."""
        both = 2 * alpha
        if isinstance(self.task, Binary):
            return binary_metrics(self.task, counts, both, phi)
        if isinstance(self.task, Multiclass):
            return multiclass_metrics(self.task, counts, both, phi)
        if isinstance(self.task, Regression):
            return regression_metrics(self.task, counts, both, phi)
        return ranking_metrics(self.task, counts, both, phi)

    @property
    def estimates(self) -> bool:
        """Whether performance can be estimated without labels."""
        if isinstance(self.task, Regression):
            return self.error_model is not None
        return bool(self.calibrations) and not isinstance(self.task, Ranking)

    @property
    def estimated_width(self) -> int:
        """Number of counts of a pane's estimated performance."""
        if not self.estimates:
            return 0
        return 5 if isinstance(self.task, Regression) else self.task.width

    def estimated(self, rows: ModelRows, groups: Integers, size: int) -> Integers:
        """int64[size, estimated_width]: counts of rows by group, each expected from its score or its features."""
        outputs, task = rows.outputs, self.task
        assert outputs is not None
        if isinstance(task, Regression):
            assert self.error_model is not None
            absolute, square = expected_errors(self.error_model, rows.codes)
            known = np.isfinite(outputs.predicted)
            errors = np.concatenate([split(absolute[known] / task.scale), split(square[known] / task.scale**2)], axis=1)
            counts = np.concatenate([np.ones((int(known.sum()), 1), dtype=np.int64), errors], axis=1)
            return grouped(counts, groups[known], size)
        assert self.calibrations is not None
        known = np.isfinite(outputs.predicted) & ~np.isnan(outputs.scores).any(axis=1)
        scores, predicted, groups = outputs.scores[known], outputs.predicted[known], groups[known]
        if isinstance(task, Binary):
            chance = calibrate(self.calibrations[0], scores[:, 0])
            return count_binary(task, scores[:, 0], predicted == 1.0, chance, groups, size)
        assert isinstance(task, Multiclass)
        chances = calibrate_multiclass(self.calibrations, scores)
        return count_multiclass(task, scores, _places(task, predicted), chances, groups, size)

    def estimated_metrics(self, counts: Integers, alpha: float, phi: float) -> dict[str, Estimate]:
        """Every metric that can be estimated, of counts int64[..., estimated_width]."""
        if not isinstance(self.task, Regression):
            return self.metrics(counts, alpha, phi)
        assert self.error_model is not None
        rows = counts[..., 0].astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            absolute = joined(counts[..., 1:3]) / rows * self.task.scale
            square = joined(counts[..., 3:5]) / rows * self.task.scale**2
        errors = uncertainty(self.error_model, rows / phi)
        z = quantile(2 * alpha)
        reach = z * errors[0], z * errors[1]
        mae = Estimate(absolute, np.maximum(absolute - reach[0], 0.0), absolute + reach[0])
        squares = (square, np.maximum(square - reach[1], 0.0), square + reach[1])
        return {"mae": mae, "rmse": Estimate(*(np.sqrt(bound) for bound in squares))}

    def error_sums(self, counts: Integers) -> tuple[float, float, float]:
        """Rows, Σ error, Σ error² of int64[width]: 0 or 1 of a classifier, else the absolute error in task scales."""
        task = self.task
        if isinstance(task, Binary):
            right_and_wrong = self.cells(counts)
            wrong = float(right_and_wrong[1] + right_and_wrong[2])
            return float(right_and_wrong.sum()), wrong, wrong
        if isinstance(task, Multiclass):
            cells = confusion(task, counts)
            wrong = float(cells.sum() - np.trace(cells[:, : len(cells)]))
            return float(cells.sum()), wrong, wrong
        assert isinstance(task, Regression)
        rows, absolute, square = absolute_errors(task, counts)
        return float(rows), float(absolute), float(square)

    def cells(self, counts: Integers) -> NDArray[np.float64]:
        """float64[..., 4]: TP, FP, FN, TN of a binary task."""
        assert isinstance(self.task, Binary)
        cells: NDArray[np.float64] = counts[..., :4] / float(1 << 20)
        return cells

    def confusion(self, counts: Integers) -> NDArray[np.float64]:
        """float64[..., K, K + 1] of a multiclass task."""
        assert isinstance(self.task, Multiclass)
        return confusion(self.task, counts)


def _scores(task: Task) -> int:
    return 1 if isinstance(task, Binary) else len(task.edges) if isinstance(task, Multiclass) else 0


def _matrix(rows: Records, size: int) -> NDArray[np.float64]:
    if not size:
        return np.zeros((len(rows), 0))
    return np.stack([rows[f"score{index}"] for index in range(size)], axis=1)


def _places(task: Multiclass, predicted: NDArray[np.float64]) -> Integers:
    classes = len(task.classes)
    return np.where(predicted < 0, classes, predicted).astype(np.int64)


def _one_hot(task: Multiclass, value: NDArray[np.float64]) -> NDArray[np.float64]:
    indicators: NDArray[np.float64] = (value[:, None] == np.arange(len(task.classes))).astype(np.float64)
    return indicators
