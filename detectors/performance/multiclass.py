"""Metrics of a multiclass classifier, from int64 counters to which rows can be added and subtracted.

Each row has the probability of each class: 1 for the true class where its label is known, calibrated probabilities
otherwise, as in `detectors.performance.binary`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from detectors.fixed_point import UNIT, grouped, joined, split, weights
from detectors.performance.binary import EPS, bin_of, f1_of, score_bins
from detectors.performance.binary_curves import roc_auc, roc_auc_bound
from detectors.performance.estimate import (
    Estimate,
    delta_variance,
    logit,
    mean_variance,
    normal,
    ratio,
    sum_of,
    wilson,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

BINS = 64
"""Default number of bins of each class's score."""

_SUMS = 4  # log loss and its square: two halves each
_SINGLE = (
    "accuracy",
    "balanced_accuracy",
    "precision_macro",
    "precision_micro",
    "precision_weighted",
    "recall_macro",
    "recall_micro",
    "recall_weighted",
    "f1_macro",
    "f1_micro",
    "f1_weighted",
    "matthews_corrcoef",
)
_SCORED = ("roc_auc_ovr_macro", "roc_auc_ovr_weighted", "log_loss")


@dataclass(frozen=True, slots=True)
class Multiclass:
    """The counters of a classifier of K ≥ 2 classes.

    Attributes:
        classes: names of the classes.
        edges: for each class ascending edges of the bins of its score, from `class_bins`; empty when no scores are
            logged. Scores below or above fall into the first or last bin.
    """

    classes: tuple[str, ...]
    edges: tuple[tuple[float, ...], ...] = ()

    def __post_init__(self) -> None:
        """Refuses invalid parameters.

        Raises:
            ValueError: for fewer than two classes, a name that comes twice, or edges that do not fit the classes.
        """
        if len(self.classes) < 2 or len(set(self.classes)) < len(self.classes):
            raise ValueError("two classes or more, each with a name of its own")
        if self.edges and len(self.edges) != len(self.classes):
            raise ValueError("edges for every class, or for none")
        if any(len(own) < 2 or np.any(np.diff(own) < 0) for own in self.edges):
            raise ValueError("edges ascend, and there are two or more for each class")

    @property
    def cells(self) -> int:
        """Cells of the confusion matrix: K true classes by K predicted ones and any other."""
        return len(self.classes) * (len(self.classes) + 1)

    @property
    def starts(self) -> tuple[int, ...]:
        """Offset of the score bins of each class among the counters, and the end of the last class; () without bins."""
        if not self.edges:
            return ()
        widths = [2 * (len(own) - 1) for own in self.edges]
        return tuple(np.cumsum([self.cells + _SUMS + 1, *widths]).tolist())

    @property
    def width(self) -> int:
        """Number of int64 counters."""
        return self.starts[-1] if self.edges else self.cells

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics that `multiclass_metrics` gives, in its order."""
        own = tuple(f"{metric}:{name}" for metric in ("precision", "recall", "f1") for name in self.classes)
        return _SINGLE + own + (_SCORED if self.edges else ())


def class_bins(scores: NDArray[np.float64], bins: int = BINS) -> tuple[tuple[float, ...], ...]:
    """Edges for each class from a reference's scores float64[n, K]; () if a class has no finite score."""
    edges = tuple(score_bins(column, bins) for column in scores.T)
    return edges if all(edges) else ()


