"""The dashboard of one model: is it watched, has it drifted, in what, and is the road to it clear?"""

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
                "Version of the model; - when its records carry none.",
                sort="greatest first",
            ),
            label_variable(
                "segment",
                f'leeway_window_rows{{{MODEL}, version="$version"}}',
                "A slice of the traffic; all is the whole.",
                sort="alphabetical",
                first="all",
            ),
            label_variable(
                "window",
                f'leeway_window_rows{{{MODEL}, version="$version", segment="$segment"}}',
                "Length of the sliding window: short ones are quick, long ones see small changes.",
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
            "Alerts that fire",
        ),
    )


def _health() -> list[PanelBuilder]:
    return [
        number(
            "Daemon",
            "Whether the daemon that watches this model does its work. NOT READY: /readyz says why; see "
            "LeewaydNotReady in the runbook. no data: the daemon is down or not scraped, and nothing below "
            "can be trusted.",
            Query(f"min(leeway_ready {ITS_DAEMON})"),
            words=(Word(0, "NOT READY", RED), Word(1, "ready", GREEN)),
        ),
        number(
            "Watermark lag",
            "How far event time is behind the clock. It is never less than the lateness that the model "
            "allows. When it grows: look at rows per second (nothing arrives?) and at the Kafka lag (does "
            "the daemon not keep up?).",
            Query(f"time() - max(leeway_watermark_timestamp_seconds{{{MODEL}}})"),
            unit="s",
            steps=(Step(None, GREEN), Step(900, AMBER), Step(3600, RED)),
        ),
        number(
            "Judged window ended",
            "Age of the newest judged window. It ends with the last pane that is closed, so a pane and the "
            "lateness are normal; much more means that all that is shown below is old.",
            Query(f"time() - max(leeway_window_end_timestamp_seconds{{{WINDOW}}})"),
            unit="s",
            steps=(Step(None, GREEN), Step(3600, AMBER), Step(86400, RED)),
        ),
        number(
            "Rows per second",
            "Predictions counted for this model, all versions. 0 while the service has users: look for the "
            "producer, then at the rejects below.",
            Query(f"sum(rate(leeway_rows_total{{{MODEL}}}[$__rate_interval]))"),
            unit="reqps",
            steps=(Step(None, RED), Step(0.000001, GREEN)),
        ),
        number(
            "Evidence",
            "Whether the window holds enough rows to be judged. TOO FEW ROWS is neither an alarm nor an "
            "all-clear: choose a longer window, or wait.",
            Query(f"max(leeway_insufficient_data{{{WINDOW}}})"),
            words=(Word(0, "enough", GREEN), Word(1, "TOO FEW ROWS", AMBER)),
        ),
        number(
            "Rows in the window",
            "On how many predictions the judgement rests. Fewer rows, wider intervals.",
            Query(f"sum(leeway_window_rows{{{WINDOW}}})"),
            steps=(Step(None, BLUE),),
        ),
        number(
            "Drifted",
            "How many features and outputs are drifted: surely changed by more than the effect that matters "
            "to you. Which ones: the table below.",
            Query(f"max(leeway_drifted_features{{{WINDOW}}})"),
            steps=ANY_IS_BAD,
        ),
        number(
            "Alerts firing",
            "Alerts of this model and version that fire now, over all segments and windows.",
            Query(f'sum(leeway_alerts{{{MODEL}, version="$version", state="firing"}}) or vector(0)'),
            steps=ANY_IS_BAD,
        ),
    ]


def _drift() -> list[PanelBuilder]:
    features = f'feature!~"{_OUTPUTS}"'
    return [
        lines(
            "PSI is at least",
            "Lower confidence bound of each feature's population stability index: the change is at least "
            "this large, at the confidence that the false-alarm budget demands. A line above the dashed one "
            "is a drifted feature. Few rows push the bound down, never up.",
            [
                Query(_judged("leeway_drift_lower_bound", "psi", features), "{{feature}}"),
                Query(_threshold("psi"), "threshold"),
            ],
            threshold="threshold",
        ),
        states(
            "Verdict by feature",
            "Which features were drifted, and when. Many at once from one moment: look for a release or a "
            "changed feed upstream. One alone: look at that feature's source. A few that come and go with "
            "the hour or the weekday: the reference may lack a season.",
            Query(f"max by (feature) (leeway_drifted{{{WINDOW}}})", "{{feature}}"),
            _VERDICT,
        ),
        ranking(
            "Worst features",
            "Everything that is judged in the chosen window. PSI lies between `at least` and `at most`; it "
            "is drifted when `at least` reaches the threshold. Missing is the share of empty values. Start "
            "at the top: is the change real (a new market, a season), or is the data broken (missing, "
            "another unit)? Retrain for the first, mend the feed for the second.",
            "feature",
            [
                Column(Query(f"max by (feature) (leeway_drifted{{{WINDOW}}})", "verdict"), words=_VERDICT),
                Column(Query(_judged("leeway_drift_statistic", "psi"), "PSI")),
                Column(Query(_judged("leeway_drift_lower_bound", "psi"), "at least")),
                Column(Query(_judged("leeway_drift_upper_bound", "psi"), "at most")),
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
            sort_by="at least",
        ),
    ]


def _outputs() -> list[PanelBuilder]:
    outputs = f'feature=~"{_OUTPUTS}"'
    return [
        lines(
            "PSI of what the model says",
            "The model's outputs against the reference, with their confidence interval. Outputs that drift "
            "while no feature does: the model itself or its version was changed. Features that drift while "
            "the outputs stay: the model may not use them much.",
            [
                Query(_judged("leeway_drift_statistic", "psi", outputs), "{{feature}}"),
                Query(_judged("leeway_drift_lower_bound", "psi", outputs), "{{feature}} at least"),
                Query(_judged("leeway_drift_upper_bound", "psi", outputs), "{{feature}} at most"),
                Query(_threshold("psi"), "threshold"),
            ],
            threshold="threshold",
        ),
        lines(
            "Other distances of what the model says",
            "Shown, not judged. Jensen-Shannon: a distance from 0 to 1. KS: the greatest difference of the "
            "distribution functions. Wasserstein: how far the mass moved, in standard deviations of the "
            "reference; only for numbers.",
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
            "Missing share",
            "Share of empty values in the window, by feature. A jump to a plateau is a broken feed: mend it "
            "before anybody retrains on the gap.",
            [Query(_judged("leeway_drift_statistic", "missing"), "{{feature}}")],
            unit="percentunit",
            width=8,
        ),
        lines(
            "Unseen categories per second",
            "Values that the reference never held. A trickle is normal for open lists; a flood is a new "
            "encoding, or a reference that is too old.",
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
            "Values of the wrong kind: text or infinity where a number belongs. They are counted apart and "
            "never enter a statistic. Anything but 0 is worth a look at the producer.",
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
