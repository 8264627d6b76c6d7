"""Comparison of metrics: differences of independent samples, segments worse than the whole, directions of metrics."""

from __future__ import annotations

import re
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from detectors.performance.estimate import Estimate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from detectors.array_types import Array


def difference(a: Estimate, b: Estimate) -> Estimate:
    """a − b of metrics of two independent samples, with an interval made of theirs (MOVER).

    The distance of each end from the difference is the root of the summed squares of the distances of the two nearer
    ends from their values (Zou & Donner 2008; for shares with Wilson's intervals it is method 10 of Newcombe 1998). Its
    level is the level of the two intervals.

    Args:
        a: float64[...]; infinite ends are allowed.
        b: float64[...], broadcast with ``a``.

    Returns:
        float64[...]; NaN where the values, or the ends that an end is made of, are NaN.
    """
    value = np.subtract(a.value, b.value)
    below = _length(np.subtract(a.value, a.lower), np.subtract(b.upper, b.value))
    above = _length(np.subtract(a.upper, a.value), np.subtract(b.value, b.lower))
    return Estimate(value, value - below, value + above)


def quotient(a: Estimate, b: Estimate) -> Estimate:
    """a / b of metrics ≥ 0 of two independent samples, with an interval made of theirs (Donner & Zou 2012, MOVER-R).

    It holds what a ratio r may be if 0 lies within the interval of a − r·b. Arguments as for `difference`; ends are
    finite. NaN where b is 0; the upper end is infinite where b's lower end is 0.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        value = np.where(b.value > 0, a.value / b.value, np.nan)
        product = a.value * b.value
        a_low, a_high, b_low, b_high = (
            end * (2 * part.value - end) for part in (a, b) for end in (part.lower, part.upper)
        )
        # The smaller root, written so that it is defined even where b's interval is wide.
        lower = a_low / (product + np.sqrt(np.maximum(product**2 - a_low * b_high, 0.0)))
        upper = np.where(
            b_low > 0,
            (product + np.sqrt(np.maximum(product**2 - a_high * b_low, 0.0))) / b_low,
            np.where(np.isnan(b_low + a_high), np.nan, np.inf),
        )
    lower, upper = np.where(a_low > 0, lower, 0.0 * a_low), np.maximum(upper, value)
    return Estimate(value, np.where(np.isnan(value), np.nan, lower), np.where(np.isnan(value), np.nan, upper))


def worst(
    segments: Estimate, rows: Array, overall: Estimate, total: float, higher_is_better: bool
) -> NDArray[np.int64]:
    """The segments that are significantly worse than the whole, worst value first.

    A segment is significantly worse if the MOVER interval of segment − whole lies wholly on the worse side of 0. The
    whole contains the segment: with a share w of the rows, the covariance of segment and whole is w times the segment's
    variance (exact for means; Zou 2007 for MOVER with dependent parts). Without it, large segments would rarely differ.

    Args:
        segments: float64[S]; the level of their intervals applies to each decision (the caller applies Bonferroni's
            correction).
        rows: float64[S], rows of the metric of each segment; segments without rows are left out.
        overall: the metric of the whole, shape []; its interval has the level of the segments' intervals.
        total: rows of the whole.
        higher_is_better: whether worse is lower.

    Returns:
        int64[any], indices into S; for equal values the segment with more rows comes first. Segments with NaN or
        infinite ends on the relevant side are left out.
    """
    sign = 1.0 if higher_is_better else -1.0
    near, far = (segments.upper, overall.lower) if higher_is_better else (segments.lower, overall.upper)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        # The difference, and the distances of the ends that bring segment and whole together.
        loss = sign * (overall.value - segments.value)
        own, other = np.abs(near - segments.value), np.abs(overall.value - far)
        share = np.clip(rows / total, 0.0, 1.0)
        shared = np.maximum(own**2 * (1 - 2 * share) + other**2, (own * (1 - share)) ** 2)
        significant = (loss > np.sqrt(shared)) & (rows > 0)
    result = np.flatnonzero(significant)
    order = np.lexsort((-rows[result], sign * segments.value[result]))
    return result[order].astype(np.int64)


_UP = """
    accuracy balanced_accuracy precision recall specificity f1 f_beta matthews_corrcoef
    roc_auc average_precision ks lift value_per_row
    r2
    ndcg map mrr hit_rate precision_at_k recall_at_k
    disparate_impact_ratio
"""
_DOWN = """
    log_loss brier ece
    mae mse rmse rmsle mape smape pinball
    demographic_parity_difference equal_opportunity_difference equalized_odds_difference
"""
HIGHER_IS_BETTER: Mapping[str, bool] = MappingProxyType(
    dict.fromkeys(_UP.split(), True) | dict.fromkeys(_DOWN.split(), False)
)
"""Metric → whether higher is better. Metrics without a direction are not in it: positive_rate, prevalence, bias,
error_quantile and interval_coverage, which has a level to meet."""
_LABEL = re.compile(r":.*|(_ovr|_ovo)?_(macro|micro|weighted)|_[0-9][0-9.e-]*", re.DOTALL)


@lru_cache(maxsize=4096)
def higher_is_better(name: str) -> bool | None:
    """Whether higher is better for a metric by its name; None if it has no direction or is not known.

    A class after a colon (``precision:CLASS``), an average (``roc_auc_ovr_macro``) and a level (``pinball_0.1``) make
    no difference.
    """
    for base, direction in HIGHER_IS_BETTER.items():
        if name.startswith(base) and (name == base or _LABEL.fullmatch(name, len(base))):
            return direction
    return None


def _length(first: Array, second: Array) -> Array:
    # hypot of infinity and NaN is infinity.
    held: Array = np.where(np.isnan(first) | np.isnan(second), np.nan, np.hypot(first, second))
    return held
