"""Detects sudden changes, their time and their size: an adaptive window that grows while its mean is constant.

ADWIN (Bifet & Gavaldà 2007): keep a window of all values since the last change, compare every older part with the newer
rest, and drop the older part if they differ. Here it works on sums over panes, for all streams at once. The window is a
list of at most B buckets in order of time; when it is full, the two neighbours that are smallest for their age are
merged, so that the length of each bucket is roughly a constant fraction of its age (ADWIN's exponential histogram).

The bound is not ADWIN's Hoeffding bound with a union over splits, which is several times too cautious, but the limit
of the generalised likelihood ratio of a change of mean, whose average run length is known (Siegmund & Venkatraman
1995).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr

from detectors.array_types import Array
from detectors.sequential.cusum import NEVER, PRIOR_ROWS, UNKNOWN_SKEW, Spread, pane_variance, plain_spread

Numbers = NDArray[np.int64]

WEIGHT, LEVEL, SCATTER, ROWS, TOTAL, SQUARES = range(6)
"""Sums in a bucket: w, w·mean and w·mean² of its panes, w being 1/variance of the pane's mean; n, Σz, Σz²."""

_SKEWED_ROWS = 5.0
"""Rows of a part at which half of the allowance for skew remains: simulated run lengths then exceed the stated ones."""


@dataclass(frozen=True, slots=True)
class Adaptive:
    """Parameters of the adaptive window.

    Attributes:
        limit: greatest difference of means, in standard errors, that counts as chance.
        cut: greatest distance of a bucket from the window's median bucket, in standard errors; also at most 0.9 limits,
            so that one extreme pane cannot fire alone.
        min_effect: greatest irrelevant change, in z.
    """

    limit: float
    cut: float = 4.0
    min_effect: float = 0.0


