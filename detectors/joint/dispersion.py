"""Chance variation of the multivariate statistics of windows around the reference's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri

from detectors.drift.dispersion import MIN_BLOCKS

if TYPE_CHECKING:
    from detectors.joint.sums import Sums

STEEPEST = 0.99
"""Correlations are clipped here before Fisher's transformation, which exaggerates small differences near ±1."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Chance variation of each statistic, for one window length; pairs in the order of `Sums.correlation`.

    Attributes:
        spectrum: float64[K], eigenvalues of n times the covariance of a window's mean Fourier features.
        waves: float64[D], for each frequency, the greater eigenvalue of the covariance of its cosine and sine.
        wave_effect: float64[D] ≥ 1, the design effect included in ``waves``.
        wave_skewness, wave_kurtosis: float64[D], the greater value of a row's cosine and sine.
        error_shape: float64[2], absolute skewness and excess kurtosis of a row's reconstruction error.
        error_effect: design effect of the mean reconstruction error, ≥ 1.
        pair_variance: float64[N], n times the variance of Fisher's z of a correlation; inf for pairs that are not
            monitored.
        pair_skewness, pair_kurtosis: float64[N], of a row's influence on the correlation.
        pair_effect: float64[N] ≥ 1, design effect of the correlation.
    """

    spectrum: NDArray[np.float64]
    waves: NDArray[np.float64]
    wave_effect: NDArray[np.float64]
    wave_skewness: NDArray[np.float64]
    wave_kurtosis: NDArray[np.float64]
    error_shape: NDArray[np.float64]
    error_effect: float
    pair_variance: NDArray[np.float64]
    pair_skewness: NDArray[np.float64]
    pair_kurtosis: NDArray[np.float64]
    pair_effect: NDArray[np.float64]


def measure_spread(
    held: Sums,
    apart: Sums,
    by_block: Sums | None,
    error_blocks: Sums | None,
    features: NDArray[np.float64],
    errors: NDArray[np.float64],
    coordinates: NDArray[np.float64],
    skipped: NDArray[np.bool_],
) -> tuple[Spread, int]:
    """The spread, and the number of reference blocks that it is measured on.

    Args:
        held: sums of the whole reference, without leading dimensions.
        apart: sums of the rows that the principal components were not fitted on.
        by_block, error_blocks: sums of all rows, and of the rows apart, by block with one leading dimension; None
            without blocks.
        features: float64[r, 2 D] of a sample of the reference rows.
        errors: float64[s] of a sample of the rows apart.
        coordinates: float64[r, C] of the sample, NaN for missing.
        skipped: bool[N], pairs that are not monitored.
    """
    covariance = np.cov(features, rowvar=False)
    spectrum = np.maximum(np.linalg.eigvalsh(covariance), 0.0)
    many = features.shape[1] // 2
    pairs = np.stack([covariance[:many, :many], covariance[many:, many:], covariance[:many, many:]])
    waves = _greater(*np.diagonal(pairs, axis1=1, axis2=2))
    by_wave = np.stack(_shape(features)).reshape(2, 2, many).max(axis=1)
    # A reference with very few rows may have no rows apart.
    column = errors[:, None] if len(errors) else np.zeros((1, 1))
    variance, shape = float(column.var()), np.concatenate(_shape(column))
    fisher, skewness, kurtosis = _influence(coordinates, held.correlation)
    fisher = np.where(skipped | ~np.isfinite(fisher), np.inf, fisher)
    none = np.ones(len(fisher))
    spread = Spread(
        spectrum, waves, np.ones(many), by_wave[0], by_wave[1], shape, 1.0, fisher, skewness, kurtosis, none
    )
    if by_block is None or error_blocks is None:
        return spread, 0
    # Blocks at the ends or at night may hold too few rows to show how windows vary.
    used = (by_block.rows > 0) & (by_block.rows >= 0.2 * np.median(by_block.rows))
    blocks = int(used.sum())
    if blocks < MIN_BLOCKS:
        return spread, blocks
    raised = _raised(blocks - 1)
    rows = by_block.rows[used]
    with np.errstate(invalid="ignore", divide="ignore"):
        gap = fisher_z(by_block.correlation[used]) - fisher_z(held.correlation)
        # The variance of Fisher's z has n − 3 in the denominator (Fisher 1921).
        cells = np.nan_to_num(gap**2 * np.maximum(by_block.both[used] - 3, 0.0) / fisher)
    effect = cells.sum(axis=0) / np.maximum((by_block.both[used] > 3).sum(axis=0) - 1, 1)
    gaps = (by_block.features[used] - held.features) * np.sqrt(rows / (blocks - 1))[:, None]
    cosines, sines = gaps[:, :many], gaps[:, many:]
    own = _greater((cosines**2).sum(axis=0), (sines**2).sum(axis=0), (cosines * sines).sum(axis=0))
    widened = _spectrum_of_blocks(spectrum, gaps)
    # With few blocks, some of many effects are too small by chance, so each effect is at least their mean.
    common = widened[: len(spectrum)].sum() / max(spectrum.sum(), 1e-300)
    grown = np.maximum(waves * max(common, 1.0), own * raised)
    watched = effect[np.isfinite(fisher)]
    return replace(
        spread,
        spectrum=widened,
        waves=grown,
        wave_effect=np.where(waves > 0, grown / np.where(waves > 0, waves, 1.0), 1.0),
        error_effect=_error_effect(apart, error_blocks, variance),
        pair_effect=np.maximum(effect * raised, max(float(watched.mean()) if watched.size else 1.0, 1.0)),
    ), blocks


def _greater(
    first: NDArray[np.float64], second: NDArray[np.float64], crossed: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The greater eigenvalue of symmetric 2 × 2 matrices."""
    result: NDArray[np.float64] = (first + second) / 2 + np.hypot((first - second) / 2, crossed)
    return result


