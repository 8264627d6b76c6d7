"""Errors of a regression model from int64 counters to which rows can be added and subtracted.

Errors are counted in units of ``scale``: e = (predicted − actual) / scale, and labels as z = (actual − centre) / scale.
Both are clipped at ±`REACH`; `counted` returns the number of clipped rows. Sums round each term to 2^-36, so for errors
of about one unit every metric has a relative error of 1e-9; for errors far below 1e-2 units (R² above 0.9999) the
rounding of their squares matters, and a smaller ``scale`` helps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from detectors import fixed_point
from detectors.array_types import Array
from detectors.performance.estimate import Estimate, mean_variance, normal, quantile, ratio, wilson

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

Sums = dict[str, Array]

REACH = 2.0**13
"""Greatest error and label, in units of the scale: its square is `fixed_point.LIMIT`."""
LEAST = 2.0**-14
"""Errors below this many units have one bin, which stands for no error at all."""
PER_OCTAVE = 8
WIDTH = 2.0 ** (1 / PER_OCTAVE) - 1
"""How much wider the outer edge of a bin is than the inner one, 0.0905: the bound of error quantiles."""
_EPS = float(np.finfo(np.float64).eps)
_SIDE = LEAST * 2.0 ** (np.arange(27 * PER_OCTAVE + 1) / PER_OCTAVE)
_EDGES = np.concatenate([-_SIDE[::-1], _SIDE])
BINS = len(_EDGES) - 1

_COUNTS = ("rows", "cut", "near_zero", "below", "bounded", "covered")
_NARROW = ("absolute", "error", "square", "signed", "label", "label2", "smape", "smape2", "log2", "near")
_WIDE = ("fourth", "label3", "label4", "cross", "cross2", "log4", "ape", "ape2")
_BEFORE = len(_COUNTS) + 2 * len(_NARROW) + 4 * len(_WIDE)


@dataclass(frozen=True, slots=True)
class Regression:
    """The counters of a regression model.

    Attributes:
        scale: unit of errors, above 0: for instance the standard deviation of the reference's labels.
        centre: about the mean of the labels; R² keeps its digits if it is within some ten scales of it.
        quantiles: levels of the pinball loss and of the error's quantiles, between 0 and 1.
        interval: whether the model logs lower and upper limits with its predictions.
    """

    scale: float
    centre: float = 0.0
    quantiles: tuple[float, ...] = (0.1, 0.5, 0.9)
    interval: bool = False

    def __post_init__(self) -> None:
        """Refuses invalid parameters.

        Raises:
            ValueError: if the scale is not between 1e-100 and 1e100, the centre is not finite, or a level is not
                between 0 and 1.
        """
        if not (1e-100 <= self.scale <= 1e100 and math.isfinite(self.centre)):
            raise ValueError("scale lies between 1e-100 and 1e100, centre is finite")
        if not all(0 < level < 1 for level in self.quantiles):
            raise ValueError("levels of quantiles lie between 0 and 1")

    @property
    def width(self) -> int:
        """Number of int64 counters."""
        return _BEFORE + BINS

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics that `regression_metrics` gives, in its order."""
        levels = tuple(f"{kind}_{level:g}" for kind in ("pinball", "error_quantile") for level in self.quantiles)
        plain = ("mae", "rmse", "mse", "rmsle", "mape", "smape", "r2", "bias")
        return plain + levels + (("interval_coverage",) if self.interval else ())


