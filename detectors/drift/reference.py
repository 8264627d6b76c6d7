"""What windows are compared with, and everything about it that does not depend on the window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.drift.effects import shares
from detectors.drift.smooth import smooth_basis
from detectors.layout import Counts, Layout
from detectors.pooling import LADDER, pool_columns, value_order


@dataclass(frozen=True, slots=True)
class Dispersion:
    """How much windows of the reference's own differ from one another, for one window length.

    Attributes:
        values: float64[S] ≥ 1, design effect of the counts of values.
        missing: float64[S] ≥ 1, design effect of the counts of missing values.
        location_sd: float64[S], standard deviation from window to window of the mean z; NaN where unknown.
        location_reach: float64[S], the farthest that a window of the reference stood out, in these standard deviations.
        blocks: how many windows of the reference this rests on.
    """

    values: NDArray[np.float64]
    missing: NDArray[np.float64]
    location_sd: NDArray[np.float64]
    location_reach: NDArray[np.float64]
    blocks: int


def independent_rows(subjects: int) -> Dispersion:
    """The dispersion of rows that know nothing of one another: assumed where nothing can be told."""
    unknown = np.full(subjects, np.nan)
    return Dispersion(np.ones(subjects), np.ones(subjects), unknown, unknown, 0)


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference, prepared for judging.

    Attributes:
        layout: what the columns mean.
        counts: of the reference's rows, without leading dimensions.
        dispersion: of windows of the length that is to be judged.
        order: int64[S, V], the columns of values, neighbours alike (`pooling.value_order`).
        held: float64[S, V], the reference's counts in that order.
        q: float64[S, V], the same as shares; 0 for a subject without values.
        pools: int64[L, S, V], how columns are pooled at each step of `pooling.LADDER`.
        basis: float64[S, V, 4], the smooth directions; 0 for categories, which have no order.
    """

    layout: Layout
    counts: Counts
    dispersion: Dispersion
    order: NDArray[np.int64]
    held: NDArray[np.float64]
    q: NDArray[np.float64]
    pools: NDArray[np.int64]
    basis: NDArray[np.float64]


def prepare(layout: Layout, counts: Counts, dispersion: Dispersion) -> Reference:
    """A reference ready for `detectors.drift.judge.judge`."""
    order = value_order(layout, counts.bins)
    held = counts.bins[np.arange(len(layout.subjects))[:, None], order].astype(np.float64)
    q = np.nan_to_num(shares(held))
    least = np.broadcast_to((1.0 / LADDER)[:, None], (len(LADDER), len(layout.subjects)))
    # Categories are ordered by how many of each the reference happened to hold. Any polynomial of such ranks would
    # find, in every other sample, that the lucky ones have lost: smooth directions are for values that have an order.
    basis = np.where(layout.numeric[:, None, None], smooth_basis(q), 0.0)
    return Reference(layout, counts, dispersion, order, held, q, pool_columns(q, least), basis)