def count_multiclass(
    task: Multiclass,
    scores: NDArray[np.float64],
    predicted: NDArray[np.int64],
    actual: NDArray[np.float64],
    groups: NDArray[np.int64],
    size: int,
) -> NDArray[np.int64]:
    """Counters of each group of rows.

    Args:
        task: defines the counters, K classes.
        scores: float64[n, K]; a row with a NaN counts for metrics without scores. Ignored without edges.
        predicted: int64[n], the predicted class from 0 to K − 1, or K for any other.
        actual: float64[n, K], the probability of each class; one-hot where known. Rows sum to 1, never NaN.
        groups: int64[n], from 0 to ``size`` − 1.
        size: number of groups.

    Returns:
        int64[size, task.width]. Sums over rows, exact.
    """
    width = len(task.classes)
    share = weights(actual)
    # A row fills one column of the matrix: column by group first, so that no row needs K by K + 1 cells.
    columns = grouped(share, groups * (width + 1) + predicted, size * (width + 1))
    cells = columns.reshape(size, width + 1, width).transpose(0, 2, 1).reshape(size, task.cells)
    if not task.edges:
        return cells
    known = ~np.isnan(scores).any(axis=1)
    score, truth, own, held = scores[known], actual[known], share[known], groups[known]
    outside = np.any((score < 0.0) | (score > 1.0), axis=1, keepdims=True)
    losses = -np.log(np.clip(score, EPS, 1.0 - EPS))
    both = np.stack([(truth * losses).sum(axis=1), (truth * losses**2).sum(axis=1)], axis=1)
    sums = np.concatenate([split(both).reshape(-1, _SUMS), outside.astype(np.int64)], axis=1)
    parts = [cells, grouped(sums, held, size)]
    # Classes have edges of their own, so each is looked up by itself.
    for k, edges in enumerate(task.edges):
        bins = len(edges) - 1
        sides = np.stack([own[:, k], UNIT - own[:, k]], axis=1)
        code = held * bins + bin_of(score[:, k], edges)
        parts.append(grouped(sides, code, size * bins).reshape(size, 2 * bins))
    return np.concatenate(parts, axis=1)


