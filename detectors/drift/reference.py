"""The reference that windows are compared with, and everything computed from it in advance."""

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
    """How much windows of the reference differ from one another, for one window length.

    Attributes:
        values: float64[S] ≥ 1, design effect of the counts of values.
        missing: float64[S] ≥ 1, design effect of the counts of missing values.
        location_sd: float64[S], standard deviation of the mean z between windows; NaN where unknown.
        location_reach: float64[S], greatest deviation of a reference window's mean, in units of ``location_sd``.
        blocks: number of reference windows that the dispersion is measured on.
    """

    values: NDArray[np.float64]
    missing: NDArray[np.float64]
    location_sd: NDArray[np.float64]
    location_reach: NDArray[np.float64]
    blocks: int


def independent_rows(subjects: int) -> Dispersion:
    """The dispersion of independent rows, assumed where it cannot be measured."""
    unknown = np.full(subjects, np.nan)
    return Dispersion(np.ones(subjects), np.ones(subjects), unknown, unknown, 0)


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference, prepared for judging.

    Attributes:
        layout: meaning of the columns.
        counts: of the reference's rows, without leading dimensions.
        dispersion: for the length of the judged windows.
        order: int64[S, V], the value columns, ordered so that neighbours are similar (`pooling.value_order`).
        held: float64[S, V], the reference's counts in this order.
        q: float64[S, V], the reference's shares in this order; 0 for a subject without values.
        pools: int64[L, S, V], pool of each column at each step of `pooling.LADDER`.
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
    ordered = counts.bins[np.arange(len(layout.subjects))[:, None], order].astype(np.float64)
    q = np.nan_to_num(shares(ordered))
    least = np.broadcast_to((1.0 / LADDER)[:, None], (len(LADDER), len(layout.subjects)))
    # Categories are ordered by their counts in the reference, which include chance. A polynomial of such ranks would
    # show a regression to the mean in every sample, so smooth directions are for values with an order.
    basis = np.where(layout.numeric[:, None, None], smooth_basis(q), 0.0)
    return Reference(layout, counts, dispersion, order, ordered, q, pool_columns(q, least), basis)
