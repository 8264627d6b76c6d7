"""Detects small lasting changes: two-sided cumulative sums of standardised pane means, for all streams at once.

A sum over panes accumulates changes that are too small to show in one pane or window. ``up`` follows
``max(0, up + u − k)``, ``down`` follows ``max(0, down − u − k)`` (Page 1954). Page-Hinkley (Hinkley 1971) is an
equivalent statistic: ``up`` is the sum of u − k above its running minimum. Here the mean is the reference's, not the
stream's mean so far, so that a slow change cannot hide by moving the mean.

The limit follows from the desired average run length (ARL) without a change.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from detectors.array_types import Array

_OVERSHOOT = 1.166
"""Twice the average overshoot of a normal random walk beyond a high limit (Siegmund 1985)."""
_MOST_PERSISTENT = 0.99
PRIOR_ROWS = 30.0
"""Number of prior rows of variance 1, so that a few outliers do not inflate the variance of a small pane."""
UNKNOWN_SKEW = 2.0
"""Skewness assumed for rows, to either side, where it is unknown: the skewness of an exponential distribution."""
NEVER = -1
"""Placeholder for a time where there is none."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How much the mean z of a pane varies without a change, measured on the reference.

    Attributes:
        effect: float64[S] ≥ 1, design effect φ of the rows within a pane.
        location_sd: float64[S], standard deviation of the reference's pane means, in z; NaN where unknown.
        location_rows: float64[S], harmonic mean of the rows of the reference's panes; NaN where unknown.
        persistence: float64[S], lag-one correlation of pane means; NaN or below 0 counts as 0.
        reference_error: float64[S], standard error of the reference's mean, in z.
        skew: float64[S], third standardised moment of single rows; (1 − 2q)/√(q(1 − q)) for a share of q. NaN where
            unknown, which means `UNKNOWN_SKEW` to either side.
    """

    effect: Array
    location_sd: Array
    location_rows: Array
    persistence: Array
    reference_error: Array
    skew: Array


def plain_spread(size: int, skew: float = math.nan) -> Spread:
    """The spread of independent rows around an exactly known mean."""
    unknown = np.full(size, np.nan)
    return Spread(np.ones(size), unknown, unknown, np.zeros(size), np.zeros(size), np.full(size, skew))


@dataclass(frozen=True, slots=True)
class Scores:
    """Standardised pane means.

    Attributes:
        u: float64[S], mean divided by its standard error; NaN where a pane has no rows.
        error: float64[S], standard error of the mean, in z.
        reference_error: float64[S], the reference's standard error in units of ``error``, as `step` takes it.
        skew: float64[2, S] ≥ 0, skewness of u towards rises and towards falls.
    """

    u: Array
    error: Array
    reference_error: Array
    skew: Array


@dataclass(frozen=True, slots=True)
class Cusum:
    """Parameters of a cumulative sum.

    Attributes:
        drift: the allowance k, in standard deviations of a pane mean; a change of 2k is detected soonest.
        limit: the sum h from which the process counts as changed.
        cut: greatest score of a pane, in standard deviations, so that one extreme pane cannot fire alone.
        caution: assumed error of the reference's mean, in its standard errors.
        cap: greatest sum, in limits. After a process has come back, the alarm ends within about
            ``(cap − 1)·limit/drift`` panes, however long the change had lasted.
    """

    drift: float
    limit: float
    cut: float = 4.0
    caution: float = 3.0
    cap: float = 2.0


@dataclass(frozen=True, slots=True)
class CusumState:
    """The sums so far, and when they left zero.

    Attributes:
        up: float64[S] ≥ 0, evidence of a rise.
        down: float64[S] ≥ 0, evidence of a fall.
        since_up: int64[S], start of the pane where ``up`` left zero, epoch ms; `NEVER` while it is zero.
        since_down: int64[S], start of the pane where ``down`` left zero, epoch ms; `NEVER` while it is zero.
    """

    up: Array
    down: Array
    since_up: NDArray[np.int64]
    since_down: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Alarms:
    """The state of alarms after a pane.

    Attributes:
        value: float64[S], the greater of the two sums.
        direction: int8[S], 1 for a rise, -1 for a fall, 0 while both sums are zero.
        change_at: int64[S], start of the first pane after the change (Page's estimate), epoch ms; `NEVER` without one.
        fired: bool[S], ``value >= limit``; remains True while the change lasts.
    """

    value: Array
    direction: NDArray[np.int8]
    change_at: NDArray[np.int64]
    fired: NDArray[np.bool_]


def run_length(drift: float, limit: float) -> float:
    """In-control ARL of the two-sided sum, in panes: Siegmund (1985), equation 2.57, halved for the two sides."""
    height = limit + _OVERSHOOT
    x = 2 * drift * height
    # Near zero the difference of large terms would only be rounding; its limit is height².
    one_sided = height**2 * (1 + x / 3) if x < 1e-4 else (math.expm1(x) - x) / (2 * drift**2)
    return one_sided / 2


@lru_cache(maxsize=256)
def cusum_for(arl_panes: float, drift: float = 0.25) -> Cusum:
    """The parameters with one false alarm in ``arl_panes`` panes with rows, on average.

    Args:
        arl_panes: desired ARL, at least 10.
        drift: allowance k, at least 0.

    Raises:
        ValueError: if either is out of range.
    """
    if not (10 <= arl_panes < math.inf and 0 <= drift <= 2):
        raise ValueError("arl_panes must be finite and at least 10, drift between 0 and 2")
    # √(2·ARL) is the limit without any allowance; with one it is lower.
    high = math.sqrt(2 * arl_panes)
    goal = math.log(arl_panes)

    def gap(limit: float) -> float:
        x = 2 * drift * (limit + _OVERSHOOT)
        return (x - math.log(4 * drift**2) if x > 500 else math.log(run_length(drift, limit))) - goal

    return Cusum(drift, float(brentq(gap, 0.0, high, xtol=1e-9)) if gap(0.0) < 0 else 0.0)


def pane_variance(n: Array, spread: Spread) -> Array:
    """float64[S]: variance of the mean z of n rows without a change; NaN without rows.

    τ² + 1/n, where τ² is the variance of the reference's pane means beyond the sampling of their rows.
    ``location_sd²`` contains both, so adding 1/n to it would count sampling twice. A τ from clusters of rows grows as
    panes get smaller, a τ from the hour of the day does not, and the cause is unknown. So τ grows for panes smaller
    than the reference's, and does not shrink for larger panes. Where ``location_rows`` is unknown, nothing is
    subtracted. Where ``location_sd`` is unknown, the variance is φ/n.

    Autocorrelation ρ of pane means multiplies the variance of sums by (1 + ρ)/(1 − ρ) (Johnson & Bagshaw 1974).
    """
    rows = np.where(n > 0, n, np.nan)
    own = 1 / rows
    measured = spread.location_sd**2
    known = np.isfinite(spread.location_rows)
    size = np.where(known, spread.location_rows, rows)
    between = np.where(known, np.maximum(measured - 1 / size, 0.0) * np.maximum(size * own, 1.0), measured)
    clustered = np.where(known, 0.0, spread.effect * own)
    variance = np.where(np.isfinite(measured), np.maximum(between + own, clustered), spread.effect * own)
    rho = np.clip(np.nan_to_num(spread.persistence), 0.0, _MOST_PERSISTENT)
    result: Array = variance * (1 + rho) / (1 - rho)
    return result


def pane_scores(n: Array, total: Array, squares: Array, spread: Spread) -> Scores:
    """Standardised means of a closed pane.

    The variance of a pane is used only where it exceeds the reference's (1 in z), and is shrunk towards it: a greater
    variance of rows must not count as a shift, but a few rows do not determine their variance.

    Args:
        n: float64[S], rows.
        total: float64[S], Σz.
        squares: float64[S], Σz².
        spread: of pane means.
    """
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        rows = np.where((n > 0) & np.isfinite(total), n, np.nan)
        mean = total / rows
        own = np.nan_to_num(squares / rows - mean**2, nan=1.0)
        excess = np.maximum(own - 1.0, 0.0) * rows / (rows + PRIOR_ROWS)
        error = np.sqrt(pane_variance(rows, spread) + excess / rows)
        sides = np.stack([spread.skew, -spread.skew])
        skew = np.where(np.isnan(sides), UNKNOWN_SKEW, np.maximum(sides, 0.0)) / (rows**2 * error**3)
        return Scores(mean / error, error, spread.reference_error / error, skew)


def skew_allowance(skew: Array, params: Cusum) -> Array:
    """Additional allowance for a skewed u, so that it passes the limit no more often than a normal u.

    The root θ of E exp(θ(u − k)) = 1 decides how often a sum passes a high limit; θ is 2k for a normal u (Wald 1947).
    Rare large values lower θ, and so the ARL, by a power. The allowance restores θ for the two-point distribution of
    this skewness, which is extreme among distributions of variance 1 with a given greatest value (Bennett 1962); u has
    a greatest value because it is clipped.

    Args:
        skew: float64[...] ≥ 0.
        params: drift and cut.
    """
    if params.drift == 0:
        return np.zeros(skew.shape)
    theta = 2 * params.drift
    top = np.minimum((skew + np.sqrt(skew**2 + 4)) / 2, max(params.cut, 1.0))
    chance = 1 / (1 + top**2)
    growth = np.log(chance * np.exp(theta * top) + (1 - chance) * np.exp(-theta / top))
    needed: Array = np.maximum(growth / theta - params.drift, 0.0)
    return needed


def start(size: int) -> CusumState:
    """The initial sums of ``size`` streams."""
    never = np.full(size, NEVER, dtype=np.int64)
    return CusumState(np.zeros(size), np.zeros(size), never, never.copy())


def step(
    state: CusumState,
    u: Array,
    pane_start: int,
    params: Cusum,
    reference_error: Array | None = None,
    tolerance: Array | None = None,
    skew: Array | None = None,
) -> tuple[CusumState, Alarms]:
    """The sums after one more pane.

    The reference's mean is an estimate, and its error would add up over panes until it passes any limit. So the
    allowance grows by ``caution`` standard errors of this mean: the reference cannot show smaller shifts.

    Args:
        state: float64[S] sums so far.
        u: float64[S], standardised pane means; NaN skips the stream.
        pane_start: epoch ms.
        params: drift, limit and the rest.
        reference_error: float64[S], standard error of the reference's mean in the units of u; None for exact means.
        tolerance: float64[S], greatest irrelevant shift, in the units of u; None for 0.
        skew: float64[2, S] ≥ 0, of u towards rises and falls (`Scores.skew`); None for 0.
    """
    slack = np.zeros((2, *u.shape))
    if skew is not None:
        slack = slack + skew_allowance(_bounded(skew), params)
    if reference_error is not None:
        slack = slack + params.caution * _bounded(reference_error)
    if tolerance is not None:
        slack = slack + _bounded(tolerance)
    seen = ~np.isnan(u)
    score = np.where(seen, u, 0.0)
    up, since_up = _followed(state.up, state.since_up, score - slack[0], seen, pane_start, params)
    down, since_down = _followed(state.down, state.since_down, -score - slack[1], seen, pane_start, params)
    value = np.maximum(up, down)
    direction = np.where(value > 0, np.where(up >= down, 1, -1), 0).astype(np.int8)
    change_at = np.where(up >= down, since_up, since_down)
    return CusumState(up, down, since_up, since_down), Alarms(value, direction, change_at, value >= params.limit)


def _bounded(values: Array) -> Array:
    """0 for NaN; at most 1e150, which can still be squared: panes that hardly vary make these numbers infinite."""
    return np.minimum(np.nan_to_num(values), 1e150)


def _followed(
    held: Array, since: NDArray[np.int64], score: Array, seen: NDArray[np.bool_], pane_start: int, params: Cusum
) -> tuple[Array, NDArray[np.int64]]:
    # Clip after subtracting the slack: if u were clipped first, no shift could exceed a large slack.
    moved = held + np.clip(score, -params.cut, params.cut) - params.drift
    value = np.where(seen, np.clip(moved, 0.0, params.cap * params.limit), held)
    begun = np.where((held <= 0) & (value > 0), pane_start, since)
    return value, np.where(value > 0, begun, NEVER)
