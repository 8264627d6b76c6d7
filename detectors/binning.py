"""Quantile bins of a reference, and the bin of each live value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from detectors.layout import BINS, HIGH, INVALID, LOW, MISSING, NONFINITE

if TYPE_CHECKING:
    from numpy.typing import NDArray


def quantile_edges(values: NDArray[np.float64], bins: int = BINS) -> NDArray[np.float64]:
    """Edges of at most ``bins`` bins with about equal numbers of ``values``.

    A value that alone fills a bin's share (a zero-inflated feature, a small integer) gets a separate bin, so that its
    neighbours do not dilute a change of its share. With at most ``bins`` distinct values, each value has a bin.

    Args:
        values: float64[n], finite, n ≥ 1, any order.
        bins: greatest number of bins.

    Returns:
        float64[k + 1], strictly increasing, k from 1 to ``bins``: bin i is [edges[i], edges[i+1]), the last one closed,
        so the first edge is the least value and the last one the greatest. A constant gives one bin [v, v].
        (That single case is not strictly increasing.)

    Raises:
        ValueError: if ``values`` is empty or holds NaN or ±inf.
    """
    if values.size == 0 or not np.isfinite(values).all():
        raise ValueError("quantile edges need at least one value, all finite")
    distinct, counts = np.unique(values, return_counts=True)
    if distinct.size == 1:
        return np.array([distinct[0], distinct[0]])
    if distinct.size <= bins:
        # The greatest value closes its own bin [v, v].
        return np.append(distinct, distinct[-1])
    target = bins
    while True:
        edges = _equal_shares(distinct, counts, target)
        if edges.size - 1 <= bins:
            return edges
        target -= max(1, (edges.size - 1 - bins) // 2)


def _equal_shares(distinct: NDArray[np.float64], counts: NDArray[np.int64], shares: int) -> NDArray[np.float64]:
    share = counts.sum() / shares
    heavy = counts >= share
    # A heavy value starts a bin and so does its successor; between heavy values, bins start where the running count of
    # light values crosses a multiple of the share.
    starts = np.zeros(distinct.size, dtype=bool)
    starts[0] = True
    starts |= heavy
    starts[1:] |= heavy[:-1]
    light = np.where(heavy, 0, counts)
    # Counts before a value decide: counting the value itself would give the greatest value a bin of a single row.
    crossed = np.floor((np.cumsum(light) - light) / share)
    starts[1:] |= (crossed[1:] > crossed[:-1]) & ~heavy[1:]
    return np.append(distinct[starts], distinct[-1])


def bin_numbers(
    values: NDArray[np.float64], invalid: NDArray[np.bool_] | None, edges: NDArray[np.float64]
) -> NDArray[np.int64]:
    """The column of each value.

    Args:
        values: float64[n]; NaN is missing.
        invalid: bool[n], values that are not numbers, or None.
        edges: as made by `quantile_edges`, same unit as ``values``.

    Returns:
        int64[n] of columns as named in `detectors.layout`.
    """
    width = edges.size - 1
    codes = np.searchsorted(edges, values, side="right") - 1
    # The last bin is closed on the right: the greatest reference value belongs to it.
    codes = np.where(values == edges[-1], width - 1, codes)
    codes = np.where(values < edges[0], LOW, codes)
    codes = np.where(values > edges[-1], HIGH, codes)
    codes = np.where(np.isinf(values), NONFINITE, codes)
    codes = np.where(np.isnan(values), MISSING, codes)
    if invalid is not None:
        codes = np.where(invalid, INVALID, codes)
    return codes.astype(np.int64, copy=False)
