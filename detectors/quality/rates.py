"""Data quality of features: shares of missing, invalid, out-of-range and unseen values; constant columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from detectors.bounds import binomial_bounds
from detectors.drift.judge import INSUFFICIENT, OK
from detectors.layout import BINS, HIGH, INVALID, LOW, MISSING, NONFINITE, without_value

if TYPE_CHECKING:
    from detectors.drift.reference import Reference
    from detectors.layout import Counts

STATISTICS = (
    "missing_rate", "invalid_rate", "nonfinite_rate", "out_of_range_rate", "unseen_rate", "constant",
)  # fmt: skip
BREACHED = 3
_MISSING, _INVALID, _NONFINITE, _RANGE, _UNSEEN, _CONSTANT = range(6)


@dataclass(frozen=True, slots=True)
class QualitySettings:
    """Criteria for bad data.

    Attributes:
        alpha: one-sided error probability of one decision.
        min_change: least relevant rise of a rate over its rate in the reference.
        min_rows: windows with fewer rows are not judged.
    """

    alpha: float
    min_change: float = 0.01
    min_rows: int = 100


@dataclass(frozen=True, slots=True)
class Quality:
    """Rates of all subjects; T statistics in the order of `STATISTICS`.

    Attributes:
        value: float64[..., T, S], share of the window's rows; for ``constant`` 1 or 0. NaN where it does not apply.
        lower, upper: bounds of the rate, each at 1 − alpha; NaN for ``constant``.
        threshold: float64[..., T, S], rate that the lower bound is compared with: the upper bound on the reference plus
            ``min_change``; NaN where a rate is shown but not judged (missing values are judged as drift).
        status: uint8[..., T, S]: OK, BREACHED or INSUFFICIENT.
    """

    value: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    threshold: NDArray[np.float64]
    status: NDArray[np.uint8]


def judge_quality(reference: Reference, window: Counts, settings: QualitySettings) -> Quality:
    """Judges the data quality of windows; only a rise of a rate is a fault.

    The bounds of both rates are exact (Clopper & Pearson 1934) on rows divided by the design effect, and share the
    error probability. The reference has no values beyond its extremes and no unseen categories, yet windows from the
    reference's distribution have some: about as many as one row of the reference (numeric: exceedance of the extreme
    of m rows), or as the rows with a category that occurs only once (Good 1953).

    Args:
        reference: of the series.
        window: counts with any leading dimensions.
        settings: criteria for bad data.
    """
    bins, rows = window.bins, np.asarray(window.rows, dtype=np.float64)[..., None]
    held, m = reference.counts.bins, float(reference.counts.rows)
    numeric = reference.layout.numeric
    once = (held[:, : BINS + 1] == 1).sum(axis=-1) + held[:, LOW]
    now = {
        _MISSING: (bins[..., MISSING], held[:, MISSING]),
        _INVALID: (bins[..., INVALID], held[:, INVALID]),
        _NONFINITE: (np.where(numeric, bins[..., NONFINITE], 0), held[:, NONFINITE]),
        _RANGE: (np.where(numeric, bins[..., LOW] + bins[..., HIGH], 0), np.ones(len(numeric))),
        _UNSEEN: (np.where(numeric, 0, bins[..., HIGH]), np.maximum(once, 1)),
    }
    shape = (*bins.shape[:-2], len(STATISTICS), len(numeric))
    value, lower, upper = (np.full(shape, np.nan) for _ in range(3))
    threshold = np.full(shape, np.nan)
    for index, (count, before) in now.items():
        phi = reference.dispersion.missing if index in (_MISSING, _INVALID, _NONFINITE) else reference.dispersion.values
        with np.errstate(invalid="ignore", divide="ignore"):
            value[..., index, :] = count / rows
        low, high = binomial_bounds(count / phi, rows / phi, settings.alpha / 2)
        _, usual = binomial_bounds(before / phi, m / phi, settings.alpha / 2)
        lower[..., index, :], upper[..., index, :] = low, high
        if index != _MISSING:
            threshold[..., index, :] = usual + settings.min_change
    applies = np.ones((len(STATISTICS), len(numeric)), dtype=np.bool_)
    applies[_NONFINITE] = applies[_RANGE] = numeric
    applies[_UNSEEN] = ~numeric
    lower, upper, threshold = (np.where(applies, part, np.nan) for part in (lower, upper, threshold))
    value = np.where(applies, value, np.nan)
    _constant(reference, window, settings, value, threshold)
    with np.errstate(invalid="ignore"):
        bad = lower > threshold
    bad[..., _CONSTANT, :] = value[..., _CONSTANT, :] == 1
    status = np.where(bad, np.uint8(BREACHED), np.uint8(OK))
    few = (np.asarray(window.rows) < settings.min_rows)[..., None, None] | ~applies
    return Quality(value, lower, upper, threshold, np.where(few, np.uint8(INSUFFICIENT), status))


def _constant(
    reference: Reference,
    window: Counts,
    settings: QualitySettings,
    value: NDArray[np.float64],
    threshold: NDArray[np.float64],
) -> None:
    """Whether a subject that varies in the reference has a single value in the window, beyond chance."""
    seen = window.bins.copy()
    seen[..., [MISSING, INVALID, NONFINITE]] = 0
    n = np.asarray(window.rows)[..., None] - without_value(window.bins)
    effective_rows = n / reference.dispersion.values
    index = seen.argmax(axis=-1)
    single = (seen > 0).sum(axis=-1) == 1
    own = window.extremes
    # A bin of a numeric subject may hold many values, so the least and the greatest value must be equal.
    single &= ~reference.layout.numeric | (own[..., 0] == own[..., 1])
    held = reference.counts.bins
    total = np.maximum(float(reference.counts.rows) - without_value(held), 1.0)
    share = np.take_along_axis(np.broadcast_to(held / total[:, None], seen.shape), index[..., None], axis=-1)[..., 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        chance = effective_rows * np.log(np.minimum(np.maximum(share, 1.0 / total), 1.0)) < np.log(settings.alpha)
    varies = (held > 0).sum(axis=-1) > 1
    value[..., _CONSTANT, :] = (single & chance & varies & (n > 0)).astype(np.float64)
    threshold[..., _CONSTANT, :] = 1.0


def explain_quality(reference: Reference, window: Counts, subject: int, statistic: str) -> str:
    """One sentence on a breached statistic of a subject; the window has no leading dimensions."""
    name = reference.layout.subjects[subject].removeprefix("feature:")
    now, rows = window.bins[subject], max(int(window.rows), 1)
    before, m = reference.counts.bins[subject], max(int(reference.counts.rows), 1)
    if statistic == "constant":
        return f"{name} has a single value in all {rows:,} rows; it varies in the reference"
    columns, fault = {
        "missing_rate": ([MISSING], "are missing"),
        "invalid_rate": ([INVALID], "are of the wrong type"),
        "nonfinite_rate": ([NONFINITE], "are infinite"),
        "out_of_range_rate": ([LOW, HIGH], "are outside the reference's range"),
        "unseen_rate": ([HIGH], "are of categories unknown to the reference"),
    }[statistic]
    share, was = float(now[columns].sum()) / rows, float(before[columns].sum()) / m
    usual = "none" if statistic in ("out_of_range_rate", "unseen_rate") or was == 0 else f"{was:.2%}"
    return f"{name}: {share:.1%} of values {fault}; in the reference {usual}"