@dataclass(frozen=True, slots=True)
class AdaptiveState:
    """The windows. Buckets beyond ``used`` are zero.

    Attributes:
        used: int64[S], buckets in use.
        starts: int64[S, B], start of the first pane in each, epoch ms.
        panes: int64[S, B], panes in each bucket.
        sums: float64[6, S, B], by `WEIGHT`, `LEVEL`, `SCATTER`, `ROWS`, `TOTAL`, `SQUARES`.
        change_at: int64[S], start of the first pane after the last change, epoch ms; `NEVER` before any.
        before: float64[S], mean z of the rows before the last change; NaN before any.
        after: float64[S], mean z of the rows after it, at the time of detection; NaN before any.
    """

    used: Numbers
    starts: Numbers
    panes: Numbers
    sums: Array
    change_at: Numbers
    before: Array
    after: Array


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes detected with a pane.

    Attributes:
        fired: bool[S], whether this step detected a change.
        change_at: int64[S], start of the first pane after the change, epoch ms; `NEVER` without a change.
        before: float64[S], mean z of the rows before the change; NaN without a change.
        after: float64[S], mean z of the rows since the change; NaN without a change.
        statistic: float64[S], greatest difference over all splits in standard errors, to compare with the limit; NaN
            if no split exists.
        p_value: float64[S], two-sided, of the best split alone: the limit, not this value, allows for the number of
            splits and panes.
    """

    fired: NDArray[np.bool_]
    change_at: Numbers
    before: Array
    after: Array
    statistic: Array
    p_value: Array


def run_length(limit: float) -> float:
    """In-control ARL, in panes: √(2π) exp(b²/2) / (b ∫₀ᵇ x ν²(x) dx), Siegmund & Venkatraman (1995).

    ν(x) ≈ (2/x)(Φ(x/2) − ½) / ((x/2)Φ(x/2) + φ(x/2)), Siegmund & Yakir (2007).
    """
    x = np.linspace(1e-6, limit, 2001)
    half = x / 2
    density = np.exp(-(half**2) / 2) / math.sqrt(2 * math.pi)
    nu = (ndtr(half) - 0.5) / half / (half * ndtr(half) + density)
    return math.sqrt(2 * math.pi) * math.exp(limit**2 / 2) / (limit * float(np.trapezoid(x * nu**2, x)))


@lru_cache(maxsize=256)
def adaptive_for(arl_panes: float, min_effect: float = 0.0) -> Adaptive:
    """Parameters with one false alarm in ``arl_panes`` panes with rows, on average.

    Args:
        arl_panes: desired ARL, from 50 to 1e12.
        min_effect: greatest irrelevant change, in z.

    Raises:
        ValueError: if either is out of range.
    """
    if not (50 <= arl_panes <= 1e12 and min_effect >= 0):
        raise ValueError("arl_panes must be between 50 and 1e12, min_effect not negative")
    limit = float(brentq(lambda b: math.log(run_length(b) / arl_panes), 1.5, 9.0, xtol=1e-9))
    return Adaptive(limit, min_effect=min_effect)


def start(size: int, buckets: int = 48) -> AdaptiveState:
    """Empty windows of ``size`` streams, with ``buckets`` > 2 buckets of 64 bytes each."""
    return AdaptiveState(
        np.zeros(size, dtype=np.int64),
        np.zeros((size, buckets), dtype=np.int64),
        np.zeros((size, buckets), dtype=np.int64),
        np.zeros((6, size, buckets)),
        np.full(size, NEVER, dtype=np.int64),
        np.full(size, np.nan),
        np.full(size, np.nan),
    )


def adaptive_step(
    state: AdaptiveState,
    n: Array,
    total: Array,
    squares: Array,
    pane_start: int,
    params: Adaptive,
    spread: Spread | None = None,
) -> tuple[AdaptiveState, Changes]:
    """The windows after one more pane.

    Args:
        state: windows so far.
        n: float64[S], rows of the pane; a stream without rows is skipped.
        total: float64[S], Σz.
        squares: float64[S], Σz².
        pane_start: epoch ms.
        params: limit and the rest.
        spread: of pane means; None for independent rows. A greater variation measured in the window takes precedence.
    """
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        seen = (n > 0) & np.isfinite(total) & np.isfinite(squares)
        spread = spread or plain_spread(len(n))
        grown = _appended(state, seen, n, total, squares, pane_start, spread)
        statistic, split, before, after = _compared(grown, params, spread.skew)
    fired = seen & (statistic >= params.limit)
    index = np.minimum(split + 1, grown.starts.shape[1] - 1)
    moment = np.take_along_axis(grown.starts, index[:, None], axis=1)[:, 0]
    changes = Changes(
        fired,
        np.where(fired, moment, NEVER),
        np.where(fired, before, np.nan),
        np.where(fired, after, np.nan),
        statistic,
        2 * ndtr(-statistic),
    )
    if not fired.any():
        return grown, changes
    kept = _moved(grown, np.where(fired, split + 1, 0))
    return AdaptiveState(
        kept.used,
        kept.starts,
        kept.panes,
        kept.sums,
        np.where(fired, changes.change_at, state.change_at),
        np.where(fired, changes.before, state.before),
        np.where(fired, changes.after, state.after),
    ), changes


def _appended(
    state: AdaptiveState,
    seen: NDArray[np.bool_],
    n: Array,
    total: Array,
    squares: Array,
    pane_start: int,
    spread: Spread,
) -> AdaptiveState:
    size = state.starts.shape[1]
    full = seen & (state.used == size)
    state = _merged(state, full) if full.any() else state
    weight = 1 / pane_variance(n, spread)
    level = weight * total / n
    where = np.flatnonzero(seen)
    index = state.used[where]
    starts, panes, sums = state.starts.copy(), state.panes.copy(), state.sums.copy()
    starts[where, index], panes[where, index] = pane_start, 1
    sums[:, where, index] = np.stack([weight, level, level * total / n, n, total, squares])[:, where]
    return AdaptiveState(state.used + seen, starts, panes, sums, state.change_at, state.before, state.after)


def _merged(state: AdaptiveState, full: NDArray[np.bool_]) -> AdaptiveState:
    """Merges two neighbouring buckets in full windows: the pair that is smallest for its age."""
    newer = np.cumsum(state.panes[:, ::-1], axis=1)[:, ::-1]
    pair = np.argmin((state.panes[:, :-1] + state.panes[:, 1:]) / newer[:, :-1], axis=1)
    where = np.flatnonzero(full)
    left = pair[where]
    # The left bucket of the pair absorbs the right one; newer buckets move by one index.
    moves = full[:, None] & (np.arange(state.panes.shape[1]) > pair[:, None])
    panes, sums = state.panes.copy(), state.sums.copy()
    panes[where, left] += panes[where, left + 1]
    sums[:, where, left] += sums[:, where, left + 1]
    return AdaptiveState(
        state.used - full,
        np.where(moves, np.pad(state.starts[:, 1:], ((0, 0), (0, 1))), state.starts),
        np.where(moves, np.pad(panes[:, 1:], ((0, 0), (0, 1))), panes),
        np.where(moves, np.pad(sums[:, :, 1:], ((0, 0), (0, 0), (0, 1))), sums),
        state.change_at,
        state.before,
        state.after,
    )


def _moved(state: AdaptiveState, dropped: Numbers) -> AdaptiveState:
    """The windows without their first ``dropped`` buckets."""
    size = state.starts.shape[1]
    source = np.arange(size) + dropped[:, None]
    gone = source >= size
    source = np.minimum(source, size - 1)
    streams = np.arange(len(dropped))[:, None]
    return AdaptiveState(
        state.used - dropped,
        np.where(gone, 0, state.starts[streams, source]),
        np.where(gone, 0, state.panes[streams, source]),
        np.where(gone, 0.0, state.sums[:, streams, source]),
        state.change_at,
        state.before,
        state.after,
    )


def _compared(state: AdaptiveState, params: Adaptive, skew: Array) -> tuple[Array, Numbers, Array, Array]:
    """Greatest statistic, last bucket before that split, mean z of the rows before and after; [S] each."""
    older = np.cumsum(state.sums, axis=2)
    newer = older[:, :, -1:] - older
    panes = state.panes.sum(axis=1, keepdims=True)
    # Rows of either part may vary more than the reference's (a share near one half after one near zero), and panes may
    # vary more than ``spread``. Both are measured within the parts, so that the change itself does not count.
    spread_old, spread_new = _row_variance(older), _row_variance(newer)
    within = older[SCATTER][:, -1:] - _square(older) - _square(newer)
    between = np.maximum(within / np.maximum(panes - 2, 1), 1.0)
    valid = np.arange(state.starts.shape[1]) < state.used[:, None] - 1
    least = np.where(valid, between, np.inf).min(axis=1, keepdims=True)
    clipped = np.cumsum(_clipped(state, np.where(np.isfinite(least), least, 1.0), params), axis=1)
    gap = (clipped[:, -1:] - clipped) / newer[WEIGHT] - clipped / older[WEIGHT]
    error = np.sqrt(np.maximum(spread_old, between) / older[WEIGHT] + np.maximum(spread_new, between) / newer[WEIGHT])
    chance = _skew_allowance(older[ROWS], newer[ROWS], np.sign(gap), skew) * (params.limit**2 - 1) / 6
    ratio = np.where(valid, (np.abs(gap) - params.min_effect) / error - chance, -np.inf)
    split = np.argmax(ratio, axis=1)
    rows = np.arange(len(split))
    best = ratio[rows, split]
    statistic = np.where(np.isfinite(best), np.maximum(best, 0.0), np.nan)
    before, after = (part[TOTAL, rows, split] / part[ROWS, rows, split] for part in (older, newer))
    return statistic, split, before, after


def _row_variance(part: Array) -> Array:
    """float64[S, B] ≥ 1, in z: variance of the rows of one part, shrunk towards the reference's for few rows."""
    rows = part[ROWS]
    excess = (part[SQUARES] - part[TOTAL] ** 2 / rows) / np.maximum(rows - 1, 1.0) - 1.0
    result: Array = 1.0 + np.fmax(excess, 0.0) * rows / (rows + PRIOR_ROWS)
    return result


