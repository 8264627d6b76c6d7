"""Share of rows that repeat the id of another row, from counts of hashed ids, which add up over panes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

from detectors.bounds import binomial_bounds

if TYPE_CHECKING:
    from numpy.typing import NDArray

BUCKETS = 1024
"""The error of the share of repeated rows is about 1/√(2 · BUCKETS) = 2.2 %, for any number of rows."""

Bounds = tuple[float, float, float]


def bucket_counts(hashes: NDArray[np.uint64], groups: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """int64[size, `BUCKETS`]: rows of each group by the bucket of their id.

    Args:
        hashes: uint64[n], uniformly distributed hashes of the ids.
        groups: int64[n], 0 to ``size`` − 1.
        size: number of groups.
    """
    # The upper bits, because sampling may have selected ids by the lower bits.
    index = (hashes >> np.uint64(64 - BUCKETS.bit_length() + 1)).astype(np.int64)
    result = np.bincount(groups * BUCKETS + index, minlength=size * BUCKETS)
    return result.reshape(size, BUCKETS)


def sketched_rate(counts: NDArray[np.int64], alpha: float) -> Bounds:
    """Share of rows that repeat another row's id, estimated from bucket collisions; each bound at 1 − alpha.

    Different ids share a bucket by chance: one in B of n(n − 1)/2 pairs. Further pairs in one bucket have equal ids:
    D = (S − n(n − 1)/2B)/(1 − 1/B), where S is the number of pairs in one bucket (the second frequency moment; Alon,
    Matias & Szegedy 1996). An id with k rows counts as k(k − 1)/2 rows, and the share is at most 1.

    The number of chance pairs varies like a Poisson number while buckets are nearly empty, and like χ² with B − 1
    degrees of freedom when they are full. Both have this variance; the quantile allows for the skewness of both
    (Cornish & Fisher 1937).

    Args:
        counts: int64[B], rows of a window by bucket.
        alpha: error probability of each bound.

    Returns:
        Value, lower and upper bound; NaN without rows.
    """
    buckets, rows = counts.size, float(counts.sum())
    if rows < 2:
        return np.nan, np.nan, np.nan
    met = float((counts * (counts - 1)).sum()) / 2
    chance = rows * (rows - 1) / 2 / buckets
    same = (met - chance) / (1 - 1 / buckets)
    share = min(max(same / rows, 0.0), 1.0)
    z = -float(ndtri(alpha))
    skewness = 1 / np.sqrt(max(chance, 1.0)) + np.sqrt(8 / buckets)
    reach = (z + skewness / 6 * (z**2 - 1)) * np.sqrt(chance + max(same, 0.0)) / (1 - 1 / buckets)
    # Rows of one id enter or leave a sample together, so the variance grows with their share: Σ w² over ids with w
    # rows is n (1 + 2 · share) for pairs. The lower bound uses a share below the estimate.
    bounds = np.clip([(same - reach * (1 + share)) / rows, (same + reach * (1 + 2 * share)) / rows], 0.0, 1.0)
    return share, float(bounds[0]), float(bounds[1])


def counted_rate(repeated: int, rows: int, alpha: float) -> Bounds:
    """Share of repeated rows from exact counts; ``rows`` excludes repeated rows. Bounds of Clopper & Pearson (1934)."""
    total = float(rows + repeated)
    if not total:
        return np.nan, np.nan, np.nan
    low, high = binomial_bounds(np.array(float(repeated)), np.array(total), alpha)
    return repeated / total, float(low), float(high)
