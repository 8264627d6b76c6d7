"""Judges drift: whether a window differs from the reference significantly, and by a relevant amount.

A subject is *drifted* when the lower confidence bound of its effect, at the confidence level of the false-alarm budget,
reaches the threshold of the configuration. `docs/statistics.md` derives the bounds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincc, stdtrit

from detectors.bounds import binomial_bounds, noncentrality_bounds
from detectors.drift import effects
from detectors.drift.optional_statistics import OPTIONAL, Evidence
from detectors.drift.ordered import ordered_statistics, points, sides
from detectors.layout import HIGH, LOW, without_value
from detectors.pooling import LADDER, MIN_EXPECTED, VALUES, pooled_sums

if TYPE_CHECKING:
    from detectors.drift.reference import Reference
    from detectors.layout import Counts

MIN_EFFECTIVE_ROWS = 10.0
"""Least number of effective (independent) rows for judging a window by its counts."""
MIN_LOCATION_BLOCKS = 20
"""Least number of reference windows for using the variation of their means."""
STATISTICS = ("psi", "jensen_shannon", "ks", "wasserstein", "chi2", "missing")
OK, DRIFTED, INSUFFICIENT = 0, 1, 2
_PSI, _JS, _KS, _WASSERSTEIN, _CHI2, _MISSING = range(6)
_LN2 = np.log(2.0)


@dataclass(frozen=True, slots=True)
class Settings:
    """Criteria for drift.

    Attributes:
        min_effect: least relevant PSI.
        min_missing: least relevant change of the missing share.
        alpha: one-sided error probability of one decision.
        min_rows: windows with fewer rows are not judged.
        shown: names in `detectors.drift.optional_statistics.OPTIONAL`, shown in addition to the default statistics.
    """

    min_effect: float = 0.02
    min_missing: float = 0.01
    alpha: float = 1e-6
    min_rows: int = 100
    shown: tuple[str, ...] = ()

    @property
    def statistics(self) -> tuple[str, ...]:
        """All statistics of a judgement, in order."""
        return (*STATISTICS, *self.shown)


@dataclass(frozen=True, slots=True)
class Judgement:
    """All statistics of all subjects; T statistics in the order of `Settings.statistics`.

    Attributes:
        value: float64[..., T, S], point estimates; NaN where a statistic is not defined or there are no values.
        debiased: the estimates minus the average contribution of sampling noise, at least 0.
        lower, upper: confidence bounds, each at 1 − alpha; an upper bound is NaN with too few effective rows.
        threshold: float64[T], NaN where a statistic is shown but not judged.
        status: uint8[..., T, S]: OK, DRIFTED or INSUFFICIENT.
        p_value: float64[..., S], of no change of the valid values, by bins and smooth components; NaN without values.
    """

    value: NDArray[np.float64]
    debiased: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    threshold: NDArray[np.float64]
    status: NDArray[np.uint8]
    p_value: NDArray[np.float64]


def judge(reference: Reference, window: Counts, settings: Settings) -> Judgement:
    """Judges windows against a reference.

    Args:
        reference: of the series.
        window: counts with any leading dimensions, in the layout of the reference.
        settings: criteria for drift.

    Returns:
        The judgement, with the leading dimensions of ``window``.
    """
    # In C order: indexing puts the windows last in memory, and sums over columns would then be rounded in another order
    # in a stack than for one window.
    subjects = np.arange(len(reference.layout.subjects))[:, None]
    seen = np.ascontiguousarray(window.bins[..., subjects, reference.order], dtype=np.float64)
    n, m = seen.sum(axis=-1), reference.held.sum(axis=-1)
    phi = reference.dispersion.values
    # Effective sizes: the number of independent rows with as much information as the correlated rows.
    with np.errstate(divide="ignore"):
        size = np.maximum(1.0 / (phi / n + phi / m), 1e-9)

    # Values use bins as fine as the rows allow; bounds use bins as fine as the effective rows allow.
    # Four ways to prove an effect share the error probability.
    share = settings.alpha / 4
    novel = _novel(reference, seen, n, m, share)
    c, r, used = _pooled(reference, seen, n, m, novel)
    c_worth, r_worth, used_worth = _pooled(reference, seen, n / phi, m / phi, novel)
    freedom = used_worth.sum(axis=-1) - 1.0
    p_pooled, q_pooled = effects.shares(c), effects.shares(r)
    delta = effects.triangular(effects.shares(c_worth), effects.shares(r_worth))
    low_bins, high_bins = noncentrality_bounds(delta * size, freedom, share)
    smooth, directions = _smooth_effect(reference, _unseen_as_rare(reference, seen, novel))
    low_smooth, _ = noncentrality_bounds(smooth * size, directions, share)
    low = np.maximum(low_bins, low_smooth) / size
    low = np.fmax(low, _location_effect(reference, window, n, share))
    high = np.maximum(high_bins / size, low)

    shape = (*n.shape[:-1], len(settings.statistics), n.shape[-1])
    value, debiased = np.full(shape, np.nan), np.full(shape, np.nan)
    lower, upper = np.full(shape, np.nan), np.full(shape, np.nan)

    psi = effects.psi(effects.smoothed_shares(c, used), effects.smoothed_shares(r, used))
    # Smoothing would invent shares without rows.
    psi = np.where((n > 0) & (m > 0), psi, np.nan)
    noise = (used.sum(axis=-1) - 1.0) / size
    value[..., _PSI, :] = psi
    debiased[..., _PSI, :] = np.maximum(psi - noise, 0.0)
    lower[..., _PSI, :] = low
    # The triangular discrimination bounds the PSI from below; the upper bound uses their ratio in the data.
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(delta > 0, np.maximum(psi / delta, 1.0), 1.0)
    # With so few effective rows that only one pool remains, the effect has no upper bound.
    bounded = freedom > 0
    upper[..., _PSI, :] = np.where(bounded, np.maximum(high * ratio, psi), np.nan)

    value[..., _JS, :] = effects.jensen_shannon(p_pooled, q_pooled)
    debiased[..., _JS, :] = np.sqrt(np.maximum(effects.triangular(p_pooled, q_pooled) - noise, 0.0) / (8 * _LN2))
    # Topsøe (2000): the divergence lies between 1/8 and ln 2 / 4 of the triangular discrimination.
    lower[..., _JS, :] = np.sqrt(low / (8 * _LN2))
    upper[..., _JS, :] = np.where(bounded, np.clip(np.sqrt(high / 4), value[..., _JS, :], 1.0), 1.0)

    value[..., _CHI2, :] = effects.chi2(c, r)
    debiased[..., _CHI2, :] = np.maximum(value[..., _CHI2, :] - (used.sum(axis=-1) - 1.0), 0.0)
    # χ² weighs bins by the rows of window and reference, the triangular discrimination does not: use their ratio in the
    # data here too.
    with np.errstate(invalid="ignore", divide="ignore"):
        factor = np.where(delta > 0, value[..., _CHI2, :] / delta, size)
    lower[..., _CHI2, :] = np.minimum(low * factor, value[..., _CHI2, :])
    upper[..., _CHI2, :] = np.where(bounded, np.maximum(high * factor, value[..., _CHI2, :]), np.nan)

    for index, parts in zip(
        (_KS, _WASSERSTEIN), ordered_statistics(reference, window, seen, size, settings.alpha), strict=True
    ):
        value[..., index, :], debiased[..., index, :], lower[..., index, :], upper[..., index, :] = parts
    _missing(value, debiased, lower, upper, reference, window, settings.alpha)

    if settings.shown:
        lead = n.shape
        result = Evidence(
            p=np.broadcast_to(effects.shares(seen), seen.shape),
            q=np.broadcast_to(reference.q, seen.shape),
            counts=c,
            reference=r,
            used=used,
            low=low,
            high=high,
            bounded=bounded,
            chi2=np.stack([part[..., _CHI2, :] for part in (value, lower, upper)], axis=-2),
            size=size,
            points=points(reference, window),
            sides=sides(reference, window),
            moments=_mean_and_variance(window.moments, n),
            held=np.broadcast_to(_mean_and_variance(reference.counts.moments, m), (*lead, 2)),
            numeric=reference.layout.numeric,
            alpha=settings.alpha,
        )
        for index, name in enumerate(settings.shown, start=len(STATISTICS)):
            for target, array in zip((value, debiased, lower, upper), OPTIONAL[name](result), strict=True):
                target[..., index, :] = array

    threshold = np.full(len(settings.statistics), np.nan)
    threshold[_PSI], threshold[_MISSING] = settings.min_effect, settings.min_missing
    status = _status(lower, threshold, n, size, reference, window, settings)
    p_value = np.minimum(2 * np.minimum(_tail(delta * size, freedom), _tail(smooth * size, directions)), 1.0)
    p_value = np.where((n > 0) & (m > 0), p_value, np.nan)
    return Judgement(value, debiased, lower, upper, threshold, status, p_value)


def _tail(statistic: NDArray[np.float64], freedom: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability of a χ² at least this large; 1 without degrees of freedom."""
    result: NDArray[np.float64] = gammaincc(np.maximum(freedom, 1.0) / 2, np.nan_to_num(statistic) / 2)
    return np.where(freedom > 0, result, 1.0)


