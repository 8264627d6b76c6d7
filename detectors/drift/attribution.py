"""The subjects responsible for a drift, and each subject's share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from detectors.drift import effects

if TYPE_CHECKING:
    from detectors.drift.reference import Reference
    from detectors.layout import Counts

FDR = 0.05
"""False discovery rate: greatest average share of subjects that are wrongly named as responsible."""


@dataclass(frozen=True, slots=True)
class Attribution:
    """Shares of subjects in a drift.

    Attributes:
        shares: float64[S], share of the total debiased effect; 0 without an effect.
        q_values: float64[S], p-values corrected for their number (Benjamini & Hochberg 1995); NaN without a p-value.
        responsible: bool[S], changed at a false discovery rate of `FDR`.
        order: int64[S], greatest share first.
    """

    shares: NDArray[np.float64]
    q_values: NDArray[np.float64]
    responsible: NDArray[np.bool_]
    order: NDArray[np.int64]


def attribute(effect: NDArray[np.float64], p_values: NDArray[np.float64], fdr: float = FDR) -> Attribution:
    """Divides the drift of one window among its subjects.

    Args:
        effect: float64[S], debiased; NaN where unknown.
        p_values: float64[S], of no change; NaN where unknown.
        fdr: false discovery rate.
    """
    positive = np.maximum(np.nan_to_num(effect), 0.0)
    total = positive.sum()
    shares = positive / total if total > 0 else positive
    q_values = adjusted(p_values)
    with np.errstate(invalid="ignore"):
        responsible = (q_values <= fdr) & (positive > 0)
    return Attribution(shares, q_values, responsible, np.argsort(-shares, kind="stable").astype(np.int64))


def adjusted(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64[S]: Benjamini & Hochberg (1995), as ``scipy.stats.false_discovery_control``; NaN is ignored."""
    result = np.full(p_values.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p_values))
    order = known[np.argsort(p_values[known], kind="stable")]
    scaled = p_values[order] * len(order) / np.arange(1, len(order) + 1)
    result[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0) if len(order) else scaled
    return result


def contributions(reference: Reference, window: Counts, subject: int, most: int = 3) -> tuple[tuple[int, float], ...]:
    """The columns that contribute most to a subject's change: (column, contribution to the PSI), greatest first.

    The sign is positive where the window holds a greater share. The contributions of all columns add up to the PSI of
    the smoothed shares over single columns; a column in use in window or reference is counted.

    Args:
        reference, window: counts to compare; the window has no leading dimensions.
        subject: index in the layout.
        most: greatest number of columns.
    """
    columns = reference.order[subject]
    seen, held = window.bins[subject, columns].astype(np.float64), reference.held[subject]
    used = (seen > 0) | (held > 0)
    if not seen.sum() or not held.sum():
        return ()
    p, q = effects.smoothed_shares(seen, used), effects.smoothed_shares(held, used)
    parts = np.zeros(len(columns))
    parts[used] = (p[used] - q[used]) * np.log(p[used] / q[used])
    signs = np.where(p >= q, 1.0, -1.0)
    order = np.argsort(-parts, kind="stable")[:most]
    return tuple((int(columns[index]), float(signs[index] * parts[index])) for index in order if parts[index] > 0)
