"""The performance part of a profile to and from JSON."""

from __future__ import annotations

import msgspec
import numpy as np

from detectors.layout import COLUMNS
from detectors.performance.binary import Binary
from detectors.performance.calibration import Calibration
from detectors.performance.error_model import ErrorModel
from detectors.performance.multiclass import Multiclass
from detectors.performance.ranking import Ranking
from detectors.performance.regression import Regression
from monitor.common.array_json import from_json, to_json
from monitor.reference.performance import PerformanceProfile
from monitor.reference.scorer import Scorer, Task
from monitor.reference.streams import Streams


class ErrorModelFile(msgspec.Struct):
    """An error model; effects as (subject, column, absolute, square) where either is not 0."""

    base_absolute: float
    base_square: float
    effects: list[tuple[int, int, float, float]]
    subjects: int
    spread_absolute: float
    spread_square: float
    rows: int


class PerformanceFile(msgspec.Struct):
    """What is written; ``task`` is its name and its parameters in JSON."""

    kind: str
    task: msgspec.Raw
    classes: list[str] | None
    calibrations: list[tuple[list[float], list[float]]] | None
    error_model: ErrorModelFile | None
    counts: list[int] | None
    dispersions: dict[str, float]
    errors: list[msgspec.Raw] = msgspec.field(default_factory=list)
    negatives: list[str] | None = None


_TASKS: dict[str, type[Task]] = {
    "binary": Binary, "multiclass": Multiclass, "regression": Regression, "ranking": Ranking,
}  # fmt: skip


def performance_out(profile: PerformanceProfile) -> PerformanceFile:
    """A performance profile as it is written."""
    scorer = profile.scorer
    return PerformanceFile(
        next(name for name, kind in _TASKS.items() if isinstance(scorer.task, kind)),
        msgspec.Raw(msgspec.json.encode(scorer.task)),
        None if profile.classes is None else list(profile.classes),
        None if scorer.calibrations is None else [(list(c.points), list(c.values)) for c in scorer.calibrations],
        None if scorer.error_model is None else _errors_out(scorer.error_model),
        None if profile.counts is None else profile.counts.tolist(),
        {str(length): phi for length, phi in profile.dispersions.items()},
        [] if profile.errors is None else [msgspec.Raw(to_json(profile.errors))],
        None if profile.negatives is None else list(profile.negatives),
    )


def performance_in(stored: PerformanceFile) -> PerformanceProfile:
    """A performance profile as it was written."""
    calibrations = stored.calibrations
    return PerformanceProfile(
        None if stored.classes is None else tuple(stored.classes),
        Scorer(
            msgspec.json.decode(stored.task, type=_TASKS[stored.kind]),
            None if calibrations is None else tuple(Calibration(tuple(p), tuple(v)) for p, v in calibrations),
            None if stored.error_model is None else _errors_in(stored.error_model),
        ),
        None if stored.counts is None else np.array(stored.counts, dtype=np.int64),
        {int(length): phi for length, phi in stored.dispersions.items()},
        from_json(stored.errors[0], Streams) if stored.errors else None,
        None if stored.negatives is None else tuple(stored.negatives),
    )


def _errors_out(found: ErrorModel) -> ErrorModelFile:
    places = np.argwhere((found.absolute != 0) | (found.square != 0)).tolist()
    effects = [(s, c, float(found.absolute[s, c]), float(found.square[s, c])) for s, c in places]
    return ErrorModelFile(
        found.base_absolute, found.base_square, effects, len(found.absolute), found.spread_absolute,
        found.spread_square, found.rows,
    )  # fmt: skip


def _errors_in(stored: ErrorModelFile) -> ErrorModel:
    absolute, square = np.zeros((2, stored.subjects, COLUMNS))
    for subject, column, one, other in stored.effects:
        absolute[subject, column], square[subject, column] = one, other
    return ErrorModel(
        stored.base_absolute, stored.base_square, absolute, square, stored.spread_absolute, stored.spread_square,
        stored.rows,
    )  # fmt: skip
