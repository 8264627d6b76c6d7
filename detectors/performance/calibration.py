"""Calibrated probabilities: maps scores to the frequency of positives in the reference, where this helps.

Isotonic regression (Barlow, Bartholomew, Bremner and Brunk 1972; for classifiers Zadrozny and Elkan 2002) finds the
rising step function of the score that is nearest to the labels. Between its steps the probability is interpolated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import isotonic_regression

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from detectors.array_types import Array


DRAWS = 10
ERROR_BINS = 10
SEPARATED = 0.999
"""ROC AUC above which calibration has nothing to learn: too few labels lie on the wrong side."""
_SEED = 20261124


@dataclass(frozen=True, slots=True)
class Calibration:
    """A rising, piecewise linear function from scores to probabilities.

    Attributes:
        points: scores, strictly ascending; empty if scores are already probabilities.
        values: probability at each point, not descending, from 0 to 1.
    """

    points: tuple[float, ...] = ()
    values: tuple[float, ...] = ()


def fit_calibration(scores: Array, positive: NDArray[np.bool_]) -> Calibration:
    """The calibration of a binary score, or the identity where calibration does not help.

    It helps if the expected calibration error falls (Naeini, Cooper and Hauskrecht 2015; ten bins of equally many
    rows), measured on rows that the fit has not seen: ten random tenths of the rows, stratified by label and pooled. It
    is not tried on fewer than twenty rows, on a single class, nor on a score that separates the classes (ROC AUC
    > 0.999). Scores beyond [0, 1] are not probabilities and are always calibrated. For an already calibrated score the
    choice is random; the fit then differs from the identity by the noise of the reference.

    Args:
        scores: float64[m], any order and any range; rows with NaN or ±inf are left out.
        positive: bool[m], the label.

    Returns:
        The calibration. The order of the rows does not matter. No rows give the identity.
    """
    finite = np.isfinite(scores)
    order = np.lexsort((positive[finite], scores[finite]))
    ordered, hit = scores[finite][order], positive[finite][order]
    if not ordered.size:
        return Calibration()
    points, index = np.unique(ordered, return_inverse=True)
    if points[0] >= 0 and points[-1] <= 1 and not _helps(ordered, hit, points, index):
        return Calibration()
    result, values = _isotonic(points, index, hit)
    return Calibration(tuple(result.tolist()), tuple(values.tolist()))


def calibrate(calibration: Calibration, scores: Array) -> Array:
    """float64[...]: the probability of each score, always from 0 to 1.

    Scores beyond the reference's get the probability of its nearest one. NaN stays NaN.
    """
    if not calibration.points:
        return np.clip(scores, 0.0, 1.0)
    result = np.interp(scores, np.array(calibration.points), np.array(calibration.values))
    # With a single point numpy gives NaN its value.
    return np.where(np.isnan(scores), np.nan, result)


def fit_multiclass(scores: Array, labels: NDArray[np.int64]) -> tuple[Calibration, ...]:
    """One calibration per class, each against all other classes (Zadrozny and Elkan 2002).

    Args:
        scores: float64[m, K], the score of each class.
        labels: int64[m], class from 0 to K − 1; any other number is a class without a score.
    """
    # Each class is a fit of its own; K is small.
    return tuple(fit_calibration(scores[:, number], labels == number) for number in range(scores.shape[1]))


def calibrate_multiclass(calibrations: tuple[Calibration, ...], scores: Array) -> Array:
    """float64[n, K]: probabilities of the classes; rows sum to 1.

    A row in which every class has probability 0 gives all classes 1/K. A row with a NaN is NaN throughout.

    Args:
        calibrations: as made by `fit_multiclass`, length K.
        scores: float64[n, K].
    """
    each = np.empty(scores.shape)
    for number, calibration in enumerate(calibrations):
        each[:, number] = calibrate(calibration, scores[:, number])
    total = each.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        return np.where(total == 0, 1 / max(len(calibrations), 1), each / total)


def calibration_error(probability: Array, positive: NDArray[np.bool_]) -> float:
    """Expected calibration error: the mean distance between promised and true share of positives.

    Rows are sorted by probability and cut into ten bins of equally many rows (fewer than ten where there are fewer than
    twenty rows); bins weigh as many rows as they hold. NaN without rows.

    Args:
        probability: float64[n], from 0 to 1.
        positive: bool[n].
    """
    rows = probability.size
    if not rows:
        return float("nan")
    order = np.argsort(probability, kind="stable")
    bins = min(ERROR_BINS, max(rows // 2, 1))
    starts = np.arange(bins) * rows // bins
    gaps = np.add.reduceat((probability - positive)[order], starts)
    return float(np.abs(gaps).sum() / rows)


def _isotonic(points: Array, index: NDArray[np.intp], hit: NDArray[np.bool_]) -> tuple[Array, Array]:
    """The break points of the fit; ``index`` gives the place of each row among the ascending ``points``."""
    rows = np.bincount(index, minlength=points.size).astype(np.float64)
    used = rows > 0
    share = np.bincount(index, weights=hit, minlength=points.size)[used] / rows[used]
    fitted = isotonic_regression(share, weights=rows[used]).x
    # The first and the last point of each level suffice: between them the line is flat.
    changes = np.diff(fitted) != 0
    ends = np.append(True, changes) | np.append(changes, True)
    # Weighted means of zeros and ones may stick out by a rounding error.
    return points[used][ends], np.clip(fitted[ends], 0.0, 1.0)


def _helps(scores: Array, hit: NDArray[np.bool_], points: Array, index: NDArray[np.intp]) -> bool:
    if scores.size < 2 * DRAWS or hit.all() or not hit.any() or _roc_auc(index, hit) > SEPARATED:
        return False
    generator = np.random.default_rng(_SEED)
    tests, calibrated = [], []
    # Ten fits, each without a tenth of the rows. The tenths are pooled, so that the ten bins have enough rows.
    for _ in range(DRAWS):
        test = _tenth(hit, generator)
        kept = np.ones(hit.size, dtype=np.bool_)
        kept[test] = False
        tests.append(test)
        calibrated.append(np.interp(scores[test], *_isotonic(points, index[kept], hit[kept])))
    drawn = np.concatenate(tests)
    return calibration_error(np.concatenate(calibrated), hit[drawn]) < calibration_error(scores[drawn], hit[drawn])


def _tenth(hit: NDArray[np.bool_], generator: np.random.Generator) -> NDArray[np.intp]:
    """Rows of a random tenth of each label's rows, at least one of each; both labels are there."""
    return np.concatenate(
        [
            generator.choice(rows, max(round(rows.size / 10), 1), replace=False)
            for rows in (np.flatnonzero(~hit), np.flatnonzero(hit))
        ]
    )


def _roc_auc(index: NDArray[np.intp], hit: NDArray[np.bool_]) -> float:
    """Mann and Whitney (1947), ties count half; both classes are there."""
    up = np.bincount(index, weights=hit)
    down = np.bincount(index, weights=~hit)
    below = np.cumsum(down) - down / 2
    return float((up * below).sum() / (up.sum() * down.sum()))
