"""The section of one model: its keys, and the faults in their combination."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import quote

from pydantic import Field, model_validator

from monitor.common.durations import DAY, SECOND, format_duration, parse_duration
from monitor.common.nearest import hint, quoted
from monitor.common.option_types import (
    Budget,
    Column,
    Columns,
    Cost,
    Duration,
    Effect,
    Name,
    Number,
    PositiveDuration,
    Rows,
    Section,
    Windows,
)
from monitor.common.window_step import window_step

if TYPE_CHECKING:
    from collections.abc import Iterator


class ColumnsSection(Section):
    """Columns by name in the reference, and by dotted path in a record."""

    timestamp: Column
    prediction: Column
    id: Column | None = None
    version: Column | None = None
    model: Column | None = None
    score: Column | dict[str, Column] | None = None
    label: Column | None = None
    lower: Column | None = None
    upper: Column | None = None
    features: Columns | None = None
    features_at: str = ""
    embeddings: Columns = []
    exclude: Columns = []
    types: dict[str, Literal["numeric", "categorical"]] = {}

    def scores(self) -> dict[str, str]:
        """Subject name → column: ``score``, or ``score:CLASS`` for each class of a table."""
        if self.score is None:
            return {}
        if isinstance(self.score, str):
            return {"score": self.score}
        return {f"score:{name}": column for name, column in self.score.items()}


class DriftSection(Section):
    """The conditions under which a change counts as drift."""

    min_effect: Effect = 0.02
    min_missing: float = Field(0.01, ge=0, le=1)
    min_rows: Rows = 100
    false_alarms_per_30d: Budget = 1.0
    season: Literal["hour_of_day", "hour_of_week"] | None = None
    rolling: Duration | None = Field(None, ge=DAY)
    burn_in: PositiveDuration | None = None
    multivariate: bool = True
    min_multivariate: Effect = 0.1
    sequential: bool = True
    sequential_pane: PositiveDuration | None = None
    min_shift: Effect = 0.05
    show: list[
        Literal[
            "hellinger", "total_variation", "l_infinity", "kullback_leibler", "energy", "cramers_v", "mean_shift",
            "median_shift",
        ]
    ] = []  # fmt: skip


class LabelsSection(Section):
    """The join of labels to predictions, and its delays."""

    topics: list[str] = []
    id: str | None = None
    label: str | None = None
    timestamp: str | None = None
    max_delay: PositiveDuration = 7 * DAY
    retention: Duration | None = None
    maturity: float = Field(0.95, gt=0, le=1)
    sample: float = Field(1.0, gt=0, le=1)

    @property
    def retention_ms(self) -> int:
        """How long predictions are kept for their labels, ms: as configured, else twice ``max_delay``."""
        return 2 * self.max_delay if self.retention is None else self.retention

    @model_validator(mode="after")
    def _kept_long_enough(self) -> LabelsSection:
        if self.retention is not None and self.retention < self.max_delay:
            raise ValueError(
                f'retention: got "{format_duration(self.retention)}"; '
                f'it must not be shorter than max_delay, "{format_duration(self.max_delay)}"'
            )
        return self


class Costs(Section):
    """The cost of each outcome of a binary prediction."""

    true_positive: Cost = 0.0
    false_positive: Cost = 0.0
    false_negative: Cost = 0.0
    true_negative: Cost = 0.0


class PerformanceSection(Section):
    """The metrics of performance, and their thresholds."""

    windows: Windows = []
    metrics: Columns = []
    max_loss: float = Field(0.05, gt=0, le=1_000, allow_inf_nan=False)
    min_labels: Rows = 100
    false_alarms_per_30d: Budget = 1.0
    positive: str | int | bool | None = None
    threshold: Number | None = None
    beta: float = Field(2.0, ge=0.01, le=100, allow_inf_nan=False)
    lift_share: float = Field(0.1, gt=0, le=1)
    costs: Costs | None = None
    quantiles: list[Annotated[float, Field(gt=0, lt=1)]] = Field([0.1, 0.5, 0.9], max_length=20)
    k: int = Field(10, ge=1, le=50)
    protected: Columns = []
    champion: str | None = None

    @model_validator(mode="after")
    def _levels(self) -> PerformanceSection:
        # Metrics are named by their level with six digits, such as pinball_0.5.
        names = [f"{level:g}" for level in self.quantiles]
        if len(set(names)) != len(names):
            raise ValueError("quantiles: two levels are equal to six digits")
        return self


class ModelSection(Section):
    """One monitored model."""

    name: Name
    task: Literal["binary", "multiclass", "regression", "ranking"]
    reference: Path | None = None
    references: dict[str, Path] = {}
    learn_rows: int | None = Field(None, ge=1_000, le=200_000)
    topics: list[str] = []
    pane: Duration = 60_000
    windows: Windows = Field(["15m", "1h", "24h"], min_length=1)
    lateness: Duration = 120_000
    segments: Columns = Field([], max_length=50)
    max_series: int = Field(200, ge=1, le=1_000_000)
    columns: ColumnsSection
    drift: DriftSection = DriftSection()
    labels: LabelsSection = LabelsSection()
    performance: PerformanceSection = PerformanceSection()

    @property
    def performance_windows(self) -> list[str]:
        """Windows on which performance is measured; the model's windows unless ``performance.windows`` is set."""
        return self.performance.windows or self.windows

    @model_validator(mode="after")
    def _fits_together(self) -> ModelSection:
        if problems := list(model_problems(self)):
            raise ValueError("\n".join(problems))
        return self


LONGEST_FILE_NAME = 200
"""Bytes; file systems allow 255, endings included."""
MOST_STEPS = 3_000_000
"""Most windows that may wait for labels at a time: one a second for a month."""


def model_problems(model: ModelSection) -> Iterator[str]:
    """Faults as lines, each beginning with the key at fault."""
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
    for key, names in (("windows", model.windows), ("performance.windows", model.performance.windows)):
        lengths = [parse_duration(name) for name in names]
        for number, (name, length) in enumerate(zip(names, lengths, strict=True)):
            if length % model.pane:
                near = max(round(length / model.pane), 1) * model.pane
                yield (
                    f"{key}[{number}]: got {quoted(name)}, which is not a whole number of panes of {pane}; "
                    f'did you mean "{format_duration(near)}"?'
                )
            if length in lengths[:number]:
                yield f"{key}[{number}]: {quoted(name)} is as long as {quoted(names[lengths.index(length)])}"
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
            advice = hint(name, model.segments, "segments")
            yield f"performance.protected[{number}]: {quoted(name)} is not among the segments; {advice}"
    if (model.columns.lower is None) != (model.columns.upper is None):
        yield "columns.lower: give both lower and upper, or neither"
