"""The names of subjects and statistics that findings of a model can carry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerts.evaluation import LOST
from detectors.drift.judge import STATISTICS
from detectors.joint.judge import STATISTICS as JOINT
from detectors.performance.binary import Binary
from detectors.performance.fairness import MEASURES
from detectors.performance.multiclass import Multiclass
from detectors.performance.ranking import Ranking
from detectors.performance.regression import Regression
from detectors.quality.rates import STATISTICS as QUALITIES
from monitor.evaluate.state_damage import STATISTIC as DAMAGED

if TYPE_CHECKING:
    from monitor.config.model import ModelSection

OTHERS = (
    "cusum", "adwin", "features_gone", "features_new", "duplicate_rate", "traffic_ratio", "responsible", "fallback",
    "share", "median_delay_seconds", "label_share", "rejected", "featureless", "labels_rejected", LOST,
    DAMAGED,
)  # fmt: skip
"""Statistics beside those that the detectors list."""
SUBJECTS = (
    "prediction", "score", "multivariate", "performance", "estimated_performance", "version", "segments", "labels",
    "quality", "reference", "attribution",
)  # fmt: skip
FAMILIES = ("feature", "score", "embedding", "quality", "fairness")
"""Subjects that are followed by a colon and a name."""
PER_CLASS = ("cusum", "adwin")
"""Statistics that may be followed by a colon and a class."""


def metric_names(model: ModelSection) -> tuple[str, ...]:
    """Every metric of performance that the model's task has, whatever its reference holds; classes left out."""
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
    """Metrics that are followed by a colon and a class."""
    if model.task != "multiclass":
        return ()
    return tuple(dict.fromkeys(name.partition(":")[0] for name in Multiclass(("0", "1")).names if ":" in name))


def statistic_names(model: ModelSection) -> tuple[str, ...]:
    """Every statistic that a finding of the model can carry; of those with a class only what stands before it."""
    fairness = MEASURES if model.performance.protected else ()
    return (
        *STATISTICS, *model.drift.show, *JOINT, *QUALITIES, *OTHERS, *metric_names(model),
        *metrics_of_classes(model), *fairness,
    )  # fmt: skip
