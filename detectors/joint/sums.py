"""Counts of several features together, as named sums."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Sums:
    """Counters by name; N = C (C − 1)/2 pairs of coordinates in the order of `numpy.triu_indices`.

    Attributes:
        rows: float64[...], counted rows.
        left_out: float64[...], rows without any coordinate (an embedding of the wrong length or not finite).
        error: float64[..., 2], Σe and Σe², e the reconstruction error.
        features: float64[..., 2 D], mean Fourier features, cosines first; the squares of all sum to at most 1.
        both: float64[..., N], rows that hold both coordinates.
        correlation: float64[..., N]; NaN where it is not defined.
        held: float64[..., C], rows that hold the coordinate.
        mean: float64[..., C], mean of the coordinate.
    """

    rows: NDArray[np.float64]
    left_out: NDArray[np.float64]
    error: NDArray[np.float64]
    features: NDArray[np.float64]
    both: NDArray[np.float64]
    correlation: NDArray[np.float64]
    held: NDArray[np.float64]
    mean: NDArray[np.float64]
