"""Judges the drift of several features together, and explains it in a sentence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from detectors.drift.judge import DRIFTED, INSUFFICIENT, OK
from detectors.joint.dispersion import fisher_z
from detectors.joint.kernel_mean import normal_reach, weighted_chi2_quantile
from detectors.joint.statistics import Multivariate, sums
from detectors.joint.sums import Sums

STATISTICS = ("pca_reconstruction", "mmd", "correlation")
UNITS = np.array([1.0, 0.25, 1.0])
"""Least relevant effect of each statistic, in units of ``min_effect``. The distance of kernel means has a short scale:
if a correlation of .8 among five features disappears, it changes by .1."""
MIN_EFFECTIVE_ROWS = 10.0
Parts = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Judged:
    """A judgement; the last dimension is in the order of `STATISTICS`.

    Attributes:
        value: float64[..., 3]. ``pca_reconstruction``: |mean error / reference mean error − 1|. ``mmd``: the distance
            of the kernel means, 0 to √2. ``correlation``: the greatest change of a correlation, 0 to 2, among pairs
            with enough rows. NaN where not defined.
        debiased: the value minus the average contribution of sampling noise, at least 0.
        lower, upper: bounds of the effect, each at 1 − alpha.
        threshold: float64[3], the lower bounds are compared with it.
        status: uint8[..., 3], `detectors.drift.judge`'s OK, DRIFTED or INSUFFICIENT.
    """

    value: NDArray[np.float64]
    debiased: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    threshold: NDArray[np.float64]
    status: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class JointLimits:
    """The limits for all windows of one length.

    Attributes:
        model: as fitted.
        alpha: one-sided error probability of each decision.
        held, apart: sums of the reference counters `Multivariate.reference` and ``apart``.
        reach: quantile of the squared noise of a single row's mean Fourier features, exceeded with probability
            ``alpha`` / 2.
        effect: float64[3], design effects that divide the number of rows.
    """

    model: Multivariate
    alpha: float
    held: Sums
    apart: Sums
    reach: float
    effect: NDArray[np.float64]


def joint_limits(model: Multivariate, alpha: float) -> JointLimits:
    """Computes the limits, which do not depend on the window; ``alpha`` is below .4."""
    held, apart = sums(model, model.reference), sums(model, model.apart)
    reach = weighted_chi2_quantile(model.spread.spectrum, alpha / 2)
    return JointLimits(
        model, alpha, held, apart, reach, np.array([model.spread.error_effect, _effect(model, held), 1.0])
    )


def judge_multivariate(
    model: Multivariate | JointLimits,
    counts: NDArray[np.int64],
    alpha: float,
    min_effect: float,
    min_rows: int = 100,
) -> Judged:
    """Judges windows.

    Args:
        model: as fitted, or a `joint_limits` made of it with this ``alpha``.
        counts: int64[..., P].
        alpha: one-sided error probability of each decision, below .4.
        min_effect: least relevant effect, in `UNITS` of each statistic; 0 for any change.
        min_rows: windows with fewer rows are not judged.
    """
    stick = model if isinstance(model, JointLimits) else joint_limits(model, alpha)
    seen = sums(stick.model, counts)
    parts = [_reconstruction(stick, seen), _mmd(stick, seen), _correlation(stick, seen)]
    value, debiased, lower, upper = (np.stack([part[index] for part in parts], axis=-1) for index in range(4))
    threshold = min_effect * UNITS
    with np.errstate(invalid="ignore"):
        status = np.where((lower >= threshold) & (lower > 0), DRIFTED, OK).astype(np.uint8)
    few = (seen.rows < min_rows)[..., None] | (seen.rows[..., None] / stick.effect < MIN_EFFECTIVE_ROWS)
    few |= ~np.isfinite(lower)
    return Judged(value, debiased, lower, upper, threshold, np.where(few, np.uint8(INSUFFICIENT), status))


def _effect(model: Multivariate, held: Sums) -> float:
    """Design effect of the mean Fourier features."""
    return max(float(model.spread.spectrum.sum() / max(1.0 - held.features @ held.features, 1e-9)), 1.0)


def _reconstruction(stick: JointLimits, seen: Sums) -> Parts:
    model, held, alpha = stick.model, stick.apart, stick.alpha
    phi, (skewness, kurtosis) = model.spread.error_effect, model.spread.error_shape
    with np.errstate(invalid="ignore", divide="ignore"):
        mean, before = seen.error[..., 0] / seen.rows, held.error[0] / held.rows
        own = np.maximum(seen.error[..., 1] / seen.rows - mean**2, 0.0)
        was = max(float(held.error[1] / held.rows - before**2), 0.0)
        # The reference's error of almost collinear features is only rounding, which is no scale.
        before = before if before > 1e-4 else np.nan
        error = np.sqrt(np.maximum(own, was) * phi / seen.rows + was * phi / held.rows) / before
        reach = normal_reach(alpha / 2, skewness, kurtosis, seen.rows / phi)
        value = np.abs(mean / before - 1)
        band = np.where(np.isfinite(reach), reach * error, np.nan)
        return value, np.sqrt(np.maximum(value**2 - error**2, 0.0)), np.maximum(value - band, 0.0), value + band


def _mmd(stick: JointLimits, seen: Sums) -> Parts:
    """The length of the mean difference d = δ + ε of Fourier features: |δ| ≥ |d| − |ε| by the triangle inequality.

    |ε|² is about a weighted sum of χ²(1), whose weights are the reference's spectrum; rows of the window that scatter
    more widely (1 − |mean|², as every row's features have length 1) weigh accordingly more. The bound is also computed
    for the two features of each frequency alone, because the noise of all directions hides a change in few directions.
    """
    held, alpha, spread = stick.held, stick.alpha, stick.model.spread
    many = len(spread.waves)
    with np.errstate(invalid="ignore", divide="ignore"):
        gaps = seen.features - held.features
        distance = np.sqrt((gaps**2).sum(axis=-1))
        own, was = (1 - (part.features**2).sum(axis=-1) for part in (seen, held))
        wider = np.maximum(own / was, 1.0) if was > 1e-9 else np.ones_like(own)
        size = wider / seen.rows + 1 / held.rows
        noise = spread.spectrum.sum() * size
        reach = np.sqrt(stick.reach * size)
        # One frequency: P(|ε|² > 2 λ ln(1/α)) ≤ α for a normal ε in two dimensions; wider for tails that are not.
        part = alpha / 2 / many
        effective = seen.rows[..., None] / spread.wave_effect
        tail = normal_reach(part, spread.wave_skewness, spread.wave_kurtosis, effective) / -ndtri(part)
        single = np.hypot(gaps[..., :many], gaps[..., many:])
        single = single - tail * np.sqrt(spread.waves * 2 * np.log(1 / part) * size[..., None])
        lower = np.maximum(np.maximum(distance - reach, single.max(axis=-1)), 0.0)
        return distance, np.sqrt(np.maximum(distance**2 - noise, 0.0)), lower, distance + reach


def _correlation(stick: JointLimits, seen: Sums) -> Parts:
    gap, low, high, error = _pair_bounds(stick.model, seen, stick.held, stick.alpha)
    if not gap.shape[-1]:
        none = np.full(seen.rows.shape, np.nan)
        return none, none.copy(), none.copy(), none.copy()
    judged = np.isfinite(low)
    lower, upper, value = (np.where(judged, part, -1.0).max(axis=-1) for part in (low, high, gap))
    # The greatest of N normal numbers is about √(2 ln 2N) standard errors.
    noise = np.sqrt(2 * np.log(2 * gap.shape[-1])) * error
    debiased = np.where(judged, np.sqrt(np.maximum(gap**2 - noise**2, 0.0)), -1.0).max(axis=-1)
    value, debiased, lower, upper = (np.where(part < 0, np.nan, part) for part in (value, debiased, lower, upper))
    return value, debiased, lower, upper


def _pair_bounds(model: Multivariate, seen: Sums, held: Sums, alpha: float) -> Parts:
    """Absolute change of each correlation, its bounds and its standard error, float64[..., N] each.

    Intervals use Fisher's z with the variance of the reference rows, which is valid for values that are not normal, and
    Bonferroni's correction. Bounds are NaN for pairs with too few rows for normal tails.
    """
    spread = model.spread
    watched = max(int(np.isfinite(spread.pair_variance).sum()), 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        effective, reference_effective = (
            np.maximum(seen.both - 3, 0.0) / spread.pair_effect,
            held.both / spread.pair_effect,
        )
        error = np.sqrt(spread.pair_variance * (1 / effective + 1 / reference_effective))
        reach = normal_reach(alpha / 2 / watched, spread.pair_skewness, spread.pair_kurtosis, effective)
        band = np.where(np.isfinite(reach), reach * error, np.nan)
        now, before = fisher_z(seen.correlation), fisher_z(held.correlation)
        gap = np.abs(seen.correlation - held.correlation)
        nearest = np.tanh(before + np.sign(now - before) * np.maximum(np.abs(now - before) - band, 0.0))
        farthest = np.maximum(
            np.abs(np.tanh(now + band) - held.correlation), np.abs(np.tanh(now - band) - held.correlation)
        )
        low, high = np.abs(nearest - np.tanh(before)), np.maximum(farthest, gap)
        return gap, low, high, error * (1 - held.correlation**2)


def explain_multivariate(model: Multivariate | JointLimits, counts: NDArray[np.int64], names: tuple[str, ...]) -> str:
    """One sentence on the greatest change in a drifted window.

    Args:
        model: as fitted, or a `joint_limits` made of it.
        counts: int64[P], of one window.
        names: of the F coordinates.
    """
    held = model.held if isinstance(model, JointLimits) else sums(model, model.reference)
    model = model.model if isinstance(model, JointLimits) else model
    seen = sums(model, counts)
    _, low, _, _ = _pair_bounds(model, seen, held, 0.001)
    proven = np.nan_to_num(low)
    moved = _shift(model, seen, held)
    if proven.max(initial=0.0) > 0:
        index = int(proven.argmax())
        first, second = (names[int(model.paired[part[index]])] for part in np.triu_indices(len(model.paired), 1))
        now, before = float(seen.correlation[index]), float(held.correlation[index])
        others = int((proven > 0).sum()) - 1
        tail = f", and {others} more pair{'s' * (others > 1)} changed" if others else ""
        verb = "rose" if now > before else "fell"
        if before < 0:
            verb = "went"
        return f"{first} and {second}: correlation {verb} from {_number(before)} to {_number(now)}{tail}"
    if moved is not None:
        index, shift = moved
        name = names[int(model.paired[index])]
        side = "up" if shift > 0 else "down"
        return f"{name} moved {side} by {abs(shift):.2f} reference standard deviations; no single correlation changed"
    with np.errstate(invalid="ignore", divide="ignore"):
        apart = sums(model, model.apart)
        ratio = float(seen.error[0] / seen.rows / (apart.error[0] / apart.rows))
    kind = "features" if len(model.paired) else "embeddings"
    change = "is unchanged"
    if abs(ratio - 1) >= 0.01:
        change = f"{'rose' if ratio > 1 else 'fell'} by {abs(ratio - 1):.0%}"
    return (
        f"the joint distribution of {kind} changed; their distance from the reference's principal components {change}"
    )


def _shift(model: Multivariate, seen: Sums, held: Sums) -> tuple[int, float] | None:
    """The coordinate whose mean moved most, if by more than four standard errors."""
    if not len(model.paired):
        return None
    with np.errstate(invalid="ignore", divide="ignore"):
        gap = np.nan_to_num(seen.mean - held.mean)
        score = np.abs(gap) * np.sqrt(np.where(seen.held > 0, 1 / (1 / seen.held + 1 / held.held), 0.0))
    index = int(score.argmax())
    return (index, float(gap[index])) if score[index] > 4 else None


def _number(correlation: float) -> str:
    text = f"{round(correlation, 2) + 0.0:.2f}".replace("-", "−")
    return text.replace("0.", ".", 1) if abs(correlation) >= 0.005 and "0." in text else text.replace("0.00", "0")
