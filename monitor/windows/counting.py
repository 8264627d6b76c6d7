"""Rows → mergeable counts, many groups at once.

Moments are kept as integers (fixed point), so that sums are exact: panes add up to one number in any order and
batch size, and a daemon that was killed ends with the very counts of one that was not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.layout import COLUMNS

Z_LIMIT = 1000.0
"""|z| is cut here in the moments, so that they cannot overflow: 10^8 rows of the greatest z² still fit int64."""
_UNIT = 65536.0


@dataclass(frozen=True, slots=True)
class GroupCounts:
    """Counts of G groups of rows.

    Attributes:
        rows: int64[G].
        bins: int64[G, S, COLUMNS].
        moments: int64[G, S, 2], Σz and Σz² in units of 2^-16.
        extremes: float64[G, S, 2], least and greatest z; +inf, −inf where there is none.
    """

    rows: NDArray[np.int64]
    bins: NDArray[np.int64]
    moments: NDArray[np.int64]
    extremes: NDArray[np.float64]


def count_groups(codes: NDArray[np.int64], z: NDArray[np.float64], groups: NDArray[np.int64], size: int) -> GroupCounts:
    """Counts of the rows of each group.

    Args:
        codes: int64[n, S], columns of the counts matrix.
        z: float64[n, S]; NaN where there is no finite number.
        groups: int64[n], from 0 to ``size`` − 1.
        size: how many groups there are.
    """
    n, subjects = codes.shape
    rows = np.bincount(groups, minlength=size).astype(np.int64)
    offsets = np.arange(subjects, dtype=np.int64) * COLUMNS
    flat = codes + offsets + (groups * (subjects * COLUMNS))[:, None]
    bins = np.bincount(flat.ravel(), minlength=size * subjects * COLUMNS).reshape(size, subjects, COLUMNS)

    moments = np.zeros((size, subjects, 2), dtype=np.int64)
    extremes = np.empty((size, subjects, 2))
    extremes[..., 0], extremes[..., 1] = np.inf, -np.inf
    numeric = np.flatnonzero(~np.isnan(z).all(axis=0))
    if n and numeric.size:
        values = z[:, numeric]
        absent = np.isnan(values)
        order = np.argsort(groups, kind="stable")
        starts = np.searchsorted(groups[order], np.arange(size))
        held = np.flatnonzero(rows)
        cut = np.clip(np.where(absent, 0.0, values), -Z_LIMIT, Z_LIMIT)
        fixed = np.rint(np.stack([cut, cut * cut], axis=-1) * _UNIT).astype(np.int64)[order]
        moments[np.ix_(held, numeric)] = np.add.reduceat(fixed, starts[held], axis=0)
        low = np.where(absent, np.inf, values)[order]
        high = np.where(absent, -np.inf, values)[order]
        extremes[np.ix_(held, numeric, np.array([0]))] = np.minimum.reduceat(low, starts[held], axis=0)[..., None]
        extremes[np.ix_(held, numeric, np.array([1]))] = np.maximum.reduceat(high, starts[held], axis=0)[..., None]
    return GroupCounts(rows, bins, moments, extremes)


def moments_as_float(moments: NDArray[np.int64]) -> NDArray[np.float64]:
    """Σz and Σz² of fixed-point moments; exact up to 2^53 units."""
    return moments / _UNIT


def moments_as_fixed(moments: NDArray[np.float64]) -> NDArray[np.int64]:
    """The inverse of `moments_as_float`."""
    return np.rint(moments * _UNIT).astype(np.int64)
