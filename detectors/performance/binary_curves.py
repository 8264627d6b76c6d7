"""Metrics of a ranking, from the numbers of positives and negatives in each bin of the score.

All functions take float64[..., B] of positives and of negatives, bins in ascending order of the score, and return
float64[...]; NaN where a class has no rows. Only the order within a bin is unknown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import digamma, kolmogi

from detectors.performance.estimate import Estimate, delta_variance, logit, normal, quantile, ratio

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MODEL_ROWS = 10.0
GROUPS = 10
"""Groups of about equally many rows that the expected calibration error is taken over."""


def roc_auc(
    positives: NDArray[np.float64], negatives: NDArray[np.float64], phi: float = 1.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The area under the ROC curve, ties in a bin counted half, and its variance.

    The variance is DeLong's (1988). A few positives often underestimate it, so it is shrunk towards the variance that
    Hanley & McNeil (1982) derive from the area alone, if it is greater, with the weight of ten rows of the smaller
    class. NaN if a class has at most one row.
    """
    p, n = _shares(positives), _shares(negatives)
    # The share of negatives that a positive in the bin outranks, and the share of positives that outrank a negative.
    beaten = np.cumsum(n, axis=-1) - n / 2.0
    beating = 1.0 - np.cumsum(p, axis=-1) + p / 2.0
    area = np.sum(p * beaten, axis=-1)
    spread = [
        ratio(np.sum(part * (held - area[..., np.newaxis]) ** 2, axis=-1), rows.sum(axis=-1) / phi - 1.0)
        for part, held, rows in ((p, beaten, positives), (n, beating, negatives))
    ]
    area = np.clip(area, 0.0, 1.0)
    hits, misses = positives.sum(axis=-1) / phi, negatives.sum(axis=-1) / phi
    square = area**2
    two_hits, two_misses = area / (2.0 - area) - square, 2.0 * square / (1.0 + area) - square
    model = ratio(area - square + (hits - 1.0) * two_hits + (misses - 1.0) * two_misses, hits * misses)
    seen = spread[0] + spread[1]
    trust = ratio(np.minimum(hits, misses), np.minimum(hits, misses) + _MODEL_ROWS)
    return area, trust * seen + (1.0 - trust) * np.maximum(seen, model)


def roc_auc_bound(positives: NDArray[np.float64], negatives: NDArray[np.float64]) -> NDArray[np.float64]:
    """Greatest distance of `roc_auc` from the area of the scores themselves.

    Pairs inside a bin count half; in the extreme, all pairs are ranked right, or all wrong.
    """
    bound: NDArray[np.float64] = 0.5 * np.sum(_shares(positives) * _shares(negatives), axis=-1)
    return bound


def roc_auc_estimate(
    positives: NDArray[np.float64], negatives: NDArray[np.float64], alpha: float, phi: float = 1.0
) -> Estimate:
    """`roc_auc` with a logit interval; for a perfect ranking that of Wilson with the rows of the smaller class."""
    area, variance = roc_auc(positives, negatives, phi)
    rows = np.minimum(positives.sum(axis=-1), negatives.sum(axis=-1)) / phi
    return logit(area, variance, alpha, rows)