def count_regression(
    task: Regression,
    predicted: Array,
    actual: Array,
    low: Array | None,
    high: Array | None,
    groups: NDArray[np.int64],
    size: int,
) -> NDArray[np.int64]:
    """Counters of each group of rows.

    Args:
        task: defines the counters.
        predicted: float64[n]; rows where it or ``actual`` is NaN or ±inf are not counted.
        actual: float64[n], labels.
        low: float64[n], lower limits of the prediction or None; ±inf is a limit, NaN is none.
        high: float64[n], upper limits or None.
        groups: int64[n], from 0 to ``size`` − 1.
        size: number of groups.

    Returns:
        int64[size, task.width], a plain sum over rows: a corrected label is the new row's counters minus the old one's.
    """
    sound = np.isfinite(predicted) & np.isfinite(actual)
    predicted, actual, groups = predicted[sound], actual[sound], groups[sound]
    with np.errstate(over="ignore"):
        error, label = (predicted - actual) / task.scale, (actual - task.centre) / task.scale
    cut = (np.abs(error) > REACH) | (np.abs(label) > REACH)
    error, label = np.clip(error, -REACH, REACH), np.clip(label, -REACH, REACH)
    bounded, covered = np.zeros((2, len(actual)), dtype=np.bool_)
    if task.interval and low is not None and high is not None:
        low, high = low[sound], high[sound]
        bounded = ~(np.isnan(low) | np.isnan(high))
        covered = (low <= actual) & (actual <= high)
    terms = _terms(predicted, actual, error, label)
    flags = np.ones_like(cut), cut, np.abs(actual) < _EPS, np.minimum(predicted, actual) <= -1, bounded, covered
    parts = [np.stack(flags, axis=-1).astype(np.int64)]
    parts += [fixed_point.split(terms[name]) for name in _NARROW]
    parts += [_split_wide(terms[name]) for name in _WIDE]
    index = np.clip(np.searchsorted(_EDGES, error, side="right") - 1, 0, BINS - 1)
    histogram = np.bincount(groups * BINS + index, minlength=size * BINS).astype(np.int64).reshape(size, BINS)
    return np.concatenate([fixed_point.grouped(np.concatenate(parts, axis=-1), groups, size), histogram], axis=-1)


