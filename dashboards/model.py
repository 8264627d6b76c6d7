"""The dashboard of one model: monitoring, drift by feature, outputs, performance, data quality, pipeline and alerts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards import performance
from dashboards import pipeline as road
from dashboards.page import Page, Row
from dashboards.panels import (
    AMBER,
    ANY_IS_BAD,
    BLUE,
    GREEN,
    RED,
    Column,
    Query,
    Step,
    Word,
    datasource_variable,
    label_variable,
    lines,
    number,
    ranking,
    states,
)
from dashboards.pipeline import ITS_DAEMON, MODEL, WINDOW

if TYPE_CHECKING:
    from dashboards.panels import PanelBuilder

_OUTPUTS = "prediction|score|score:.+"
_VERDICT = (Word(0, "ok", GREEN), Word(1, "drifted", RED))


def _judged(metric: str, statistic: str, features: str = "") -> str:
    selector = f'{WINDOW}, statistic="{statistic}"' + (f", {features}" if features else "")
    return f"max by (feature) ({metric}{{{selector}}})"


def _threshold(statistic: str) -> str:
    return f'max(leeway_drift_threshold{{{MODEL}, statistic="{statistic}"}})'


def page() -> Page:
    """The dashboard."""
    return Page(
        uid="leeway-model",
        title="leewayd / model",
        description="Drift, data quality and traffic of one model, and the health of its daemon.",
        variables=[
            datasource_variable(),
            label_variable("model", "leeway_series", "The model.", sort="alphabetical"),
            label_variable(
                "version",
                f"leeway_window_rows{{{MODEL}}}",
                "Version of the model; - when its records have no version.",
                sort="greatest first",
            ),
            label_variable(
                "segment",
                f'leeway_window_rows{{{MODEL}, version="$version"}}',
                "A part of the traffic; all is the whole traffic.",
                sort="alphabetical",
                first="all",
            ),
            label_variable(
                "window",
                f'leeway_window_rows{{{MODEL}, version="$version", segment="$segment"}}',
                "Length of the sliding window: short windows react fast, long windows detect small changes.",
                sort="smallest first",
            ),
        ],
        rows=[
            Row("Health", _health()),
            Row("Drift by feature", _drift()),
            Row("Prediction and score", _outputs()),
            Row("Performance", performance.panels()),
            Row("Missing, unseen and invalid values", _quality()),
            Row("Traffic", road.traffic()),
            Row("Kafka", road.kafka()),
            Row("Alerts, delivery and the daemon itself", road.daemon()),
        ],
        marks=Query(
            f'sum by (rule, severity) (leeway_alerts{{{MODEL}, version="$version", state="firing"}}) > 0',
            "Firing alerts",
        ),
    )


def _health() -> list[PanelBuilder]:
    return [
        number(
            "Daemon",
            "Whether the daemon that monitors this model does its work. NOT READY: /readyz gives the reason; see "
            "LeewaydNotReady in the runbook. no data: the daemon is down or not scraped, so do not trust the "
            "panels below.",
            Query(f"min(leeway_ready {ITS_DAEMON})"),
            words=(Word(0, "NOT READY", RED), Word(1, "ready", GREEN)),
        ),
        number(
            "Watermark lag",
            "How far event time is behind the clock. It is at least the lateness that the model allows. "
            "When it grows: look at rows per second (do rows arrive?) and at the Kafka lag (does the daemon "
            "keep up?).",
            Query(f"time() - max(leeway_watermark_timestamp_seconds{{{MODEL}}})"),
            unit="s",
            steps=(Step(None, GREEN), Step(900, AMBER), Step(3600, RED)),
        ),
        number(
            "Judged window ended",
            "Age of the newest judged window. The window ends with the last closed pane, so an age of one pane "
            "plus the lateness is normal; a much greater age means that the panels below are out of date.",
            Query(f"time() - max(leeway_window_end_timestamp_seconds{{{WINDOW}}})"),
            unit="s",
            steps=(Step(None, GREEN), Step(3600, AMBER), Step(86400, RED)),
        ),
        number(
            "Rows per second",
            "Predictions counted for this model, all versions. 0 while the service has users: check the "
            "producer, then the rejects below.",
            Query(f"sum(rate(leeway_rows_total{{{MODEL}}}[$__rate_interval]))"),
            unit="reqps",
            steps=(Step(None, RED), Step(0.000001, GREEN)),
        ),
        number(
            "Evidence",
            "Whether the window holds enough rows to be judged. TOO FEW ROWS means that drift is unknown: "
            "choose a longer window, or wait.",
            Query(f"max(leeway_insufficient_data{{{WINDOW}}})"),
            words=(Word(0, "enough", GREEN), Word(1, "TOO FEW ROWS", AMBER)),
        ),
        number(
            "Rows in the window",
            "Number of predictions in the judged window. Fewer rows give wider confidence intervals.",
            Query(f"sum(leeway_window_rows{{{WINDOW}}})"),
            steps=(Step(None, BLUE),),
        ),
        number(
            "Drifted",
            "Number of drifted features and outputs: their lower confidence bound reaches the threshold. "
            "The table below lists them.",
            Query(f"max(leeway_drifted_features{{{WINDOW}}})"),
            steps=ANY_IS_BAD,
        ),
        number(
            "Alerts firing",
            "Alerts of this model and version that fire now, in all segments and windows.",
            Query(f'sum(leeway_alerts{{{MODEL}, version="$version", state="firing"}}) or vector(0)'),
            steps=ANY_IS_BAD,
        ),
    ]


def _drift() -> list[PanelBuilder]:
    features = f'feature!~"{_OUTPUTS}"'
    return [
        lines(
            "Lower confidence bound of PSI",
            "Lower confidence bound of each feature's population stability index: the change is at least "
            "this large, at the confidence level of the false-alarm budget. A feature above the dashed "
            "threshold has drifted. Few rows lower the bound.",
            [
                Query(_judged("leeway_drift_lower_bound", "psi", features), "{{feature}}"),
                Query(_threshold("psi"), "threshold"),
            ],
            threshold="threshold",
        ),
        states(
            "Verdict by feature",
            "When each feature was drifted. Many features from one moment on: look for a release or a "
            "changed feed upstream. One feature alone: look at its source. A few features that change with "
            "the hour or the weekday: the reference may lack a season.",
            Query(f"max by (feature) (leeway_drifted{{{WINDOW}}})", "{{feature}}"),
            _VERDICT,
        ),
        ranking(
            "Worst features",
            "All judged features and outputs in the chosen window. `lower` and `upper` are the confidence bounds "
            "of PSI; a feature has drifted when `lower` reaches the threshold. Missing is the change of the share "
            "of empty values. Start at the top: is the change real (a new market, a season), or is the data broken "
            "(missing, another unit)? Retrain after a real change; repair the feed if the data is broken.",
            "feature",
            [
                Column(Query(f"max by (feature) (leeway_drifted{{{WINDOW}}})", "verdict"), words=_VERDICT),
                Column(Query(_judged("leeway_drift_statistic", "psi"), "PSI")),
                Column(Query(_judged("leeway_drift_lower_bound", "psi"), "lower")),
                Column(Query(_judged("leeway_drift_upper_bound", "psi"), "upper")),
                Column(
                    Query(
                        f"{_judged('leeway_drift_lower_bound', 'psi')} * 0 + scalar({_threshold('psi')})",
                        "threshold",
                    )
                ),
                Column(Query(_judged("leeway_drift_statistic", "jensen_shannon"), "Jensen-Shannon")),
                Column(Query(_judged("leeway_drift_statistic", "ks"), "KS")),
                Column(Query(_judged("leeway_drift_statistic", "missing"), "missing"), unit="percentunit"),
            ],
            sort_by="lower",
        ),
    ]


def _outputs() -> list[PanelBuilder]:
    outputs = f'feature=~"{_OUTPUTS}"'
    return [
        lines(
            "PSI of predictions and scores",
            "The model's outputs compared with the reference, with confidence bounds. Only outputs drift: "
            "the model itself or its version was changed. Only features drift: the model may not depend "
            "much on these features.",
            [
                Query(_judged("leeway_drift_statistic", "psi", outputs), "{{feature}}"),
                Query(_judged("leeway_drift_lower_bound", "psi", outputs), "{{feature}} lower bound"),
                Query(_judged("leeway_drift_upper_bound", "psi", outputs), "{{feature}} upper bound"),
                Query(_threshold("psi"), "threshold"),
            ],
            threshold="threshold",
        ),
        lines(
            "Other distances of predictions and scores",
            "Shown, not judged. Jensen-Shannon: a distance from 0 to 1. KS: the greatest difference of the "
            "distribution functions. Wasserstein: the mean distance that values moved, in standard deviations of "
            "the reference; only for numbers.",
            [
                Query(_judged("leeway_drift_statistic", "jensen_shannon", outputs), "{{feature}} Jensen-Shannon"),
                Query(_judged("leeway_drift_statistic", "ks", outputs), "{{feature}} KS"),
                Query(_judged("leeway_drift_statistic", "wasserstein", outputs), "{{feature}} Wasserstein"),
            ],
        ),
    ]


def _quality() -> list[PanelBuilder]:
    return [
        lines(
            "Change of the missing share",
            "Change of the share of empty values in the window, by feature. A jump to a plateau means a broken "
            "feed: repair it before you retrain.",
            [Query(_judged("leeway_drift_statistic", "missing"), "{{feature}}")],
            unit="percentunit",
            width=8,
        ),
        lines(
            "Unseen categories per second",
            "Categorical values that the reference does not hold. A few are normal for open lists; many mean a "
            "new encoding, or a reference that is too old.",
            [
                Query(
                    f"sum by (feature) (rate(leeway_unseen_values_total{{{MODEL}}}[$__rate_interval]))",
                    "{{feature}}",
                )
            ],
            unit="cps",
            width=8,
        ),
        lines(
            "Invalid values per second",
            "Values of the wrong type: text or infinity in place of a number. They are counted separately and "
            "enter no drift statistic. If the rate is above 0, check the producer.",
            [
                Query(
                    f"sum by (feature) (rate(leeway_invalid_values_total{{{MODEL}}}[$__rate_interval]))",
                    "{{feature}}",
                )
            ],
            unit="cps",
            width=8,
        ),
    ]
