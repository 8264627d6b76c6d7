"""False alarms and power for all features together, and for scores over time. A part of `make simulate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks.simulate_rows import binned, percent, sliding
from detectors.budget import alpha as alpha_of
from detectors.budget import shared
from detectors.drift.judge import DRIFTED, Settings, judge
from detectors.joint.judge import STATISTICS, judge_multivariate
from detectors.joint.statistics import count_multivariate, fit
from detectors.layout import Counts
from detectors.sequential import adaptive, cusum
from detectors.sequential.adaptive import adaptive_for, adaptive_step
from detectors.sequential.cusum import cusum_for, pane_scores, plain_spread, step
from tests.support.counts import layout_of, reference_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from detectors.joint.statistics import Multivariate

    Array = NDArray[np.float64]
    Rows = Callable[[np.random.Generator, tuple[int, ...]], Array]

HOUR = 3_600_000
FEATURES = 20
PANE = 100
LENGTHS = (3, 10, 50)
"""Panes in each window, of `PANE` rows."""
TOGETHER, ALONE = 0.1, 0.7
"""Their shares of the budget, as `monitor.evaluate.drift` splits it."""
ALPHA = shared(TOGETHER, decisions=len(STATISTICS), steps_ms=(HOUR,) * len(LENGTHS))
UNIVARIATE = alpha_of(ALONE, subjects=FEATURES, segments=1, steps_ms=(HOUR,) * len(LENGTHS))
LOOSE = 1e-3
PAIRED = 0.8


def features(rows: int, rho: float, dice: np.random.Generator) -> Array:
    """Twenty normal features, independent except for the first two."""
    values = dice.normal(size=(rows, FEATURES))
    values[:, 1] = rho * values[:, 0] + np.sqrt(1 - rho**2) * values[:, 1]
    return values


def slid(model: Multivariate, rows: Array, length: int) -> NDArray[np.int64]:
    """Counts of every window of ``length`` panes, sliding by a pane."""
    many = len(rows) // PANE
    panes = count_multivariate(model, rows, np.repeat(np.arange(many), PANE), many)
    total = np.concatenate([np.zeros((1, panes.shape[1]), dtype=np.int64), np.cumsum(panes, axis=0)])
    counts: NDArray[np.int64] = total[length:] - total[:-length]
    return counts


def joint_alarms(references: int, many: int, alphas: tuple[float, ...], kept: int = 10_000) -> tuple[Array, Array]:
    """Sliding windows without drift: the share that each statistic flags, and in how many episodes (windows in a row).

    Args:
        references: number of references, each with its own stream.
        many: windows of each length in a stream.
        alphas: of one decision.
        kept: rows of a reference.

    Returns:
        float64[lengths, alphas, 3] each.
    """
    dice = np.random.default_rng(kept)
    results = np.zeros((2, len(LENGTHS), len(alphas), len(STATISTICS)))
    for _ in range(references):
        model = fit(features(kept, PAIRED, dice))
        rows = features((many + max(LENGTHS) - 1) * PANE, PAIRED, dice)
        for index, length in enumerate(LENGTHS):
            counts = slid(model, rows, length)[-many:]
            for number, alpha in enumerate(alphas):
                flags = judge_multivariate(model, counts, alpha, 0.0).status == DRIFTED
                begun = flags & ~np.concatenate([np.zeros_like(flags[:1]), flags[:-1]])
                results[0, index, number] += flags.mean(axis=0) / references
                results[1, index, number] += begun.sum(axis=0)
    return results[0], results[1]


def broken(rho: float, length: int, many: int) -> tuple[Array, float]:
    """Shares of separate windows in which each joint statistic, and any feature, drifts at correlation ``rho``."""
    dice = np.random.default_rng([int(100 * rho), length])
    values = features(10_000, PAIRED, dice)
    model = fit(values)
    columns = {f"feature:{index}": values[:, index] for index in range(FEATURES)}
    reference, layout = reference_of(columns), layout_of(columns)
    rows = features(many * length * PANE, rho, dice)
    status = judge_multivariate(model, slid(model, rows, length)[::length], ALPHA, 0.0).status
    panes = sliding(binned(layout, rows, PANE), length, length)
    live = Counts(panes.rows, panes.bins, panes.moments, panes.extremes)
    alone = judge(reference, live, Settings(min_effect=0.0, alpha=UNIVARIATE, min_rows=100)).status
    return (status == DRIFTED).mean(axis=0), float((alone[:, 0] == DRIFTED).any(axis=-1).mean())


# Scores over time.


def normal(dice: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return dice.standard_normal(shape)


def lognormal(dice: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return np.asarray((np.exp(dice.standard_normal(shape)) - np.exp(0.5)) / np.sqrt((np.e - 1) * np.e))


def share(dice: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Of a class that one row in twenty belongs to."""
    return np.asarray(((dice.random(shape) < 0.05) - 0.05) / np.sqrt(0.05 * 0.95))


STREAMS: dict[str, tuple[Rows, float]] = {
    "normal": (normal, 0.0),
    "lognormal": (lognormal, np.nan),
    "a class of 5 %": (share, 0.9 / np.sqrt(0.05 * 0.95)),
}


