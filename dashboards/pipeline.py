"""Panels about the road that a model's rows take: traffic, Kafka, and the daemon itself."""

from __future__ import annotations

from dashboards.panels import PanelBuilder, Query, lines

MODEL = 'model="$model"'
WINDOW = f'{MODEL}, version="$version", segment="$segment", window="$window"'
# The daemons that watch this model: a Prometheus may scrape several.
ITS_DAEMON = f"and on (job, instance) leeway_series{{{MODEL}}}"


def traffic() -> list[PanelBuilder]:
    """Rows counted, late, beyond the limits, and rejected."""
    return [
        lines(
            "Rows per second by version",
            "A hand-over from one version to the next is seen here. A version that nobody released: somebody "
            "sends test traffic to production.",
            [Query(f"sum by (version) (rate(leeway_rows_total{{{MODEL}}}[$__rate_interval]))", "{{version}}")],
            unit="reqps",
            width=8,
            stacked=True,
        ),
        lines(
            "Late and overflowing rows per second",
            "Late: they came after their pane had closed, and are in no window; allow more lateness if they "
            "are many. Overflow: rows of versions or segments beyond max_series, counted in one series of "
            "their own.",
            [
                Query(f"sum(rate(leeway_rows_late_total{{{MODEL}}}[$__rate_interval]))", "late"),
                Query(f"sum(rate(leeway_series_overflow_rows_total{{{MODEL}}}[$__rate_interval]))", "overflow"),
            ],
            unit="reqps",
            width=8,
        ),
        lines(
            "Rejected rows per second",
            "Messages that could not be used, by reason, over all models: a message that cannot be read "
            "belongs to none. malformed: not JSON; no_timestamp, no_model: the column paths in the "
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
            "Messages between the daemon and the end of each partition. Growing without end: the daemon is "
            "too slow or stands still; see LeewaydBehind in the runbook. One partition alone: that one is "
            "stuck.",
            [Query(by_partition("leeway_source_lag_messages"), "{{topic}}/{{partition}}")],
            width=8,
        ),
        lines(
            "Messages per second",
            "What is read, by partition. One that is silent alone: look at the producer's key.",
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
            "Lost since the daemon started. retention: deleted by Kafka before they were read; corrupt: a "
            "broken batch was passed over; recreated: the topic was deleted and made anew. Windows that lack "
            "them are incomplete.",
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
    """Alerts, their delivery, saving, and what the daemon takes of the machine."""
    return [
        lines(
            "Alerts by rule",
            "Pending: the condition holds, but not yet for long enough. Firing: receivers were told.",
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
            "Saved, and not yet taken by their receiver. They are sent again until they are accepted; see "
            "LeewaydOutboxStuck in the runbook.",
            [Query(f"sum by (receiver) (leeway_outbox_notifications {ITS_DAEMON})", "{{receiver}}")],
            width=8,
        ),
        lines(
            "Time since the last turn and the last checkpoint",
            "Turns: growing means that the loop hangs; see LeewaydHangs in the runbook. Checkpoints: how much would be "
            "read once more after a crash; growing means that the state cannot be saved; see LeewaydCheckpointOld.",
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
            "How long it takes to judge every window of this model once; meanwhile nothing is read.",
            [Query(f"max(leeway_evaluation_duration_seconds{{{MODEL}}})", "evaluation")],
            unit="s",
            width=8,
        ),
        lines(
            "Memory and disk",
            "The process in memory, the windows in it, and the state on disk. All three are bounded by the "
            "configuration; steady growth is a defect.",
            [
                Query(f"sum by (kind) (leeway_state_bytes {ITS_DAEMON})", "state: {{kind}}"),
                Query(f"sum(process_resident_memory_bytes {ITS_DAEMON})", "process"),
            ],
            unit="bytes",
            width=8,
        ),
        lines(
            "Series",
            "Combinations of version and segment that are kept, and time series on the metrics page. "
            "Dropped: left off the page because of http.max_metric_series.",
            [
                Query(f"sum(leeway_series{{{MODEL}}})", "kept"),
                Query(f"sum(leeway_metric_series{{{MODEL}}})", "on the page"),
                Query(f"sum(leeway_metric_series_dropped{{{MODEL}}})", "dropped"),
            ],
            width=8,
        ),
    ]
