"""The report's sections on performance, and on data quality."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from alerts.moments import utc
from alerts.subjects import ESTIMATED, subject_named, title_of
from detectors.performance.compare import higher_is_better
from monitor.backtest.charts import interval_chart, number
from monitor.backtest.html import table, where

if TYPE_CHECKING:
    from monitor.backtest.history import History, Track, TrackKey

_MOST_CHARTS = 4
_REALISED = "performance"
# Shown if no metric is judged: without labels in the reference there is nothing to compare metrics with.
_TELLING = ("roc_auc", "accuracy", "f1_macro", "mae", "rmse", "r2", "ndcg", "hit_rate")


def performance_section(history: History) -> str:
    """Metrics over time, realised and estimated, with a table of all metrics; empty without metrics."""
    many = len(history.references) > 1
    whole = [
        (key, track)
        for key, track in history.tracks.items()
        if key.segment == "all" and any(subject_named(name[0]).section == "performance" for name in track.names)
    ]
    return "".join(_shown(history, key, track, many) for key, track in whole)


def _shown(history: History, key: TrackKey, track: Track, many_models: bool) -> str:
    kind = _REALISED if key.realised else ESTIMATED
    metrics = [name[1] for name in track.names if name[0] == kind]
    judged = [metric for metric in metrics if not np.isnan(track.latest((kind, metric)).threshold)]
    charted = (judged or [metric for metric in _TELLING if metric in metrics])[:_MOST_CHARTS]
    title = f"{'Realised' if key.realised else 'Estimated'} performance, {where(key, many_models)}"
    sections = [f"<h3>{escape(title)}</h3>"]
    if key.realised:
        labelled, rows = sum(track.labelled), sum(track.rows)
        share = f"{labelled / rows:.1%} of the predictions in its {len(track.ends):,} windows had a label."
        sections.append(f'<p class="quiet">{share}</p>' if rows else "")
    for metric in charted:
        name = (kind, metric)
        reference = track.latest(name).reference
        against = "" if np.isnan(reference) else f", {number(reference)} on the reference"
        chart = interval_chart(
            np.array(track.ends), track.series(name), track.latest(name).threshold, f"{title}: {metric} over time",
            from_zero=metric.startswith(("cusum", "adwin")), judged=judged_bound(metric),
        )  # fmt: skip
        sections.append(f"<article><h3>{escape(metric)} <small>{escape(title + against)}</small></h3>{chart}</article>")
    rows_of_table = [row for metric in metrics if (row := _last(track, (kind, metric))) is not None]
    if rows_of_table:
        head = ("Metric", "Last", "At least", "At most", "Reference", "Limit", "Window ended")
        sections.append(f"<details><summary>All metrics of the last window</summary>{_numbers(head, rows_of_table)}"
                     "</details>")  # fmt: skip
    return "".join(sections) + _others(history, key, track)


def judged_bound(metric: str) -> int:
    """Column of the bound that is compared with the limit: 1 (lower) for a loss, 2 (upper) for a gain."""
    return 2 if higher_is_better(metric) else 1


def _numbers(head: tuple[str, ...], rows: list[list[str]]) -> str:
    return table(head, rows, frozenset(range(1, len(head) - 1)))


def _last(track: Track, name: tuple[str, str]) -> list[str] | None:
    last, latest = track.last(name), track.latest(name)
    if last is None:
        return None
    index, *three = last
    numbers = (*three, latest.reference, latest.threshold)
    shown = ["–" if np.isnan(part) else number(part) for part in numbers]
    return [escape(name[1]), *shown, utc(track.ends[index])]


def _others(history: History, key: TrackKey, track: Track) -> str:
    """Versions compared with the champion, worse segments and fairness, as of the last window."""
    rows = []
    for name in track.names:
        last = track.last(name) if subject_named(name[0]).section == "comparisons" else None
        if last is None:
            continue
        index, *three = last
        numbers = ["–" if np.isnan(part) else number(part) for part in three]
        rows.append(
            [
                escape(title_of(name[0])),
                escape(name[1]),
                *numbers,
                escape(track.details.get(name, "")),
                utc(track.ends[index]),
            ]
        )
    if not rows:
        return ""
    head = ("What", "Metric", "Last", "At least", "At most", "Told", "Window ended")
    return table(head, rows, frozenset({2, 3, 4}))


def quality_section(history: History) -> str:
    """Findings beyond their limit other than drift: data quality, traffic, joint models and streams."""
    many = len(history.references) > 1
    rows, quiet = [], 0
    for key, track in history.tracks.items():
        subjects = frozenset(history.references[key.model].of(key.version).layout.subjects)
        for name in track.names:
            if name not in track.beyond:
                quiet += subject_named(name[0]).section == "beyond limits"
                continue
            # Features and outputs have cards, and performance of all rows has its own section.
            if name[0] in subjects or (subject_named(name[0]).section == "performance" and key.segment == "all"):
                continue
            beyond = track.beyond[name]
            rows.append(
                [escape(title_of(name[0])), escape(name[1]), str(beyond.windows), utc(beyond.first), utc(beyond.last),
                 escape(beyond.detail), escape(where(key, many))]
            )  # fmt: skip
    note = f'<p class="quiet">{quiet:,} more were monitored and never beyond their limit.</p>'
    if not rows:
        return f'<p class="quiet">Nothing.</p>{note}'
    head = ("Subject", "Statistic", "Windows", "First", "Last", "What", "Where")
    return table(head, rows, frozenset({2})) + note
