"""Metrics of a binary classifier from int64 counters, to which rows can be added and from which they can be subtracted.

Each row has the probability that it is positive: 0 or 1 where its label is known (realised performance), a calibrated
probability otherwise (estimated performance, as in CBPE: TP is the sum of this probability over rows predicted
positive, and so on). Counters are sums of integers over rows: panes add up in any order, and a corrected label is
counts(new) − counts(old).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from detectors.binning import quantile_edges
from detectors.fixed_point import UNIT, grouped, joined, split, weights
from detectors.performance import binary_curves as curves
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

BINS = 256
"""Default number of bins of the score."""
MAX_BINS = 1024
_FINE_FROM = 128
_HALVINGS = 8
EPS = float(np.finfo(np.float64).eps)
"""The log loss keeps scores this far from 0 and 1, as scikit-learn does."""

_CELLS = 4  # TP, FP, FN, TN in units of 1/UNIT
_SUMS = 8  # log loss, its square, Brier score, its square: two halves each
_OUTSIDE = _CELLS + _SUMS  # rows whose score is no probability
_BINS_AT = _OUTSIDE + 1  # for each bin: positives and negatives in 1/UNIT, and how far scores lie above the edge
_PER_BIN = 3
_STEP = 2.0**30  # steps per 1.0 in which the distance from the edge is counted, cut at ±1

_PLAIN = (
    "accuracy",
    "balanced_accuracy",
    "precision",
    "recall",
    "specificity",
    "f1",
    "f_beta",
    "matthews_corrcoef",
    "positive_rate",
    "prevalence",
)
_SCORED = ("roc_auc", "average_precision", "log_loss", "brier", "ece", "ks", "lift")


@dataclass(frozen=True, slots=True)
class Binary:
    """The counters of a binary classifier.

    Attributes:
        edges: ascending edges of the score's bins, from `score_bins`; empty when no score is logged. Scores below or
            above fall into the first or last bin.
        beta: weight of recall in f_beta.
        lift_share: share of rows, by score from the top, that lift looks at; above 0, at most 1.
        costs: value of a TP, FP, FN and TN, any unit; None when there is none.
    """

    edges: tuple[float, ...]
    beta: float = 2.0
    lift_share: float = 0.1
    costs: tuple[float, float, float, float] | None = None

    def __post_init__(self) -> None:
        """Refuses invalid parameters.

        Raises:
            ValueError: for a single edge, too many, edges that descend, or parameters out of range.
        """
        if len(self.edges) == 1 or len(self.edges) > MAX_BINS + 1 or np.any(np.diff(self.edges) < 0):
            raise ValueError(f"edges ascend and make 1 to {MAX_BINS} bins, or there are none")
        if not (self.beta > 0.0 and 0.0 < self.lift_share <= 1.0):
            raise ValueError("beta is above 0, and lift_share above 0 and at most 1")

    @property
    def bins(self) -> int:
        """Number of bins of the score, 0 when none is logged."""
        return max(len(self.edges) - 1, 0)

    @property
    def width(self) -> int:
        """Number of int64 counters."""
        return _BINS_AT + _PER_BIN * self.bins if self.edges else _CELLS

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics that `binary_metrics` gives, in its order."""
        return _PLAIN + (_SCORED if self.edges else ()) + (("value_per_row",) if self.costs else ())


def score_bins(scores: NDArray[np.float64], bins: int = BINS) -> tuple[float, ...]:
    """Edges of at most ``bins`` bins with about equal numbers of a reference's scores, float64[n] in any order.

    NaN and ±inf are ignored; without a finite score there are no edges. A score that alone fills a bin's share has a
    separate bin, and so has every score if there are at most ``bins`` distinct scores. From 128 bins on, eight bins
    halve the highest bin repeatedly, because the highest scores decide average precision where positives are rare.
    """
    held = np.sort(scores[np.isfinite(scores)])
    if not held.size:
        return ()
    if bins < _FINE_FROM or np.unique(held).size <= bins:
        return tuple(quantile_edges(held, bins).tolist())
    edges = quantile_edges(held, bins - _HALVINGS)
    share = held.size / (bins - _HALVINGS) / 2.0 ** np.arange(1, _HALVINGS + 1)
    # Edges are scores that occur, so no bin of a single score is cut.
    finer = held[-np.ceil(share).astype(np.int64)]
    return (*np.unique(np.concatenate([edges[:-1], finer])).tolist(), float(edges[-1]))


def bin_of(scores: NDArray[np.float64], edges: tuple[float, ...]) -> NDArray[np.int64]:
    """int64[n]: the bin of each score (not NaN), from 0 to len(edges) − 2."""
    return np.searchsorted(np.array(edges[1:-1]), scores, side="right").astype(np.int64, copy=False)


