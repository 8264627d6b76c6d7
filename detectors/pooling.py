"""The value columns of the counts: their order, and their pooling for a test on few rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from detectors.layout import BINS, HIGH, LOW

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from detectors.layout import Layout

VALUES = BINS + 2
"""Columns with valid values: the regular bins, LOW and HIGH. MISSING and INVALID are judged separately."""
LADDER = np.array([2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0, 66.0])
"""Target numbers of pools, from few rows to many; pools are computed in advance for each step."""
MIN_EXPECTED = 5.0
"""Least expected count of a pooled bin, in the window and in the reference."""


def value_order(layout: Layout, bins: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64[S, VALUES]: the value columns of each subject, ordered so that neighbours are similar.

    Numeric: by value, LOW first and HIGH last. Categorical: by falling frequency in the reference, with rare and unseen
    categories last, so that pooling neighbours pools rare categories.

    Args:
        layout: of the counts.
        bins: int64[S, COLUMNS], the reference's counts.
    """
    numeric = np.concatenate([[LOW], np.arange(BINS), [HIGH]])
    regular = np.argsort(-bins[:, :BINS], axis=1, kind="stable")
    tail = np.broadcast_to(np.array([LOW, HIGH]), (bins.shape[0], 2))
    return np.where(layout.numeric[:, None], numeric, np.concatenate([regular, tail], axis=1))


def pool_columns(shares: NDArray[np.float64], least: NDArray[np.float64]) -> NDArray[np.int64]:
    """Pools neighbours until each pool holds at least a share of the reference.

    Args:
        shares: float64[S, V], the reference's distribution over ordered columns.
        least: float64[..., S], the least share of a pool.

    Returns:
        int64[..., S, V], the pool of each column, numbered from 0; remaining columns at the end join the last pool.
    """
    shape = (*least.shape, shares.shape[-1])
    pools = np.zeros(shape, dtype=np.int64)
    filled = np.zeros(least.shape)
    current = np.zeros(least.shape, dtype=np.int64)
    remaining = np.broadcast_to(shares.sum(axis=-1), least.shape).copy()
    # A loop over the 66 columns, because each pool depends on the previous one; a step covers all subjects and windows.
    for column in range(shares.shape[-1]):
        pools[..., column] = current
        filled = filled + shares[:, column]
        remaining = remaining - shares[:, column]
        # A pool may only be closed when the remaining share can fill the next pool.
        close = (filled >= least) & (remaining >= least)
        current = current + close
        filled = np.where(close, 0.0, filled)
    return pools


def pooled_sums(values: NDArray[np.float64], pools: NDArray[np.int64]) -> NDArray[np.float64]:
    """float64[..., S, V]: sums of ``values`` over each pool, zero beyond the last pool.

    Args:
        values: float64[..., S, V], ordered columns.
        pools: int64[..., S, V], as made by `pool_columns`; broadcast against ``values``.
    """
    values, pools = np.broadcast_arrays(values, pools)
    width = values.shape[-1]
    rows = int(np.prod(values.shape[:-1]))
    flat = pools.reshape(rows, width) + np.arange(rows)[:, None] * width
    sums = np.bincount(flat.ravel(), weights=values.reshape(-1), minlength=rows * width)
    return np.reshape(sums, values.shape).astype(np.float64, copy=False)
