"""Prometheus rules for the daemon's health. leewayd itself reports drift, because it has the evidence."""

from __future__ import annotations

from dashboards.rules import Alert, Example, Recording

_AT = 'instance="a", job="leewayd"'
_LAG = f'leeway_source_lag_messages{{{_AT}, topic="t", partition="0"}}'
_READ = f'leeway_source_messages_total{{{_AT}, topic="t", partition="0"}}'
_ROWS = f'leeway_rows_total{{{_AT}, model="m", version="1"}}'
_WATERMARK = f'leeway_watermark_timestamp_seconds{{{_AT}, model="m"}}'
_DAEMON = "by (job, instance)"
_MODEL = "by (job, instance, model)"
_TOPIC = "by (job, instance, topic)"
_WHERE = "{{ $labels.instance }}"

RECORDINGS = (
    # A lag with a rate of 0 gives infinity: reading has stopped. A lag of 0 with a rate of 0 gives NaN.
    Recording(
        "topic:leeway_source_backlog:seconds",
        f"sum {_TOPIC} (leeway_source_lag_messages) / sum {_TOPIC} (rate(leeway_source_messages_total[10m]))",
    ),
)


def _one(series: str, quiet: str, fires: str, minute: int) -> tuple[Example, Example]:
    """Two examples that differ only in the values of one series."""
    return Example([(series, fires)], minute, fires=True), Example([(series, quiet)], minute, fires=False)


