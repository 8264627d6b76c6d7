"""One sentence on a drift: the change and its direction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from detectors.drift.effects import shares
from detectors.layout import BINS, HIGH, INVALID, LOW, NONFINITE, without_value

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from detectors.drift.reference import Reference
    from detectors.layout import Counts

_NOTICEABLE_SHIFT = 0.02
_NOTICEABLE_SPREAD = 0.05
_NOTICEABLE_SHARE = 0.005


def explain(
    reference: Reference, window: Counts, subject: int, statistic: str, category: Callable[[int], str | None]
) -> str:
    """One sentence on one drifted subject.

    Args:
        reference: of the series.
        window: counts, without leading dimensions.
        subject: index in the layout.
        statistic: the drifted statistic.
        category: column → name of the category.
    """
    name = reference.layout.subjects[subject].removeprefix("feature:")
    now, before = window.bins[subject], reference.counts.bins[subject]
    if statistic == "missing":
        return _missing(name, now, before, int(window.rows), int(reference.counts.rows))
    if reference.layout.numeric[subject]:
        return _numeric(name, reference, window, subject)
    return _categorical(name, now, before, category)


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.1 or share == 0 else f"{share:.1%}" if share >= 0.001 else f"{share:.2%}"


def _missing(name: str, now: NDArray[np.int64], before: NDArray[np.int64], rows: int, reference_rows: int) -> str:
    share, usual = int(without_value(now)) / max(rows, 1), int(without_value(before)) / max(reference_rows, 1)
    verb = "rose" if share > usual else "fell"
    invalid = (now[INVALID] + now[NONFINITE]) / max(rows, 1)
    kind = "missing or invalid values" if invalid > _NOTICEABLE_SHARE else "missing values"
    return f"{name}: the share of {kind} {verb} from {_percent(float(usual))} to {_percent(float(share))}"


def _numeric(name: str, reference: Reference, window: Counts, subject: int) -> str:
    mean, spread = _mean_and_spread(window, subject)
    reference_mean, reference_spread = _mean_and_spread(reference.counts, subject)
    shift = mean - reference_mean
    parts = []
    if abs(shift) >= _NOTICEABLE_SHIFT:
        parts.append(f"moved {'up' if shift > 0 else 'down'} by {abs(shift):.2f} reference standard deviations")
    ratio = spread / reference_spread if reference_spread > 0 else 1.0
    if ratio > 1 + _NOTICEABLE_SPREAD:
        parts.append(f"widened to {ratio:.2f} times its spread")
    elif ratio < 1 - _NOTICEABLE_SPREAD:
        parts.append(f"narrowed to {ratio:.2f} times its spread")
    now, before = shares(_values(window, subject)), shares(_values(reference.counts, subject))
    for column, side in ((-2, "below"), (-1, "above")):
        grown = float(now[column] - before[column])
        if grown >= _NOTICEABLE_SHARE:
            parts.append(f"has {_percent(grown)} of its values {side} the reference's range")
    if not parts:
        parts.append("changed its shape with mean and spread nearly unchanged")
    return f"{name} {' and '.join(', '.join(parts).rsplit(', ', 1))}"


def _values(counts: Counts, subject: int) -> NDArray[np.float64]:
    bins = counts.bins[subject]
    return np.append(bins[:BINS], bins[[LOW, HIGH]]).astype(np.float64)


def _mean_and_spread(counts: Counts, subject: int) -> tuple[float, float]:
    rows = _values(counts, subject).sum()
    if rows == 0:
        return 0.0, 0.0
    mean = counts.moments[subject, 0] / rows
    return float(mean), float(np.sqrt(max(counts.moments[subject, 1] / rows - mean**2, 0.0)))


def _categorical(
    name: str, now: NDArray[np.int64], before: NDArray[np.int64], category: Callable[[int], str | None]
) -> str:
    columns = [*range(BINS), LOW, HIGH]
    p, q = shares(now[columns].astype(np.float64)), shares(before[columns].astype(np.float64))
    with np.errstate(invalid="ignore", divide="ignore"):
        blame = np.where(p + q > 0, (p - q) ** 2 / (p + q), 0.0)
    parts: list[str] = []
    for index in np.argsort(-blame, kind="stable")[:2].tolist():
        # A change that is spread over many categories still names the first category.
        if parts and blame[index] <= 0.05 * blame.sum():
            continue
        column = columns[index]
        label = {LOW: "rare categories", HIGH: "categories unknown to the reference"}.get(
            column, f"{category(column)!r}"
        )
        verb = "rose" if p[index] > q[index] else "fell"
        parts.append(f"{label} {verb} from {_percent(float(q[index]))} to {_percent(float(p[index]))}")
    return f"{name}: " + " and ".join(parts)
