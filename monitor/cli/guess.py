"""Guesses the roles of a table's columns, for a first configuration that a person reviews."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from monitor.common.durations import DAY, HOUR, MINUTE
from monitor.common.errors import ReferenceDataError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from monitor.reference.tables import DataTable

_TIME = ("timestamp", "time", "event_time", "ts", "at", "date", "datetime", "created_at", "logged_at")
_ID = ("id", "prediction_id", "request_id", "event_id", "uuid", "row_id", "identifier")
_VERSION = ("version", "model_version", "modelversion")
_PREDICTION = ("prediction", "predicted", "pred", "y_pred", "y_hat", "yhat", "output", "predicted_class", "class")
_SCORE = (
    "score",
    "probability",
    "proba",
    "prob",
    "predicted_probability",
    "y_score",
    "y_pred_proba",
    "p",
    "confidence",
)
_LABEL = ("label", "target", "y", "y_true", "truth", "actual", "ground_truth", "outcome")
_WANTED_ROWS = 1_000
_PANES = {15 * MINUTE: MINUTE, HOUR: MINUTE, 6 * HOUR: 5 * MINUTE, DAY: HOUR, 7 * DAY: HOUR, 28 * DAY: DAY}
_NAMES = {15 * MINUTE: "15m", HOUR: "1h", 6 * HOUR: "6h", DAY: "24h", 7 * DAY: "7d", 28 * DAY: "28d"}


@dataclass(frozen=True, slots=True)
class Guess:
    """The guessed configuration of a model.

    Attributes:
        timestamp, prediction: column names; None if not found.
        segments: columns with few values, each with enough rows for a separate judgement.
        excluded: columns that are not features: lists, or a distinct value in nearly every row.
        pane: ms.
        windows: names.
        rows_per_hour: None without event times.
    """

    task: str
    timestamp: str | None
    prediction: str | None
    score: str | None
    label: str | None
    id: str | None
    version: str | None
    segments: tuple[str, ...]
    excluded: tuple[str, ...]
    pane: int
    windows: tuple[str, ...]
    lateness: int
    rows_per_hour: float | None


def guess(table: DataTable) -> Guess:
    """Infers the roles of a table's columns from their names and values, and windows that fit its traffic."""
    usable = [name for name in table.names if _is_plain(table, name)]
    timestamp = _named(usable, _TIME, lambda name: _is_time(table, name))
    if timestamp is None:
        timestamp = next((name for name in usable if table.is_time(name)), None)
    taken = {timestamp}

    def take(names: tuple[str, ...], fits: object = None) -> str | None:
        name = _named([name for name in usable if name not in taken], names, fits)
        taken.add(name)
        return name

    prediction = take(_PREDICTION)
    label = take(_LABEL) or _agreeing(table, prediction, [name for name in usable if name not in taken])
    taken.add(label)
    score = take(_SCORE, lambda name: _is_share(table, name))
    version = take(_VERSION)
    # An id shared by many rows identifies a customer, not a prediction.
    unique = take(_ID, lambda name: _distinct(table, name) > 0.99 * table.rows)
    rest = [name for name in usable if name not in taken and not table.is_time(name)]
    own = [name for name in rest if not table.is_numeric(name) and _distinct(table, name) > 0.9 * table.rows]
    excluded = (*(name for name in table.names if name not in usable), *own)
    segments = tuple(name for name in rest if name not in excluded and _is_segment(table, name))[:2]
    rate = None if timestamp is None else _rows_per_hour(table, timestamp)
    pane, windows, lateness = _windows(rate)
    return Guess(
        _task(table, prediction, score), timestamp, prediction, score, label, unique, version, segments, excluded, pane,
        windows, lateness, rate,
    )  # fmt: skip


def _last(name: str) -> str:
    # The last key of a dotted path, in snake case.
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[-\s]+", "_", name.rsplit(".", 1)[-1]).lower()


def _named(columns: Iterable[str], names: tuple[str, ...], fits: object = None) -> str | None:
    """The column with the first of ``names`` that exists."""
    known = {_last(name): name for name in reversed(list(columns)) if not callable(fits) or fits(name)}
    return next((known[name] for name in names if name in known), None)


def _agreeing(table: DataTable, prediction: str | None, columns: Iterable[str]) -> str | None:
    """The column with the prediction's values that agrees with it most: the label, or a leak of it.

    As a feature it would be missing from every message, because labels arrive later.
    """
    if prediction is None:
        return None
    said = table.factor(prediction)
    if not 2 <= len(said.labels) <= 50:
        return None
    best, column = 0.6, None
    for name in columns:
        truth = table.factor(name)
        if truth.labels == said.labels:
            agreement = float((truth.codes == said.codes).mean())
            if agreement > best:
                best, column = agreement, name
    return column


def _is_plain(table: DataTable, name: str) -> bool:
    """Whether values are scalars."""
    if table.is_numeric(name) or table.is_time(name):
        return True
    try:
        table.factor(name)
    except (ReferenceDataError, TypeError):
        return False
    return True


def _is_time(table: DataTable, name: str) -> bool:
    try:
        times = table.times(name)
    except (ReferenceDataError, OverflowError):
        return False
    # 1990 to 2100: other numbers are not times of a prediction log.
    return bool(((times > 631_152_000_000) & (times < 4_102_444_800_000)).all())


def _is_share(table: DataTable, name: str) -> bool:
    if not table.is_numeric(name):
        return False
    numbers = table.numbers(name)
    finite = numbers[np.isfinite(numbers)]
    return bool(finite.size and finite.min() >= 0 and finite.max() <= 1)


def _distinct(table: DataTable, name: str) -> int:
    return len(table.factor(name).labels)


def _is_segment(table: DataTable, name: str) -> bool:
    factor = table.factor(name)
    if not 2 <= len(factor.labels) <= 8:
        return False
    shares = np.bincount(factor.codes[factor.codes >= 0], minlength=len(factor.labels)) / max(table.rows, 1)
    return bool((shares >= 0.05).all())


def _task(table: DataTable, prediction: str | None, score: str | None) -> str:
    if prediction is None:
        return "binary" if score is not None else "regression"
    labels = table.factor(prediction).labels
    if len(labels) <= 2:
        return "binary"
    whole = not table.is_numeric(prediction) or bool(np.all(np.mod(np.nan_to_num(table.numbers(prediction)), 1) == 0))
    return "multiclass" if whole and len(labels) <= 50 else "regression"


def _rows_per_hour(table: DataTable, timestamp: str) -> float | None:
    times = table.times(timestamp)
    span = int(times.max() - times.min())
    return table.rows / (span / HOUR) if span > 0 else None


def _windows(rows_per_hour: float | None) -> tuple[int, tuple[str, ...], int]:
    """Pane, windows and lateness: the shortest window has about a thousand rows, the longer ones detect slow drift."""
    lengths = list(_NAMES)
    if rows_per_hour is None:
        chosen = [HOUR, DAY]
    else:
        enough = [length for length in lengths if rows_per_hour * length / HOUR >= _WANTED_ROWS]
        first = enough[0] if enough else lengths[-1]
        chosen = [first, *(length for length in lengths if length >= 4 * first)][:2]
    pane = _PANES[chosen[0]]
    return pane, tuple(_NAMES[length] for length in chosen), max(2 * MINUTE, pane)
