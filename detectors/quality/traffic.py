"""How much traffic is usual at this hour of the week? Learned from live traffic, forgotten over some weeks."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtrit

from detectors.array_types import Array

KEEP = 0.875
"""Weight of what was known of a slot after each further occurrence: eight weeks for hours of the week."""
LEAST = 3.0
"""Occurrences of a slot before it says anything."""
MOST_SCATTER = 2.0
"""What a piece that alarms adds to the dispersion, at most, in units of that dispersion."""


@dataclass(frozen=True, slots=True)
class TrafficState:
    """What is known of each slot, by weighted sums over its occurrences.

    Attributes:
        weight, total: float64[H], hours of the week or days of the week: weights, and rows.
        day_weight, day_total: float64[D], the same by hour of the day: what weekdays have in common.
        residual: float64[2], Σ (x − μ)²/μ of judged pieces around either expectation, with weights.
        pieces: float64[2], Σ weights of them.
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
        expected: rows; NaN while too little is known.
        lower, upper: between which they are usual.
        ratio: rows over expected ones.
        status: ``ok``, ``breached`` or ``insufficient``.
        detail: one sentence; empty when nothing is wrong.
    """

    expected: float
    lower: float
    upper: float
    ratio: float
    status: str
    detail: str


def start(slots: int, daily: int) -> TrafficState:
    """Nothing known; ``slots`` in a week, ``daily`` in a day."""
    return TrafficState(np.zeros(slots), np.zeros(slots), np.zeros(daily), np.zeros(daily), np.zeros(2), np.zeros(2))


def _expected(state: TrafficState, slot: int) -> tuple[float, float, int]:
    """Expected rows, the weight they rest on, and which expectation it is; NaN while neither is known."""
    if state.weight[slot] >= LEAST * 0.8:
        return float(state.total[slot] / state.weight[slot]), float(state.weight[slot]), 0
    day = slot % len(state.day_weight)
    if state.day_weight[day] >= LEAST:
        return float(state.day_total[day] / state.day_weight[day]), float(state.day_weight[day]), 1
    return np.nan, 0.0, 1


def _an_hour_off(state: TrafficState, slot: int) -> list[float]:
    """What is expected an hour before and after; days have no such neighbours."""
    if len(state.day_weight) == 1:
        return []
    beside = [_expected(state, (slot + step) % len(state.weight))[0] for step in (-1, 1)]
    return [mean for mean in beside if not np.isnan(mean)]


def judge_traffic(state: TrafficState, slot: int, rows: float, alpha: float, min_change: float = 0.5) -> Volume:
    """Whether so many rows are unusual for their slot, and by so much that it matters.

    Rows scatter more than a Poisson count: the dispersion is that of what was judged before, never below 1 (moment
    estimate of an over-dispersed count; McCullagh & Nelder 1989, section 6.2). The interval is Student's, with as many
    degrees of freedom as pieces. What is usual an hour earlier or later is usual too: slots are in UTC, and people's
    days move by an hour twice a year.

    Args:
        state: what was learned before.
        slot: of the piece.
        rows: in it.
        alpha: error probability of each side.
        min_change: less than this share of what is expected matters, and more than its reciprocal.
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
    """Takes a piece in. What alarms counts as the nearest usual number, hardly as scatter: no outage becomes the norm.

    Scatter that alarms may not pass for none either, or traffic that has become restless would alarm for ever: it
    counts as `MOST_SCATTER` times what is usual.
    """
    judged = judge_traffic(state, slot, rows, alpha)
    breached = judged.status == "breached"
    taken = float(np.clip(rows, judged.lower, judged.upper)) if breached else rows
    residual, pieces = state.residual.copy(), state.pieces.copy()
    day = slot % len(state.day_weight)
    for kind, (weight, total) in enumerate(
        ((state.weight[slot], state.total[slot]), (state.day_weight[day], state.day_total[day]))
    ):
        if weight > 0:
            mean = max(total / weight, 1.0)
            # The mean itself is uncertain: a fresh piece scatters by 1 + 1/weight around it.
            scatter = (taken - total / weight) ** 2 / mean / (1 + 1 / weight)
            if breached:
                scatter = min(scatter, MOST_SCATTER * max(float(residual[kind] / max(pieces[kind], 1.0)), 1.0))
            residual[kind] = residual[kind] * 0.998 + scatter
            pieces[kind] = pieces[kind] * 0.998 + 1
    changed = {}
    for name, index in (("weight", slot), ("total", slot), ("day_weight", day), ("day_total", day)):
        held = getattr(state, name).copy()
        held[index] = held[index] * KEEP + (1.0 if name.endswith("weight") else taken)
        changed[name] = held
    return replace(state, residual=residual, pieces=pieces, **changed)
