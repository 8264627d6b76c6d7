"""Seasonal references: a window is compared with the matching hours of the reference, in matching proportions.

Slots are hours of the day or of the week, UTC, Monday first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from detectors.layout import Counts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_HOUR_MS = 3_600_000
_MONDAY = 72
"""Hours from a Monday to the epoch, which began on a Thursday."""
MOST_UNKNOWN = 0.05
"""A window with more than this share of its rows in hours without reference rows is not judged."""
SLOTS: Mapping[str, int] = {"hour_of_day": 24, "hour_of_week": 168}
"""Season → number of slots."""


def slots_of(times: NDArray[np.int64], season: str) -> NDArray[np.int64]:
    """int64[n]: the slot of each time, epoch ms."""
    result: NDArray[np.int64] = (times // _HOUR_MS + _MONDAY) % SLOTS[season]
    return result


def slot_rows(starts: NDArray[np.int64], rows: NDArray[np.int64], step_ms: int, season: str) -> NDArray[np.float64]:
    """float64[H]: rows in each slot; rows of a pane longer than an hour are spread over its hours.

    Args:
        starts: int64[P], first moment of each pane, epoch ms.
        rows: int64[P], rows in each pane.
        step_ms: length of a pane.
        season: one of `SLOTS`.
    """
    hours = max(-(-step_ms // _HOUR_MS), 1)
    first = slots_of(starts, season)
    places = (first[:, None] + np.arange(hours)) % SLOTS[season]
    spread = np.repeat(rows / hours, hours)
    return np.bincount(places.ravel(), weights=spread, minlength=SLOTS[season]).astype(np.float64, copy=False)


def mixed(slots: Counts, rows: NDArray[np.float64]) -> Counts | None:
    """The reference of a window with ``rows`` in each slot.

    The mixture Σ w q of the slots' distributions with the window's shares w, as counts of m rows, where
    1/m = Σ w²/m_slot: m unstratified rows would have as much information (the variance of a stratified estimate,
    Cochran 1977, section 5.3).

    Args:
        slots: counts with leading dimension H.
        rows: float64[H], the window's rows in each slot.

    Returns:
        None if too much of the window lies in slots without reference rows, or the window is empty.
    """
    slot_sizes = np.asarray(slots.rows, dtype=np.float64)
    known = (rows > 0) & (slot_sizes > 0)
    if not known.any() or rows[known].sum() < (1 - MOST_UNKNOWN) * rows.sum():
        return None
    weights = rows[known] / rows[known].sum()
    own = slot_sizes[known]
    size = 1.0 / (weights**2 / own).sum()
    scale = weights / own * size
    return Counts(
        np.asarray(np.rint(size), dtype=np.int64),
        np.rint(np.tensordot(scale, slots.bins[known], axes=1)).astype(np.int64),
        np.tensordot(scale, slots.moments[known], axes=1),
        np.stack([slots.extremes[..., 0].min(axis=0), slots.extremes[..., 1].max(axis=0)], axis=-1),
    )
