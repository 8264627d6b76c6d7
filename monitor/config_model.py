"""Faults of one model's section that lie between its keys."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from monitor.durations import DAY, SECOND, format_duration, parse_duration
from monitor.nearest import hint, quoted
from monitor.window_step import window_step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from monitor.config import ModelSection


LONGEST_FILE_NAME = 200
"""Bytes; file systems allow 255, endings included."""
MOST_STEPS = 3_000_000
"""So many windows may wait for their labels at a time: a month of them at one a second."""


def model_problems(model: ModelSection) -> Iterator[str]:
    """Faults as lines, each beginning with the key that it is about."""
    if len(quote(model.name, safe="")) > LONGEST_FILE_NAME:
        yield f"name: got {quoted(model.name)}; files are named after the model, and this is too long for one"
    yield from _reference_problems(model)
    yield from _window_problems(model)
    yield from _column_problems(model)


def _reference_problems(model: ModelSection) -> Iterator[str]:
    if model.reference is None and not model.references and model.learn_rows is None:
        yield "reference: required, but not given (or references, or learn_rows)"
    if model.learn_rows is not None:
        if model.reference is not None or model.references:
            yield "learn_rows: a reference is given, so none is to be learned"
        if not model.columns.features:
            yield "learn_rows: name the features in columns.features, since there is no reference to take them from"
        if model.drift.season is not None:
            yield "learn_rows: a season needs a reference that covers it"
    if model.drift.season is not None and model.drift.rolling is not None:
        yield "drift.rolling: give season or rolling, not both"


def _window_problems(model: ModelSection) -> Iterator[str]:
    pane = format_duration(model.pane)
    if model.pane <= 0 or (DAY % model.pane and model.pane % DAY):
        yield f'pane: got "{pane}"; it must divide a day, or be whole days'
        return
    if model.pane < SECOND:
        yield f'pane: got "{pane}"; it must be at least "1s"'
        return
    for place, names in (("windows", model.windows), ("performance.windows", model.performance.windows)):
        lengths = [parse_duration(name) for name in names]
        for number, (name, length) in enumerate(zip(names, lengths, strict=True)):
            if length % model.pane:
                near = max(round(length / model.pane), 1) * model.pane
                yield (
                    f"{place}[{number}]: got {quoted(name)}, which is not a whole number of panes of {pane}; "
                    f'did you mean "{format_duration(near)}"?'
                )
            if length in lengths[:number]:
                yield f"{place}[{number}]: {quoted(name)} is as long as {quoted(names[lengths.index(length)])}"
    step = window_step(min(map(parse_duration, model.windows)), model.pane)
    if model.drift.sequential_pane is not None and model.drift.sequential_pane % step:
        yield (
            f'drift.sequential_pane: got "{format_duration(model.drift.sequential_pane)}"; it must be a whole '
            f"number of steps of the shortest window, {format_duration(step)}"
        )

    step = min(window_step(parse_duration(name), model.pane) for name in model.performance_windows)
    if model.labels.max_delay > MOST_STEPS * step:
        yield (
            f'labels.max_delay: got "{format_duration(model.labels.max_delay)}"; performance is looked at every '
            f"{format_duration(step)}, so labels are waited for {format_duration(MOST_STEPS * step)} at most: "
            "make it shorter, or the pane longer"
        )


def _column_problems(model: ModelSection) -> Iterator[str]:
    for number, name in enumerate(model.performance.protected):
        if name not in model.segments:
            told = hint(name, model.segments, "segments")
            yield f"performance.protected[{number}]: {quoted(name)} is not among the segments; {told}"
    if (model.columns.lower is None) != (model.columns.upper is None):
        yield "columns.lower: give both lower and upper, or neither"