def _status(
    lower: NDArray[np.float64],
    threshold: NDArray[np.float64],
    n: NDArray[np.float64],
    size: NDArray[np.float64],
    reference: Reference,
    window: Counts,
    settings: Settings,
) -> NDArray[np.uint8]:
    with np.errstate(invalid="ignore"):
        # At a threshold of 0 every proven effect counts.
        drifted = (lower >= threshold[:, None]) & (lower > 0)
    status = np.where(drifted, DRIFTED, OK).astype(np.uint8)
    few = np.broadcast_to((n < settings.min_rows)[..., None, :], status.shape).copy()
    # With too few effective rows no effect could be proven, so the status is not OK.
    few |= (size < MIN_EFFECTIVE_ROWS)[..., None, :] & (reference.dispersion.blocks < MIN_LOCATION_BLOCKS)
    few |= (size < MIN_EFFECTIVE_ROWS)[..., None, :] & ~reference.layout.numeric
    # The missing share is a share of all rows, so a column without any value can still be judged.
    few[..., _MISSING, :] = (np.asarray(window.rows) < settings.min_rows)[..., None]
    return np.where(few, np.uint8(INSUFFICIENT), status)


def _novel(
    reference: Reference, seen: NDArray[np.float64], n: NDArray[np.float64], m: NDArray[np.float64], alpha: float
) -> NDArray[np.bool_]:
    """Whether significantly more rows than expected lie where the reference has none.

    Pools are computed from the reference's shares, so unseen values share a pool with a neighbour; if unseen values
    replace this neighbour, the pool's share does not change. Exact binomial bounds decide when unseen values get a
    separate pool.
    """
    numeric, held, phi = reference.layout.numeric, reference.held, reference.dispersion.values
    beyond = seen[..., -1] + np.where(numeric, seen[..., 0], 0.0)
    known = held[:, -1] + np.where(numeric, held[:, 0], 0.0)
    # Some rows lie beyond the values of any m rows. Numeric: the share beyond the extremes of m rows exceeds x as
    # often as m rows hold at most one row of a share x. Categorical: about as many as categories seen once (Good
    # 1953); all rare categories may have been seen once.
    once = np.where(numeric, 1.0, (held[:, :-2] == 1).sum(axis=-1) + held[:, -2])
    low, _ = binomial_bounds(beyond / phi, n / phi, alpha / 2)
    _, high = binomial_bounds(known / phi + once, m / phi, alpha / 2)
    return np.asarray(low > high)