def average_precision(
    positives: NDArray[np.float64], negatives: NDArray[np.float64], tied: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Average precision: Σ over positives of the precision at their score, over their number.

    Args:
        positives: float64[..., B].
        negatives: float64[..., B].
        tied: bool[..., B], bins whose rows all have one score: their precision is computed at the end of the bin, as in
            scikit-learn. In other bins the precision is its mean over all orders of the bin's rows.
    """
    hits, rows, before, ahead = _descending(positives, negatives)
    end = ratio(before + hits, ahead + rows)
    # The k-th of the bin's rows is a positive: before it stand (k − 1)·(hits − 1)/(rows − 1) others of the bin.
    step = ratio(np.maximum(hits - 1.0, 0.0), rows - 1.0)
    step = np.where(np.isnan(step), 0.0, step)
    head = before + 1.0 - step - step * ahead
    mean = step + head * ratio(digamma(ahead + rows + 1.0) - digamma(ahead + 1.0), rows)
    low, high = _precision_ends(hits, rows, before, ahead)
    shown = np.where(tied[..., ::-1], end, np.clip(mean, low, high))
    total = hits.sum(axis=-1)
    return np.clip(ratio(np.sum(np.where(hits > 0, shown * hits, 0.0), axis=-1), total), 0.0, 1.0)


def average_precision_bounds(
    positives: NDArray[np.float64], negatives: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Least and greatest average precision of any scores, tied or not, that fall into the bins like this."""
    hits, rows, before, ahead = _descending(positives, negatives)
    total = hits.sum(axis=-1)
    low, high = (
        ratio(np.sum(np.where(hits > 0, end * hits, 0.0), axis=-1), total)
        for end in _precision_ends(hits, rows, before, ahead)
    )
    return low, high


def _descending(
    positives: NDArray[np.float64], negatives: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    # From the highest score down: positives and rows of each bin, positives and rows above it.
    hits = positives[..., ::-1]
    rows = hits + negatives[..., ::-1]
    return hits, rows, np.cumsum(hits, axis=-1) - hits, np.cumsum(rows, axis=-1) - rows


def _precision_ends(
    hits: NDArray[np.float64], rows: NDArray[np.float64], before: NDArray[np.float64], ahead: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    # At worst the bin's negatives come first; the mean of (before + x)/(ahead + negatives + x) over 0 < x < hits is
    # never above the mean at 1, 2, … hits. At best its positives come first and are tied.
    rest = ahead + rows - hits
    held = np.where(rest > 0.0, rest, 1.0)
    drop = np.where(rest > 0.0, (rest - before) * ratio(np.log1p(hits / held), hits), 0.0)
    return 1.0 - drop, ratio(before + hits, ahead + hits)


def average_precision_estimate(
    positives: NDArray[np.float64],
    negatives: NDArray[np.float64],
    tied: NDArray[np.bool_],
    alpha: float,
    phi: float = 1.0,
) -> Estimate:
    """`average_precision` with the logit interval of Boyd, Eng & Page (2013): variance v·(1 − v)/positives."""
    value = average_precision(positives, negatives, tied)
    rows = positives.sum(axis=-1) / phi
    return logit(value, ratio(value * (1.0 - value), rows), alpha, rows)


def ks_estimate(
    positives: NDArray[np.float64], negatives: NDArray[np.float64], alpha: float, phi: float = 1.0
) -> Estimate:
    """The greatest distance of the two classes' score distributions, max |TPR − FPR| over the edges of the bins.

    The observed maximum is biased upwards. So the upper end needs the error at one threshold only (normal, at its
    greatest variance), while the lower end uses Kolmogorov's distribution, which holds at all thresholds at once.
    """
    gap = np.abs(np.cumsum(_shares(positives), axis=-1) - np.cumsum(_shares(negatives), axis=-1))
    value = np.clip(gap.max(axis=-1), 0.0, 1.0)
    scale = np.sqrt(phi * (ratio(np.ones(()), positives.sum(axis=-1)) + ratio(np.ones(()), negatives.sum(axis=-1))))
    return Estimate(
        value,
        np.clip(value - kolmogi(alpha / 2.0) * scale, 0.0, value),
        np.clip(value + quantile(alpha) * scale / 2.0, value, 1.0),
    )


def lift_estimate(
    positives: NDArray[np.float64], negatives: NDArray[np.float64], share: float, alpha: float, phi: float = 1.0
) -> Estimate:
    """Precision among the top ``share`` of the scores over prevalence, which is recall there over ``share``.

    Inside the bin that the threshold cuts, positives are spread evenly. The interval is the delta method's for recall
    above an estimated quantile: moving the threshold trades recall at the density of positives near it, which is seen
    between half and one and a half of ``share``.
    """
    recall = _top(positives, negatives, share)
    low, high = 0.5 * share, min(1.5 * share, 1.0)
    density = (_top(positives, negatives, high) - _top(positives, negatives, low)) / (high - low)
    rows = positives.sum(axis=-1) + negatives.sum(axis=-1)
    prevalence = ratio(positives.sum(axis=-1), rows)
    per_hit = ratio(np.ones(()), prevalence)
    cells = np.stack(
        [
            recall * prevalence,
            np.maximum(share - recall * prevalence, 0.0),
            (1.0 - recall) * prevalence,
            np.maximum(1.0 - share - (1.0 - recall) * prevalence, 0.0),
        ],
        axis=-1,
    )
    gradient = np.stack(
        [
            (1.0 - recall) * per_hit - density * (1.0 - share),
            -density * (1.0 - share),
            density * share - recall * per_hit,
            density * share,
        ],
        axis=-1,
    )
    variance = delta_variance(gradient, cells, rows, phi)
    shown = logit(recall, variance, alpha, positives.sum(axis=-1) / phi)
    return Estimate(*(end / share for end in shown))


def _top(positives: NDArray[np.float64], negatives: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    # The share of the positives among the top share of all rows.
    hits, rows, _, ahead = _descending(positives, negatives)
    wanted = share * rows.sum(axis=-1, keepdims=True)
    part = np.clip(ratio(wanted - ahead, rows), 0.0, 1.0)
    taken = np.sum(np.where(rows > 0, part * hits, 0.0), axis=-1)
    return np.clip(ratio(taken, hits.sum(axis=-1)), 0.0, 1.0)


def ece_estimate(
    positives: NDArray[np.float64],
    negatives: NDArray[np.float64],
    scores: NDArray[np.float64],
    alpha: float,
    phi: float = 1.0,
) -> Estimate:
    """Expected calibration error: Σ share of the group · |mean score − share of positives| (Naeini et al. 2015).

    A group is a run of whole bins; a bin belongs to that tenth of the rows in which its middle row lies. The gap of a
    group of small size is never seen as 0, so noise adds to the value. The interval allows for that: the lower end
    takes off the mean of the summed |errors| too, by the triangle inequality; the upper end needs no more than the
    errors with the signs of the gaps.

    Args:
        positives: float64[..., B].
        negatives: float64[..., B].
        scores: float64[..., B], sum of the scores in the bin.
        alpha: two-sided error probability.
        phi: design effect.
    """
    rows = positives + negatives
    total = rows.sum(axis=-1, keepdims=True)
    middle = ratio(np.cumsum(rows, axis=-1) - rows / 2.0, total)
    group = np.minimum(np.floor(np.nan_to_num(middle) * GROUPS), GROUPS - 1)
    # One pass for each group of the ten: a table of bins by groups would be ten times the counters.
    sums = np.stack(
        [
            np.stack([np.sum(np.where(group == k, part, 0.0), axis=-1) for part in (positives, rows, scores)], axis=-1)
            for k in range(GROUPS)
        ],
        axis=-2,
    )
    hits, held, summed = sums[..., 0], sums[..., 1], sums[..., 2]
    weight = ratio(held, total)
    value = np.sum(ratio(np.abs(summed - hits), total), axis=-1)
    # Half a hit and half a miss more: a group without positives is not without error.
    share = (hits + 0.5) / (held + 1.0)
    error = weight * np.sqrt(phi * np.where(held > 0, share * (1.0 - share) / np.maximum(held, 1.0), 0.0))
    spread = np.sum(error**2, axis=-1)
    z = quantile(alpha)
    noise = np.sqrt(2.0 / np.pi) * np.sum(error, axis=-1) + z * np.sqrt((1.0 - 2.0 / np.pi) * spread)
    upper = normal(value, spread, alpha, 0.0, 1.0).upper
    return Estimate(value, np.clip(value - noise, 0.0, value), upper)


def _shares(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return ratio(rows, rows.sum(axis=-1, keepdims=True))
