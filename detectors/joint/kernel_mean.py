"""Means in a kernel's feature space, as sums: random Fourier features, and the chance variation of their mean.

k(x, y) = mean over frequencies w of cos(w·(x − y)) (Rahimi & Recht 2007). The maximum mean discrepancy (Gretton et al.
2012) of two samples is then the distance of their mean (cos w·x, sin w·x), and these means come from mergeable sums.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

if TYPE_CHECKING:
    from numpy.typing import NDArray

STEPS = 1 << 12
"""Steps per turn in the table of cosines, which is fast and gives identical results on every machine."""
COSINE_UNIT = 2.0**16
MOST_ROWS = 20_000
"""Greatest number of rows whose packed waves add up without overflow."""
_HALF = 32
_TURN = np.arange(STEPS) * (2 * np.pi / STEPS)
# Cosine in the high half, sine in the low half: one look-up and one sum instead of two.
_WAVES = (np.rint(np.cos(_TURN) * COSINE_UNIT).astype(np.int64) << _HALF) + np.rint(np.sin(_TURN) * COSINE_UNIT).astype(
    np.int64
)
_PHASE_BITS = 28 - (STEPS.bit_length() - 1)


def waves(points: NDArray[np.float64], frequencies: NDArray[np.float64]) -> NDArray[np.int64]:
    """int64[n, D], cosine and sine of each phase, packed; sums of at most `MOST_ROWS` rows can be unpacked.

    Args:
        points: float64[n, F], whole numbers of 2^-12.
        frequencies: float64[F, D], whole numbers of 2^-16 turn per unit: phases are exact, in turns of 2^28.
    """
    phases = (points @ frequencies).astype(np.int64)
    phases >>= _PHASE_BITS
    phases &= STEPS - 1
    result: NDArray[np.int64] = _WAVES[phases]
    return result


def unpacked(packed: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64[..., 2 D] in units of 1/`COSINE_UNIT`, cosines first, of sums int64[..., D] of waves."""
    sines = ((packed + (1 << (_HALF - 1))) & ((1 << _HALF) - 1)) - (1 << (_HALF - 1))
    return np.concatenate([(packed - sines) >> _HALF, sines], axis=-1)


_SAMPLE = 500
_PAIR_RANGE = (0.7, 1.6)


