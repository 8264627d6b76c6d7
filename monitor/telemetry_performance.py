"""What the metrics page shows of performance, data quality and labels: names, labels and numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from alerts.evaluation import Evaluation, Finding
    from monitor.performance import Totals
    from monitor.snapshot import EvaluationKey, ModelStatus

SERIES = ("model", "version", "segment", "window")
_QUANTILES = (0.5, 0.9, 0.99)
_NOT_DRIFT = frozenset({
    "performance", "estimated_performance", "version", "segments", "labels", "quality", "reference", "attribution",
})  # fmt: skip

Sample = tuple[tuple[str, ...], float]


class Family(NamedTuple):
    """One metric."""

    name: str
    text: str
    labels: tuple[str, ...]
    samples: Sequence[Sample]


class _Kind(NamedTuple):
    """Findings of one kind, and the metrics that they are shown in: NAME, NAME_lower_bound, NAME_upper_bound."""

    subject: str
    name: str
    text: str
    labels: tuple[str, ...]
    judged: str = ""


_KINDS = (
    _Kind("performance", "leeway_performance", "A metric of the newest window whose labels have come", ("metric",),
          "1 if performance is surely worse than it may be"),
    _Kind("estimated_performance", "leeway_estimated_performance", "A metric of the window, estimated without labels",
          ("metric",), "1 if the estimate is surely worse than it may be"),
    _Kind("version", "leeway_version_difference", "By how much a metric of this version exceeds the champion's",
          ("metric",), "1 if this version is surely worse than the champion"),
    _Kind("fairness:", "leeway_fairness", "A difference or ratio between the groups of a protected column",
          ("column", "metric")),
    _Kind("labels", "leeway_label_arrival", "Share of the judged window's predictions with a label; delay of labels",
          ("statistic",), "1 if labels surely do not come as they used to"),
    _Kind("quality:", "leeway_data_quality", "Data quality of a feature in the window", ("feature", "statistic"),
          "1 if data quality of the feature is surely worse than it may be"),
    _Kind("quality", "leeway_traffic", "Data quality of the model's traffic as a whole", ("statistic",),
          "1 if the traffic is surely not what is usual"),
)  # fmt: skip


def is_drift(finding: Finding) -> bool:
    """Whether a finding belongs to the metrics of drift: features, outputs, what is watched together or followed."""
    return finding.subject not in _NOT_DRIFT and not finding.subject.startswith(("fairness:", "quality:"))


def findings_families(shown: Mapping[EvaluationKey, Evaluation], realised: bool) -> Iterator[Family]:
    """What the evaluations tell beside drift.

    Args:
        shown: the newest evaluation of each series and window.
        realised: whether these are evaluations of realised performance; each family belongs to one of the two.
    """
    for kind in _KINDS:
        if (kind.subject in ("performance", "version", "fairness:", "labels")) == realised:
            yield from _kind(kind, shown)
    if realised:
        yield Family(
            "leeway_worse_segments", "Segments that are surely worse than the rest.", (*SERIES, "metric"),
            [
                ((*key, finding.statistic), finding.value)
                for key, evaluation in shown.items()
                for finding in evaluation.findings
                if finding.subject == "segments"
            ],
        )  # fmt: skip
        yield from _windows(shown)
    else:
        yield Family(
            "leeway_reference_fallback", "1 if a window is compared with a reference that stands in for its own.",
            SERIES,
            [
                (tuple(key), 1.0)
                for key, evaluation in shown.items()
                if any(finding.subject == "reference" for finding in evaluation.findings)
            ],
        )  # fmt: skip


def _windows(shown: Mapping[EvaluationKey, Evaluation]) -> Iterator[Family]:
    columns: dict[str, tuple[str, list[float]]] = {
        "rows": ("Predictions in the window that performance was judged on.", [e.rows for e in shown.values()]),
        "labelled_rows": ("Those of them that had a label.", [e.labelled_rows for e in shown.values()]),
        "window_end_timestamp_seconds": (
            "Event time at which that window ends.", [e.end / 1000 for e in shown.values()]
        ),
        "judged_timestamp_seconds": ("Event time at which it was judged.", [e.at / 1000 for e in shown.values()]),
    }  # fmt: skip
    for name, (text, numbers) in columns.items():
        samples = [(tuple(key), number) for key, number in zip(shown, numbers, strict=True)]
        yield Family(f"leeway_performance_{name}", text, SERIES, samples)


def _kind(kind: _Kind, shown: Mapping[EvaluationKey, Evaluation]) -> Iterator[Family]:
    named = kind.subject.endswith(":")
    found = [
        ((*key, finding.subject.removeprefix(kind.subject), finding.statistic) if named else (*key, finding.statistic),
         finding)
        for key, evaluation in shown.items()
        for finding in evaluation.findings
        if (finding.subject.startswith(kind.subject) if named else finding.subject == kind.subject)
    ]  # fmt: skip
    labels = (*SERIES, *kind.labels)
    for suffix, text, number in (
        ("", kind.text, "value"),
        ("_lower_bound", "Lower confidence bound of the same", "lower"),
        ("_upper_bound", "Upper confidence bound of the same", "upper"),
        *([("_reference", "The same on the reference", "reference")] if "performance" in kind.subject else []),
        *([("_threshold", "What the bound of a judged one is held against", "threshold")] if kind.judged else []),
    ):
        yield Family(kind.name + suffix, f"{text}.", labels, _known((at, getattr(part, number)) for at, part in found))
    if kind.judged:
        verdicts = [(at, float(part.status == "breached")) for at, part in found if not math.isnan(part.threshold)]
        yield Family(f"{kind.name}_breached", f"{kind.judged}.", labels, verdicts)


def _known(samples: Iterable[Sample]) -> list[Sample]:
    return [(labels, value) for labels, value in samples if not math.isnan(value)]


def label_gauges(models: Sequence[ModelStatus]) -> Iterator[Family]:
    """What waits for labels, and how long labels take."""
    kept = [(model.name, model.labels) for model in models if model.labels is not None]
    yield Family(
        "leeway_labels_held", "Labels that wait for event time to reach them.", ("model",),
        [((name,), labels.waiting) for name, labels in kept],
    )  # fmt: skip
    yield Family(
        "leeway_label_store_bytes", "Size on disk of the predictions that wait for a label.", ("model",),
        [((name,), labels.nbytes) for name, labels in kept],
    )  # fmt: skip
    yield Family(
        "leeway_label_delay_seconds", "Quantiles of the delay of all labels so far, within a factor of 1.42.",
        ("model", "quantile"),
        [((name, str(q)), delay) for name, labels in kept for q, delay in zip(_QUANTILES, _delays(labels), strict=True)
         if not math.isnan(delay)],
    )  # fmt: skip


def label_counters(models: Sequence[ModelStatus]) -> Iterator[Family]:
    """What became of labels and of the predictions that wait for them."""
    kept = [(model.name, model.labels) for model in models if model.labels is not None]
    yield Family(
        "leeway_labels", "What became of labels and of predictions that wait for them.", ("model", "outcome"),
        [((name, outcome), count) for name, labels in kept for outcome, count in labels.outcomes.items()],
    )  # fmt: skip
    yield Family(
        "leeway_waiting_predictions_lost", "Waiting predictions whose file was damaged or gone at start-up.",
        ("model",), [((name,), labels.lost) for name, labels in kept],
    )  # fmt: skip


def _delays(labels: Totals) -> list[float]:
    """Upper edges, in seconds, of the half octaves of milliseconds in which the quantiles lie; NaN without labels."""
    total = np.cumsum(labels.delays)
    if not len(total) or not total[-1]:
        return [math.nan] * len(_QUANTILES)
    places = np.searchsorted(total, np.array(_QUANTILES) * total[-1])
    return [float(2.0 ** ((place + 1) / 2) / 1000) for place in places.tolist()]