def _skew_allowance(older: Array, newer: Array, sign: Array, skew: Array) -> Array:
    """float64[S, B] ≥ 0: skewness of the standardised difference, in the direction of the difference.

    The limit b becomes b + skewness·(b² − 1)/6 (Cornish & Fisher 1937). The allowance decreases with the rows of a
    part, because rare large values then also increase the measured variance of the part.
    """
    lean = _SKEWED_ROWS / newer**2 / (newer + _SKEWED_ROWS) - _SKEWED_ROWS / older**2 / (older + _SKEWED_ROWS)
    lean = lean / (1 / newer + 1 / older) ** 1.5
    own = skew[:, None]
    result: Array = np.where(np.isnan(own), UNKNOWN_SKEW * np.abs(lean), np.maximum(own * sign * lean, 0.0))
    return result


def _square(part: Array) -> Array:
    result: Array = np.where(part[WEIGHT] > 0, part[LEVEL] ** 2 / part[WEIGHT], 0.0)
    return result


def _clipped(state: AdaptiveState, between: Array, params: Adaptive) -> Array:
    """float64[S, B]: `LEVEL` of each bucket, clipped to the allowed distance from the median bucket."""
    weight = state.sums[WEIGHT]
    means = np.where(weight > 0, state.sums[LEVEL] / weight, np.inf)
    middle = np.take_along_axis(np.sort(means, axis=1), np.maximum(state.used - 1, 0)[:, None] // 2, axis=1)
    middle = np.where(np.isfinite(middle), middle, 0.0)
    reach = params.min_effect + min(params.cut, 0.9 * params.limit) * np.sqrt(between / weight)
    level: Array = np.where(weight > 0, weight * np.clip(means, middle - reach, middle + reach), 0.0)
    return level
