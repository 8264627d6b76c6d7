"""Statistics of values with an order: KS and Wasserstein, and the position of each column's mass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from detectors.drift import effects
from detectors.layout import BINS
from detectors.pooling import VALUES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from detectors.drift.reference import Reference
    from detectors.layout import Counts

_LN2 = np.log(2.0)


def ordered_statistics(
    reference: Reference, window: Counts, seen: NDArray[np.float64], size: NDArray[np.float64], alpha: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """KS and Wasserstein, each float64[4, ..., S]: value, debiased value, lower and upper bound; NaN for categories.

    Args:
        reference, window: counts to compare.
        seen: float64[..., S, V], the window's counts over ordered columns.
        size: float64[..., S], effective size.
        alpha: one-sided error probability of each bound.
    """
    p, q = effects.shares(seen), reference.q
    # Dvoretzky-Kiefer-Wolfowitz with Massart's constant, for two samples.
    band = np.sqrt(np.log(2 / alpha) / (2 * size))
    ks = effects.ks(p, q)
    gap = np.abs(np.cumsum(p - q, axis=-1))[..., :-1]
    steps = np.maximum(np.diff(points(reference, window), axis=-1), 0.0)
    # Average contribution of noise:
    # E sup |Brownian bridge| = sqrt(π/2) ln 2, and E ∫|bridge| ≤ Σ gaps sqrt(F(1−F)·2/π).
    middle = np.cumsum((p + q) / 2, axis=-1)[..., :-1]
    noise = (np.sqrt(np.maximum(middle * (1 - middle), 0.0) * 2 / np.pi / size[..., None]) * steps).sum(axis=-1)
    area = (gap * steps).sum(axis=-1)
    kolmogorov = (
        ks,
        np.maximum(ks - np.sqrt(np.pi / (2 * size)) * _LN2, 0.0),
        np.maximum(ks - band, 0.0),
        np.minimum(ks + band, 1.0),
    )
    wasserstein = (
        area,
        np.maximum(area - noise, 0.0),
        (np.maximum(gap - band[..., None], 0.0) * steps).sum(axis=-1),
        (np.minimum(gap + band[..., None], 1.0) * steps).sum(axis=-1),
    )
    numeric = reference.layout.numeric
    result = [np.where(numeric, np.stack(part), np.nan) for part in (kolmogorov, wasserstein)]
    return result[0], result[1]


def points(reference: Reference, window: Counts) -> NDArray[np.float64]:
    """float64[..., S, VALUES]: position of the mass of each ordered column, in reference standard deviations."""
    layout = reference.layout
    centers = np.where(np.isnan(layout.centers), layout.edges[:, :-1], layout.centers)
    last = np.take_along_axis(layout.edges, layout.width[:, None], axis=1)[:, 0]
    first = layout.edges[:, 0]
    lead = window.extremes.shape[:-2]
    result = np.empty((*lead, len(layout.subjects), VALUES))
    result[..., 1 : BINS + 1] = np.where(np.isnan(centers), last[:, None], centers)
    # Values outside the reference's range count as half-way between the end of the range and the observed extreme.
    result[..., 0] = (first + np.minimum(window.extremes[..., 0], first)) / 2
    result[..., -1] = (last + np.maximum(window.extremes[..., 1], last)) / 2
    return np.nan_to_num(result)


def sides(reference: Reference, window: Counts) -> NDArray[np.float64]:
    """float64[..., S, VALUES, 2]: start and end of each ordered column; NaN for unused bins."""
    layout = reference.layout
    sides = np.full((*window.extremes.shape[:-2], len(layout.subjects), VALUES, 2), np.nan)
    sides[..., 1 : BINS + 1, 0], sides[..., 1 : BINS + 1, 1] = layout.edges[:, :-1], layout.edges[:, 1:]
    last = np.take_along_axis(layout.edges, layout.width[:, None], axis=1)[:, 0]
    sides[..., 0, 0], sides[..., 0, 1] = np.minimum(window.extremes[..., 0], layout.edges[:, 0]), layout.edges[:, 0]
    sides[..., -1, 0], sides[..., -1, 1] = last, np.maximum(window.extremes[..., 1], last)
    return sides
