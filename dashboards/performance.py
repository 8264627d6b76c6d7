"""The row on performance: realised performance, estimated performance, and the arrival of labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.panels import GREEN, RED, Column, Query, Word, lines, ranking
from dashboards.pipeline import MODEL, WINDOW

if TYPE_CHECKING:
    from dashboards.panels import PanelBuilder

_VERDICT = (Word(0, "ok", GREEN), Word(1, "worse", RED))


def _by_metric(name: str) -> str:
    return f"max by (metric) ({name}{{{WINDOW}}})"


def panels() -> list[PanelBuilder]:
    """The panels of the row."""
    return [
        ranking(
            "Realised performance",
            "Metrics of the newest window whose labels have arrived. `lower` and `upper` are the confidence bounds. "
            "`worse`: the whole confidence interval is worse than the threshold. Compare with the reference, then look "
            "at drift and data quality of these days. Empty: no labels are read, or none have arrived yet; look at "
            "labels per second.",
            "metric",
            [
                Column(Query(_by_metric("leeway_performance_breached"), "verdict"), words=_VERDICT),
                Column(Query(_by_metric("leeway_performance"), "value")),
                Column(Query(_by_metric("leeway_performance_lower_bound"), "lower")),
                Column(Query(_by_metric("leeway_performance_upper_bound"), "upper")),
                Column(Query(_by_metric("leeway_performance_reference"), "reference")),
                Column(Query(_by_metric("leeway_estimated_performance"), "estimated now")),
            ],
            sort_by="value",
        ),
        lines(
            "Realised performance over time",
            "Realised metrics at the time of judging. Each point belongs to the newest window whose labels had "
            "arrived, so it is as old as the delay of labels.",
            [Query(_by_metric("leeway_performance"), "{{metric}}")],
        ),
        lines(
            "Estimated performance",
            "Metrics of the current window, estimated from the model's scores before labels arrive. The estimate "
            "detects the effect of changed inputs while scores remain calibrated; it cannot detect a changed relation "
            "between inputs and labels. Trust it as far as it has agreed with realised values.",
            [Query(_by_metric("leeway_estimated_performance"), "{{metric}}")],
        ),
        lines(
            "Labels per second",
            "Labels, and predictions that wait for labels, by outcome. `unknown` or `unusable` high: the "
            "producer of labels uses other ids or classes. No `joined`: labels have stopped, and performance is no "
            "longer judged.",
            [
                Query(
                    f"sum by (outcome) (rate(leeway_labels_total{{{MODEL}}}[$__rate_interval]))",
                    "{{outcome}}",
                )
            ],
            unit="cps",
            width=8,
        ),
        lines(
            "Delay of labels",
            "Time from a prediction to its label. Growing: raise `labels.max_delay`, or look upstream.",
            [Query(f"max by (quantile) (leeway_label_delay_seconds{{{MODEL}}})", "{{quantile}}")],
            unit="s",
            width=8,
        ),
        lines(
            "Age of judged performance",
            "How far the end of the newest window with judged performance is behind event time.",
            [
                Query(
                    f"scalar(max(leeway_watermark_timestamp_seconds{{{MODEL}}}))"
                    f" - max by (window) (leeway_performance_window_end_timestamp_seconds{{{WINDOW}}})",
                    "{{window}}",
                )
            ],
            unit="s",
            width=8,
        ),
    ]
