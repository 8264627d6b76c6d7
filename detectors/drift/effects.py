"""Effect sizes: distances between two distributions over common bins.

All functions take shares p (window) and q (reference), float64[..., V], each summing to 1 along the last axis, and
return float64[...]. A distribution without rows is all NaN, and so are its effects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import rel_entr

if TYPE_CHECKING:
    from numpy.typing import NDArray


def shares(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Counts as shares of their sum; NaN where the sum is 0."""
    total = counts.sum(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(total > 0, counts / total, np.nan)


def smoothed_shares(counts: NDArray[np.float64], used: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Shares after adding half a count to each bin in use (Jeffreys' prior), so that logarithms stay finite.

    Other tools put a constant share such as 0.0001 into empty bins, so that their result depends on the constant more
    than on the data.
    """
    return shares(np.where(used, counts + 0.5, 0.0))


def psi(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Population stability index, Σ (p − q) ln(p/q), in nats: the symmetrised Kullback-Leibler divergence.

    Infinite where p or q is 0, so use `smoothed_shares`. Source: Kullback & Leibler (1951), divergence J.
    """
    total: NDArray[np.float64] = rel_entr(p, q).sum(axis=-1) + rel_entr(q, p).sum(axis=-1)
    return total


def jensen_shannon(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Jensen-Shannon distance, base 2, from 0 to 1; as ``scipy.spatial.distance.jensenshannon(p, q, 2)``."""
    middle = (p + q) / 2
    divergence = (rel_entr(p, middle).sum(axis=-1) + rel_entr(q, middle).sum(axis=-1)) / 2
    distance: NDArray[np.float64] = np.sqrt(np.maximum(divergence, 0.0) / np.log(2))
    return distance


def triangular(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Triangular discrimination, Σ 2 (p − q)² / (p + q): at most the PSI, and close to it for small changes.

    Source: Topsøe, "Some inequalities for information divergence and related measures of discrimination" (2000).
    """
    total = p + q
    with np.errstate(invalid="ignore", divide="ignore"):
        terms = np.where(total == 0, 0.0, 2 * (p - q) ** 2 / total)
    total_terms: NDArray[np.float64] = terms.sum(axis=-1)
    return total_terms


def chi2(counts: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Two-sample χ² statistic of counts; as ``scipy.stats.chi2_contingency`` without a correction.

    Args:
        counts: float64[..., V], the window's.
        reference: float64[..., V], the reference's.
    """
    n, m = counts.sum(axis=-1, keepdims=True), reference.sum(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        terms = (np.sqrt(m / n) * counts - np.sqrt(n / m) * reference) ** 2 / (counts + reference)
        terms = np.where(counts + reference == 0, 0.0, terms)
    statistic: NDArray[np.float64] = np.where((n > 0) & (m > 0), terms, np.nan).sum(axis=-1)
    return statistic


def ks(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Kolmogorov-Smirnov statistic over ordered bins: the greatest gap between the two distribution functions.

    At most the statistic of the raw values, and at most one bin's share below it.
    """
    gap: NDArray[np.float64] = np.abs(np.cumsum(p - q, axis=-1)).max(axis=-1)
    return gap


def wasserstein(p: NDArray[np.float64], q: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Wasserstein-1 distance of two distributions on common ordered points, ∫ |P − Q|.

    Args:
        p, q: shares at each point.
        points: float64[..., V], ascending where a share is held.
    """
    gaps = np.diff(points, axis=-1)
    area: NDArray[np.float64] = (np.abs(np.cumsum(p - q, axis=-1))[..., :-1] * gaps).sum(axis=-1)
    return area


def hellinger(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Hellinger distance, sqrt(½ Σ (√p − √q)²), from 0 to 1. Source: Le Cam & Yang (2000), section 3.2."""
    distance: NDArray[np.float64] = np.sqrt(((np.sqrt(p) - np.sqrt(q)) ** 2).sum(axis=-1) / 2)
    return distance


def total_variation(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Total variation distance, ½ Σ |p − q|: the share of rows that would have to move to another bin."""
    distance: NDArray[np.float64] = np.abs(p - q).sum(axis=-1) / 2
    return distance


def l_infinity(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
    """The greatest change of any bin's share, max |p − q|."""
    distance: NDArray[np.float64] = np.abs(p - q).max(axis=-1)
    return distance


def kullback_leibler(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Kullback-Leibler divergence of the window from the reference, Σ p ln(p/q), in nats.

    Infinite where q is 0 and p is not, so use `smoothed_shares`. Source: Kullback & Leibler (1951).
    """
    divergence: NDArray[np.float64] = rel_entr(p, q).sum(axis=-1)
    return divergence


def energy(p: NDArray[np.float64], q: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Energy distance of two distributions on common ordered points, sqrt(2 ∫ (P − Q)²).

    As ``scipy.stats.energy_distance`` of weighted points. Source: Székely & Rizzo (2013), J. Stat. Plan. Inference 143.

    Args:
        p, q: shares at each point.
        points: float64[..., V], ascending where a share is held.
    """
    gaps = np.diff(points, axis=-1)
    area = (np.cumsum(p - q, axis=-1)[..., :-1] ** 2 * gaps).sum(axis=-1)
    distance: NDArray[np.float64] = np.sqrt(2 * area)
    return distance


def cramers_v(counts: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cramér's V of the table window × bins, sqrt(χ²/(n + m)), from 0 to 1.

    Depends on the numbers of rows; as ``scipy.stats.contingency.association`` of the table.
    """
    total = counts.sum(axis=-1) + reference.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        value: NDArray[np.float64] = np.sqrt(chi2(counts, reference) / total)
    return value
