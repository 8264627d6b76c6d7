"""The metrics of one judged window: names, labels and numbers, and their order when the page has too little room."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from alerts.subjects import SUBJECTS, Metric, Shown, subject_named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from alerts.evaluation import Evaluation, Finding
    from monitor.serve.label_metrics import Sample
    from monitor.serve.series_cap import Rank
    from monitor.serve.snapshot import EvaluationKey

SERIES = ("model", "version", "segment", "window")
# Tiers of importance. The status of every window comes first: it is small, and shows where to look.
_STATUS, _VALUE, _LOWER, _UPPER, _QUALITY, _QUALITY_BOUNDS, _SHOWN = range(7)
# Statistics that are shown but not judged, the most important first; statistics that are not listed come last.
_IMPORTANCE = ("jensen_shannon", "ks", "wasserstein", "chi2")


class Claim(NamedTuple):
    """Series of one metric and one statistic in one window.

    Attributes:
        rank: the least comes first: all rows before segments, then the tier, then the importance of the statistic.
        metric: its name.
        size: the greatest number of series; it depends on the judged subjects, not on their numbers.
        samples: returns the samples of the first ``count`` series, without series that have no number now.
    """

    rank: Rank
    metric: str
    size: int
    samples: Callable[[int], list[Sample]]


_KINDS = tuple(subject.shown for subject in SUBJECTS if isinstance(subject.shown, Metric))


def _metrics() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    drift = (*SERIES, "feature", "statistic")
    yield "leeway_drift_statistic", "Drift statistic of a window compared with the reference.", drift
    yield "leeway_drift_lower_bound", "Lower confidence bound of the drift statistic.", drift
    yield "leeway_drift_upper_bound", "Upper confidence bound of the drift statistic.", drift
    yield "leeway_drifted", "1 if the feature has drifted in the window.", (*SERIES, "feature")
    yield "leeway_insufficient_data", "1 if the window holds too little data to be judged.", SERIES
    yield "leeway_drifted_features", "Number of features and outputs that have drifted in the window.", SERIES
    yield "leeway_window_rows", "Rows in the window.", SERIES
    yield "leeway_window_end_timestamp_seconds", "Event time at which the judged window ends.", SERIES
    text = "1 if the window is compared with a substitute because its own reference is missing."
    yield "leeway_reference_fallback", text, SERIES
    for kind in _KINDS:
        labels = (*SERIES, *kind.labels)
        yield kind.name, f"{kind.text}.", labels
        yield f"{kind.name}_lower_bound", f"Lower confidence bound of the {kind.noun}.", labels
        yield f"{kind.name}_upper_bound", f"Upper confidence bound of the {kind.noun}.", labels
        if kind.reference:
            yield f"{kind.name}_reference", f"Value of the {kind.noun} on the reference.", labels
        if kind.judged:
            text = f"Threshold that the confidence bound of the {kind.noun} is compared with."
            yield f"{kind.name}_threshold", text, labels
            yield f"{kind.name}_breached", f"{kind.judged}.", labels
    text = "Number of segments with a significantly worse performance metric than all rows."
    yield "leeway_worse_segments", text, (*SERIES, "metric")
    yield "leeway_performance_rows", "Predictions in the newest window whose performance was judged.", SERIES
    text = "Predictions with a label in the newest window whose performance was judged."
    yield "leeway_performance_labelled_rows", text, SERIES
    text = "Event time at which the newest window whose performance was judged ends."
    yield "leeway_performance_window_end_timestamp_seconds", text, SERIES
    text = "Event time at which the performance of the newest window was judged."
    yield "leeway_performance_judged_timestamp_seconds", text, SERIES


METRICS = {name: (text, labels) for name, text, labels in _metrics()}
"""Name → HELP text and labels."""


def feature_label(subject: str) -> str:
    """The ``feature`` label of a subject: a feature's own name, ``prediction``, ``score`` or ``score:class``."""
    name = subject.removeprefix("feature:")
    # A feature may have the name of an output; the prefix then separates them.
    reserved = name in ("prediction", "score") or name.startswith("score:")
    return subject if reserved and name != subject else name


def claims(key: EvaluationKey, evaluation: Evaluation) -> list[Claim]:
    """All series that a window could show."""
    parts: dict[tuple[Shown, str], list[Finding]] = {}
    for finding in evaluation.findings:
        parts.setdefault((subject_named(finding.subject).shown, finding.statistic), []).append(finding)
    drift = [finding for (shown, _), findings in parts.items() if shown == "drift" for finding in findings]
    empty = {finding.subject for finding in drift if _is_judged(finding) and math.isnan(finding.value)}
    wanted = list(_of_window(key, evaluation, [finding for finding in drift if _is_judged(finding)]))
    for (shown, statistic), findings in parts.items():
        if isinstance(shown, Metric):
            wanted += _of_kind(key, shown, findings)
        elif shown == "drift":
            wanted += _drift(key, statistic, findings, empty)
        elif shown == "segments":
            wanted.append(_claim(key, (_VALUE, 0), "leeway_worse_segments", "value", findings))
    return wanted


