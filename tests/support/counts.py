"""Layouts, counts and references made from plain columns, as the daemon makes them but in a few lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from detectors.binning import bin_numbers, quantile_edges
from detectors.drift.reference import Dispersion, Reference, independent_rows, prepare
from detectors.layout import BINS, COLUMNS, MISSING, Counts, Layout

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Columns = Mapping[str, NDArray[np.float64] | NDArray[np.int64]]


def layout_of(columns: Columns) -> Layout:
    """Columns of floats are numeric; columns of integers hold the column number of a category, MISSING among them."""
    size = len(columns)
    numeric, width = np.zeros(size, dtype=bool), np.zeros(size, dtype=np.int64)
    edges, centers = np.full((size, BINS + 1), np.nan), np.full((size, BINS), np.nan)
    location, scale = np.zeros(size), np.ones(size)
    for place, values in enumerate(columns.values()):
        if values.dtype.kind != "f":
            width[place] = np.unique(values[values < BINS]).size
            continue
        numeric[place] = True
        finite = values[np.isfinite(values)].astype(np.float64)
        if finite.size:
            location[place], scale[place] = finite.mean(), finite.std() or 1.0
        z = (finite - location[place]) / scale[place]
        own = quantile_edges(z) if z.size else np.zeros(2)
        width[place] = own.size - 1
        edges[place, : own.size] = own
        codes = bin_numbers(z, None, own)
        held = np.bincount(codes, minlength=BINS)[:BINS]
        sums = np.bincount(codes, weights=z, minlength=BINS)[:BINS]
        centers[place, held > 0] = sums[held > 0] / held[held > 0]
    return Layout(tuple(columns), numeric, width, edges, centers, location, scale)


def count(layout: Layout, columns: Columns) -> Counts:
    size = len(layout.subjects)
    bins = np.zeros((size, COLUMNS), dtype=np.int64)
    moments, extremes = np.zeros((size, 2)), np.tile([np.inf, -np.inf], (size, 1))
    rows = 0
    for place, values in enumerate(columns.values()):
        rows = values.size
        if layout.numeric[place]:
            z = (values.astype(np.float64) - layout.location[place]) / layout.scale[place]
            codes = bin_numbers(z, None, own_edges(layout, place))
            z = z[np.isfinite(z)]
            moments[place] = z.sum(), (z**2).sum()
            if z.size:
                extremes[place] = z.min(), z.max()
        else:
            codes = values.astype(np.int64)
        bins[place] = np.bincount(codes, minlength=COLUMNS)
    return Counts(np.array(rows), bins, moments, extremes)


def own_edges(layout: Layout, place: int) -> NDArray[np.float64]:
    own: NDArray[np.float64] = layout.edges[place, : layout.width[place] + 1]
    return own


def stack(windows: Sequence[Counts]) -> Counts:
    """Windows one after another along a new first axis."""
    return Counts(
        np.stack([window.rows for window in windows]),
        np.stack([window.bins for window in windows]),
        np.stack([window.moments for window in windows]),
        np.stack([window.extremes for window in windows]),
    )


def reference_of(columns: Columns, dispersion: Dispersion | None = None) -> Reference:
    layout = layout_of(columns)
    return prepare(layout, count(layout, columns), dispersion or independent_rows(len(columns)))


def counts_of(bins: NDArray[np.int64]) -> Counts:
    """Windows of which only the bins are known: what decides nothing but the mean and the extremes."""
    rows = bins[..., 0, :].sum(axis=-1)
    extremes = np.broadcast_to(np.array([np.inf, -np.inf]), (*bins.shape[:-1], 2))
    return Counts(rows, bins, np.zeros((*bins.shape[:-1], 2)), extremes)


def gaps(rows: int, share: float, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The first ``share`` of so many values replaced by NaN."""
    return np.where(np.arange(rows) < share * rows, np.nan, values)


__all__ = ["MISSING", "count", "counts_of", "gaps", "layout_of", "own_edges", "reference_of", "stack"]
