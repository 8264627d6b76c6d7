"""Which subjects explain a drift, and how much of it each."""

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
"""Of the subjects that are named as responsible, at most this share is wrongly so, on average."""


@dataclass(frozen=True, slots=True)
class Attribution:
    """Who is responsible.

    Attributes:
        shares: float64[S], share of the total debiased effect; 0 where there is none.
        q_values: float64[S], p-values corrected for their number (Benjamini & Hochberg 1995); NaN where there is none.
        responsible: bool[S], changed at a false discovery rate of `FDR`.
        order: int64[S], greatest share first.
    """

    shares: NDArray[np.float64]
    q_values: NDArray[np.float64]
    responsible: NDArray[np.bool_]
    order: NDArray[np.int64]


def attribute(effect: NDArray[np.float64], p_values: NDArray[np.float64], fdr: float = FDR) -> Attribution:
    """Shares the effects of one window out among its subjects.

    Args:
        effect: float64[S], debiased; NaN where it is not known.
        p_values: float64[S], of no change at all; NaN where not known.
        fdr: false discovery rate.
    """
    held = np.maximum(np.nan_to_num(effect), 0.0)
    total = held.sum()
    shares = held / total if total > 0 else held
    q_values = adjusted(p_values)
    with np.errstate(invalid="ignore"):
        responsible = (q_values <= fdr) & (held > 0)
    return Attribution(shares, q_values, responsible, np.argsort(-shares, kind="stable").astype(np.int64))


def adjusted(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64[S]: Benjamini & Hochberg (1995), as ``scipy.stats.false_discovery_control``; NaN takes no part."""
    result = np.full(p_values.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p_values))
    order = known[np.argsort(p_values[known], kind="stable")]
    scaled = p_values[order] * len(order) / np.arange(1, len(order) + 1)
    result[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0) if len(order) else scaled
    return result


def contributions(reference: Reference, window: Counts, subject: int, most: int = 3) -> tuple[tuple[int, float], ...]:
    """The columns that a subject's change is made of: (column, its part of the PSI), greatest first.

    The sign is that of the change: positive where the window holds more. Parts of all columns add up to the PSI of the
    smoothed shares over single columns; a column in use on either side is counted.

    Args:
        reference, window: what is compared; the window without leading dimensions.
        subject: place in the layout.
        most: how many.
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
