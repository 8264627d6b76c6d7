"""The false-alarm budget of a model as error probabilities: one for every kind of decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from detectors.budget import alpha, shared
from detectors.drift.judge import Settings
from detectors.quality.rates import QualitySettings
from monitor.common.durations import HOUR
from monitor.evaluate.change_points import MONTH_MS
from monitor.evaluate.extra_counts import Duplicates, duplicates_of
from monitor.evaluate.performance_findings import judged_metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from monitor.config.model import ModelSection
    from monitor.reference.profile import Profile
    from monitor.reference.streams import Streams

WINDOWS, TOGETHER, FOLLOWED, QUALITY = 0.7, 0.1, 0.1, 0.1
"""Shares of the budget: windows feature by feature, features together, sequential detectors, data quality."""


@dataclass(frozen=True, slots=True)
class Budgets:
    """Error probabilities, and what else decides.

    Attributes:
        drift, quality: of one decision on a subject.
        joint, estimated: error probability of one decision on features together, and on estimated performance.
        traffic: error probability of one bound of an hour's traffic.
        duplicates: how repeated rows are found; None without ids.
    """

    drift: Settings
    quality: QualitySettings
    joint: float
    estimated: float
    traffic: float
    duplicates: Duplicates | None


def budgets_of(model: ModelSection, first: Profile, steps_ms: Sequence[int], *, labelled: bool) -> Budgets:
    """Shares a model's budget among the decisions that are made of its windows.

    Args:
        model: its configuration.
        first: profile of its first reference, which says how many subjects and segments there are.
        steps_ms: by how much each window slides, ms.
        labelled: labels are read.
    """
    budget, steps = model.drift.false_alarms_per_30d, tuple(steps_ms)
    subjects = len(first.layout.subjects)
    series = 1 + (len(first.segments) if model.segments else 0)
    drift = Settings(
        min_effect=model.drift.min_effect,
        min_missing=model.drift.min_missing,
        alpha=alpha(WINDOWS * budget, subjects=subjects, segments=series, steps_ms=steps),
        min_rows=model.drift.min_rows,
        shown=tuple(model.drift.show),
    )
    # Half of the share for quality goes to rates (four a subject, and duplicates), half to the two sides of traffic.
    rates = shared(QUALITY * budget / 2, decisions=subjects * series * 4 + 1, steps_ms=steps)
    return Budgets(
        drift=drift,
        quality=QualitySettings(rates, model.drift.min_missing, model.drift.min_rows),
        joint=shared(TOGETHER * budget, decisions=3 * max(len(first.joints), 1), steps_ms=steps),
        estimated=shared(
            model.performance.false_alarms_per_30d, decisions=series * len(judged_metrics(model)), steps_ms=steps
        ),
        traffic=shared(QUALITY * budget / 2, decisions=2, steps_ms=(HOUR,)),
        duplicates=duplicates_of(model, labelled=labelled),
    )


def panes_between_alarms(streams: Streams, budget: float) -> float:
    """Panes between false alarms of one sequential detector on one stream; two detectors follow each.

    Args:
        streams: what is followed.
        budget: false alarms in 30 days.
    """
    return MONTH_MS / streams.pane * len(streams.subjects) * 2 / (FOLLOWED * budget)
