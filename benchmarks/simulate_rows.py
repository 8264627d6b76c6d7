"""Rows, panes and sliding windows of counts, for the simulations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from detectors.layout import COLUMNS, HIGH, LOW, Counts
from tests.support.counts import own_edges

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from detectors.layout import Layout

    Array = NDArray[np.float64]


def binned(layout: Layout, values: Array, rows: int) -> Counts:
    """Counts of consecutive panes of ``rows`` rows of finite numbers, float64[n, S]."""
    many, features = len(values) // rows, values.shape[1]
    bins = np.zeros((many, features, COLUMNS), dtype=np.int64)
    moments = np.zeros((many, features, 2))
    extremes = np.zeros((many, features, 2))
    for index in range(features):
        z = ((values[: many * rows, index] - layout.location[index]) / layout.scale[index]).reshape(many, rows)
        edges = own_edges(layout, index)
        codes = np.searchsorted(edges, z, side="right") - 1
        codes = np.where(z < edges[0], LOW, np.where(z > edges[-1], HIGH, np.minimum(codes, edges.size - 2)))
        flat = codes + np.arange(many)[:, None] * COLUMNS
        bins[:, index] = np.bincount(flat.ravel(), minlength=many * COLUMNS).reshape(many, COLUMNS)
        moments[:, index, 0], moments[:, index, 1] = z.sum(axis=1), (z**2).sum(axis=1)
        extremes[:, index, 0], extremes[:, index, 1] = z.min(axis=1), z.max(axis=1)
    return Counts(np.full(many, rows), bins, moments, extremes)


def sliding(panes: Counts, length: int, step: int = 1) -> Counts:
    """All windows of ``length`` panes, sliding by ``step`` panes."""

    def sums(values: Any) -> Any:
        total = np.concatenate([np.zeros((1, *values.shape[1:]), values.dtype), np.cumsum(values, axis=0)])
        return (total[length:] - total[:-length])[::step]

    ends = np.lib.stride_tricks.sliding_window_view(panes.extremes, length, axis=0)[::step]
    extremes = np.stack([ends[..., 0, :].min(axis=-1), ends[..., 1, :].max(axis=-1)], axis=-1)
    return Counts(sums(panes.rows), sums(panes.bins), sums(panes.moments), extremes)


def percent(share: float) -> str:
    return "–" if np.isnan(share) else f"{100 * share:.1f}" if 0.001 <= share <= 0.999 else f"{100 * share:.0f}"