def count_binary(
    task: Binary,
    scores: NDArray[np.float64],
    predicted: NDArray[np.bool_],
    positive: NDArray[np.float64],
    groups: NDArray[np.int64],
    size: int,
) -> NDArray[np.int64]:
    """Counters of each group of rows.

    Args:
        task: defines the counters.
        scores: float64[n], NaN where unknown: such rows count for metrics without scores.
        predicted: bool[n], whether the row was predicted positive.
        positive: float64[n], the probability that it is; 0 or 1 where known. Never NaN.
        groups: int64[n], from 0 to ``size`` − 1.
        size: number of groups.

    Returns:
        int64[size, task.width]. Sums over rows, exact.
    """
    hit = weights(positive)
    miss = UNIT - hit
    cells = np.stack([hit * predicted, miss * predicted, hit * ~predicted, miss * ~predicted], axis=-1)
    if not task.edges:
        return grouped(cells, groups, size)
    known = ~np.isnan(scores)
    score, share, held = scores[known], positive[known], groups[known]
    outside = (score < 0.0) | (score > 1.0)
    safe = np.clip(score, 0.0, 1.0)
    sums = np.stack([split(loss) for loss in _losses(safe, share)], axis=1).reshape(len(score), _SUMS)
    code = bin_of(score, task.edges)
    # Rounded up: only a score that equals the edge adds nothing.
    above = np.ceil(np.clip(score - np.array(task.edges)[code], -1.0, 1.0) * _STEP).astype(np.int64)
    parts = np.stack([hit[known], miss[known], above], axis=-1)
    binned = grouped(parts, held * task.bins + code, size * task.bins).reshape(size, _PER_BIN * task.bins)
    scored = grouped(np.concatenate([sums, outside[:, np.newaxis].astype(np.int64)], axis=1), held, size)
    return np.concatenate([grouped(cells, groups, size), scored, binned], axis=1)