def confusion(task: Multiclass, counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """float64[..., K, K + 1]: rows by true and predicted class, the last column any other; of int64[..., width]."""
    shape = (*counts.shape[:-1], len(task.classes), len(task.classes) + 1)
    return counts[..., : task.cells].reshape(shape) / UNIT


def multiclass_metrics(
    task: Multiclass, counts: NDArray[np.int64], alpha: float = 0.05, phi: float = 1.0
) -> dict[str, Estimate]:
    """All metrics of ``task.names``, each with a confidence interval.

    In averages over classes an undefined value counts as 0, as it does in scikit-learn; by itself it is NaN.
    balanced_accuracy is the mean over the classes that occur. Intervals: Wilson for shares, MOVER for
    balanced_accuracy, precision_macro and recall_macro (with 0 to 1 for an undefined part), the delta method with a
    logit interval for the others.

    Args:
        task: defines the counters.
        counts: int64[..., task.width].
        alpha: two-sided error probability.
        phi: design effect; intervals are computed for rows/phi independent rows.

    Returns:
        float64[...] each. NaN where undefined: without rows or scores; matthews_corrcoef if all rows are of one class
        or all are predicted as one class; roc_auc_ovr_macro if a class has no rows (roc_auc_ovr_weighted leaves it out)
        or all rows; log_loss if a score is not a probability.
    """
    table = confusion(task, counts)
    width = len(task.classes)
    right = np.diagonal(table[..., :width], axis1=-2, axis2=-1)
    actual, chosen = table.sum(axis=-1), table.sum(axis=-2)[..., :width]
    rows = actual.sum(axis=-1)
    hits = right.sum(axis=-1)
    precision, recall = wilson(right, chosen, alpha, phi), wilson(right, actual, alpha, phi)
    f1 = f1_of(right, actual + chosen - 2.0 * right, alpha, phi)
    accuracy = wilson(hits, rows, alpha, phi)
    equal = ratio(np.full(actual.shape, 1.0 / width), np.where(rows > 0, 1.0, 0.0)[..., np.newaxis])
    weight = ratio(actual, rows[..., np.newaxis])
    present = ratio((actual > 0).astype(np.float64), (actual > 0).sum(axis=-1, keepdims=True).astype(np.float64))
    shares = ratio(table, rows[..., np.newaxis, np.newaxis])

    def smooth(value: NDArray[np.float64], slopes: NDArray[np.float64], ends: NDArray[np.float64]) -> Estimate:
        # ``slopes`` by share, ``ends`` the lower end where no variance is to be seen.
        variance = delta_variance(_flat(slopes), _flat(shares), rows, phi)
        shown = logit(value, variance, alpha, rows / phi)
        return shown._replace(lower=np.where(value >= 1.0 - 1e-12, np.minimum(ends, value), shown.lower))

    pooled = 2.0 * hits / np.where(rows > 0, rows + chosen.sum(axis=-1), np.nan)
    result = {
        "accuracy": accuracy,
        "balanced_accuracy": sum_of(_defined(recall), present),
        "precision_macro": sum_of(_defined(precision), equal),
        "precision_micro": wilson(hits, chosen.sum(axis=-1), alpha, phi),
        "precision_weighted": smooth(
            np.sum(weight * np.nan_to_num(precision.value), axis=-1),
            _precision_slopes(shares, weight, precision.value),
            np.sum(weight * np.nan_to_num(precision.lower), axis=-1),
        ),
        "recall_macro": sum_of(_defined(recall), equal),
        "recall_micro": accuracy,
        "recall_weighted": accuracy,
        "f1_macro": smooth(
            np.sum(equal * np.nan_to_num(f1.value), axis=-1),
            _f1_slopes(shares, equal, f1.value),
            np.sum(equal * np.nan_to_num(f1.lower), axis=-1),
        ),
        "f1_micro": smooth(pooled, _f1_micro_slopes(shares, pooled), accuracy.lower),
        "f1_weighted": smooth(
            np.sum(weight * np.nan_to_num(f1.value), axis=-1),
            _f1_slopes(shares, weight, f1.value) + np.nan_to_num(f1.value)[..., :, np.newaxis],
            np.sum(weight * np.nan_to_num(f1.lower), axis=-1),
        ),
        "matthews_corrcoef": _matthews(shares, rows, alpha, phi),
    }
    for metric, estimate in (("precision", precision), ("recall", recall), ("f1", f1)):
        for k, name in enumerate(task.classes):
            result[f"{metric}:{name}"] = Estimate(*(end[..., k] for end in estimate))
    return result | _scored(task, counts, alpha, phi) if task.edges else result


def _flat(cells: NDArray[np.float64]) -> NDArray[np.float64]:
    return cells.reshape(*cells.shape[:-2], -1)


def _defined(parts: Estimate) -> Estimate:
    # An undefined part counts as 0 and may be anything.
    none = np.isnan(parts.value)
    return Estimate(
        np.where(none, 0.0, parts.value), np.where(none, 0.0, parts.lower), np.where(none, 1.0, parts.upper)
    )


def _wide(by_class: NDArray[np.float64]) -> NDArray[np.float64]:
    # float64[..., K] by predicted class as a row over K + 1 columns; nothing hangs on the last one.
    return np.concatenate([by_class, np.zeros((*by_class.shape[:-1], 1))], axis=-1)[..., np.newaxis, :]


def _precision_slopes(
    shares: NDArray[np.float64], weight: NDArray[np.float64], precision: NDArray[np.float64]
) -> NDArray[np.float64]:
    # Derivatives of Σ (share of actual class) · precision by each cell, the weight's own part with it.
    held = np.nan_to_num(precision)
    per_choice = np.nan_to_num(ratio(weight, shares.sum(axis=-2)[..., :-1]))
    slopes = held[..., :, np.newaxis] - _wide(held * per_choice)
    return slopes + np.eye(*shares.shape[-2:]) * _wide(per_choice)


def _f1_slopes(
    shares: NDArray[np.float64], weight: NDArray[np.float64], f1: NDArray[np.float64]
) -> NDArray[np.float64]:
    # Derivatives of Σ weight · 2c/(r + p) by each cell, the weights held.
    per_row = np.nan_to_num(ratio(weight, shares.sum(axis=-1) + shares.sum(axis=-2)[..., :-1]))
    lost = np.nan_to_num(f1) * per_row
    return 2.0 * np.eye(*shares.shape[-2:]) * _wide(per_row) - _wide(lost) - lost[..., :, np.newaxis]


def _f1_micro_slopes(shares: NDArray[np.float64], f1: NDArray[np.float64]) -> NDArray[np.float64]:
    # 2·hits/(rows + rows predicted in a known class), by each cell.
    chosen = shares[..., :-1].sum(axis=(-2, -1))
    known = np.arange(shares.shape[-1]) < shares.shape[-1] - 1
    slopes = 2.0 * np.eye(*shares.shape[-2:]) - f1[..., np.newaxis, np.newaxis] * known
    per_cell: NDArray[np.float64] = slopes / (1.0 + chosen)[..., np.newaxis, np.newaxis]
    return per_cell


def _matthews(shares: NDArray[np.float64], rows: NDArray[np.float64], alpha: float, phi: float) -> Estimate:
    # Gorodkin (2004), delta method on Fisher's z; at ±1 Wilson's interval with the rows of the smallest class.
    actual, chosen = shares.sum(axis=-1), shares.sum(axis=-2)
    right = np.trace(shares[..., :-1], axis1=-2, axis2=-1)
    free = 1.0 - np.sum(actual**2, axis=-1), 1.0 - np.sum(chosen**2, axis=-1)
    # Rounding must not make a class of all rows look like two.
    held = [np.where(side > 1e-12, side, 0.0) for side in free]
    root = np.sqrt(held[0] * held[1])
    value = np.clip(ratio(right - np.sum(actual * chosen[..., :-1], axis=-1), root), -1.0, 1.0)
    top = np.eye(*shares.shape[-2:]) - _wide(actual) - chosen[..., :-1, np.newaxis]
    slopes = ratio(top, root[..., np.newaxis, np.newaxis]) + value[..., np.newaxis, np.newaxis] * (
        ratio(actual, held[0][..., np.newaxis])[..., :, np.newaxis]
        + ratio(chosen, held[1][..., np.newaxis])[..., np.newaxis, :]
    )
    variance = delta_variance(_flat(slopes), _flat(shares), rows, phi)
    fewest = np.min(np.where(actual > 0, actual, np.inf), axis=-1)
    return logit(value, variance, alpha, np.where(np.isfinite(fewest), fewest, 0.0) * rows / phi, low=-1.0)


def _scored(task: Multiclass, counts: NDArray[np.int64], alpha: float, phi: float) -> dict[str, Estimate]:
    sides = class_counts(task, counts)
    areas = [roc_auc(positives, negatives, phi) for positives, negatives in sides]
    area, variance = (np.stack(part, axis=-1) for part in zip(*areas, strict=True))
    own = np.stack([positives.sum(axis=-1) for positives, _ in sides], axis=-1)
    rows = sum(part.sum(axis=-1) for part in sides[0])
    weight = ratio(own, np.asarray(rows)[..., np.newaxis])
    # The classes share their rows, and the correlation of their errors is unknown, so standard deviations add up.
    errors = np.sqrt(variance)
    counted = weight > 0
    by_weight = np.where(counted, area, 0.0), np.where(counted, errors, 0.0)
    fewest = np.min(np.where(counted, own, np.inf), axis=-1)
    fewest = np.where(np.isfinite(fewest), fewest, 0.0) / phi
    loss, loss2 = (joined(counts[..., task.cells + k : task.cells + k + 2]) for k in (0, 2))
    sound = np.where(counts[..., task.cells + _SUMS] > 0, 0.0, rows)
    return {
        "roc_auc_ovr_macro": logit(area.mean(axis=-1), errors.mean(axis=-1) ** 2, alpha, fewest),
        "roc_auc_ovr_weighted": logit(
            np.sum(weight * by_weight[0], axis=-1), np.sum(weight * by_weight[1], axis=-1) ** 2, alpha, fewest
        ),
        "log_loss": normal(ratio(loss, sound), mean_variance(loss, loss2, sound, phi), alpha, 0.0),
    }


def class_counts(task: Multiclass, counts: NDArray[np.int64]) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """For each class, float64[..., B] of its rows and of all others by bin of its score."""
    held = [counts[..., start:end] / UNIT for start, end in pairwise(task.starts)]
    return [(own[..., 0::2], own[..., 1::2]) for own in held]


def roc_auc_ovr_bound(task: Multiclass, counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """float64[...]: greatest distance of roc_auc_ovr_macro from that of the scores themselves."""
    bounds: NDArray[np.float64] = np.mean([roc_auc_bound(*own) for own in class_counts(task, counts)], axis=0)
    return bounds
