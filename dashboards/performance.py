"""The row on performance: what labels say, what is estimated until they come, and whether they come."""

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
            "Metrics of the newest window whose labels have come. The true value lies between `at least` and `at "
            "most`. `worse`: surely beyond the limit. Compare with the reference, then look at drift and data quality "
            "of the same days. Empty: no labels are read, or none have come yet; look at labels per second.",
            "metric",
            [
                Column(Query(_by_metric("leeway_performance_breached"), "verdict"), words=_VERDICT),
                Column(Query(_by_metric("leeway_performance"), "value")),
                Column(Query(_by_metric("leeway_performance_lower_bound"), "at least")),
                Column(Query(_by_metric("leeway_performance_upper_bound"), "at most")),
                Column(Query(_by_metric("leeway_performance_reference"), "reference")),
                Column(Query(_by_metric("leeway_estimated_performance"), "estimated now")),
            ],
            sort_by="value",
        ),
        lines(
            "Realised performance over time",
            "The same metrics as they were judged. A point speaks of the window that ended at `judged window ended`, "
            "which lies as far back as labels take to come.",
            [Query(_by_metric("leeway_performance"), "{{metric}}")],
        ),
        lines(
            "Estimated performance",
            "What the metrics probably are for the present window, from the model's own scores, before labels come. It "
            "sees what changed inputs do to a model whose scores are still right; it cannot see that the relation "
            "between inputs and outcome has changed. Trust it as far as it agreed with the realised values.",
            [Query(_by_metric("leeway_estimated_performance"), "{{metric}}")],
        ),
        lines(
            "Labels per second",
            "What becomes of labels and of the predictions that wait for them. `unknown` or `unusable` high: the "
            "producer of labels uses other ids or classes. No `joined`: labels have stopped, and performance is not "
            "judged any more.",
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
            "How long after its prediction a label is known. Growing: raise `labels.max_delay`, or look upstream.",
            [Query(f"max by (quantile) (leeway_label_delay_seconds{{{MODEL}}})", "{{quantile}}")],
            unit="s",
            width=8,
        ),
        lines(
            "Age of what was judged",
            "How far behind event time the window lies that performance speaks of.",
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
