"""Panels about the path of a model's rows: traffic, Kafka, and the daemon itself."""

from __future__ import annotations

from dashboards.panels import PanelBuilder, Query, lines

MODEL = 'model="$model"'
WINDOW = f'{MODEL}, version="$version", segment="$segment", window="$window"'
# The daemons that monitor this model: a Prometheus may scrape several.
ITS_DAEMON = f"and on (job, instance) leeway_series{{{MODEL}}}"


def traffic() -> list[PanelBuilder]:
    """Rows that are counted, late, over max_series, and rejected."""
    return [
        lines(
            "Rows per second by version",
            "Shows the change from one version to the next. A version that was never released: test traffic "
            "is sent to production.",
            [Query(f"sum by (version) (rate(leeway_rows_total{{{MODEL}}}[$__rate_interval]))", "{{version}}")],
            unit="reqps",
            width=8,
            stacked=True,
        ),
        lines(
            "Late and overflowing rows per second",
            "Late: rows that arrived after their pane had closed, so no window contains them; allow more lateness "
            "if there are many. Overflow: rows of versions or segments over max_series, counted in one extra "
            "series.",
            [
                Query(f"sum(rate(leeway_rows_late_total{{{MODEL}}}[$__rate_interval]))", "late"),
                Query(f"sum(rate(leeway_series_overflow_rows_total{{{MODEL}}}[$__rate_interval]))", "overflow"),
            ],
            unit="reqps",
            width=8,
        ),
        lines(
            "Rejected rows per second",
            "Messages that could not be used, by reason, for all models together, because the model of an "
            "unreadable message is unknown. malformed: not JSON; no_timestamp, no_model: the column paths in the "
            "configuration do not fit the records.",
            [
                Query(
                    f"sum by (topic, reason) (rate(leeway_rows_rejected_total[$__rate_interval]) {ITS_DAEMON})",
                    "{{topic}} {{reason}}",
                )
            ],
            unit="reqps",
            width=8,
        ),
    ]


def kafka() -> list[PanelBuilder]:
    """Lag, pace and losses by partition."""

    def by_partition(inner: str, more: str = "") -> str:
        return f"sum by (topic, partition{more}) ({inner} {ITS_DAEMON})"

    return [
        lines(
            "Lag",
            "Messages between the daemon and the end of each partition. Steady growth: the daemon is too slow "
            "or has stopped; see LeewaydBehind in the runbook. Growth in one partition alone: this partition "
            "is stuck.",
            [Query(by_partition("leeway_source_lag_messages"), "{{topic}}/{{partition}}")],
            width=8,
        ),
        lines(
            "Messages per second",
            "Messages read, by partition. A single silent partition: check the producer's key.",
            [
                Query(
                    by_partition("rate(leeway_source_messages_total[$__rate_interval])"),
                    "{{topic}}/{{partition}}",
                )
            ],
            unit="reqps",
            width=8,
        ),
        lines(
            "Messages lost",
            "Messages lost since the daemon started. retention: Kafka deleted them before they were read; "
            "corrupt: the daemon skipped a corrupt batch; recreated: the topic was deleted and created again. "
            "Windows without these messages are incomplete.",
            [
                Query(
                    by_partition("leeway_source_lost_messages_total", ", reason"),
                    "{{topic}}/{{partition}} {{reason}}",
                )
            ],
            width=8,
        ),
    ]


def daemon() -> list[PanelBuilder]:
    """Alerts, their delivery, checkpoints, and the resources that the daemon uses."""
    return [
        lines(
            "Alerts by rule",
            "Pending: the condition holds, but not yet for long enough. Firing: receivers are notified.",
            [
                Query(
                    f'sum by (rule, severity, state) (leeway_alerts{{{MODEL}, version="$version"}})',
                    "{{rule}} ({{severity}}) {{state}}",
                )
            ],
            width=8,
        ),
        lines(
            "Notifications waiting",
            "Notifications saved but not yet accepted by their receiver. The daemon sends them again until they are "
            "accepted; see LeewaydOutboxStuck in the runbook.",
            [Query(f"sum by (receiver) (leeway_outbox_notifications {ITS_DAEMON})", "{{receiver}}")],
            width=8,
        ),
        lines(
            "Time since the last turn and the last checkpoint",
            "Turns: growth means that the loop hangs; see LeewaydHangs in the runbook. Checkpoints: the time whose "
            "messages would be read again after a crash; growth means that the state cannot be saved; see "
            "LeewaydCheckpointOld.",
            [
                Query(f"max(time() - leeway_progress_timestamp_seconds {ITS_DAEMON})", "last turn"),
                Query(f"max(time() - leeway_checkpoint_timestamp_seconds {ITS_DAEMON})", "last checkpoint"),
                Query(f"max(leeway_checkpoint_duration_seconds {ITS_DAEMON})", "time to save"),
            ],
            unit="s",
            width=8,
        ),
        lines(
            "Time of one evaluation",
            "Time to judge every window of this model once; the daemon reads nothing meanwhile.",
            [Query(f"max(leeway_evaluation_duration_seconds{{{MODEL}}})", "evaluation")],
            unit="s",
            width=8,
        ),
        lines(
            "Memory and disk",
            "Memory of the process and of its windows, and the state on disk. The configuration limits all three; "
            "steady growth is a defect.",
            [
                Query(f"sum by (kind) (leeway_state_bytes {ITS_DAEMON})", "state: {{kind}}"),
                Query(f"sum(process_resident_memory_bytes {ITS_DAEMON})", "process"),
            ],
            unit="bytes",
            width=8,
        ),
        lines(
            "Series",
            "Combinations of version and segment with windows in memory, and time series on the metrics page. "
            "Dropped: left off the page because of http.max_metric_series.",
            [
                Query(f"sum(leeway_series{{{MODEL}}})", "kept"),
                Query(f"sum(leeway_metric_series{{{MODEL}}})", "on the page"),
                Query(f"sum(leeway_metric_series_dropped{{{MODEL}}})", "dropped"),
            ],
            width=8,
        ),
    ]
