"""Counts of a mature window → findings: realised and estimated performance, versions, segments, fairness."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from alerts.evaluation import Finding
from detectors.performance.compare import difference, higher_is_better, worst
from detectors.performance.estimate import Estimate
from detectors.performance.fairness import fairness
from monitor.labels.panes import AHEAD, LABELLED, ROWS
from monitor.reference.scorer import DEFAULT_METRICS, Scorer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alerts.evaluation import Status
    from monitor.config.model import ModelSection
    from monitor.reference.performance import PerformanceProfile

_NAN = float("nan")
UNESTIMATED = frozenset({"ece"})
"""Metrics that cannot be estimated: an estimate takes the calibrated scores for the truth."""


Metrics = Mapping[str, Estimate]


@dataclass(frozen=True, slots=True)
class LabelledWindow:
    """One series in a mature window.

    Attributes:
        scorer: how it is counted.
        vector: int64[V], the sum of its panes.
        young: the series began within the window.
        realised: every metric of the labelled rows.
        estimated: every metric that can be estimated of all rows.
    """

    scorer: Scorer
    vector: NDArray[np.int64]
    young: bool
    realised: Metrics
    estimated: Metrics

    @property
    def rows(self) -> int:
        """Predictions in the window."""
        return int(self.vector[ROWS])

    @property
    def labelled(self) -> int:
        """Those whose label has come."""
        return int(self.vector[LABELLED])


def held_together(
    scorer: Scorer, vectors: Sequence[NDArray[np.int64]], young: Sequence[bool], alpha: float, phi: float
) -> list[LabelledWindow]:
    """Series that are counted alike, all their metrics computed at once."""
    stacked = np.stack(vectors)
    ahead = AHEAD + scorer.width
    realised = each(scorer.metrics(stacked[:, AHEAD:ahead], alpha, phi), len(vectors))
    estimated: list[dict[str, Estimate]] = [{}] * len(vectors)
    if scorer.estimates:
        estimated = each(scorer.estimated_metrics(stacked[:, ahead:], alpha, phi), len(vectors))
    return [LabelledWindow(scorer, *parts) for parts in zip(vectors, young, realised, estimated, strict=True)]


def each(metrics: Metrics, size: int) -> list[dict[str, Estimate]]:
    """Metrics of many series → those of each."""
    return [
        {name: Estimate(*(part[place] for part in found)) for name, found in metrics.items()} for place in range(size)
    ]


@dataclass(frozen=True, slots=True)
class MetricLimits:
    """The limits that performance is compared with.

    Attributes:
        alpha: error probability of each bound.
        phi: design effect.
        reference: every metric of the reference; empty where it has no labels.
        judged: metrics that are judged.
        max_loss: by which share of the reference's value a judged metric may be worse.
        min_labels: windows with fewer labels are not judged.
    """

    alpha: float
    phi: float
    reference: Mapping[str, float]
    judged: frozenset[str]
    max_loss: float
    min_labels: int

    def threshold(self, metric: str) -> float:
        """Where a judged metric is bad; NaN if it is not judged or unknown on the reference."""
        value, up = self.reference.get(metric, _NAN), higher_is_better(metric)
        if metric not in self.judged or up is None or math.isnan(value):
            return _NAN
        loss = self.max_loss * abs(value)
        return value - loss if up else value + loss


def judged_metrics(model: ModelSection) -> tuple[str, ...]:
    """Metrics that are compared with the reference."""
    return tuple(model.performance.metrics) or DEFAULT_METRICS[model.task]


def metric_limits(model: ModelSection, profile: PerformanceProfile, window_ms: int, alpha: float) -> MetricLimits:
    """The limits for windows of a length."""
    settings = model.performance
    reference = {}
    if profile.counts is not None:
        found = profile.scorer.metrics(profile.counts, alpha, 1.0)
        reference = {name: float(estimate.value) for name, estimate in found.items()}
    judged = frozenset(judged_metrics(model))
    phi = profile.phi(window_ms)
    return MetricLimits(alpha, phi, reference, judged, settings.max_loss, settings.min_labels)


def metric_findings(
    metrics: Mapping[str, Estimate], subject: str, stick: MetricLimits, held_back: str
) -> tuple[Finding, ...]:
    """Each metric as a finding; a judged one is breached when its better bound is still beyond the threshold."""
    return tuple(_finding(subject, name, estimate, stick, held_back) for name, estimate in metrics.items())


def _finding(subject: str, name: str, estimate: Estimate, stick: MetricLimits, held_back: str) -> Finding:
    value, lower, upper = (float(part) for part in estimate)
    threshold, reference = stick.threshold(name), stick.reference.get(name, _NAN)
    status: Status = "ok"
    detail = ""
    if held_back:
        status, detail = "insufficient", held_back
    elif math.isnan(value):
        status, detail = "insufficient", f"{name} cannot be computed on these rows"
    elif not math.isnan(threshold) and (upper < threshold if higher_is_better(name) else lower > threshold):
        status = "breached"
        detail = f"{name} fell to {value:.4g}" if higher_is_better(name) else f"{name} rose to {value:.4g}"
        detail += f"; it was {reference:.4g} on the reference"
    return Finding(subject, name, value, lower, upper, threshold, status, detail, reference=reference)


def realised_findings(held: LabelledWindow, stick: MetricLimits) -> tuple[Finding, ...]:
    """Performance of one series, the share of labels, and beside them what the estimate had said."""
    held_back = ""
    if held.young:
        held_back = "the series is younger than the window"
    elif held.labelled < stick.min_labels:
        held_back = f"too few labels: {held.labelled:,} of {stick.min_labels:,}"
    share = held.labelled / held.rows if held.rows else _NAN
    found = metric_findings(held.realised, "performance", stick, held_back)
    told = Finding("performance", "label_share", share, _NAN, _NAN, _NAN, "ok")
    return (*found, told, *estimated_findings(held.estimated, stick, held_back))


def estimated_findings(metrics: Mapping[str, Estimate], stick: MetricLimits, held_back: str) -> tuple[Finding, ...]:
    """Estimated performance."""
    usable = {name: estimate for name, estimate in metrics.items() if name not in UNESTIMATED}
    return metric_findings(usable, "estimated_performance", stick, held_back)


def version_findings(
    own: LabelledWindow, champion: LabelledWindow, name: str, stick: MetricLimits
) -> tuple[Finding, ...]:
    """How a version differs from the champion on the same window; breached when it is significantly worse."""
    few = min(own.labelled, champion.labelled) < stick.min_labels or own.young
    ours, theirs = own.realised, champion.realised
    found = []
    for metric in sorted(stick.judged & ours.keys() & theirs.keys()):
        up = higher_is_better(metric)
        if up is None:
            continue
        value, lower, upper = (float(part) for part in difference(ours[metric], theirs[metric]))
        status: Status = "insufficient" if few or np.isnan(value) else "ok"
        detail = ""
        if status == "ok" and (upper < 0 if up else lower > 0):
            status = "breached"
            detail = f"{metric} is {abs(value):.4g} worse than that of version {name} in this window"
        found.append(Finding("version", metric, value, lower, upper, 0.0, status, detail))
    return tuple(found)


def segment_findings(
    whole: LabelledWindow, segments: Mapping[str, LabelledWindow], stick: MetricLimits
) -> tuple[Finding, ...]:
    """The worst segments of each judged metric: those that are surely worse than the whole, named in the detail.

    Args:
        whole: all rows of the version.
        segments: label → its rows.
        stick: of the version.
    """
    names = [name for name, held in segments.items() if held.labelled >= stick.min_labels]
    overall = whole.realised
    own = [segments[name].realised for name in names]
    found = []
    for metric in sorted(stick.judged & overall.keys()):
        up = higher_is_better(metric)
        if up is None or not names:
            continue
        values = Estimate(*(np.array([float(one[metric][part]) for one in own]) for part in range(3)))
        rows = np.array([float(segments[name].labelled) for name in names])
        order = worst(values, rows, overall[metric], float(whole.labelled), up)
        told = [
            f"{names[place]} {values.value[place]:.4g} on {int(rows[place]):,} rows" for place in order[:3].tolist()
        ]
        detail = (
            f"significantly worse than all rows ({float(overall[metric].value):.4g}): " + ", ".join(told)
            if told
            else ""
        )
        found.append(Finding("segments", metric, float(len(order)), _NAN, _NAN, _NAN, "ok", detail))
    return tuple(found)


def fairness_findings(
    column: str, segments: Mapping[str, LabelledWindow], stick: MetricLimits, alpha: float
) -> tuple[Finding, ...]:
    """Measures of fairness over the groups of one protected column of a binary model."""
    names = sorted(segments)
    if len(names) < 2:
        return ()
    cells = np.stack(
        [
            held.scorer.cells(held.vector[AHEAD : AHEAD + held.scorer.width])
            for held in (segments[name] for name in names)
        ]
    )
    found = []
    for measure, result in fairness(cells, 2 * alpha, stick.phi).items():
        value, lower, upper = (float(part) for part in result.estimate)
        status: Status = "insufficient" if np.isnan(value) else "ok"
        detail = "" if result.lowest < 0 else f"lowest for {names[result.lowest]}, highest for {names[result.highest]}"
        found.append(Finding(f"fairness:{column}", measure, value, lower, upper, _NAN, status, detail))
    return tuple(found)


def champion_of(held: Mapping[str, LabelledWindow], wanted: str | None) -> str | None:
    """The version that others are compared with: the one configured, else the one with the most labels."""
    if wanted is not None:
        return wanted if wanted in held else None
    return max(sorted(held), key=lambda name: held[name].labelled, default=None) if len(held) > 1 else None


def worst_first(findings: Sequence[Finding]) -> Sequence[Finding]:
    """Breached findings first."""
    return sorted(findings, key=lambda finding: finding.status != "breached")
