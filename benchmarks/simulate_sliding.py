"""Sliding windows without drift: alarms of overlapping windows compared with the budget. A part of `make simulate`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.signal import lfilter

from benchmarks.simulate_rows import binned, percent, sliding
from detectors.budget import alpha as alpha_of
from detectors.drift.dispersion import Expected, by_value, measure_dispersion
from detectors.drift.judge import DRIFTED, INSUFFICIENT, STATISTICS, Settings, judge
from detectors.drift.reference import Reference, prepare
from detectors.drift.seasons import mixed
from detectors.layout import Counts
from tests.support.counts import count, layout_of
from tests.support.populations import KINDS, population, reference_rows, windows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from detectors.drift.reference import Dispersion
    from detectors.layout import Layout

    Array = NDArray[np.float64]

HOUR = 3_600_000
FEATURES = len(KINDS)
LENGTHS = (6, 24, 72)
"""Panes of an hour in each window; all of them slide by one."""
BUDGET = 1.0
ALPHA = alpha_of(BUDGET, subjects=FEATURES, segments=1, steps_ms=(HOUR,) * len(LENGTHS))
LOOSE = 1e-3
"""An error probability that is large enough to cause alarms."""
DAYS = 60
CYCLE = 0.5
SHIFT = 0.25
VALUES = (STATISTICS.index("psi"),)
JUDGED = (*VALUES, STATISTICS.index("missing"))


@dataclass(slots=True)
class Tally:
    """The results of windows of one length.

    Attributes:
        windows, decisions: number of windows, and of decisions that could be judged.
        alarms: decisions that were alarms.
        episodes: alarms, with alarms in consecutive windows counted once.
    """

    windows: int = 0
    decisions: int = 0
    alarms: int = 0
    episodes: int = 0

    def add(self, status: NDArray[np.uint8]) -> None:
        """Adds uint8[N, statistics, S] of a stream, in the order of time."""
        flags = status == DRIFTED
        self.windows += len(status)
        self.decisions += int((status != INSUFFICIENT).sum())
        self.alarms += int(flags.sum())
        self.episodes += int((flags & ~np.concatenate([np.zeros_like(flags[:1]), flags[:-1]])).sum())


def settings(alpha: float) -> Settings:
    return Settings(min_effect=0.0, min_missing=0.0, alpha=alpha, min_rows=50)


def independent(
    kept: int, rows: int, references: int, many: int, alphas: tuple[float, ...]
) -> dict[tuple[int, float], Tally]:
    """Streams of the twenty features without drift, one for each reference, by length and error probability.

    Args:
        kept: rows of each reference.
        rows: of each pane.
        references: number of references.
        many: windows of each length and reference.
        alphas: of one decision.
    """
    dice = np.random.default_rng([kept, rows])
    tallies = {(length, alpha): Tally() for length in LENGTHS for alpha in alphas}
    for _ in range(references):
        reference = reference_rows(kept, dice)
        panes = windows(population(reference), rows, many + max(LENGTHS) - 1, dice)
        for length in LENGTHS:
            slid = sliding(panes, length)
            live = Counts(slid.rows[-many:], slid.bins[-many:], slid.moments[-many:], slid.extremes[-many:])
            for alpha in alphas:
                tallies[length, alpha].add(judge(reference, live, settings(alpha)).status[:, JUDGED, :])
    return tallies


# Correlated traffic.


def autocorrelated(hours: int, rows: int, dice: np.random.Generator) -> Array:
    """Rows that resemble the row before: AR(1) with ρ = .9."""
    noise = dice.normal(size=(hours * rows, FEATURES))
    return np.asarray(lfilter([np.sqrt(1 - 0.81)], [1, -0.9], noise, axis=0))


def cyclic(hours: int, rows: int, dice: np.random.Generator) -> Array:
    """Independent rows around a mean that follows the hour of the day."""
    hour = (np.arange(hours * rows) // rows) % 24
    return np.asarray(dice.normal(size=(hours * rows, FEATURES)) + CYCLE * np.sin(2 * np.pi * hour / 24)[:, None])


TRAFFIC = {"AR(1), ρ = .9": autocorrelated, f"daily cycle, ± {CYCLE:.1f} σ".replace("0.", "."): cyclic}


@dataclass(frozen=True, slots=True)
class Held:
    """A reference of whole days, for windows of one length.

    Attributes:
        plain: the whole reference, for every window.
        seasonal: the reference of windows whose last pane is hour 0, 1, …; None without a season.
    """

    plain: Reference
    seasonal: tuple[Reference, ...] | None


def held_days(layout: Layout, values: Array, rows: int, length: int, *, season: bool) -> Held:
    """A reference from rows of whole days, with the dispersion of its windows."""
    counts = count(layout, {name: values[:, index] for index, name in enumerate(layout.subjects)})
    panes = binned(layout, values, rows)
    blocks = sliding(panes, length, length)
    plain = prepare(layout, counts, measure_dispersion(blocks.rows, blocks.bins, blocks.moments))
    if not season:
        return Held(plain, None)
    days = len(panes.rows) // 24
    slots = Counts(
        panes.rows.reshape(days, 24).sum(axis=0),
        panes.bins.reshape(days, 24, *panes.bins.shape[1:]).sum(axis=0),
        panes.moments.reshape(days, 24, *panes.moments.shape[1:]).sum(axis=0),
        np.broadcast_to(counts.extremes, (24, *counts.extremes.shape)),
    )
    weights = np.stack([_hours(number * length + length - 1, length) for number in range(len(blocks.rows))]) / length
    dispersion = measure_dispersion(blocks.rows, blocks.bins, blocks.moments, _expected(slots, weights, float(days)))
    return Held(plain, tuple(_seasonal(layout, slots, _hours(last, length) * rows, dispersion) for last in range(24)))


def _hours(last: int, length: int) -> Array:
    """float64[24]: number of panes of each hour in a window whose last pane is hour ``last``."""
    return np.bincount(np.arange(last - length + 1, last + 1) % 24, minlength=24).astype(np.float64)


def _expected(slots: Counts, weights: Array, days: float) -> Expected:
    """Expected counts of blocks with ``weights`` of each hour; no value is missing, all hours have equal rows."""
    values, rows = by_value(slots.bins), float(slots.rows[0])
    shares = np.tensordot(weights, values / rows, axes=1)
    means = np.tensordot(weights, slots.moments[..., 0] / rows, axes=1)
    return Expected(shares, np.zeros(means.shape), means, days)


def _seasonal(layout: Layout, slots: Counts, rows: Array, dispersion: Dispersion) -> Reference:
    mixture = mixed(slots, rows)
    assert mixture is not None
    return prepare(layout, mixture, dispersion)


def followed(
    kind: str, rows: int, lives: int, *, season: bool, shift: float = 0.0, lengths: tuple[int, ...] = LENGTHS
) -> Iterator[tuple[int, Tally, Tally]]:
    """Yields length, tally at `ALPHA` and at `LOOSE`, of 20 features that are ``shift`` σ higher than in the reference.

    Args:
        kind: of `TRAFFIC`.
        rows: of each pane.
        lives: number of streams of ten days.
        season: windows are compared with their hours of the reference.
        shift: in σ.
        lengths: of windows, in panes.
    """
    dice = np.random.default_rng([len(kind), rows])
    traffic = TRAFFIC[kind]
    values = traffic(24 * DAYS, rows, dice)
    layout = layout_of({f"feature:{index}": values[:, index] for index in range(FEATURES)})
    references = {length: held_days(layout, values, rows, length, season=season) for length in lengths}
    tallies = {length: (Tally(), Tally()) for length in lengths}
    for _ in range(lives):
        panes = binned(layout, traffic(24 * 10, rows, dice) + shift, rows)
        for length in lengths:
            live = sliding(panes, length)
            for tally, alpha in zip(tallies[length], (ALPHA, LOOSE), strict=True):
                tally.add(_status(references[length], live, length, alpha))
    for length in lengths:
        yield length, *tallies[length]


def _status(days: Held, live: Counts, length: int, alpha: float) -> NDArray[np.uint8]:
    """uint8[N, 1, S]: status of the values; none is missing."""
    if days.seasonal is None:
        return judge(days.plain, live, settings(alpha)).status[:, VALUES, :]
    status = np.zeros((len(live.rows), 1, FEATURES), dtype=np.uint8)
    for last, reference in enumerate(days.seasonal):
        chosen = slice((last - (length - 1)) % 24, None, 24)
        windows = Counts(live.rows[chosen], live.bins[chosen], live.moments[chosen], live.extremes[chosen])
        status[chosen] = judge(reference, windows, settings(alpha)).status[:, VALUES, :]
    return status


# The report.


def report() -> list[str]:
    """Its part of the page."""
    lines = [
        "**Sliding windows without drift.** These features in a stream of panes of an hour; windows of 6, 24 and",
        f"72 panes at once, each sliding by a pane: α = {ALPHA:.1e}. Alarms (the budget expects) and episodes: an",
        "alarm in several consecutive windows is one episode. Also, at a larger α with more alarms, how many of a",
        "thousand decisions are alarms.",
        "",
        f"| reference | rows a pane | panes | windows | alarms | episodes | ‰ at α = {LOOSE:g} | episodes |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for kept, references in ((50_000, 10), (2_000, 20)):
        for rows in (20, 200, 2_000):
            tallies = independent(kept, rows, references, 2_400 // references, (ALPHA, LOOSE))
            lines += [
                f"| {kept:,} | {rows:,} | {length} | {_cells(tallies[length, ALPHA], tallies[length, LOOSE])} |"
                for length in LENGTHS
            ]
    lines += [
        "",
        f"**Sliding windows on correlated traffic**, {FEATURES} normal features, 200 rows a pane, a reference of",
        f"{DAYS} days with event times; and the share of decisions that find all features shifted by {SHIFT:.2f} σ.",
        "",
        f"| traffic | panes | windows | alarms | episodes | ‰ at α = {LOOSE:g} | episodes | shift found, % |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for kind in TRAFFIC:
        for season in (False, True)[: 1 + (TRAFFIC[kind] is cyclic)]:
            traffic = f"{kind}{', `season`' if season else ''}"
            moved = {length: tight for length, tight, _ in followed(kind, 200, 2, season=season, shift=SHIFT)}
            for length, tight, loose in followed(kind, 200, 15, season=season):
                power = moved[length].alarms / max(moved[length].decisions, 1)
                lines.append(f"| {traffic} | {length} | {_cells(tight, loose)} | {percent(power)} |")
    return lines


def _cells(tight: Tally, loose: Tally) -> str:
    rate = 1000 * loose.alarms / max(loose.decisions, 1)
    return (
        f"{tight.windows:,} | {tight.alarms} ({tight.decisions * ALPHA:.1f}) | {tight.episodes} |"
        f" {rate:.2f} | {loose.episodes}"
    )
