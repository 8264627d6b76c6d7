"""Statistics that are shown on request and never judged, each with a debiased value and confidence bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from detectors.array_types import Array
from detectors.drift import effects

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True)
class Evidence:
    """Intermediate results of judging a window; leading dimensions are the window's.

    Attributes:
        p, q: float64[..., S, V], shares of window and reference over ordered columns.
        counts, reference: float64[..., S, V], pooled counts.
        used: bool[..., S, V], pools in use.
        low, high: float64[..., S], bounds of the triangular discrimination.
        bounded: bool[..., S], whether the upper bound is meaningful.
        chi2: float64[..., 3, S], χ² with its bounds.
        size: float64[..., S], effective size, 1/(φ/n + φ/m).
        points: float64[..., S, V], position of the mass of each ordered column.
        sides: float64[..., S, V, 2], start and end of each ordered column.
        moments: float64[..., S, 2], mean and variance of the window's z.
        held: float64[..., S, 2], mean and variance of the reference's z.
        numeric: bool[S].
        alpha: one-sided error probability of each bound.
    """

    p: Array
    q: Array
    counts: Array
    reference: Array
    used: NDArray[np.bool_]
    low: Array
    high: Array
    bounded: NDArray[np.bool_]
    chi2: Array
    size: Array
    points: Array
    sides: Array
    moments: Array
    held: Array
    numeric: NDArray[np.bool_]
    alpha: float

    @property
    def pooled(self) -> tuple[Array, Array]:
        """Shares over pools."""
        return effects.shares(self.counts), effects.shares(self.reference)

    @property
    def noise(self) -> Array:
        """Average contribution of sampling noise to the triangular discrimination."""
        extra: Array = np.maximum(self.used.sum(axis=-1) - 1.0, 0.0) / self.size
        return extra

    @property
    def z(self) -> float:
        """Normal quantile of a bound."""
        return float(-ndtri(self.alpha))


Shown = tuple[Array, Array, Array, Array]
"""Value, debiased value, lower and upper bound, float64[..., S] each."""


def _hellinger(seen: Evidence) -> Shown:
    # Topsøe (2000) and Le Cam: Δ/8 ≤ H² ≤ Δ/4.
    value = effects.hellinger(*seen.pooled)
    debiased = np.sqrt(np.maximum(value**2 - seen.noise / 8, 0.0))
    upper = np.where(seen.bounded, np.clip(np.sqrt(seen.high / 4), value, 1.0), 1.0)
    return value, debiased, np.sqrt(seen.low / 8), upper


def _total_variation(seen: Evidence) -> Shown:
    # Δ ≤ 4 TV because |p − q| ≤ p + q; 4 TV² ≤ Δ by Cauchy and Schwarz.
    p, q = seen.pooled
    value = effects.total_variation(p, q)
    middle = (p + q) / 2
    noise = np.sqrt(middle * (1 - middle) * 2 / np.pi / seen.size[..., None]).sum(axis=-1) / 2
    upper = np.where(seen.bounded, np.clip(np.sqrt(seen.high) / 2, value, 1.0), 1.0)
    return value, np.maximum(value - noise, 0.0), seen.low / 4, upper


def _l_infinity(seen: Evidence) -> Shown:
    # The normal interval of each pool's change, with Bonferroni's correction for the number of pools.
    p, q = seen.pooled
    gap, middle = np.abs(p - q), (p + q) / 2
    pools = np.maximum(seen.used.sum(axis=-1, keepdims=True), 1)
    error = -ndtri(seen.alpha / 2 / pools) * np.sqrt(middle * (1 - middle) / seen.size[..., None])
    value = effects.l_infinity(p, q)
    lower, upper = np.maximum(gap - error, 0.0).max(axis=-1), np.minimum((gap + error).max(axis=-1), 1.0)
    # No exact debiasing: the noise of all pools decides which pool changed most. Half-way to the bound is cautious.
    return value, (value + lower) / 2, lower, upper


def _kullback_leibler(seen: Evidence) -> Shown:
    # KL ≥ −2 ln(1 − H²) ≥ 2 H² ≥ Δ/4; the upper bound uses the ratio to Δ in the data.
    p, q = seen.pooled
    smooth = (effects.smoothed_shares(part, seen.used) for part in (seen.counts, seen.reference))
    value = np.where(np.isnan(p).any(axis=-1), np.nan, effects.kullback_leibler(*smooth))
    delta = effects.triangular(p, q)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(delta > 0, np.maximum(value / delta, 0.25), 0.5)
    upper = np.where(seen.bounded, np.maximum(seen.high * ratio, value), np.nan)
    return value, np.maximum(value - seen.noise / 2, 0.0), np.minimum(seen.low / 4, value), upper


def _energy(seen: Evidence) -> Shown:
    # The Dvoretzky-Kiefer-Wolfowitz band of the difference of the distribution functions, squared and summed.
    band = np.sqrt(np.log(2 / seen.alpha) / (2 * seen.size))[..., None]
    gap = np.abs(np.cumsum(seen.p - seen.q, axis=-1))[..., :-1]
    steps = np.maximum(np.diff(seen.points, axis=-1), 0.0)
    middle = np.cumsum((seen.p + seen.q) / 2, axis=-1)[..., :-1]
    value, lower, upper = (
        np.sqrt(2 * (part**2 * steps).sum(axis=-1))
        for part in (gap, np.maximum(gap - band, 0.0), np.minimum(gap + band, 1.0))
    )
    noise = 2 * (np.maximum(middle * (1 - middle), 0.0) * steps).sum(axis=-1) / seen.size
    return _numeric(seen, value, np.sqrt(np.maximum(value**2 - noise, 0.0)), lower, upper)


def _cramers_v(seen: Evidence) -> Shown:
    total = seen.counts.sum(axis=-1) + seen.reference.sum(axis=-1)
    freedom = np.maximum(seen.used.sum(axis=-1) - 1.0, 0.0)
    value, low, high = (seen.chi2[..., index, :] for index in range(3))
    v, debiased, lower, upper = (np.sqrt(np.maximum(part, 0.0) / total) for part in (value, value - freedom, low, high))
    return v, debiased, lower, np.minimum(upper, 1.0)


def _mean_shift(seen: Evidence) -> Shown:
    # Signed. The two-sample normal interval, with the effective size for both sides.
    value = seen.moments[..., 0] - seen.held[..., 0]
    error = seen.z * np.sqrt(np.maximum(seen.moments[..., 1] + seen.held[..., 1], 0.0) / 2 / seen.size)
    return _numeric(seen, value, value, value - error, value + error)


def _quantile_shift(rank: float) -> Callable[[Evidence], Shown]:
    def shift(seen: Evidence) -> Shown:
        # Signed. Bounds by ranks (Woodruff 1952), with the skewness of the binomial's tails (Cornish & Fisher 1937).
        # The position of a row within its column is unknown, so bounds are the column's ends. A bound beyond the least
        # or the greatest row is unknown (NaN).
        reach = seen.z * np.sqrt(rank * (1 - rank) / seen.size)
        middle = rank + (1 - 2 * rank) * (seen.z**2 - 1) / 6 / seen.size
        own = np.full(reach.shape, rank)
        held = quantile(seen.q, seen.sides, seen.points, own)
        value = quantile(seen.p, seen.sides, seen.points, own) - held
        lower, upper = (_end(seen, middle + sign * reach, side) - held for side, sign in enumerate((-1, 1)))
        return _numeric(seen, value, value, np.minimum(lower, value), np.maximum(upper, value))

    return shift


def _end(seen: Evidence, rank: Array, side: int) -> Array:
    """float64[..., S]: the end of the column that holds a rank; NaN for ranks without a row."""
    index, held, _ = _crossed(seen.p, rank)
    return np.where((held > 0) & (rank > 0) & (rank < 1), _value_in(seen.sides[..., side], index), np.nan)


def _numeric(seen: Evidence, *parts: Array) -> Shown:
    value, debiased, lower, upper = (np.where(seen.numeric, part, np.nan) for part in parts)
    return value, debiased, lower, upper


def quantile(shares: Array, sides: Array, points: Array, rank: Array) -> Array:
    """A quantile of binned values; its error is at most the width of its column.

    Within a column of width w, rows are assumed at the distances w·(1 − u)^k, 0 < u < 1, from its right end (or, if
    their mean is nearer to the right end, at w·u^k from its left end). k ≤ 1 is chosen so that they have the mean of
    the reference's rows: uniform rows stay uniform, rows of a long tail concentrate near its root, equal rows coincide.

    Args:
        shares: float64[..., S, V].
        sides: float64[..., S, V, 2], start and end of columns.
        points: float64[..., S, V], mean of the values in each column.
        rank: float64[..., S], from 0 to 1.
    """
    index, held, before = _crossed(shares, rank)
    left, right = (_value_in(sides[..., side], index) for side in range(2))
    with np.errstate(invalid="ignore", divide="ignore"):
        within = np.clip((rank - before) / held, 0.0, 1.0)
        mean = np.clip(_value_in(points, index), left, right)
        near, far = mean - left, right - mean
        power = np.where(near == far, 1.0, np.minimum(near, far) / np.maximum(near, far))
        width = right - left
        result: Array = np.where(near <= far, right - width * (1 - within) ** power, left + width * within**power)
    return np.where((held > 0) & np.isfinite(result), result, np.nan)


def _crossed(shares: Array, rank: Array) -> tuple[NDArray[np.intp], Array, Array]:
    """The column where the distribution function reaches a rank, its share, and the share of all columns before it."""
    known = np.nan_to_num(shares)
    total = np.cumsum(known, axis=-1)
    index = np.argmax(total >= rank[..., None] - 1e-12, axis=-1)
    held = _value_in(known, index)
    return index, held, _value_in(total, index) - held


def _value_in(values: Array, index: NDArray[np.intp]) -> Array:
    """float64[..., S]: the value in the given column of each row."""
    spread = np.broadcast_to(values, (*index.shape, values.shape[-1]))
    result: Array = np.take_along_axis(spread, index[..., None], axis=-1)[..., 0]
    return result


OPTIONAL: Mapping[str, Callable[[Evidence], Shown]] = {
    "hellinger": _hellinger,
    "total_variation": _total_variation,
    "l_infinity": _l_infinity,
    "kullback_leibler": _kullback_leibler,
    "energy": _energy,
    "cramers_v": _cramers_v,
    "mean_shift": _mean_shift,
    "q05_shift": _quantile_shift(0.05),
    "q25_shift": _quantile_shift(0.25),
    "median_shift": _quantile_shift(0.5),
    "q75_shift": _quantile_shift(0.75),
    "q95_shift": _quantile_shift(0.95),
}
"""Name → function."""