def _losses(score: NDArray[np.float64], share: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    # Expectation of the loss and of its square, given the probability that the row is positive.
    hit, miss = -np.log(np.clip(score, EPS, 1.0 - EPS)), -np.log(np.clip(1.0 - score, EPS, 1.0 - EPS))
    rest = 1.0 - share
    return (
        share * hit + rest * miss,
        share * hit**2 + rest * miss**2,
        share * (1.0 - score) ** 2 + rest * score**2,
        share * (1.0 - score) ** 4 + rest * score**4,
    )


def binary_metrics(
    task: Binary, counts: NDArray[np.int64], alpha: float = 0.05, phi: float = 1.0
) -> dict[str, Estimate]:
    """All metrics of ``task.names``, each with a confidence interval.

    Shares have Wilson's interval, and so has f1, as a function of the share TP/(TP + FP + FN). Other intervals are
    documented where they are computed. For estimated performance the intervals assume labels drawn with the given
    probabilities: they are valid only if the probabilities are calibrated.

    Args:
        task: defines the counters.
        counts: int64[..., task.width].
        alpha: two-sided error probability.
        phi: design effect; intervals are computed for rows/phi independent rows.

    Returns:
        float64[...] each, named as scikit-learn does where it has the metric. NaN where undefined: without rows,
        without positives or negatives where both are needed, without predicted positives for precision, without
        scores, or where the scores are no probabilities for log_loss, brier and ece.
    """
    cells = counts[..., :_CELLS] / UNIT
    tp, fp, fn, tn = (cells[..., k] for k in range(_CELLS))
    rows = cells.sum(axis=-1)
    recall, specificity = wilson(tp, tp + fn, alpha, phi), wilson(tn, tn + fp, alpha, phi)
    both = Estimate(*(np.stack(ends, axis=-1) for ends in zip(recall, specificity, strict=True)))
    result = {
        "accuracy": wilson(tp + tn, rows, alpha, phi),
        "balanced_accuracy": sum_of(both, np.array([0.5, 0.5])),
        "precision": wilson(tp, tp + fp, alpha, phi),
        "recall": recall,
        "specificity": specificity,
        "f1": f1_of(tp, fp + fn, alpha, phi),
        "f_beta": _f_beta(cells, task.beta, alpha, phi),
        "matthews_corrcoef": _matthews(cells, alpha, phi),
        "positive_rate": wilson(tp + fp, rows, alpha, phi),
        "prevalence": wilson(tp + fn, rows, alpha, phi),
    }
    if task.edges:
        result |= _scored(task, counts, alpha, phi)
    if task.costs:
        result["value_per_row"] = _value(cells, np.array(task.costs), alpha, phi)
    return result


def f1_of(hits: NDArray[np.float64], wrong: NDArray[np.float64], alpha: float, phi: float) -> Estimate:
    """F1 from true positives and from false ones of both kinds: 2j/(1 + j), j Wilson's share of hits in their sum."""
    return Estimate(*(2.0 * end / (1.0 + end) for end in wilson(hits, hits + wrong, alpha, phi)))


def _f_beta(cells: NDArray[np.float64], beta: float, alpha: float, phi: float) -> Estimate:
    # Delta method with a logit interval; F = (1 + β²)TP / ((1 + β²)TP + β²FN + FP).
    weight = np.array([1.0 + beta**2, 1.0, beta**2, 0.0])
    rows = cells.sum(axis=-1)
    whole = cells @ weight
    value = ratio(weight[0] * cells[..., 0], whole)
    top = np.array([weight[0], 0.0, 0.0, 0.0])
    scale = ratio(rows, whole)[..., np.newaxis]
    gradient = (top - value[..., np.newaxis] * weight) * scale
    variance = delta_variance(gradient, ratio(cells, rows[..., np.newaxis]), rows, phi)
    return logit(value, variance, alpha, cells[..., :3].sum(axis=-1) / phi)


def _matthews(cells: NDArray[np.float64], alpha: float, phi: float) -> Estimate:
    # Delta method on Fisher's z, at cells with half a row more each: one without rows would seem to have no variance.
    # At ±1 Wilson's interval with the rows of the smaller class.
    value, _ = _matthews_slopes(cells)
    _, slopes = _matthews_slopes(cells + 0.5)
    rows = cells.sum(axis=-1)
    variance = delta_variance(slopes, (cells + 0.5) / (rows + 2.0)[..., np.newaxis], rows, phi)
    fewest = np.minimum(cells[..., 0] + cells[..., 2], cells[..., 1] + cells[..., 3]) / phi
    return logit(value, variance, alpha, fewest, low=-1.0)


def _matthews_slopes(cells: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    # The coefficient, and its derivatives by the share of each cell.
    rows = cells.sum(axis=-1)
    tp, fp, fn, tn = (ratio(cells[..., k], rows) for k in range(_CELLS))
    sides = tp + fp, tp + fn, tn + fp, tn + fn
    root = np.sqrt(sides[0] * sides[1] * sides[2] * sides[3])
    value = np.clip(ratio(tp * tn - fp * fn, root), -1.0, 1.0)
    a, b, c, d = (0.5 * value * ratio(np.ones(()), side) for side in sides)
    slopes = (
        ratio(tn, root) - a - b,
        -ratio(fn, root) - a - c,
        -ratio(fp, root) - b - d,
        ratio(tp, root) - c - d,
    )
    return value, np.stack(slopes, axis=-1)


def _value(cells: NDArray[np.float64], costs: NDArray[np.float64], alpha: float, phi: float) -> Estimate:
    # Half a row more in each cell, for the variance only, because an empty costly cell is still possible.
    rows = cells.sum(axis=-1)
    shares = (cells + 0.5) / (rows + 2.0)[..., np.newaxis]
    variance = delta_variance(costs, shares, rows, phi)
    return normal(ratio(cells @ costs, rows), variance, alpha, float(costs.min()), float(costs.max()))


def scored_bins(
    task: Binary, counts: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Positives and negatives float64[..., B], and how far the scores lie above their edges int64[..., B] in 2^-30."""
    bins = counts[..., _BINS_AT:].reshape(*counts.shape[:-1], task.bins, _PER_BIN)
    return bins[..., 0] / UNIT, bins[..., 1] / UNIT, bins[..., 2]


def roc_auc_bound(task: Binary, counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """float64[...]: greatest distance of roc_auc from that of the scores themselves, for int64[..., task.width]."""
    return curves.roc_auc_bound(*scored_bins(task, counts)[:2])


def average_precision_bounds(
    task: Binary, counts: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """float64[...] twice: between which the average precision of the scores lies, for int64[..., task.width]."""
    return curves.average_precision_bounds(*scored_bins(task, counts)[:2])


def _scored(task: Binary, counts: NDArray[np.int64], alpha: float, phi: float) -> dict[str, Estimate]:
    positives, negatives, above = scored_bins(task, counts)
    held = positives + negatives
    rows = held.sum(axis=-1)
    # Where a score is no probability, losses and calibration have no meaning.
    sound = np.where(counts[..., _OUTSIDE] > 0, 0.0, rows)
    totals = joined(counts[..., _CELLS:_OUTSIDE].reshape(*counts.shape[:-1], 4, 2))
    loss, loss2, square, square2 = (totals[..., k] for k in range(4))
    summed = held * np.array(task.edges[:-1]) + above / _STEP
    kept = np.where(sound > 0, 1.0, np.nan)[..., np.newaxis]
    return {
        "roc_auc": curves.roc_auc_estimate(positives, negatives, alpha, phi),
        "average_precision": curves.average_precision_estimate(positives, negatives, above == 0, alpha, phi),
        "log_loss": normal(ratio(loss, sound), mean_variance(loss, loss2, sound, phi), alpha, 0.0),
        "brier": normal(ratio(square, sound), mean_variance(square, square2, sound, phi), alpha, 0.0, 1.0),
        "ece": curves.ece_estimate(positives * kept, negatives * kept, summed * kept, alpha, phi),
        "ks": curves.ks_estimate(positives, negatives, alpha, phi),
        "lift": curves.lift_estimate(positives, negatives, task.lift_share, alpha, phi),
    }