ALERTS = (
    Alert(
        "LeewaydDown",
        'up{job="leewayd"}',
        "{} == 0",
        "2m",
        "critical",
        f"leewayd {_WHERE} cannot be scraped",
        "Its models are not monitored, and no drift alert can fire until it runs again. Its state is kept.",
        _one(f"up{{{_AT}}}", "1x10", "1 0x10", 5),
    ),
    Alert(
        "LeewaydAbsent",
        'up{job="leewayd"}',
        "absent({})",
        "10m",
        "critical",
        "Prometheus scrapes no leewayd at all",
        "The job leewayd has no target: the scrape configuration or service discovery no longer contains it.",
        (
            Example([(f"up{{{_AT}}}", "1x2 _x30")], 30, fires=True),
            Example([(f"up{{{_AT}}}", "1x30")], 30, fires=False),
        ),
    ),
    Alert(
        "LeewaydRestarting",
        'changes(process_start_time_seconds{job="leewayd"}[1h])',
        "{} > 3",
        "0m",
        "critical",
        f"leewayd {_WHERE} has restarted {{{{ $value }}}} times within an hour",
        "It starts and soon exits. Its last log line gives the reason.",
        _one(f"process_start_time_seconds{{{_AT}}}", "5x60", "5+60x60", 30),
    ),
    Alert(
        "LeewaydNotReady",
        "leeway_ready",
        "{} == 0",
        "10m",
        "warning",
        f"leewayd {_WHERE} is not ready",
        "It runs but does not do its work; /readyz gives the reason.",
        _one(f"leeway_ready{{{_AT}}}", "0x5 1x30", "0x30", 20),
    ),
    Alert(
        "LeewaydHangs",
        "time() - leeway_progress_timestamp_seconds",
        "{} > 120",
        "1m",
        "critical",
        f"The loop of leewayd {_WHERE} has made no progress for {{{{ $value | humanizeDuration }}}}",
        "leewayd reads, judges and sends nothing. /healthz fails, so a supervisor that checks it restarts the daemon.",
        _one(f"leeway_progress_timestamp_seconds{{{_AT}}}", "0+60x40", "0x40", 10),
    ),
    Alert(
        "LeewaydReloadFailed",
        "leeway_reload_successful",
        "{} == 0",
        "0m",
        "warning",
        f"leewayd {_WHERE} could not reload its configuration",
        "The previous configuration stays in use. The log names the faults of the new one.",
        _one(f"leeway_reload_successful{{{_AT}}}", "1x40", "1x10 0x30", 20),
    ),
    Alert(
        "LeewaydTurnFails",
        "increase(leeway_turn_failures_total[15m])",
        "{} > 0",
        "0m",
        "critical",
        f"A turn of leewayd {_WHERE} failed",
        "leewayd repeats it from the last checkpoint, and skips a row that makes it fail. The log names the row.",
        _one(f"leeway_turn_failures_total{{{_AT}}}", "3x40", "0x10 0+1x30", 20),
    ),
    Alert(
        "LeewaydLogLinesDropped",
        "increase(leeway_log_lines_dropped_total[15m])",
        "{} > 0",
        "0m",
        "warning",
        f"leewayd {_WHERE} cannot write its log",
        "The log's reader has stopped, or the disk is full. The daemon continues to work, but log lines are lost.",
        _one(f"leeway_log_lines_dropped_total{{{_AT}}}", "3x40", "0x10 0+1x30", 20),
    ),
    Alert(
        "LeewaydSourceDown",
        "leeway_source_up",
        "{} == 0",
        "5m",
        "critical",
        f"leewayd {_WHERE} cannot read its source",
        "leewayd reads no predictions. It continues when the source is back, and loses only messages deleted by then.",
        _one(f"leeway_source_up{{{_AT}}}", "1x30", "0x30", 10),
    ),
    Alert(
        "LeewaydBehind",
        "topic:leeway_source_backlog:seconds",
        "{} > 900",
        "10m",
        "warning",
        f"leewayd {_WHERE} is {{{{ $value | humanizeDuration }}}} behind in {{{{ $labels.topic }}}}",
        "leewayd needs this time to reach the end of the topic at its current rate; +Inf: it reads nothing.",
        (
            Example(
                [
                    (_LAG, "200000x40"),
                    (_READ, "0+6000x40"),
                ],
                30,
                fires=True,
            ),
            Example(
                [
                    (_LAG, "7x40"),
                    (_READ, "6000x40"),
                ],
                30,
                fires=True,
            ),
            Example(
                [
                    (_LAG, "2000x40"),
                    (_READ, "0+6000x40"),
                ],
                30,
                fires=False,
            ),
            Example(
                [
                    (_LAG, "0x40"),
                    (_READ, "6000x40"),
                ],
                30,
                fires=False,
            ),
        ),
    ),
    Alert(
        "LeewaydMessagesLost",
        "sum by (job, instance, topic, reason) (increase(leeway_source_lost_messages_total[15m]))",
        "{} > 0",
        "0m",
        "critical",
        f"leewayd {_WHERE} lost messages of {{{{ $labels.topic }}}} ({{{{ $labels.reason }}}})",
        "About {{ $value | humanize }} messages will never be counted; their windows are incomplete.",
        _one(
            f'leeway_source_lost_messages_total{{{_AT}, topic="t", partition="0", reason="retention"}}',
            "7x40",
            "0x10 7x40",
            15,
        ),
    ),
    Alert(
        "LeewaydNoRows",
        f"sum {_MODEL} (rate(leeway_rows_total[30m]))",
        "{} == 0",
        "30m",
        "warning",
        "No predictions of {{ $labels.model }} have been counted for half an hour",
        f"leewayd {_WHERE} reads no records of the model any more.",
        _one(_ROWS, "0+5x90", "5x90", 80),
    ),
    Alert(
        "LeewaydWatermarkStalled",
        "changes(leeway_watermark_timestamp_seconds[30m])",
        f"{{}} == 0 and on (job, instance, model) sum {_MODEL} (rate(leeway_rows_total[30m])) > 0",
        "30m",
        "warning",
        "Event time of {{ $labels.model }} does not advance while rows arrive",
        "No window can be closed or judged: the producer sends old or constant timestamps.",
        (
            Example(
                [
                    (_WATERMARK, "100x90"),
                    (_ROWS, "0+5x90"),
                ],
                80,
                fires=True,
            ),
            Example(
                [
                    (_WATERMARK, "100x90"),
                    (_ROWS, "5x90"),
                ],
                80,
                fires=False,
            ),
            Example(
                [
                    (_WATERMARK, "0+60x90"),
                    (_ROWS, "0+5x90"),
                ],
                80,
                fires=False,
            ),
        ),
    ),
    Alert(
        "LeewaydRowsRejected",
        f"sum {_TOPIC} (rate(leeway_rows_rejected_total[15m]))"
        f" / sum {_TOPIC} (rate(leeway_source_messages_total[15m]))",
        "{} > 0.05",
        "15m",
        "warning",
        "{{ $value | humanizePercentage }} of the messages of {{ $labels.topic }} cannot be used",
        "leeway_rows_rejected_total counts them by reason; no window contains them.",
        tuple(
            Example(
                [
                    (f'leeway_rows_rejected_total{{{_AT}, topic="t", reason="malformed"}}', rejected),
                    (_READ, "0+1000x60"),
                ],
                50,
                fires,
            )
            for rejected, fires in (("0+100x60", True), ("0+10x60", False))
        ),
    ),
    Alert(
        "LeewaydRowsLate",
        f"sum {_MODEL} (rate(leeway_rows_late_total[30m]))"
        f" / (sum {_MODEL} (rate(leeway_rows_total[30m]))"
        f" + sum {_MODEL} (rate(leeway_rows_late_total[30m])))",
        "{} > 0.05",
        "30m",
        "warning",
        "{{ $value | humanizePercentage }} of the rows of {{ $labels.model }} arrive too late",
        "They arrive after their pane was closed, so no window contains them. Is the model's lateness too short?",
        tuple(
            Example(
                [
                    (f'leeway_rows_late_total{{{_AT}, model="m"}}', late),
                    (_ROWS, "0+1000x90"),
                ],
                80,
                fires,
            )
            for late, fires in (("0+100x90", True), ("0+10x90", False))
        ),
    ),
    Alert(
        "LeewaydSeriesOverflow",
        f"sum {_MODEL} (increase(leeway_series_overflow_rows_total[1h]))",
        "{} > 0",
        "0m",
        "warning",
        "{{ $labels.model }} has more versions and segments than max_series",
        "leewayd monitors further versions and segments only together, not separately.",
        _one(f'leeway_series_overflow_rows_total{{{_AT}, model="m"}}', "5x90", "0x30 5+1x60", 60),
    ),
    Alert(
        "LeewaydLabelsUnmatched",
        f'sum {_MODEL} (rate(leeway_labels_total{{outcome=~"joined|corrected|duplicate"}}[1h]))',
        f"{{}} == 0 and on (job, instance, model)"
        f' sum {_MODEL} (rate(leeway_labels_total{{outcome=~"early|unknown|expired"}}[1h])) > 0',
        "1h",
        "warning",
        "Labels of {{ $labels.model }} arrive, but no label matches a prediction",
        "Realised performance is no longer judged. Do the ids of labels still match the ids of predictions?",
        tuple(
            Example(
                [
                    (f'leeway_labels_total{{{_AT}, model="m", outcome="joined"}}', joined),
                    (f'leeway_labels_total{{{_AT}, model="m", outcome="early"}}', early),
                ],
                170,
                fires,
            )
            for joined, early, fires in (
                ("50x200", "0+5x200", True),
                ("0+5x200", "0+5x200", False),
                ("5x200", "5x200", False),
            )
        ),
    ),
    Alert(
        "LeewaydStateDamaged",
        "sum by (job, instance, kind) (leeway_state_damaged_total)",
        "{} > 0",
        "0m",
        "critical",
        f"The state of leewayd {_WHERE} was corrupt ({{{{ $labels.kind }}}})",
        "leewayd set the corrupt state aside at its start and loaded the backup. Is the disk failing?",
        _one(f'leeway_state_damaged_total{{{_AT}, kind="database"}}', "0x40", "1x40", 20),
    ),
    Alert(
        "LeewaydWaitingPredictionsLost",
        f"sum {_MODEL} (leeway_waiting_predictions_lost_total)",
        "{} > 0",
        "0m",
        "critical",
        "{{ $value }} predictions of {{ $labels.model }} that waited for labels were lost",
        "Their file was corrupt or missing when leewayd started. Their labels will match no prediction.",
        _one(f'leeway_waiting_predictions_lost_total{{{_AT}, model="m", reason="block_damaged"}}', "0x40", "12x40", 20),
    ),
    Alert(
        "LeewaydMetricSeriesDropped",
        "leeway_metric_series_dropped",
        "{} > 0",
        "15m",
        "warning",
        "{{ $value }} series of {{ $labels.model }} are left off the metrics page",
        "http.max_metric_series limits the page. leewayd's own rules still cover all series.",
        _one(f'leeway_metric_series_dropped{{{_AT}, model="m"}}', "0x30", "12x30", 20),
    ),
    Alert(
        "LeewaydEvaluationSlow",
        f"sum {_DAEMON} (rate(leeway_evaluation_seconds_total[15m]))",
        "{} > 0.5",
        "15m",
        "warning",
        f"leewayd {_WHERE} spends {{{{ $value | humanizePercentage }}}} of its time judging windows",
        "Little time is left for reading; the Kafka lag will grow.",
        _one(f'leeway_evaluation_seconds_total{{{_AT}, model="m"}}', "0+1x60", "0+40x60", 50),
    ),
    Alert(
        "LeewaydCheckpointOld",
        "time() - leeway_checkpoint_timestamp_seconds",
        "{} > 900",
        "5m",
        "critical",
        f"leewayd {_WHERE} has not saved its state for {{{{ $value | humanizeDuration }}}}",
        "After a crash leewayd must read this time's messages again; messages that Kafka no longer holds are lost.",
        _one(f"leeway_checkpoint_timestamp_seconds{{{_AT}}}", "0+60x40", "0x40", 30),
    ),
    Alert(
        "LeewaydCheckpointFailing",
        "increase(leeway_checkpoint_failures_total[15m])",
        "{} > 0",
        "5m",
        "critical",
        f"leewayd {_WHERE} cannot save its state",
        "leewayd keeps the last good checkpoint and tries again. Usually the disk is full or read-only.",
        _one(f"leeway_checkpoint_failures_total{{{_AT}}}", "3x40", "0+1x40", 30),
    ),
    Alert(
        "LeewaydOutboxStuck",
        "time() - leeway_outbox_oldest_timestamp_seconds",
        "{} > 900",
        "5m",
        "critical",
        "A notification for {{ $labels.receiver }} has waited for {{ $value | humanizeDuration }}",
        "Alerts do not reach their receiver. leewayd keeps them and sends them when the receiver accepts them.",
        _one(f'leeway_outbox_oldest_timestamp_seconds{{{_AT}, receiver="r"}}', "0+60x40", "0x40", 30),
    ),
    Alert(
        "LeewaydNotificationsDead",
        'sum by (job, instance, receiver) (increase(leeway_notifications_total{result="dead"}[1h]))',
        "{} > 0",
        "0m",
        "critical",
        "A notification for {{ $labels.receiver }} was dropped",
        "The receiver rejected it for good, or did not accept it within a week. A person may have missed an alert.",
        _one(
            f'leeway_notifications_total{{{_AT}, receiver="r", result="dead"}}',
            "2x60",
            "0x30 1x60",
            40,
        ),
    ),
)
