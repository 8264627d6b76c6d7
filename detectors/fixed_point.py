"""Sums of real numbers as integers: exact, so that panes can be added and subtracted in any order.

A value is rounded to a multiple of 2^-36 and split into a high and a low half, so that the sum of each half cannot
overflow within 2^31 rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BITS = 36
_HALF = 32
LIMIT = 2.0**26
"""Greatest magnitude that can be split; larger values are clipped."""
UNIT = 1 << 20
"""Count of a row of weight 1, where rows have weights between 0 and 1."""


def split(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """int64[..., 2]: finite values as high and low halves; |values| beyond `LIMIT` are clipped."""
    whole = np.rint(np.clip(values, -LIMIT, LIMIT) * 2.0**_BITS).astype(np.int64)
    return np.stack([whole >> _HALF, whole & ((1 << _HALF) - 1)], axis=-1)


def joined(halves: NDArray[np.int64]) -> NDArray[np.float64]:
    """float64[...]: the sums that halves int64[..., 2] stand for."""
    high: NDArray[np.float64] = halves[..., 0] * 2.0 ** (_HALF - _BITS) + halves[..., 1] * 2.0**-_BITS
    return high


def weights(share: NDArray[np.float64]) -> NDArray[np.int64]:
    """int64[...]: weights from 0 to 1 in units of 1/`UNIT`."""
    return np.rint(share * UNIT).astype(np.int64)


def grouped(values: NDArray[np.int64], groups: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """int64[size, ...]: exact sums of integer rows ``values`` int64[n, ...] by group."""
    total = np.zeros((size, *values.shape[1:]), dtype=np.int64)
    if len(values):
        order = np.argsort(groups, kind="stable")
        present, starts = np.unique(groups[order], return_index=True)
        total[present] = np.add.reduceat(values[order], starts, axis=0)
    return total
