"""Metrics with confidence intervals: shares, normal and logit intervals and the delta method.

Everything takes arrays and broadcasts. NaN stands for undefined and stays NaN; no interval leaves its metric's range.
A design effect ``phi`` (≥ 1, the variance of a mean over what independent rows would give) divides the number of rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import special

from detectors.bounds import binomial_bounds

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Estimate(NamedTuple):
    """A metric and its two-sided confidence interval: three float64 arrays of one shape, NaN where undefined."""

    value: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]


def quantile(alpha: float) -> float:
    """The standard normal quantile at 1 − alpha/2; ``alpha`` is the two-sided error probability."""
    return float(special.ndtri(1.0 - alpha / 2.0))


def ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64[...]: part / whole, NaN where whole is not above zero."""
    part, whole = np.broadcast_arrays(part, whole)
    shown = np.full(part.shape, np.nan)
    np.divide(part, whole, out=shown, where=whole > 0)
    return shown


def wilson(part: NDArray[np.float64], whole: NDArray[np.float64], alpha: float, phi: float = 1.0) -> Estimate:
    """A share with the score interval of Wilson (1927).

    Args:
        part: float64[...], rows that count, real numbers from 0 to ``whole``.
        whole: float64[...], rows; NaN results where it is 0.
        alpha: two-sided error probability.
        phi: design effect; the interval is that of ``whole / phi`` independent rows.
    """
    share = ratio(part, whole)
    z2 = quantile(alpha) ** 2
    rows = np.where(np.isnan(share), np.nan, whole / phi)
    middle = (share + z2 / (2.0 * rows)) / (1.0 + z2 / rows)
    variance = np.maximum(share * (1.0 - share), 0.0) / rows + z2 / (4.0 * rows * rows)
    half = np.sqrt(z2 * variance) / (1.0 + z2 / rows)
    return Estimate(share, _within(middle - half, 0.0, share), _within(middle + half, share, 1.0))


def clopper_pearson(part: NDArray[np.float64], whole: NDArray[np.float64], alpha: float, phi: float = 1.0) -> Estimate:
    """A share with the interval of Clopper and Pearson (1934), continued to real counts by the beta distribution.

    Arguments as for `wilson`. It covers at least 1 − alpha for independent rows, and is wider than Wilson's.
    """
    share = ratio(part, whole)
    defined = ~np.isnan(share)
    rows = np.where(defined, whole / phi, 1.0)
    lower, upper = binomial_bounds(np.where(defined, share, 0.0) * rows, rows, alpha / 2.0)
    return Estimate(share, _within(lower, 0.0, share), _within(upper, share, 1.0))


def sum_of(parts: Estimate, weights: NDArray[np.float64]) -> Estimate:
    """The weighted sum of independent metrics, with an interval made of theirs (MOVER; Zou & Donner 2008).

    Each end is as far from the value as the root of the summed squares of the weighted distances of the parts, so the
    interval is lopsided where theirs are, and has a length even where all parts are 0 or 1.

    Args:
        parts: float64[..., K] each.
        weights: float64[..., K], not negative.

    Returns:
        float64[...] each, over the last axis; NaN where a part is NaN. No longer than the parts allow.
    """
    value, low, high = (np.sum(weights * end, axis=-1) for end in parts)
    below = np.sqrt(np.sum((weights * (parts.value - parts.lower)) ** 2, axis=-1))
    above = np.sqrt(np.sum((weights * (parts.upper - parts.value)) ** 2, axis=-1))
    return Estimate(value, np.maximum(value - below, low), np.minimum(value + above, high))


def normal(
    value: NDArray[np.float64],
    variance: NDArray[np.float64],
    alpha: float,
    low: float = -np.inf,
    high: float = np.inf,
) -> Estimate:
    """value ± z·√variance, cut to the metric's range from ``low`` to ``high``; ``variance`` is that of the estimate.

    Where the variance is NaN (unknown), the interval is the whole range.
    """
    half = _half(variance, alpha)
    return Estimate(value, _within(value - half, low, value), _within(value + half, value, high))


def logit(
    value: NDArray[np.float64],
    variance: NDArray[np.float64],
    alpha: float,
    rows: NDArray[np.float64],
    low: float = 0.0,
) -> Estimate:
    """An interval for a metric from ``low`` (0 or −1) to 1 that is symmetric on the logit scale of that range.

    The delta method carries the variance over: logit(v) has the derivative 1 / (v·(1 − v)). For the range −1 to 1 it
    is Fisher's z. At an end of the range no variance is to be seen; there the interval is Wilson's for a share of 0
    or 1 of ``rows``. Where the variance is NaN (unknown), the interval is the whole range.

    Args:
        value: float64[...].
        variance: float64[...], of the estimate, on the scale of the metric.
        alpha: two-sided error probability.
        rows: float64[...], effective rows on which a value at an end of the range rests.
        low: the least value of the metric.
    """
    width = 1.0 - low
    share = (value - low) / width
    inside = (share > 1e-12) & (share < 1.0 - 1e-12)
    held = np.where(inside, share, 0.5)
    half = _half(variance, alpha) / (width * held * (1.0 - held))
    middle = special.logit(held)
    ends = wilson(share * rows, rows, alpha)
    # Without rows at an end of the range nothing is known.
    bare = np.isnan(ends.value)
    lower = np.where(inside, special.expit(middle - half), np.where(bare, 0.0, ends.lower))
    upper = np.where(inside, special.expit(middle + half), np.where(bare, 1.0, ends.upper))
    return Estimate(value, _within(lower * width + low, low, value), _within(upper * width + low, value, 1.0))


def _half(variance: NDArray[np.float64], alpha: float) -> NDArray[np.float64]:
    half: NDArray[np.float64] = quantile(alpha) * np.sqrt(np.where(np.isnan(variance), np.inf, variance).clip(0.0))
    return half


def delta_variance(
    gradient: NDArray[np.float64], shares: NDArray[np.float64], rows: NDArray[np.float64], phi: float = 1.0
) -> NDArray[np.float64]:
    """The variance of a smooth function of multinomial shares (delta method; Agresti 2013, section 16.1).

    Args:
        gradient: float64[..., C], derivatives by each share; a constant added to all of them changes nothing.
        shares: float64[..., C], summing to 1.
        rows: float64[...], rows that the shares come from.
        phi: design effect.

    Returns:
        float64[...], (Σ s·g² − (Σ s·g)²) · phi / rows, NaN without rows.
    """
    mean = np.sum(gradient * shares, axis=-1)
    spread = np.sum((gradient - mean[..., np.newaxis]) ** 2 * shares, axis=-1)
    return ratio(phi * spread, rows)


def mean_variance(
    total: NDArray[np.float64], squares: NDArray[np.float64], rows: NDArray[np.float64], phi: float = 1.0
) -> NDArray[np.float64]:
    """float64[...]: the variance of a mean, from the sum, the sum of squares and the rows; NaN below two rows."""
    mean = ratio(total, rows)
    spread = np.maximum(ratio(squares, rows) - mean * mean, 0.0)
    return ratio(phi * spread, np.asarray(rows, dtype=np.float64) - 1.0)


def _within(
    values: NDArray[np.float64], low: NDArray[np.float64] | float, high: NDArray[np.float64] | float
) -> NDArray[np.float64]:
    kept: NDArray[np.float64] = np.minimum(np.maximum(values, low), high)
    return kept
