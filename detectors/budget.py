"""From a false-alarm budget to the confidence of one decision, and how much correlated traffic weakens it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import chdtri

from detectors.effects import shares
from detectors.layout import LOW
from detectors.pooling import MIN_EXPECTED

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MONTH_MS = 30 * 86_400_000
_JUDGED = 2  # statistics judged a subject: psi and missing
_MIN_BLOCKS = 5
_COMPONENTS = 4


def alpha(false_alarms_per_30d: float, *, subjects: int, segments: int, steps_ms: tuple[int, ...]) -> float:
    """One-sided error probability of a single decision on one statistic of one subject in one window.

    The budget divided by the number of decisions in 30 days (Bonferroni). Windows that overlap make decisions that
    agree with one another, so the realised number of false alarms lies below the budget, never above.

    Args:
        false_alarms_per_30d: the budget of one model.
        subjects: compared subjects.
        segments: series, the whole included.
        steps_ms: by how much each window slides, ms.
    """
    looks = sum(_MONTH_MS / step for step in steps_ms)
    decisions = max(looks * subjects * segments * _JUDGED, 1.0)
    return min(false_alarms_per_30d / decisions, 0.05)


def design_effect(block_counts: NDArray[np.int64], panes_per_window: int = 1) -> NDArray[np.float64]:
    """By how much counts vary more from window to window than counts of independent rows.

    Rows of real traffic come in sessions, batches and hours of the day. Rao & Scott (1981) divide the χ² statistic by
    the factor found here: blocks of the reference as long as a window are compared with the whole of it. The factor is
    the greatest of two dispersions: the mean one over all bins, and that in the worst direction among the four smooth
    ones (location, spread, skew, tails), because correlated rows vary along few directions, and there far more.

    Args:
        block_counts: int64[P, S, COLUMNS], counts of successive panes of the reference.
        panes_per_window: how many panes make up a window.

    Returns:
        float64[S], at least 1. The estimate is raised to the upper end of its 95 % interval, as few blocks allow only a
        rough one; with fewer than 5 blocks it is 1, for nothing can be told.
    """
    if panes_per_window > 1:
        size = len(block_counts) // panes_per_window * panes_per_window
        shape = (-1, panes_per_window, *block_counts.shape[1:])
        block_counts = block_counts[:size].reshape(shape).sum(axis=1)
    values = np.concatenate([block_counts[..., LOW : LOW + 1], block_counts[..., :LOW], block_counts[..., LOW + 1 :]], -1)
    values = values.astype(np.float64)
    rows = values.sum(axis=-1)
    # Blocks at the ends or in the dead of night hold too few rows to say anything of how windows vary.
    used = rows.sum(axis=1) >= 0.2 * np.median(rows.sum(axis=1))
    values, rows = values[used], rows[used]
    blocks = len(values)
    subjects = block_counts.shape[1]
    if blocks < _MIN_BLOCKS:
        return np.ones(subjects)
    whole = values.sum(axis=0)
    q = np.nan_to_num(shares(whole))
    expected = rows[..., None] * q
    safe = expected.mean(axis=0) >= MIN_EXPECTED
    with np.errstate(invalid="ignore", divide="ignore"):
        cells = np.where(safe & (expected > 0), (values - expected) ** 2 / expected, 0.0).sum(axis=(0, 2))
    freedom = np.maximum(safe.sum(axis=1) - 1, 1) * (blocks - 1)
    mean = cells / freedom
    basis = smooth_basis(q)
    with np.errstate(invalid="ignore", divide="ignore"):
        parts = np.einsum("psv,svj->psj", values - expected, basis) / np.sqrt(rows)[..., None]
    parts = np.nan_to_num(parts)
    spread = np.einsum("psi,psj->sij", parts, parts) / (blocks - 1)
    worst = np.linalg.eigvalsh(spread)[:, -1]
    # chdtri inverts the upper tail: a sum of squares with so many degrees of freedom is rarely less than this.
    raised = (blocks - 1) / chdtri(blocks - 1, 0.95)
    effect: NDArray[np.float64] = np.maximum(np.maximum(mean, worst) * raised, 1.0)
    return effect


def smooth_basis(q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Polynomials of the rank, orthonormal under a distribution: location, spread, skew and tails.

    Legendre-type components of Neyman's smooth test (1937) on bins.

    Args:
        q: float64[S, V], shares of ordered columns.

    Returns:
        float64[S, V, 4]; a component that the distribution has too few values for is 0.
    """
    ranks = np.cumsum(q, axis=1) - q / 2
    x = 2 * ranks - 1
    powers = np.stack([x**degree for degree in range(_COMPONENTS + 1)], axis=-1)
    basis: list[NDArray[np.float64]] = []
    for degree in range(_COMPONENTS + 1):
        vector = powers[..., degree]
        # Twice, because once loses orthogonality to rounding for skewed distributions.
        for _ in range(2):
            for other in basis:
                vector = vector - other * (q * vector * other).sum(axis=1, keepdims=True)
        norm = np.sqrt((q * vector**2).sum(axis=1, keepdims=True))
        basis.append(np.where(norm > 1e-6, vector / np.maximum(norm, 1e-6), 0.0))
    return np.stack(basis[1:], axis=-1)