def counted(task: Regression, counts: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    """int64[...] each, of counts int64[..., task.width].

    ``rows``; ``cut``: rows beyond `REACH`, whose errors count for less than they are; ``near_zero``: labels nearer to 0
    than 2.2e-16, which make the mape what it is; ``below``: rows with a label or prediction of −1 or less, which have
    no rmsle; ``bounded``: rows with both limits.
    """
    held = counts[..., : task.width]
    return {name: held[..., index] for index, name in enumerate(_COUNTS[:-1])}


def absolute_errors(task: Regression, counts: NDArray[np.int64]) -> tuple[Array, Array, Array]:
    """Rows, Σ|e| and Σe² in units of the scale, float64[...] each, of counts int64[..., task.width]."""
    parts = dict(_parts(_NARROW, len(_COUNTS), 2))
    absolute, square = (fixed_point.joined(counts[..., parts[name]]) for name in ("absolute", "square"))
    return counts[..., 0].astype(np.float64), absolute, square


def regression_metrics(
    task: Regression, counts: NDArray[np.int64], alpha: float = 0.05, phi: float = 1.0
) -> dict[str, Estimate]:
    """All metrics of ``task.names``, each with a confidence interval.

    mae, mse, rmse, rmsle, mape, r2 and pinball are scikit-learn's (``pinball_0.1`` is ``mean_pinball_loss`` with that
    alpha, the prediction taken as this quantile); but r2 is NaN where all labels are equal. mape is a fraction, not
    percent. smape is the mean of 2·|p − y| / (|p| + |y|), 0 where both are 0, and lies between 0 and 2. bias is the
    mean of predicted − actual. ``error_quantile_0.1`` is a quantile of predicted − actual: it differs from the
    ceil(n·level)-th smallest error by at most `WIDTH` of it, or by `LEAST` units of scale where that is more.

    Means have normal intervals; mse, rmse and rmsle symmetrical ones on the logarithm of the metric, r2 on that of
    1 − r2 (delta method), which follow their skew. Quantiles have intervals by ranks (Woodruff 1952), infinite where
    there are too few rows for a limit; the coverage has Wilson's.

    Args:
        task: defines the counters.
        counts: int64[..., task.width].
        alpha: two-sided error probability of each interval.
        phi: design effect; intervals are computed for rows / phi independent rows.

    Returns:
        Estimates of shape [...]. Without rows all is NaN; so is rmsle where a value of −1 or less has been seen, and
        the ends of mape where a label is nearer to 0 than 2.2e-16: a single such row decides its value.
    """
    sums = {name: counts[..., index].astype(np.float64) for index, name in enumerate(_COUNTS)}
    sums |= {name: fixed_point.joined(counts[..., part]) for name, part in _parts(_NARROW, len(_COUNTS), 2)}
    for name, part in _parts(_WIDE, len(_COUNTS) + 2 * len(_NARROW), 4):
        halves = counts[..., part]
        sums[name] = fixed_point.joined(halves[..., :2]) + fixed_point.LIMIT * fixed_point.joined(halves[..., 2:])

    def mean(total: Array, squares: Array, unit: float, low: float = 0.0, high: float = np.inf) -> Estimate:
        variance = mean_variance(total, squares, sums["rows"], phi)
        return _times(normal(ratio(total, sums["rows"]), variance, alpha, low, high), unit)

    scale = task.scale
    mse = _squared(sums, "square", "fourth", alpha, phi)
    result = {
        "mae": mean(sums["absolute"], sums["square"], scale),
        "rmse": _times(Estimate(*(np.sqrt(part) for part in mse)), scale),
        "mse": _times(mse, scale * scale),
        "rmsle": _rmsle(sums, alpha, phi),
        "mape": _mape(mean(sums["ape"], sums["ape2"], 1.0), sums, scale),
        "smape": mean(sums["smape"], sums["smape2"], 1.0, 0.0, 2.0),
        "r2": _r2(sums, alpha, phi),
        "bias": mean(sums["error"], sums["square"], scale, -np.inf),
    }
    for level in task.quantiles:
        # The loss of a row is |e|/2 + tilt·e.
        tilt = 0.5 - level
        squares = (0.25 + tilt * tilt) * sums["square"] + tilt * sums["signed"]
        result[f"pinball_{level:g}"] = mean(0.5 * sums["absolute"] + tilt * sums["error"], squares, scale)
    histogram = counts[..., _BEFORE:].astype(np.float64)
    for level in task.quantiles:
        result[f"error_quantile_{level:g}"] = _error_quantile(histogram, level, scale, alpha, phi)
    if task.interval:
        result["interval_coverage"] = wilson(sums["covered"], sums["bounded"], alpha, phi)
    return result


def _terms(predicted: Array, actual: Array, error: Array, label: Array) -> Sums:
    """The contribution of each row to each sum, float64[n]."""
    size, square = np.abs(error), error * error
    near, below = np.abs(actual) < _EPS, np.minimum(predicted, actual) <= -1
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        ape = np.where(near, 0.0, np.abs(predicted - actual) / np.abs(actual))
        # Halves and quarters keep the greatest floats finite.
        both = np.abs(predicted) / 4 + np.abs(actual) / 4
        smape = np.where(both > 0, np.abs(predicted / 2 - actual / 2) / both, 0.0)
        log = np.where(below, 0.0, np.log1p(predicted) - np.log1p(actual))
    ape = np.minimum(ape, fixed_point.LIMIT**2)
    return {
        "absolute": size,
        "error": error,
        "square": square,
        "signed": error * size,
        "label": label,
        "label2": label**2,
        "smape": smape,
        "smape2": smape**2,
        "log2": log**2,
        "near": np.where(near, size, 0.0),
        "fourth": square * square,
        "label3": label**3,
        "label4": label**4,
        "cross": square * label,
        "cross2": square * label**2,
        "log4": log**4,
        "ape": ape,
        "ape2": np.minimum(ape, fixed_point.LIMIT) ** 2,
    }


def _split_wide(values: Array) -> NDArray[np.int64]:
    """int64[n, 4]: values up to LIMIT² in magnitude; values beyond LIMIT are counted separately in units of LIMIT."""
    great = np.abs(values) > fixed_point.LIMIT
    fine, coarse = np.where(great, 0.0, values), np.where(great, values / fixed_point.LIMIT, 0.0)
    return np.concatenate([fixed_point.split(fine), fixed_point.split(coarse)], axis=-1)


def _parts(names: tuple[str, ...], start: int, width: int) -> Iterator[tuple[str, slice]]:
    for index, name in enumerate(names):
        yield name, slice(start + width * index, start + width * (index + 1))


def _times(held: Estimate, unit: float) -> Estimate:
    return Estimate(*(part * unit for part in held))


def _squared(sums: Sums, squares: str, fourths: str, alpha: float, phi: float) -> Estimate:
    """A mean square with an interval that is symmetrical on its logarithm."""
    value = ratio(sums[squares], sums["rows"])
    spread = np.sqrt(ratio(mean_variance(sums[squares], sums[fourths], sums["rows"], phi), value * value))
    factor = _factor(spread, value, alpha)
    return Estimate(value, value / factor, value * factor)


def _factor(spread: Array, value: Array, alpha: float) -> Array:
    """float64[...]: how far a log-symmetrical interval reaches; 1 where the value is 0, infinite where unknown."""
    with np.errstate(over="ignore"):
        reach: Array = np.exp(quantile(alpha) * np.where(np.isnan(spread), np.inf, spread))
    return np.where(value > 0, reach, 1.0)


def _rmsle(sums: Sums, alpha: float, phi: float) -> Estimate:
    square = _squared(sums, "log2", "log4", alpha, phi)
    return Estimate(*(np.where(sums["below"] > 0, np.nan, np.sqrt(part)) for part in square))


def _mape(held: Estimate, sums: Sums, scale: float) -> Estimate:
    # scikit-learn divides by 2.2e-16 where the label is nearer to 0 than that.
    value = held.value + ratio(sums["near"], sums["rows"]) * scale / _EPS
    decided = sums["near_zero"] > 0
    return Estimate(value, *(np.where(decided, np.nan, part) for part in held[1:]))


def _r2(sums: Sums, alpha: float, phi: float) -> Estimate:
    """1 − A/B, A the mean square error, B the variance of labels; the influence of a row is (e² − A/B·u²)/B."""
    rows = sums["rows"]
    middle, z2, z3, z4 = (ratio(sums[name], rows) for name in ("label", "label2", "label3", "label4"))
    e2, e4, cross, cross2 = (ratio(sums[name], rows) for name in ("square", "fourth", "cross", "cross2"))
    spread = z2 - middle**2
    # Labels that do not vary leave nothing but rounding.
    noise = 2.0**-36 * (1 + 2 * np.abs(middle)) + 4 * _EPS * z2
    spread = np.where(spread > noise, spread, np.nan)
    left = e2 / spread
    u4 = z4 - 4 * middle * z3 + 6 * middle**2 * z2 - 3 * middle**4
    mixed = cross2 - 2 * middle * cross + middle**2 * e2
    influence = np.maximum(e4 - 2 * left * mixed + left**2 * u4, 0.0) / spread**2
    factor = _factor(np.sqrt(ratio(phi * influence, (rows - 1) * left**2)), left, alpha)
    return Estimate(1 - left, 1 - left * factor, 1 - left / factor)


def _error_quantile(histogram: Array, level: float, scale: float, alpha: float, phi: float) -> Estimate:
    rows = histogram.sum(axis=-1)
    total = np.cumsum(histogram, axis=-1)
    reach = quantile(alpha) * np.sqrt(ratio(np.full(rows.shape, level * (1 - level) * phi), rows))
    value = _at_rank(histogram, total, np.ceil(rows * level - 1e-9))
    lower = _at_rank(histogram, total, np.floor(rows * (level - reach)))
    upper = _at_rank(histogram, total, np.floor(rows * (level + reach)) + 1)
    held = rows > 0
    return Estimate(*(np.where(held, part * scale, np.nan) for part in (value, lower, upper)))


def _at_rank(histogram: Array, total: Array, rank: Array) -> Array:
    """float64[...]: about the ``rank``-th smallest error; −inf at rank 0, inf above the number of rows."""
    index = np.minimum(np.sum(total < rank[..., np.newaxis], axis=-1), BINS - 1)[..., np.newaxis]
    held = np.take_along_axis(histogram, index, axis=-1)[..., 0]
    before = np.take_along_axis(total, index, axis=-1)[..., 0] - held
    index = index[..., 0]
    within = np.clip(ratio(rank - before - 0.5, held), 0.0, 1.0)
    shown = _EDGES[index] + (_EDGES[index + 1] - _EDGES[index]) * within
    shown = np.where(index == BINS // 2, 0.0, shown)
    shown = np.where(rank < 1, -np.inf, np.where(rank > total[..., -1], np.inf, shown))
    return np.asarray(shown, dtype=np.float64)
