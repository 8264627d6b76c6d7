"""Differences in a classifier's treatment of the groups of a protected column, with confidence intervals.

Names follow the literature: demographic parity (Dwork et al. 2012), equal opportunity and equalized odds (Hardt, Price
& Srebro 2016), disparate impact (Feldman et al. 2015).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from detectors.performance.compare import difference, quotient
from detectors.performance.estimate import Estimate, clopper_pearson

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from detectors.array_types import Array


MEASURES = (
    "demographic_parity_difference", "disparate_impact_ratio", "equal_opportunity_difference",
    "equalized_odds_difference",
)  # fmt: skip
"""Names of the results of `fairness`."""
MIN_ROWS = 30.0
"""Effective rows below which a group is left out."""


@dataclass(frozen=True, slots=True)
class Fairness:
    """A measure of fairness over groups.

    Attributes:
        estimate: value and interval, shape [] each; NaN if fewer than two groups have enough rows.
        lowest: index of the group with the lowest rate, −1 if there is none.
        highest: index of the group with the highest rate.
        left_out: indices of groups with too few effective rows for the rate.
    """

    estimate: Estimate
    lowest: int
    highest: int
    left_out: tuple[int, ...]


def fairness(
    confusion: Array, alpha: float = 0.05, phi: float = 1.0, min_rows: float = MIN_ROWS
) -> dict[str, Fairness]:
    """Differences between groups, with intervals that allow for the selection of the extreme groups.

    - ``demographic_parity_difference``: greatest − least selection rate, (TP + FP) / rows.
    - ``disparate_impact_ratio``: least / greatest selection rate, NaN if no row is selected.
    - ``equal_opportunity_difference``: greatest − least true positive rate, TP / (TP + FN).
    - ``equalized_odds_difference``: the greater of ``equal_opportunity_difference`` and the difference of
      FP / (FP + TN) (fairlearn's worst case), with the extreme groups of the greater difference.

    All pairs of groups are compared, each pair at alpha / number of pairs (Bonferroni), by MOVER on Clopper's and
    Pearson's intervals: score intervals are too short so far in the tails. With a probability of 1 − alpha no pair's
    interval misses its difference, and then the greatest difference lies between the greatest lower and the greatest
    upper end. So if all groups are equal the lower end is above 0 (the ratio's upper end below 1) at most in alpha of
    all cases. The value itself is the plain one: among many equal groups it is above 0 by chance.

    Args:
        confusion: float64[G, 4], TP, FP, FN, TN of each group, ≥ 0; they need not be whole (expected counts).
        alpha: two-sided error probability of each measure's interval.
        phi: design effect; intervals are computed for rows / phi independent rows.
        min_rows: effective rows (positives for true positive rates, negatives for false positive rates) below which a
            group is left out.

    Returns:
        A `Fairness` each. A group with NaN is left out.
    """
    tp, fp, fn, tn = np.moveaxis(np.maximum(confusion, 0.0), -1, 0)
    least = min_rows * phi
    selected, rows = tp + fp, tp + fp + fn + tn
    chance = _gap(tp, tp + fn, alpha, phi, least)
    both = [_gap(part, whole, alpha / 2, phi, least) for part, whole in ((tp, tp + fn), (fp, fp + tn))]
    return {
        "demographic_parity_difference": _gap(selected, rows, alpha, phi, least),
        "disparate_impact_ratio": _impact(selected, rows, alpha, phi, least),
        "equal_opportunity_difference": chance,
        "equalized_odds_difference": _greater(both[0], both[1]),
    }


def _pairs(
    part: Array, whole: Array, alpha: float, phi: float, least: float
) -> tuple[Estimate, NDArray[np.intp], tuple[int, ...]]:
    """Rates float64[U] of the groups in use, at the level of each pair; indices of groups in use and of others."""
    usable = (whole >= least) & (whole > 0)
    used = np.flatnonzero(usable)
    pairs = max(used.size * (used.size - 1) // 2, 1)
    held = clopper_pearson(part[used], whole[used], alpha / pairs, phi)
    return held, used, tuple(np.flatnonzero(~usable).tolist())


def _gap(part: Array, whole: Array, alpha: float, phi: float, least: float) -> Fairness:
    rates, used, left_out = _pairs(part, whole, alpha, phi, least)
    if used.size < 2:
        return _none(left_out)
    low, high = int(np.argmin(rates.value)), int(np.argmax(rates.value))
    each = difference(_column(rates), _row(rates))
    apart = ~np.eye(used.size, dtype=np.bool_)
    lower, upper = (np.max(end, where=apart, initial=0.0) for end in (each.lower, each.upper))
    result = Estimate(np.array(rates.value[high] - rates.value[low]), np.array(lower), np.array(np.minimum(upper, 1.0)))
    return Fairness(result, int(used[low]), int(used[high]), left_out)


def _impact(part: Array, whole: Array, alpha: float, phi: float, least: float) -> Fairness:
    rates, used, left_out = _pairs(part, whole, alpha, phi, least)
    if used.size < 2 or not rates.value.max() > 0:
        return _none(left_out)
    low, high = int(np.argmin(rates.value)), int(np.argmax(rates.value))
    each = quotient(_column(rates), _row(rates))
    # Without selected rows in the lower group the quotient is undefined; its reciprocal is in the other half.
    apart = ~np.eye(used.size, dtype=np.bool_) & ~np.isnan(each.value)
    lower, upper = (np.min(end, where=apart, initial=1.0) for end in (each.lower, each.upper))
    result = Estimate(np.array(rates.value[low] / rates.value[high]), np.array(lower), np.array(upper))
    return Fairness(result, int(used[low]), int(used[high]), left_out)


def _greater(first: Fairness, second: Fairness) -> Fairness:
    """The worse of two gaps; if either is undefined so is the result."""
    left_out = tuple(sorted({*first.left_out, *second.left_out}))
    if first.lowest < 0 or second.lowest < 0:
        return _none(left_out)
    ends = [np.maximum(one, two) for one, two in zip(first.estimate, second.estimate, strict=True)]
    wider = first if first.estimate.value >= second.estimate.value else second
    return Fairness(Estimate(*ends), wider.lowest, wider.highest, left_out)


def _none(left_out: tuple[int, ...]) -> Fairness:
    return Fairness(Estimate(*(np.array(np.nan) for _ in range(3))), -1, -1, left_out)


def _column(rates: Estimate) -> Estimate:
    return Estimate(*(part[:, np.newaxis] for part in rates))


def _row(rates: Estimate) -> Estimate:
    return Estimate(*(part[np.newaxis] for part in rates))
