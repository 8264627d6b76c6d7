"""Prometheus rules for the daemon's own health. Drift itself is told by leewayd, which knows the evidence."""

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
    # With a lag and a rate of 0, reading stands still: infinite. Without a lag it is no number.
    Recording(
        "topic:leeway_source_backlog:seconds",
        f"sum {_TOPIC} (leeway_source_lag_messages) / sum {_TOPIC} (rate(leeway_source_messages_total[10m]))",
    ),
)


def _one(series: str, quiet: str, fires: str, minute: int) -> tuple[Example, Example]:
    """Examples that differ in the values of one series only."""
    return Example([(series, fires)], minute, fires=True), Example([(series, quiet)], minute, fires=False)


ALERTS = (
    Alert(
        "LeewaydDown",
        'up{job="leewayd"}',
        "{} == 0",
        "2m",
        "critical",
        f"leewayd {_WHERE} cannot be scraped",
        "Nobody watches its models, and no drift alert can fire until it is back. Its state is kept.",
        _one(f"up{{{_AT}}}", "1x10", "1 0x10", 5),
    ),
    Alert(
        "LeewaydAbsent",
        'up{job="leewayd"}',
        "absent({})",
        "10m",
        "critical",
        "Prometheus scrapes no leewayd at all",
        "There is no target in the job leewayd: it left the scrape configuration, or discovery lost it.",
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
        "It starts, and ends soon. Its last log line says why.",
        _one(f"process_start_time_seconds{{{_AT}}}", "5x60", "5+60x60", 30),
    ),
    Alert(
        "LeewaydNotReady",
        "leeway_ready",
        "{} == 0",
        "10m",
        "warning",
        f"leewayd {_WHERE} is not ready",
        "It runs but does not do its work; /readyz says why.",
        _one(f"leeway_ready{{{_AT}}}", "0x5 1x30", "0x30", 20),
    ),
    Alert(
        "LeewaydHangs",
        "time() - leeway_progress_timestamp_seconds",
        "{} > 120",
        "1m",
        "critical",
        f"The loop of leewayd {_WHERE} has made no progress for {{{{ $value | humanizeDuration }}}}",
        "Nothing is read, judged or sent. /healthz fails, and a supervisor that watches it restarts the daemon.",
        _one(f"leeway_progress_timestamp_seconds{{{_AT}}}", "0+60x40", "0x40", 10),
    ),
    Alert(
        "LeewaydReloadFailed",
        "leeway_reload_successful",
        "{} == 0",
        "0m",
        "warning",
        f"leewayd {_WHERE} could not load its configuration again",
        "The configuration that was in force goes on. The log says what is wrong with the new one.",
        _one(f"leeway_reload_successful{{{_AT}}}", "1x40", "1x10 0x30", 20),
    ),
    Alert(
        "LeewaydTurnFails",
        "increase(leeway_turn_failures_total[15m])",
        "{} > 0",
        "0m",
        "critical",
        f"A turn of leewayd {_WHERE} failed",
        "It is repeated from the last checkpoint; a row that makes it fail is found and set aside. The log says where.",
        _one(f"leeway_turn_failures_total{{{_AT}}}", "3x40", "0x10 0+1x30", 20),
    ),
    Alert(
        "LeewaydLogLinesDropped",
        "increase(leeway_log_lines_dropped_total[15m])",
        "{} > 0",
        "0m",
        "warning",
        f"leewayd {_WHERE} cannot write its log",
        "Its reader is gone or does not read, or the disk is full. The daemon works on; what it says is lost.",
        _one(f"leeway_log_lines_dropped_total{{{_AT}}}", "3x40", "0x10 0+1x30", 20),
    ),
    Alert(
        "LeewaydSourceDown",
        "leeway_source_up",
        "{} == 0",
        "5m",
        "critical",
        f"leewayd {_WHERE} cannot read its source",
        "No predictions arrive. Reading goes on by itself when the source is back, without loss if soon.",
        _one(f"leeway_source_up{{{_AT}}}", "1x30", "0x30", 10),
    ),
    Alert(
        "LeewaydBehind",
        "topic:leeway_source_backlog:seconds",
        "{} > 900",
        "10m",
        "warning",
        f"leewayd {_WHERE} is {{{{ $value | humanizeDuration }}}} behind in {{{{ $labels.topic }}}}",
        "At the present pace it takes that long to reach the end of the topic; +Inf: it reads nothing.",
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
        f"Nothing that leewayd {_WHERE} reads belongs to the model any more.",
        _one(_ROWS, "0+5x90", "5x90", 80),
    ),
    Alert(
        "LeewaydWatermarkStalled",
        "changes(leeway_watermark_timestamp_seconds[30m])",
        f"{{}} == 0 and on (job, instance, model) sum {_MODEL} (rate(leeway_rows_total[30m])) > 0",
        "30m",
        "warning",
        "Event time of {{ $labels.model }} stands still while rows arrive",
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
        "They are counted by reason in leeway_rows_rejected_total and are in no window.",
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
        "{{ $value | humanizePercentage }} of the rows of {{ $labels.model }} come too late",
        "They arrive after their pane was closed and are in no window. Is the model's lateness too short?",
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
        "Rows beyond it are not watched by version and segment, only together.",
        _one(f'leeway_series_overflow_rows_total{{{_AT}, model="m"}}', "5x90", "0x30 5+1x60", 60),
    ),
    Alert(
        "LeewaydLabelsUnmatched",
        f'sum {_MODEL} (rate(leeway_labels_total{{outcome=~"joined|corrected|duplicate"}}[1h]))',
        f"{{}} == 0 and on (job, instance, model)"
        f' sum {_MODEL} (rate(leeway_labels_total{{outcome=~"early|unknown|expired"}}[1h])) > 0',
        "1h",
        "warning",
        "Labels of {{ $labels.model }} come, and none belongs to a prediction",
        "Realised performance stands still. Do predictions and labels still carry the same ids?",
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
        f"The state of leewayd {_WHERE} was damaged ({{{{ $labels.kind }}}})",
        "What could not be used was set aside when leewayd started, and the backup was loaded. Is the disk failing?",
        _one(f'leeway_state_damaged_total{{{_AT}, kind="database"}}', "0x40", "1x40", 20),
    ),
    Alert(
        "LeewaydWaitingPredictionsLost",
        f"sum {_MODEL} (leeway_waiting_predictions_lost_total)",
        "{} > 0",
        "0m",
        "critical",
        "{{ $value }} predictions of {{ $labels.model }} that waited for labels were lost",
        "Their file was damaged or gone when leewayd started. Their labels will find nothing.",
        _one(f'leeway_waiting_predictions_lost_total{{{_AT}, model="m", reason="block_damaged"}}', "0x40", "12x40", 20),
    ),
    Alert(
        "LeewaydMetricSeriesDropped",
        "leeway_metric_series_dropped",
        "{} > 0",
        "15m",
        "warning",
        "{{ $value }} series of {{ $labels.model }} are left off the metrics page",
        "The page is capped by http.max_metric_series. The rules of leewayd itself still see everything.",
        _one(f'leeway_metric_series_dropped{{{_AT}, model="m"}}', "0x30", "12x30", 20),
    ),
    Alert(
        "LeewaydEvaluationSlow",
        f"sum {_DAEMON} (rate(leeway_evaluation_seconds_total[15m]))",
        "{} > 0.5",
        "15m",
        "warning",
        f"leewayd {_WHERE} spends {{{{ $value | humanizePercentage }}}} of its time judging windows",
        "Little is left for reading; the Kafka lag will grow.",
        _one(f'leeway_evaluation_seconds_total{{{_AT}, model="m"}}', "0+1x60", "0+40x60", 50),
    ),
    Alert(
        "LeewaydCheckpointOld",
        "time() - leeway_checkpoint_timestamp_seconds",
        "{} > 900",
        "5m",
        "critical",
        f"leewayd {_WHERE} has not saved its state for {{{{ $value | humanizeDuration }}}}",
        "After a crash it must read all of that again; if Kafka no longer holds it, it is lost.",
        _one(f"leeway_checkpoint_timestamp_seconds{{{_AT}}}", "0+60x40", "0x40", 30),
    ),
    Alert(
        "LeewaydCheckpointFailing",
        "increase(leeway_checkpoint_failures_total[15m])",
        "{} > 0",
        "5m",
        "critical",
        f"leewayd {_WHERE} cannot save its state",
        "The last good checkpoint is kept and saving is tried again. Usually the disk is full or read-only.",
        _one(f"leeway_checkpoint_failures_total{{{_AT}}}", "3x40", "0+1x40", 30),
    ),
    Alert(
        "LeewaydOutboxStuck",
        "time() - leeway_outbox_oldest_timestamp_seconds",
        "{} > 900",
        "5m",
        "critical",
        "A notification for {{ $labels.receiver }} has waited for {{ $value | humanizeDuration }}",
        "Alerts do not reach their receiver. They are saved and will be sent when it accepts them.",
        _one(f'leeway_outbox_oldest_timestamp_seconds{{{_AT}, receiver="r"}}', "0+60x40", "0x40", 30),
    ),
    Alert(
        "LeewaydNotificationsDead",
        'sum by (job, instance, receiver) (increase(leeway_notifications_total{result="dead"}[1h]))',
        "{} > 0",
        "0m",
        "critical",
        "{{ $labels.receiver }} has refused a notification for good",
        "It answered that it never will accept it, or did not accept it in time. Somebody was not told.",
        _one(
            f'leeway_notifications_total{{{_AT}, receiver="r", result="dead"}}',
            "2x60",
            "0x30 1x60",
            40,
        ),
    ),
)