def run_lengths(kind: str, arl: float, streams: int, panes: int, rows: int = 50) -> tuple[float, float]:
    """Realised panes between false alarms of CUSUM (to the first one, censored) and of the adaptive window."""
    drawn, skew = STREAMS[kind]
    dice = np.random.default_rng([len(kind), streams])
    spread, n = plain_spread(streams, skew), np.full(streams, float(rows))
    summed, limit = cusum.start(streams), cusum_for(arl)
    window, other = adaptive.start(streams, 24), adaptive_for(arl)
    first, changes = np.full(streams, np.inf), 0
    for pane in range(panes):
        z = drawn(dice, (rows, streams))
        total, squares = z.sum(axis=0), (z**2).sum(axis=0)
        scores = pane_scores(n, total, squares, spread)
        summed, alarms = step(summed, scores.u, pane, limit, scores.reference_error, None, scores.skew)
        first = np.where(alarms.fired, np.minimum(first, pane + 1), first)
        window, detected = adaptive_step(window, n, total, squares, pane, other, spread)
        changes += int(detected.fired.sum())
    alarmed = int(np.isfinite(first).sum())
    return (
        float(np.minimum(first, panes).sum()) / alarmed if alarmed else np.inf,
        streams * panes / changes if changes else np.inf,
    )


def delays(shift: float, arl: float, streams: int, rows: int = 50) -> tuple[float, float, float]:
    """Median panes until both tests find a shift after 100 unchanged panes; median error of the reported time."""
    dice = np.random.default_rng([int(1000 * shift), streams])
    spread, n = plain_spread(streams, 0.0), np.full(streams, float(rows))
    summed, limit = cusum.start(streams), cusum_for(arl)
    window, other = adaptive.start(streams), adaptive_for(arl)
    seen, found_at = np.full((2, streams), np.inf), np.full(streams, np.nan)
    for pane in range(100 + 400):
        z = dice.standard_normal((rows, streams)) + shift * (pane >= 100)
        total, squares = z.sum(axis=0), (z**2).sum(axis=0)
        scores = pane_scores(n, total, squares, spread)
        summed, alarms = step(summed, scores.u, pane, limit, scores.reference_error, None, scores.skew)
        window, detected = adaptive_step(window, n, total, squares, pane, other, spread)
        if pane < 100:
            continue
        found_at = np.where(detected.fired & np.isinf(seen[1]), detected.change_at, found_at)
        for number, fired in enumerate((alarms.fired, detected.fired)):
            seen[number] = np.where(fired, np.minimum(seen[number], pane - 99), seen[number])
    return float(np.median(seen[0])), float(np.median(seen[1])), float(np.nanmedian(np.abs(found_at - 100)))


# The report.


def report() -> list[str]:
    """Its part of the page."""
    references, many = 40, 60
    lines = [
        f"**All features together**: {FEATURES} normal features, two of them with a correlation of {PAIRED:.1f};",
        f"windows slide by a pane of {PANE} rows. Their tenth of the budget gives α = {ALPHA:.1e}. Without drift,",
        f"{references * many:,} windows of each length over {references} references: alarms and episodes at α, and how",
        f"many of a thousand decisions are alarms at α = {LOOSE:g}.",
        "",
        "| reference | rows | alarms (the budget expects) | episodes | "
        + " | ".join(f"`{name}`, ‰" for name in STATISTICS)
        + " | episodes |",
        "|---|---|---|---|" + "---|" * (len(STATISTICS) + 1),
    ]
    expected = len(STATISTICS) * references * many * ALPHA
    for kept in (10_000, 2_000):
        shares, episodes = joint_alarms(references, many, (ALPHA, LOOSE), kept)
        for index, length in enumerate(LENGTHS):
            alarms = round(float(shares[index, 0].sum()) * references * many)
            rates = " | ".join(f"{1000 * rate:.1f}" for rate in shares[index, 1])
            lines.append(
                f"| {kept:,} | {length * PANE:,} | {alarms} ({expected:.1f}) | {episodes[index, 0].sum():.0f} |"
                f" {rates} | {episodes[index, 1].sum():.0f} |"
            )
    lines += [
        "",
        "The correlation breaks, no single feature changes: % of 100 windows in which each statistic drifts (at α),",
        f"and in which any single feature drifts (at {UNIVARIATE:.1e}, seven tenths of the budget).",
        "",
        "| correlation now | rows | " + " | ".join(f"`{name}`" for name in STATISTICS) + " | a single feature |",
        "|---|---|" + "---|" * (len(STATISTICS) + 1),
    ]
    for rho in (0.0, 0.5, 0.7):
        for length in LENGTHS:
            shares, alone = broken(rho, length, 100)
            cells = " | ".join(percent(value) for value in shares)
            lines.append(f"| {rho:g} | {length * PANE:,} | {cells} | {percent(alone)} |")
    lines += [
        "",
        "**Scores over time**: panes of 50 rows; realised panes between false alarms (2,000 streams of 1,500",
        "panes).",
        "",
        "| rows | stated | CUSUM | adaptive window |",
        "|---|---|---|---|",
    ]
    for kind in STREAMS:
        for arl in (300.0, 3_000.0):
            cells = " | ".join(f"{length:,.0f}" for length in run_lengths(kind, arl, 2_000, 1_500))
            lines.append(f"| {kind} | {arl:,.0f} | {cells} |")
    lines += [
        "",
        "A shift of the mean after 100 unchanged panes, at a run length of 3,000: median panes until it is found, and",
        "the error of the time that the adaptive window reports.",
        "",
        "| shift, σ | CUSUM | adaptive window | time off by, panes |",
        "|---|---|---|---|",
    ]
    for shift in (0.1, 0.2, 0.5):
        one, two, off = delays(shift, 3_000.0, 500)
        lines.append(f"| {shift:g} | {one:.0f} | {two:.0f} | {off:.0f} |")
    return lines