def _unseen_as_rare(reference: Reference, seen: NDArray[np.float64], novel: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Counts unseen categories with rare ones, unless there are significantly too many: ids, say, are always new."""
    joined = seen.copy()
    moved = np.where(novel | reference.layout.numeric, 0.0, seen[..., -1])
    joined[..., -2] += moved
    joined[..., -1] -= moved
    return joined


def _pooled(
    reference: Reference,
    seen: NDArray[np.float64],
    n: NDArray[np.float64],
    m: NDArray[np.float64],
    novel: NDArray[np.bool_],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Window and reference counts on pools suited to n and m (effective) rows, and which pools are in use.

    The number of pools grows as 2 n^0.4 (the rate of Mann & Wald 1942 for χ² tests), and each pool is expected to hold
    a few rows in the window and in the reference.
    """
    rows, reference_rows = np.maximum(n, 1.0), np.maximum(m, 1.0)
    wanted = np.minimum(np.minimum(2.0 * rows**0.4, rows / MIN_EXPECTED), reference_rows / MIN_EXPECTED)
    level = np.clip(np.searchsorted(LADDER, wanted, side="right") - 1, 0, len(LADDER) - 1)
    pools = reference.pools[level, np.arange(wanted.shape[-1])]
    beyond = (reference.order == HIGH) | ((reference.order == LOW) & reference.layout.numeric[:, None])
    pools = np.where(novel[..., None] & beyond, np.minimum(pools[..., -1:] + 1, VALUES - 1), pools)
    c, r = pooled_sums(seen, pools), pooled_sums(np.broadcast_to(reference.held, seen.shape), pools)
    return c, r, (r > 0) | (c > 0)


def _smooth_effect(reference: Reference, seen: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The part of the triangular discrimination in four smooth directions, and the number of directions in use.

    The projection of (p − q)/r on the directions, r = (p + q)/2: at most the whole (Bessel's inequality).
    """
    q, basis = reference.q, reference.basis
    p = np.nan_to_num(effects.shares(seen))
    change = np.matmul((p - q)[..., None, :], basis)[..., 0, :]
    middle = (p + q) / 2
    mean = np.matmul(middle[..., None, :], basis)[..., 0, :]
    gram = np.matmul(np.swapaxes(basis, -1, -2), middle[..., None] * basis)
    gram = gram - mean[..., :, None] * mean[..., None, :]
    alive = (basis != 0).any(axis=1)
    # Directions without enough distinct reference values carry no change; 1 on the diagonal keeps the system regular.
    gram = gram + np.where(alive, 1e-9, 1.0)[..., None] * np.eye(basis.shape[-1])
    solved = np.linalg.solve(gram, change[..., None])[..., 0]
    return np.maximum((change * solved).sum(axis=-1), 0.0), alive.sum(axis=-1).astype(np.float64)


def _location_effect(reference: Reference, window: Counts, n: NDArray[np.float64], alpha: float) -> NDArray[np.float64]:
    """A lower bound of the effect from the mean alone, for references whose windows differ from one another.

    Strongly correlated rows give few effective rows, and ranks do not show how far a value lies beyond the reference's
    range. The mean does: its shift is compared with the variation of the means of reference windows (Student's t with
    as many blocks, and at least 1.5 times the farthest window). A mean that has moved by d implies a triangular
    discrimination of at least d² / (V + d²/4), V being the mean of the two variances (Cauchy & Schwarz).

    Returns:
        float64[..., S]; 0 with too few blocks.
    """
    dispersion = reference.dispersion
    if dispersion.blocks < MIN_LOCATION_BLOCKS:
        return np.zeros(n.shape)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = window.moments[..., 0] / n
        own = np.maximum(window.moments[..., 1] / n - mean**2, 0.0)
        rows = reference.held.sum(axis=-1)
        centre = reference.counts.moments[:, 0] / rows
        variance = np.maximum(reference.counts.moments[:, 1] / rows - centre**2, 0.0)
        blocks = dispersion.blocks
        quantile = -stdtrit(blocks - 1.0, alpha / 2)
        reach = np.maximum(quantile, 1.5 * dispersion.location_reach)
        error = np.sqrt(dispersion.location_sd**2 * (1 + 1 / blocks) + own / n)
        shift = np.maximum(np.abs(mean - centre) - reach * error, 0.0)
        effect = shift**2 / ((own + variance) / 2 + shift**2 / 4)
    return np.where(reference.layout.numeric & np.isfinite(effect), effect, 0.0)


def _missing(
    value: NDArray[np.float64],
    debiased: NDArray[np.float64],
    lower: NDArray[np.float64],
    upper: NDArray[np.float64],
    reference: Reference,
    window: Counts,
    alpha: float,
) -> None:
    """The absolute change of the share of missing and invalid values, with exact binomial bounds."""
    phi = reference.dispersion.missing
    gone = without_value(window.bins)
    was = without_value(reference.counts.bins)
    rows = np.asarray(window.rows, dtype=np.float64)[..., None]
    m = np.asarray(reference.counts.rows, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        p, q = gone / rows, was / m
    low_p, high_p = binomial_bounds(gone / phi, rows / phi, alpha / 4)
    low_q, high_q = binomial_bounds(was / phi, m / phi, alpha / 4)
    value[..., _MISSING, :] = np.abs(p - q)
    debiased[..., _MISSING, :] = np.abs(p - q)
    lower[..., _MISSING, :] = np.maximum(np.maximum(low_p - high_q, low_q - high_p), 0.0)
    upper[..., _MISSING, :] = np.maximum(high_p - low_q, high_q - low_p)


def _mean_and_variance(moments: NDArray[np.float64], n: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = moments[..., 0] / n
        return np.stack([mean, np.maximum(moments[..., 1] / n - mean**2, 0.0)], axis=-1)
