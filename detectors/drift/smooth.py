"""Neyman's smooth components on bins: the directions in which distributions change most often."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

COMPONENTS = 4


def smooth_basis(q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Polynomials of the rank, orthonormal under a distribution: location, spread, skew and tails.

    Source: Neyman, "Smooth test for goodness of fit" (1937), on the mid-ranks of bins.

    Args:
        q: float64[S, V], shares of ordered columns.

    Returns:
        float64[S, V, 4]; a component is 0 if the distribution has too few values for it.
    """
    ranks = np.cumsum(q, axis=1) - q / 2
    x = 2 * ranks - 1
    basis: list[NDArray[np.float64]] = []
    for degree in range(COMPONENTS + 1):
        vector = x**degree
        # Twice, because once loses orthogonality to rounding for skewed distributions.
        for _ in range(2):
            for other in basis:
                vector = vector - other * (q * vector * other).sum(axis=1, keepdims=True)
        norm = np.sqrt((q * vector**2).sum(axis=1, keepdims=True))
        basis.append(np.where(norm > 1e-6, vector / np.maximum(norm, 1e-6), 0.0))
    return np.stack(basis[1:], axis=-1)