def thresholds(evaluation: Evaluation) -> dict[str, float]:
    """Drift statistic → threshold."""
    return {
        finding.statistic: finding.threshold
        for finding in evaluation.findings
        if _is_judged(finding) and subject_named(finding.subject).shown == "drift"
    }


def _is_judged(finding: Finding) -> bool:
    return not math.isnan(finding.threshold)


def _of_window(key: EvaluationKey, evaluation: Evaluation, judged: Sequence[Finding]) -> Iterator[Claim]:
    """The numbers of the window itself, and whether its subjects have drifted."""
    verdicts: dict[str, bool] = {}
    for finding in judged:
        verdicts[finding.subject] = verdicts.get(finding.subject, False) or finding.status == "drifted"
    if evaluation.realised:
        numbers = {
            "leeway_performance_rows": evaluation.rows,
            "leeway_performance_labelled_rows": evaluation.labelled_rows,
            "leeway_performance_window_end_timestamp_seconds": evaluation.end / 1000,
            "leeway_performance_judged_timestamp_seconds": evaluation.at / 1000,
        }
    else:
        numbers = {
            "leeway_window_rows": evaluation.rows,
            "leeway_window_end_timestamp_seconds": evaluation.end / 1000,
            "leeway_insufficient_data": bool(judged) and all(finding.status == "insufficient" for finding in judged),
            "leeway_drifted_features": sum(verdicts.values()),
        }
        if any(subject_named(finding.subject).shown == "window" for finding in evaluation.findings):
            numbers["leeway_reference_fallback"] = 1
    rank = _rank(key, _STATUS)
    shown: list[Sample]
    for metric, number in numbers.items():
        shown = [(key, float(number))]
        yield Claim(rank, metric, 1, partial(_first, shown))
    if verdicts:
        shown = [((*key, feature_label(subject)), float(verdict)) for subject, verdict in verdicts.items()]
        yield Claim(rank, "leeway_drifted", len(shown), partial(_first, shown))


def _drift(key: EvaluationKey, statistic: str, findings: list[Finding], empty: set[str]) -> Iterator[Claim]:
    columns = (
        (_VALUE, "leeway_drift_statistic", "value"),
        (_LOWER, "leeway_drift_lower_bound", "lower"),
        (_UPPER, "leeway_drift_upper_bound", "upper"),
    )
    if any(map(_is_judged, findings)):
        for tier, metric, attribute in columns:
            yield _claim(key, (tier, 0), metric, attribute, findings)
        return
    # NaN: not defined for the subject, such as KS for categories. A subject without values keeps its room.
    findings = [finding for finding in findings if not math.isnan(finding.value) or finding.subject in empty]
    importance = _IMPORTANCE.index(statistic) if statistic in _IMPORTANCE else len(_IMPORTANCE)
    for _, metric, attribute in columns:
        yield _claim(key, (_SHOWN, importance), metric, attribute, findings)


def _of_kind(key: EvaluationKey, kind: Metric, findings: list[Finding]) -> Iterator[Claim]:
    judged = [finding for finding in findings if kind.judged and _is_judged(finding)]
    # Each feature has several statistics of quality, which come after the drift of all features.
    status, value, lower, upper = (
        (_QUALITY, _QUALITY, _QUALITY_BOUNDS, _QUALITY_BOUNDS)
        if kind.per_feature
        else (_STATUS, _VALUE, _LOWER, _UPPER) if judged else (_SHOWN,) * 4
    )  # fmt: skip
    if judged:
        yield _claim(key, (status, 0), f"{kind.name}_breached", "", judged)
        yield _claim(key, (upper, 0), f"{kind.name}_threshold", "threshold", judged)
    yield _claim(key, (value, 0), kind.name, "value", findings)
    yield _claim(key, (lower, 0), f"{kind.name}_lower_bound", "lower", findings)
    yield _claim(key, (upper, 0), f"{kind.name}_upper_bound", "upper", findings)
    if kind.reference:
        yield _claim(key, (upper, 0), f"{kind.name}_reference", "reference", findings)


def _rank(key: EvaluationKey, tier: int, importance: int = 0) -> Rank:
    return int(key.segment != "all"), tier, importance


def _claim(key: EvaluationKey, rank: tuple[int, int], metric: str, attribute: str, findings: list[Finding]) -> Claim:
    return Claim(_rank(key, *rank), metric, len(findings), partial(_of_findings, key, attribute, findings))


def _first(samples: list[Sample], count: int) -> list[Sample]:
    return samples[:count]


def _of_findings(key: EvaluationKey, attribute: str, findings: list[Finding], count: int) -> list[Sample]:
    """Samples of an attribute of findings; with an empty name, 1 for breached findings and 0 for others."""
    samples = []
    for finding in findings[:count]:
        number = getattr(finding, attribute) if attribute else float(finding.status == "breached")
        if not math.isnan(number):
            samples.append(((*key, *_labels(finding)), number))
    return samples


def _labels(finding: Finding) -> tuple[str, ...]:
    """The labels of a finding that follow the labels of its window."""
    subject = subject_named(finding.subject)
    if subject.shown == "drift":
        return feature_label(finding.subject), finding.statistic
    if subject.name.endswith(":"):
        return finding.subject.removeprefix(subject.name), finding.statistic
    return (finding.statistic,)
