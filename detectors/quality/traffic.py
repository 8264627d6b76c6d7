"""Usual traffic by hour of the week, learned from live traffic and forgotten over some weeks."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtrit

from detectors.array_types import Array

KEEP = 0.875
"""Factor on a slot's earlier weights at each new occurrence: about eight weeks of memory for hours of the week."""
LEAST = 3.0
"""Least number of occurrences of a slot before it is judged."""
MOST_SCATTER = 2.0
"""Cap on the contribution of an alarming piece to the dispersion, in units of the dispersion."""


@dataclass(frozen=True, slots=True)
class TrafficState:
    """Weighted sums over the occurrences of each slot.

    Attributes:
        weight, total: float64[H], weights and rows by hour of the week or day of the week.
        day_weight, day_total: float64[D], weights and rows by hour of the day, over all weekdays.
        residual: float64[2], weighted Σ (x − μ)²/μ of judged pieces around the weekly and the daily expectation.
        pieces: float64[2], Σ weights of the judged pieces.
    """

    weight: Array
    total: Array
    day_weight: Array
    day_total: Array
    residual: Array
    pieces: Array


@dataclass(frozen=True, slots=True)
class Volume:
    """One piece of event time, judged.

    Attributes:
        expected: usual number of rows; NaN while too few pieces are known.
        lower, upper: bounds of the usual number of rows.
        ratio: rows divided by expected rows.
        status: ``ok``, ``breached`` or ``insufficient``.
        detail: one sentence; empty unless breached.
    """

    expected: float
    lower: float
    upper: float
    ratio: float
    status: str
    detail: str


def start(slots: int, daily: int) -> TrafficState:
    """The empty state for ``slots`` slots in a week and ``daily`` slots in a day."""
    return TrafficState(np.zeros(slots), np.zeros(slots), np.zeros(daily), np.zeros(daily), np.zeros(2), np.zeros(2))


def _expected(state: TrafficState, slot: int) -> tuple[float, float, int]:
    """Expected rows, their weight, and 0 for the weekly or 1 for the daily expectation; NaN while both are unknown."""
    if state.weight[slot] >= LEAST * 0.8:
        return float(state.total[slot] / state.weight[slot]), float(state.weight[slot]), 0
    day = slot % len(state.day_weight)
    if state.day_weight[day] >= LEAST:
        return float(state.day_total[day] / state.day_weight[day]), float(state.day_weight[day]), 1
    return np.nan, 0.0, 1


def _an_hour_off(state: TrafficState, slot: int) -> list[float]:
    """Expected rows an hour earlier and an hour later; empty for slots of a day."""
    if len(state.day_weight) == 1:
        return []
    beside = [_expected(state, (slot + step) % len(state.weight))[0] for step in (-1, 1)]
    return [mean for mean in beside if not np.isnan(mean)]


def judge_traffic(state: TrafficState, slot: int, rows: float, alpha: float, min_change: float = 0.5) -> Volume:
    """Whether ``rows`` is unusual for the slot, and by a relevant factor.

    Rows vary more than a Poisson count: the dispersion is estimated from earlier pieces, and is at least 1 (moment
    estimate of an over-dispersed count; McCullagh & Nelder 1989, section 6.2). The interval is Student's, with as many
    degrees of freedom as pieces. The usual numbers of the hours before and after are usual too: slots are in UTC, and
    daylight saving time moves traffic by an hour twice a year.

    Args:
        state: learned from earlier pieces.
        slot: of the piece.
        rows: in the piece.
        alpha: error probability of each side.
        min_change: relevant are numbers below this share of the expected rows, or above its reciprocal.
    """
    mean, weight, kind = _expected(state, slot)
    if np.isnan(mean) or state.pieces[kind] < LEAST:
        return Volume(mean, np.nan, np.nan, np.nan, "insufficient", "")
    phi = max(float(state.residual[kind] / state.pieces[kind]), 1.0)
    reach = -float(stdtrit(max(float(state.pieces[kind]) - 1, 1.0), alpha))
    near = [mean, *_an_hour_off(state, slot)]
    least, most = min(near), max(near)
    errors = [reach * math.sqrt(phi * max(usual, 1.0) * (1 + 1 / weight)) for usual in (least, most)]
    lower, upper = max(least - errors[0], 0.0), most + errors[1]
    ratio = rows / mean if mean > 0 else math.nan
    few, many = rows < lower and rows < min_change * least, rows > upper and rows > most / min_change
    detail = ""
    if rows == 0 and few:
        detail = f"no predictions arrived; {mean:,.0f} are usual at this time"
    elif few or many:
        detail = f"{rows:,.0f} predictions arrived; {mean:,.0f} are usual at this time"
    return Volume(mean, lower, upper, float(ratio), "breached" if few or many else "ok", detail)


def learn(state: TrafficState, slot: int, rows: float, alpha: float) -> TrafficState:
    """Learns from a piece. A breached piece counts as the nearest usual number, so that an outage never becomes usual.

    Its deviation still counts, up to `MOST_SCATTER` times the usual dispersion, so that traffic whose variation has
    grown does not alarm forever.
    """
    judged = judge_traffic(state, slot, rows, alpha)
    breached = judged.status == "breached"
    counted = float(np.clip(rows, judged.lower, judged.upper)) if breached else rows
    residual, pieces = state.residual.copy(), state.pieces.copy()
    day = slot % len(state.day_weight)
    for kind, (weight, total) in enumerate(
        ((state.weight[slot], state.total[slot]), (state.day_weight[day], state.day_total[day]))
    ):
        if weight > 0:
            mean = max(total / weight, 1.0)
            # The mean itself is uncertain: a new piece varies around it by 1 + 1/weight.
            scatter = (counted - total / weight) ** 2 / mean / (1 + 1 / weight)
            if breached:
                scatter = min(scatter, MOST_SCATTER * max(float(residual[kind] / max(pieces[kind], 1.0)), 1.0))
            residual[kind] = residual[kind] * 0.998 + scatter
            pieces[kind] = pieces[kind] * 0.998 + 1
    changed = {}
    for name, index in (("weight", slot), ("total", slot), ("day_weight", day), ("day_total", day)):
        values = getattr(state, name).copy()
        values[index] = values[index] * KEEP + (1.0 if name.endswith("weight") else counted)
        changed[name] = values
    return replace(state, residual=residual, pieces=pieces, **changed)
