"""How many rows repeat the id of another one? From counts of ids by hash, which panes can add up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

from detectors.bounds import binomial_bounds

if TYPE_CHECKING:
    from numpy.typing import NDArray

BUCKETS = 1024
"""The share of repeated rows is known to about 1/√(2 · BUCKETS) = 2.2 %, however many rows there are."""

Bounds = tuple[float, float, float]


def bucket_counts(hashes: NDArray[np.uint64], groups: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """int64[size, `BUCKETS`]: rows of each group by the bucket of their id.

    Args:
        hashes: uint64[n], evenly spread hashes of the ids.
        groups: int64[n], 0 to ``size`` − 1.
        size: number of groups.
    """
    # The upper bits: the lower ones may have chosen which ids are sampled.
    index = (hashes >> np.uint64(64 - BUCKETS.bit_length() + 1)).astype(np.int64)
    result = np.bincount(groups * BUCKETS + index, minlength=size * BUCKETS)
    return result.reshape(size, BUCKETS)


def sketched_rate(counts: NDArray[np.int64], alpha: float) -> Bounds:
    """Share of rows whose id another row has, as far as collisions of buckets tell; each bound at 1 − alpha.

    Ids that are all different meet in a bucket by chance: of n(n − 1)/2 pairs one in B. What comes on top are pairs
    with the same id, D = (S − n(n − 1)/2B)/(1 − 1/B), S being the pairs that met (the second frequency moment; Alon,
    Matias & Szegedy 1996). An id that comes k times counts as k(k − 1)/2 rows, and the share as 1 at most.

    The pairs that meet by chance scatter like a Poisson number as long as buckets are empty, and like χ² with B − 1
    degrees of freedom once they are full. Both have that variance; the quantile takes in the skewness of both (Cornish
    & Fisher 1937).

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
    # Rows of one id move together, so the scatter grows with their share: Σ w² over ids of w rows is n (1 + 2 · share)
    # where they come in pairs. For the lower bound a share below the estimate is at stake.
    bounds = np.clip([(same - reach * (1 + share)) / rows, (same + reach * (1 + 2 * share)) / rows], 0.0, 1.0)
    return share, float(bounds[0]), float(bounds[1])


def counted_rate(repeated: int, rows: int, alpha: float) -> Bounds:
    """The same where repeated rows are known, and not among the ``rows``; bounds of Clopper & Pearson (1934)."""
    total = float(rows + repeated)
    if not total:
        return np.nan, np.nan, np.nan
    low, high = binomial_bounds(np.array(float(repeated)), np.array(total), alpha)
    return repeated / total, float(low), float(high)
