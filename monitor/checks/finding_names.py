"""The names of subjects and statistics that findings of a model can carry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerts.subjects import SUBJECTS as ALL
from detectors.performance.binary import Binary
from detectors.performance.multiclass import Multiclass
from detectors.performance.ranking import Ranking
from detectors.performance.regression import Regression

if TYPE_CHECKING:
    from monitor.config.model import ModelSection

_OF_RULES = tuple(subject for subject in ALL if not subject.own)
SUBJECTS = tuple(subject.name for subject in _OF_RULES if not subject.name.endswith(":"))
FAMILIES = tuple(subject.family for subject in _OF_RULES if subject.name.endswith(":"))
"""Prefixes of subjects such as ``feature:NAME``."""
PER_CLASS = tuple(
    dict.fromkeys(name for subject in _OF_RULES for name, number in subject.statistics.items() if number.per_class)
)
"""Prefixes of statistics such as ``recall:CLASS``."""


def metric_names(model: ModelSection) -> tuple[str, ...]:
    """All metrics of performance of the model's task, without the metrics of single classes."""
    settings = model.performance
    task: Binary | Multiclass | Regression | Ranking
    if model.task == "binary":
        task = Binary((0.0, 1.0), costs=None if settings.costs is None else (0.0, 0.0, 0.0, 0.0))
    elif model.task == "multiclass":
        names = Multiclass(("0", "1"), ((0.0, 1.0), (0.0, 1.0))).names
        return tuple(name for name in names if ":" not in name)
    elif model.task == "regression":
        task = Regression(1.0, 0.0, tuple(settings.quantiles), model.columns.lower is not None)
    else:
        task = Ranking(settings.k)
    return task.names


def metrics_of_classes(model: ModelSection) -> tuple[str, ...]:
    """Metrics with a variant ``METRIC:CLASS`` for each class."""
    if model.task != "multiclass":
        return ()
    return tuple(dict.fromkeys(name.partition(":")[0] for name in Multiclass(("0", "1")).names if ":" in name))


def statistic_names(model: ModelSection) -> tuple[str, ...]:
    """All statistics that a finding of the model can have; without the class if they have one."""
    computed = (
        name
        for subject in _OF_RULES
        if subject.family != "fairness" or model.performance.protected
        for name, number in subject.statistics.items()
        if not number.optional or name in model.drift.show
    )
    return (*dict.fromkeys(computed), *metric_names(model), *metrics_of_classes(model))
