"""Reads and writes the performance section of a profile as JSON."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.layout import COLUMNS
from detectors.performance.binary import Binary
from detectors.performance.calibration import Calibration
from detectors.performance.error_model import ErrorModel
from detectors.performance.multiclass import Multiclass
from detectors.performance.ranking import Ranking
from detectors.performance.regression import Regression
from monitor.common.codec import from_json, to_json, to_plain_json
from monitor.reference.performance import PerformanceProfile
from monitor.reference.scorer import Scorer, Task
from monitor.reference.streams import Streams

Integers = NDArray[np.int64]


class ErrorModelFile(msgspec.Struct):
    """`ErrorModel`; effects as (subject, column, absolute, square), left out if both are 0, as most are."""

    base_absolute: float
    base_square: float
    effects: list[tuple[int, int, float, float]]
    subjects: int
    spread_absolute: float
    spread_square: float
    rows: int


_AS_THEY_ARE = ("base_absolute", "base_square", "spread_absolute", "spread_square", "rows")
"""Fields of an error model that are stored unchanged."""


class PerformanceFile(msgspec.Struct):
    """`PerformanceProfile` in a profile; ``task`` holds the parameters of the task named by ``kind``."""

    kind: str
    task: msgspec.Raw
    classes: tuple[str, ...] | None
    calibrations: list[tuple[tuple[float, ...], tuple[float, ...]]] | None
    error_model: ErrorModelFile | None
    counts: Integers | None
    dispersions: dict[int, float]
    errors: list[msgspec.Raw] = []
    negatives: tuple[str, ...] | None = None


_TASKS: dict[str, type[Task]] = {
    "binary": Binary, "multiclass": Multiclass, "regression": Regression, "ranking": Ranking,
}  # fmt: skip


def performance_out(profile: PerformanceProfile) -> PerformanceFile:
    """Converts a performance profile to its form on disk."""
    scorer = profile.scorer
    return PerformanceFile(
        next(name for name, kind in _TASKS.items() if isinstance(scorer.task, kind)),
        msgspec.Raw(to_plain_json(scorer.task)),
        profile.classes,
        None if scorer.calibrations is None else [(curve.points, curve.values) for curve in scorer.calibrations],
        None if scorer.error_model is None else _errors_out(scorer.error_model),
        profile.counts,
        dict(profile.dispersions),
        [] if profile.errors is None else [msgspec.Raw(to_json(profile.errors))],
        profile.negatives,
    )


def performance_in(stored: PerformanceFile) -> PerformanceProfile:
    """The inverse of `performance_out`."""
    calibrations = stored.calibrations
    return PerformanceProfile(
        stored.classes,
        Scorer(
            from_json(stored.task, _TASKS[stored.kind], strict=True),
            None if calibrations is None else tuple(Calibration(*pair) for pair in calibrations),
            None if stored.error_model is None else _errors_in(stored.error_model),
        ),
        stored.counts,
        stored.dispersions,
        from_json(stored.errors[0], Streams) if stored.errors else None,
        stored.negatives,
    )


def _errors_out(model: ErrorModel) -> ErrorModelFile:
    cells = np.argwhere((model.absolute != 0) | (model.square != 0)).tolist()
    effects = [(s, c, float(model.absolute[s, c]), float(model.square[s, c])) for s, c in cells]
    unchanged = {name: getattr(model, name) for name in _AS_THEY_ARE}
    return ErrorModelFile(effects=effects, subjects=len(model.absolute), **unchanged)


def _errors_in(stored: ErrorModelFile) -> ErrorModel:
    absolute, square = np.zeros((2, stored.subjects, COLUMNS))
    for subject, column, one, other in stored.effects:
        absolute[subject, column], square[subject, column] = one, other
    return ErrorModel(absolute=absolute, square=square, **{name: getattr(stored, name) for name in _AS_THEY_ARE})
