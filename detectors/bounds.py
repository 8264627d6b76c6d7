"""Confidence bounds in closed form, for arrays of any shape."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import betaincinv, chndtrinc, gammaincc, ndtri

if TYPE_CHECKING:
    from numpy.typing import NDArray


def noncentrality_bounds(
    statistic: NDArray[np.float64], freedom: NDArray[np.float64], alpha: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Confidence bounds of the noncentrality of a χ² statistic, each with error probability ``alpha``."""
    statistic, freedom = np.broadcast_arrays(np.nan_to_num(statistic), freedom)
    with np.errstate(invalid="ignore"):
        # Only what the central distribution can hardly reach has a noncentrality that is surely above 0.
        surprising = (freedom > 0) & (gammaincc(np.maximum(freedom, 1) / 2, statistic / 2) < alpha)
    low = np.zeros(statistic.shape)
    if surprising.any():
        low[surprising] = _noncentrality(statistic[surprising], freedom[surprising], 1 - alpha)
    high = _noncentrality(statistic, np.maximum(freedom, 1.0), alpha)
    return low, np.where(freedom > 0, high, 0.0)


def _noncentrality(
    statistic: NDArray[np.float64], freedom: NDArray[np.float64], probability: float
) -> NDArray[np.float64]:
    # chndtrinc loses its way for large statistics; there the square root of a noncentral χ² is normal enough
    # (Sankaran 1959): sqrt(x − (k − 1)/2) ~ N(sqrt(λ + (k − 1)/2), 1).
    shift = (freedom - 1) / 2
    root = np.sqrt(np.maximum(statistic - shift, 0.0)) - ndtri(probability)
    normal = np.maximum(np.sign(root) * root**2 - shift, 0.0)
    exact = chndtrinc(np.minimum(statistic, 1000.0), freedom, probability)
    return np.where((statistic > 1000.0) | ~np.isfinite(exact), normal, np.maximum(exact, 0.0))


def binomial_bounds(
    successes: NDArray[np.float64], trials: NDArray[np.float64], alpha: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Clopper & Pearson (1934); real-valued counts come from dividing by a design effect."""
    successes, trials = np.broadcast_arrays(successes, trials)
    failures = np.maximum(trials - successes, 0.0)
    low = np.where(successes > 0, betaincinv(np.maximum(successes, 1e-9), failures + 1, alpha), 0.0)
    high = np.where(failures > 0, betaincinv(successes + 1, np.maximum(failures, 1e-9), 1 - alpha), 1.0)
    return low, high
