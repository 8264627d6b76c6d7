"""Dispersion: how much counts vary between windows of the reference, compared with independent rows.

Rows of real traffic come in sessions, batches and hours of the day, so their counts vary more from window to window
than counts of independent rows. Rao & Scott (1981) divide the χ² statistic by this factor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri

from detectors.drift.effects import shares
from detectors.drift.reference import Dispersion, independent_rows
from detectors.drift.smooth import smooth_basis
from detectors.layout import HIGH, LOW, MISSING, without_value
from detectors.pooling import MIN_EXPECTED

MIN_BLOCKS = 5
"""Least number of blocks from which a variance can be estimated."""


@dataclass(frozen=True, slots=True)
class Expected:
    """Expected contents of each block if only the season made blocks differ.

    Attributes:
        shares: float64[P, S, VALUES], of the valid values, by value where they have an order.
        gone: float64[P, S], share of rows without a valid value.
        means: float64[P, S], mean z.
        occurrences: average number of blocks for each part of the season (above 1). The expectation is computed from
            these blocks, so it fits them better than other blocks, by 1/occurrences.
    """

    shares: NDArray[np.float64]
    gone: NDArray[np.float64]
    means: NDArray[np.float64]
    occurrences: float


def by_value(bins: NDArray[np.int64]) -> NDArray[np.float64]:
    """float64[..., VALUES]: the columns of valid values, LOW first and HIGH last."""
    parts = [bins[..., LOW : LOW + 1], bins[..., :MISSING], bins[..., HIGH : HIGH + 1]]
    return np.concatenate(parts, -1).astype(np.float64)


def measure_dispersion(
    rows: NDArray[np.int64],
    bins: NDArray[np.int64],
    moments: NDArray[np.float64],
    expected: Expected | None = None,
) -> Dispersion:
    """The dispersion of blocks of the reference, each as long as a window.

    The design effect of values is the greater of the mean dispersion over all bins and the dispersion in the worst of
    the four smooth directions, because correlated rows vary mostly along few directions. Both are raised to the upper
    end of their 95 % interval, as few blocks allow only a rough estimate.

    Args:
        rows: int64[P], rows of each block.
        bins: int64[P, S, COLUMNS].
        moments: float64[P, S, 2], Σz and Σz².
        expected: of each block; None if all blocks have one expectation.
    """
    if len(rows) < MIN_BLOCKS:
        return independent_rows(bins.shape[1])
    # Blocks at the ends or at night may hold too few rows to show how windows vary.
    used = (rows > 0) & (rows >= 0.2 * np.median(rows))
    rows, bins, moments = rows[used], bins[used], moments[used]
    blocks, subjects = len(rows), bins.shape[1]
    if blocks < MIN_BLOCKS:
        return independent_rows(subjects)
    # chdtri inverts the upper tail: a sum of squares with blocks − 1 degrees of freedom is below it in 5 % of cases.
    raised = (blocks - 1) / chdtri(blocks - 1, 0.95)
    values, gone = by_value(bins), without_value(bins)
    size = values.sum(axis=-1)
    pooled = np.nan_to_num(shares(values.sum(axis=0)))
    means = np.nan_to_num(moments[..., 0].sum(axis=0) / np.maximum(size.sum(axis=0), 1))
    if expected is None:
        own, share = np.broadcast_to(pooled, values.shape), np.broadcast_to(gone.sum(axis=0) / rows.sum(), gone.shape)
        means = np.broadcast_to(means, size.shape)
    else:
        own, share, means = expected.shares[used], expected.gone[used], expected.means[used]
        raised *= expected.occurrences / (expected.occurrences - 1)
    spread, reach = _location(size, moments, means)
    return Dispersion(
        np.maximum(_values(values, pooled, own) * raised, 1.0),
        np.maximum(_shares_effect(gone, rows, share) * raised, 1.0),
        spread * np.sqrt(raised),
        reach,
        blocks,
    )


def _values(values: NDArray[np.float64], pooled: NDArray[np.float64], own: NDArray[np.float64]) -> NDArray[np.float64]:
    blocks = len(values)
    size = values.sum(axis=-1)
    expected = size[..., None] * own
    safe = expected.mean(axis=0) >= MIN_EXPECTED
    with np.errstate(invalid="ignore", divide="ignore"):
        cells = np.where(safe & (expected > 0), (values - expected) ** 2 / expected, 0.0).sum(axis=(0, 2))
        parts = np.einsum("psv,svj->psj", values - expected, smooth_basis(pooled)) / np.sqrt(size)[..., None]
    mean = cells / (np.maximum(safe.sum(axis=1) - 1, 1) * (blocks - 1))
    parts = np.nan_to_num(parts)
    worst = np.linalg.eigvalsh(np.einsum("psi,psj->sij", parts, parts) / (blocks - 1))[:, -1]
    effect: NDArray[np.float64] = np.maximum(mean, worst)
    return effect


def _shares_effect(
    successes: NDArray[np.int64], rows: NDArray[np.int64], share: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Dispersion of a share from block to block over its binomial expectation; 1 where the share is 0 or 1."""
    expected = rows[:, None] * share
    with np.errstate(invalid="ignore", divide="ignore"):
        cells = (successes - expected) ** 2 / (expected * (1 - share))
    varied = ((share > 0) & (share < 1)).any(axis=0)
    cells = np.where(np.isfinite(cells), cells, 0.0)
    effect: NDArray[np.float64] = np.where(varied, cells.sum(axis=0) / (len(rows) - 1), 1.0)
    return effect


def _location(
    size: NDArray[np.float64], moments: NDArray[np.float64], expected: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Standard deviation of the blocks' mean z around the expectation, and the farthest block in these units."""
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.where(size > 0, moments[..., 0] / size, np.nan)
    deviation = means - expected
    known = np.isfinite(deviation)
    count = known.sum(axis=0)
    square = np.where(known, deviation, 0.0) ** 2
    spread = np.where(count >= MIN_BLOCKS, np.sqrt(square.sum(axis=0) / np.maximum(count - 1, 1)), np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        reach = np.where(spread > 0, np.sqrt(square.max(axis=0)) / spread, np.nan)
    return np.where(spread > 0, spread, np.nan), reach
