"""Computes the memory of a model's panes, and refuses impossible amounts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detectors.layout import COLUMNS
from monitor.common.durations import format_duration, parse_duration
from monitor.common.window_step import window_step
from monitor.evaluate.extra_counts import make_count_spec
from monitor.windows.geometry import Window, ring_capacities

if TYPE_CHECKING:
    from monitor.config.model import ModelSection
    from monitor.reference.by_version import ReferencesByVersion

MOST_PER_SERIES = 2**30
MOST_PER_MODEL = 2**36
"""Bytes; more than any machine that runs such a daemon has."""
_NUMBER = 8


def pane_counts(model: ModelSection) -> dict[int, int]:
    """Pane length in ms → number of panes that one series keeps."""
    lengths = sorted(map(parse_duration, model.windows))
    windows = tuple(Window(format_duration(length), length, window_step(length, model.pane)) for length in lengths)
    return ring_capacities(windows, model.pane, model.lateness, model.drift.rolling)


def series_bytes(model: ModelSection, references: ReferencesByVersion | None) -> int:
    """Bytes of the panes of one version without segments; a segment takes no more."""
    if references is None:  # still to be learned
        subjects, extra = len(model.columns.features or []) + 1 + len(model.columns.scores()), 0
    else:
        shapes = [make_count_spec(model, profile) for profile in references.profiles]
        subjects = max(shape.subjects for shape in shapes)
        extra = max(sum(counts.width for counts in shape.whole) for shape in shapes)
    # Bins, two moments and two extremes for each subject; start, rows and the extra counts.
    pane = _NUMBER * (subjects * (COLUMNS + 4) + extra + 2)
    return pane * sum(pane_counts(model).values())


def memory_problems(model: ModelSection, references: ReferencesByVersion | None) -> list[str]:
    """A fault with advice if the model's panes take more memory than any machine has; else empty."""
    panes = pane_counts(model)
    each = series_bytes(model, references)
    if each > MOST_PER_SERIES:
        step, count = max(panes.items(), key=lambda item: item[1])
        size = f"one series keeps {count:,} panes of {format_duration(step)} and takes {each / 2**30:,.1f} GiB"
        return [f"pane: {size}; make the pane longer, or lateness, windows or rolling shorter"]
    segments = max(len(profile.segments) for profile in references.profiles) if references else 0
    series = min(1 + segments, model.max_series)
    if each * series > MOST_PER_MODEL:
        size = f"{series:,} series of one version take {each * series / 2**30:,.1f} GiB"
        return [f"segments: {size}; use fewer segments, longer panes or a smaller max_series"]
    return []