def _shape(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Absolute skewness and excess kurtosis of each column; 0 for constants."""
    centred = values - values.mean(axis=0)
    variance = (centred**2).mean(axis=0)
    safe = np.where(variance > 1e-12, variance, np.inf)
    return np.abs((centred**3).mean(axis=0)) / safe**1.5, (centred**4).mean(axis=0) / safe**2 - 3.0


def _error_effect(apart: Sums, blocks: Sums, variance: float) -> float:
    rows = blocks.rows
    used = (rows > 0) & (rows >= 0.2 * np.median(rows[rows > 0])) if (rows > 0).any() else rows > 0
    if used.sum() < 2 or variance <= 0:
        return 1.0
    gaps = blocks.error[used, 0] / rows[used] - apart.error[0] / apart.rows
    freedom = float(used.sum() - 1)
    return max(float((rows[used] * gaps**2).sum()) / freedom / variance * _raised(freedom), 1.0)


def fisher_z(correlation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fisher's transformation (1915) of correlations clipped before ±1."""
    result: NDArray[np.float64] = np.arctanh(np.clip(correlation, -STEEPEST, STEEPEST))
    return result


def _raised(freedom: float) -> float:
    """Factor from a variance to the upper end of its 95 % interval."""
    return float(freedom / chdtri(freedom, 0.95))


def _spectrum_of_blocks(spectrum: NDArray[np.float64], scaled: NDArray[np.float64]) -> NDArray[np.float64]:
    """The spectrum of independent rows, scaled to the dispersion of the blocks, and its worst direction.

    Correlated rows vary mostly along few directions. The greatest eigenvalue of the blocks' covariance is too great by
    chance: its expectation is about (√λ₁ + √(Σλ/B))². The excess over this is added as a further direction.
    """
    freedom = len(scaled) - 1
    trace, squares = spectrum.sum(), (spectrum**2).sum()
    if trace == 0:
        return spectrum
    # A mean over many directions is estimated better than a single variance.
    effect = max(float((scaled**2).sum() / trace * _raised(freedom * trace**2 / squares)), 1.0)
    widened = spectrum * effect
    chance = (np.sqrt(widened.max()) + np.sqrt(widened.sum() / freedom)) ** 2
    worst = float(np.linalg.eigvalsh(scaled @ scaled.T)[-1])
    return np.append(widened, max(worst - chance, 0.0) * _raised(freedom))


def _influence(
    coordinates: NDArray[np.float64], correlation: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Variance of Fisher's z for one row, and skewness and excess kurtosis of a row's influence on a correlation.

    The influence of a row is ab − ρ(a² + b²)/2 with standardised a and b (Devlin, Gnanadesikan & Kettenring 1975).
    """
    present = ~np.isnan(coordinates)
    with np.errstate(invalid="ignore", divide="ignore"):
        count = present.sum(axis=0)
        mean = np.nan_to_num(coordinates).sum(axis=0) / count
        centred = np.where(present, coordinates - mean, 0.0)
        values = np.nan_to_num(centred / np.sqrt((centred**2).sum(axis=0) / count))
    width = coordinates.shape[1]
    moments = np.zeros((3, width * (width - 1) // 2))
    rho, start = np.nan_to_num(correlation), 0
    for index in range(width - 1):  # all pairs at once would be rows × pairs numbers
        stop = start + width - index - 1
        one, others = values[:, index : index + 1], values[:, index + 1 :]
        both = present[:, index : index + 1] & present[:, index + 1 :]
        part = np.where(both, one * others - rho[start:stop] / 2 * (one**2 + others**2), 0.0)
        square = part * part
        rows = np.maximum(both.sum(axis=0), 1)
        moments[:, start:stop] = [square.sum(0) / rows, (square * part).sum(0) / rows, (square * square).sum(0) / rows]
        start = stop
    variance, third, fourth = moments
    # Rows that all follow a rule do not prove that the next row will: allow for one further row that breaks it.
    variance = variance + 1.0 / max(len(coordinates), 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        steepness = 1 - np.clip(rho, -STEEPEST, STEEPEST) ** 2
        return variance / steepness**2, np.abs(third) / variance**1.5, fourth / variance**2 - 3.0