def draw_frequencies(
    points: NDArray[np.float64], sources: NDArray[np.int64], many: int, seed: int
) -> NDArray[np.float64]:
    """Frequencies of a kernel over all coordinates, and of kernels over pairs of coordinates.

    A quarter of the frequencies belongs to a Gaussian kernel over all coordinates. In many dimensions this kernel
    hardly detects a change of only two coordinates, so the other frequencies are nonzero at two coordinates: their
    kernel is a mean of kernels over pairs. Half of the pairs have the strongest dependence in the reference that a
    correlation does not measure (such an association can break); half are drawn at random.
    The bandwidth of the Gaussian kernel comes from the median heuristic (Gretton et al. 2012).

    Args:
        points: float64[m, F], of the reference.
        sources: int64[F], feature of each coordinate; coordinates of one feature are not paired.
        many: number of frequencies.
        seed: of the generator.

    Returns:
        float64[F, many], radians per unit.
    """
    generator = np.random.default_rng(seed)
    dimension = points.shape[1]
    sample = points[np.linspace(0, len(points) - 1, min(len(points), _SAMPLE)).astype(np.int64)]
    normal = generator.normal(size=(dimension, many))
    first, second = np.triu_indices(dimension, 1)
    apart = sources[first] != sources[second]
    first, second = first[apart], second[apart]
    everywhere = many if dimension <= 2 or not len(first) else many // 4
    frequencies = normal / _median_distance(sample)
    if everywhere == many:
        return frequencies
    pairs = many - everywhere
    known = np.argsort(-_hidden_dependence(points, first, second), kind="stable")[: -(-pairs // 8)]
    drawn = generator.permutation(len(first))
    chosen = np.concatenate([np.repeat(known, 4)[: pairs // 2], np.resize(drawn, pairs)])[:pairs]
    mask = np.zeros((dimension, pairs))
    mask[first[chosen], np.arange(pairs)] = 1.0
    mask[second[chosen], np.arange(pairs)] = 1.0
    # Not normal frequencies: half would lie near an axis or near 0, and measure little of the joint behaviour of two
    # coordinates. Any frequencies make a kernel (Bochner); this range fits standardised coordinates.
    size = generator.uniform(*_PAIR_RANGE, (dimension, pairs)) * np.sign(normal[:, everywhere:])
    frequencies[:, everywhere:] = size * mask
    return frequencies


def _median_distance(sample: NDArray[np.float64]) -> float:
    squares = (sample**2).sum(axis=1)
    apart = np.maximum(squares[:, None] + squares[None] - 2 * sample @ sample.T, 0.0)
    median = float(np.sqrt(np.median(apart[np.triu_indices(len(sample), 1)]))) if len(sample) > 1 else 0.0
    return median if median > 0 else 1.0


def _hidden_dependence(
    points: NDArray[np.float64], first: NDArray[np.intp], second: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Greatest correlation of a square with the other coordinate or its square, minus the plain correlation."""
    rows = points[np.linspace(0, len(points) - 1, min(len(points), 10_000)).astype(np.int64)]
    parts = []
    for part in (rows, rows**2):
        centred = part - part.mean(axis=0)
        spread = centred.std(axis=0)
        parts.append(centred / np.where(spread > 1e-9, spread, np.inf))
    plain, square = parts
    crossed, squares = np.abs(plain.T @ square), np.abs(square.T @ square)
    hidden = np.maximum(np.maximum(crossed, crossed.T), squares) - np.abs(plain.T @ plain)
    result: NDArray[np.float64] = hidden[first, second] / len(rows)
    return result


def weighted_chi2_quantile(weights: NDArray[np.float64], alpha: float) -> float:
    """Upper ``alpha`` quantile of a sum of independent χ²(1) times ``weights``.

    Saddlepoint approximation of the tail (Lugannani & Rice 1980; Kuonen 1999 for quadratic forms): its relative error
    stays small far out in the tail, where moment matching fails.

    Args:
        weights: float64[K] ≥ 0.
        alpha: below about .4.
    """
    held = weights[weights > 1e-12 * weights.max(initial=0.0)]
    if not held.size:
        return 0.0
    top = held.max()
    scaled = held / top

    def index(theta: float) -> float:
        return float((scaled / (1 - theta * scaled)).sum())

    def excess(theta: float) -> float:
        s = theta / 2
        cumulant = -0.5 * np.log1p(-theta * scaled).sum()
        curvature = (2 * scaled**2 / (1 - theta * scaled) ** 2).sum()
        w = np.sqrt(max(2 * (s * index(theta) - cumulant), 1e-12))
        u = s * np.sqrt(curvature)
        density = np.exp(-w * w / 2) / np.sqrt(2 * np.pi)
        tail = max(float(ndtr(-w) + density * (1 / u - 1 / w)), 1e-300)
        return float(np.log(tail) - np.log(alpha))

    low, high = 1e-3, 1 - 1e-12
    if excess(low) < 0:
        return float(top * index(low))
    return float(top * index(float(brentq(excess, low, high, xtol=1e-13))))


_STEPS_TO_REACH = 30
_TRUSTED = 1.3
"""Greatest correction factor for which the first terms of the series are trusted."""


def normal_reach(
    alpha: NDArray[np.float64] | float,
    skewness: NDArray[np.float64],
    kurtosis: NDArray[np.float64],
    rows: NDArray[np.float64],
) -> NDArray[np.float64]:
    """One-sided ``alpha`` quantile of the mean of nearly normal values, in standard errors.

    The first two terms of Cramér's series (1938) for the tail: ln P ≈ ln Φ(−z) + γ₃z³/(6√n) + γ₄z⁴/(24n), each with the
    sign that widens the interval.

    Args:
        alpha: one-sided.
        skewness: absolute, of a single value.
        kurtosis: excess, of a single value; negative values count as 0.
        rows: values in the mean.

    Returns:
        Standard errors; inf where the correction is too large for the series.
    """
    plain = -ndtri(np.asarray(alpha, dtype=np.float64))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        third = np.abs(skewness) / (3 * np.sqrt(rows))
        fourth = np.maximum(kurtosis, 0.0) / (12 * rows)
        shape = np.broadcast_shapes(np.shape(third), np.shape(fourth), np.shape(plain))
        third, fourth, plain = (np.broadcast_to(part, shape).ravel() for part in (third, fourth, plain))
        result, left, reach = np.empty(third.shape), np.arange(third.size), plain
        for _ in range(_STEPS_TO_REACH):
            square = reach * reach
            moved = np.sqrt(plain**2 + third * square * reach + fourth * square * square)
            # The value only grows: elements that have converged, or are beyond the trusted range, are done.
            over = (moved == reach) | ~(moved <= _TRUSTED * plain)
            reach = moved
            if over.any():
                result[left[over]] = moved[over]
                left, reach, plain, third, fourth = (part[~over] for part in (left, reach, plain, third, fourth))
                if not left.size:
                    break
        result[left] = reach
    beyond = -_TRUSTED * ndtri(np.asarray(alpha, dtype=np.float64))
    trusted: NDArray[np.float64] = np.where(result.reshape(shape) <= beyond, result.reshape(shape), np.inf)
    return trusted
