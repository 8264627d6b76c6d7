"""The Prometheus page, made from the latest snapshot. The only module that knows prometheus_client."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from monitor.http_server import Response
from monitor.telemetry_performance import SERIES, findings_families, is_drift, label_counters, label_gauges

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from alerts.evaluation import Evaluation, Finding
    from monitor.snapshot import EvaluationKey, Snapshot

_STATISTIC = (*SERIES, "feature", "statistic")


class Telemetry(Collector):
    """Collects the metrics of whatever snapshot is current.

    Args:
        version: leewayd's own.
        snapshot: gives the current snapshot.
        max_series: the most series of model statistics on the page; what is over is counted, not shown.
    """

    def __init__(self, version: str, snapshot: Callable[[], Snapshot], max_series: int) -> None:
        self._version, self._snapshot, self._max_series = version, snapshot, max_series
        self.registry = CollectorRegistry()
        self.registry.register(self)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

    def page(self, headers: Mapping[str, str]) -> Response:
        """The /metrics page in the format that the scraper asked for."""
        encoder, content_type = choose_encoder(headers.get("accept", ""))
        return Response(200, encoder(self.registry), content_type)

    def healthy(self, headers: Mapping[str, str]) -> Response:
        """Whether the process answers at all."""
        return Response(200, b"ok\n")

    def ready(self, headers: Mapping[str, str]) -> Response:
        """Whether the daemon does its work; else why not."""
        reason = self._snapshot().not_ready
        return Response(503, f"{reason}\n".encode()) if reason else Response(200, b"ready\n")

    def collect(self) -> Iterator[Metric]:
        """Every family, from one snapshot."""
        snapshot = self._snapshot()
        yield _gauge("leeway_build_info", "The version of leewayd.", ("version",), [((self._version,), 1)])
        yield from _daemon(snapshot)
        yield from _models(snapshot)
        yield from (_gauge(*family) for family in label_gauges(snapshot.models))
        yield from (_counter(*family) for family in label_counters(snapshot.models))
        yield from _source(snapshot)
        yield from self._statistics(snapshot)

    def describe(self) -> list[Metric]:
        """Nothing ahead of time: registration must not collect."""
        return []

    def _statistics(self, snapshot: Snapshot) -> Iterator[Metric]:
        families = _StatisticFamilies()
        shown: dict[str, int] = {}
        dropped: dict[str, int] = {}
        left = self._max_series
        # The whole before its segments: if something must be left out, it is the finest slices.
        everything = [
            (key, realised)
            for realised, evaluations in enumerate((snapshot.evaluations, snapshot.realised))
            for key in evaluations
        ]
        kept: tuple[dict[EvaluationKey, Evaluation], dict[EvaluationKey, Evaluation]] = ({}, {})
        for key, realised in sorted(everything, key=lambda pair: (pair[0].segment != "all", pair[0], pair[1])):
            shown.setdefault(key.model, 0)
            dropped.setdefault(key.model, 0)
            evaluation = (snapshot.realised if realised else snapshot.evaluations)[key]
            size = families.size(evaluation)
            if size > left:
                dropped[key.model] += size
                continue
            left -= size
            shown[key.model] += size
            kept[realised][key] = evaluation
            families.add(key, evaluation)
        yield from families.all()
        for realised, evaluations in enumerate(kept):
            yield from (_gauge(*family) for family in findings_families(evaluations, bool(realised)))
        yield _gauge("leeway_metric_series", "Series of model statistics on this page.", ("model",), _by_model(shown))
        yield _gauge(
            "leeway_metric_series_dropped",
            "Series of model statistics left out because of http.max_metric_series.",
            ("model",),
            _by_model(dropped),
        )


def _by_model(counts: Mapping[str, int]) -> list[tuple[tuple[str, ...], float]]:
    return [((model,), count) for model, count in counts.items()]


def _gauge(
    name: str, text: str, labels: tuple[str, ...], samples: Iterable[tuple[tuple[str, ...], float]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _counter(
    name: str, text: str, labels: tuple[str, ...], samples: Iterable[tuple[tuple[str, ...], float]]
) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def feature_label(subject: str) -> str:
    """The ``feature`` label of a subject: a feature's own name, ``prediction``, ``score`` or ``score:class``."""
    name = subject.removeprefix("feature:")
    # A feature may be called like an output; the prefix then tells them apart.
    reserved = name in ("prediction", "score") or name.startswith("score:")
    return subject if reserved and name != subject else name


class _StatisticFamilies:
    def __init__(self) -> None:
        self.value = GaugeMetricFamily(
            "leeway_drift_statistic", "A statistic of a window against the reference.", labels=_STATISTIC
        )
        self.lower = GaugeMetricFamily(
            "leeway_drift_lower_bound",
            "Lower confidence bound of the statistic: the change is at least this large.",
            labels=_STATISTIC,
        )
        self.upper = GaugeMetricFamily(
            "leeway_drift_upper_bound",
            "Upper confidence bound of the statistic: the change is at most this large.",
            labels=_STATISTIC,
        )
        self.threshold = GaugeMetricFamily(
            "leeway_drift_threshold",
            "What the lower bound of a judged statistic is held against.",
            labels=("model", "statistic"),
        )
        self.drifted = GaugeMetricFamily(
            "leeway_drifted", "1 if the feature is judged drifted in the window.", labels=(*SERIES, "feature")
        )
        self.insufficient = GaugeMetricFamily(
            "leeway_insufficient_data", "1 if the window holds too little data to be judged.", labels=SERIES
        )
        self.count = GaugeMetricFamily(
            "leeway_drifted_features", "How many subjects are judged drifted in the window.", labels=SERIES
        )
        self.rows = GaugeMetricFamily("leeway_window_rows", "Rows in the window.", labels=SERIES)
        self.end = GaugeMetricFamily(
            "leeway_window_end_timestamp_seconds", "Event time at which the judged window ends.", labels=SERIES
        )
        self._thresholds: dict[tuple[str, str], float] = {}

    @staticmethod
    def size(evaluation: Evaluation) -> int:
        """How many series an evaluation takes, at most."""
        return 6 * len(evaluation.findings) + len({finding.subject for finding in evaluation.findings}) + 4

    def add(self, key: EvaluationKey, evaluation: Evaluation) -> None:
        """Adds the samples of one evaluation."""
        drifted: dict[str, bool] = {}
        judged: list[Finding] = []
        for finding in filter(is_drift, evaluation.findings):
            labels = (*key, feature_label(finding.subject), finding.statistic)
            for family, number in (
                (self.value, finding.value), (self.lower, finding.lower), (self.upper, finding.upper),
            ):  # fmt: skip
                if not math.isnan(number):
                    family.add_metric(labels, number)
            if not math.isnan(finding.threshold):
                judged.append(finding)
                self._thresholds[key.model, finding.statistic] = finding.threshold
                drifted[finding.subject] = drifted.get(finding.subject, False) or finding.status == "drifted"
        for subject, verdict in drifted.items():
            self.drifted.add_metric((*key, feature_label(subject)), float(verdict))
        if evaluation.realised:
            return
        lacking = bool(judged) and all(finding.status == "insufficient" for finding in judged)
        self.insufficient.add_metric(key, float(lacking))
        self.count.add_metric(key, sum(drifted.values()))
        self.rows.add_metric(key, evaluation.rows)
        self.end.add_metric(key, evaluation.end / 1000)

    def all(self) -> Iterator[Metric]:
        """Every family."""
        for labels, value in self._thresholds.items():
            self.threshold.add_metric(labels, value)
        yield from (
            self.value, self.lower, self.upper, self.threshold, self.drifted, self.insufficient, self.count, self.rows,
            self.end,
        )  # fmt: skip


def _daemon(snapshot: Snapshot) -> Iterator[Metric]:
    yield _gauge("leeway_ready", "1 if the daemon does its work (/readyz).", (), [((), float(not snapshot.not_ready))])
    if snapshot.checkpoint_at is not None:
        yield _gauge(
            "leeway_checkpoint_timestamp_seconds", "When the state was last saved.", (), [((), snapshot.checkpoint_at)]
        )
        yield _gauge(
            "leeway_checkpoint_duration_seconds", "How long saving it took.", (), [((), snapshot.checkpoint_seconds)]
        )
    yield _counter(
        "leeway_checkpoint_failures", "Checkpoints that could not be saved.", (), [((), snapshot.checkpoint_failures)]
    )
    memory = sum(model.nbytes for model in snapshot.models)
    yield _gauge(
        "leeway_state_bytes", "Size of the windows in memory, and of the state on disk.", ("kind",),
        [(("memory",), memory), (("disk",), snapshot.disk_bytes)],
    )  # fmt: skip
    yield _gauge(
        "leeway_alerts", "Alerts by state.", ("model", "version", "rule", "severity", "state"), snapshot.alerts.items()
    )
    yield _gauge(
        "leeway_outbox_notifications", "Notifications that wait to be delivered.", ("receiver",),
        [((receiver,), count) for receiver, (count, _) in snapshot.outbox.items()],
    )  # fmt: skip
    yield _gauge(
        "leeway_outbox_oldest_timestamp_seconds", "Since when the oldest of them has waited.", ("receiver",),
        [((receiver,), oldest / 1000) for receiver, (_, oldest) in snapshot.outbox.items() if oldest is not None],
    )  # fmt: skip
    yield _counter(
        "leeway_notifications", "What became of attempts to deliver notifications.", ("receiver", "result"),
        snapshot.notifications.items(),
    )  # fmt: skip
    yield _gauge(
        "leeway_receiver_up", "1 if the receiver takes notifications, 0 while it fails.", ("receiver",),
        [((receiver,), float(status.works)) for receiver, status in snapshot.receivers.items()],
    )  # fmt: skip
    yield _gauge(
        "leeway_outbox_parked_notifications",
        "Notifications that wait until the receiver is mended.", ("receiver",),
        [((receiver,), status.parked) for receiver, status in snapshot.receivers.items()],
    )  # fmt: skip


def _models(snapshot: Snapshot) -> Iterator[Metric]:
    models = snapshot.models
    yield _counter(
        "leeway_rows", "Rows counted in windows.", ("model", "version"),
        [((model.name, version), count) for model in models for version, count in model.rows.items()],
    )  # fmt: skip
    for name, text, values in (
        ("leeway_rows_late", "Rows that came after their pane had closed.", [model.late for model in models]),
        (
            "leeway_series_overflow_rows",
            "Rows of versions and segments beyond max_series.",
            [model.overflow for model in models],
        ),
        ("leeway_evaluations", "Windows judged.", [model.evaluations for model in models]),
        ("leeway_evaluation_seconds", "Time spent judging windows.", [model.evaluation_seconds for model in models]),
    ):
        yield _counter(name, text, ("model",), [((m.name,), v) for m, v in zip(models, values, strict=True)])
    yield _gauge(
        "leeway_evaluation_duration_seconds", "How long the last judgement of all series took.", ("model",),
        [((model.name,), model.last_evaluation_seconds) for model in models],
    )  # fmt: skip
    yield _gauge("leeway_series", "Series that are kept.", ("model",), [((m.name,), m.series) for m in models])
    yield _gauge(
        "leeway_watermark_timestamp_seconds", "How far event time has surely come.", ("model",),
        [((model.name,), model.watermark / 1000) for model in models if model.watermark is not None],
    )  # fmt: skip
    yield _counter(
        "leeway_unseen_values", "Values of categories that the reference never held.", ("model", "feature"),
        [((model.name, feature_label(name)), count) for model in models for name, count in model.unseen.items()],
    )  # fmt: skip
    yield _counter(
        "leeway_invalid_values", "Values of the wrong kind: text or infinity for a number, a list for a category.",
        ("model", "feature"),
        [((model.name, feature_label(name)), count) for model in models for name, count in model.invalid.items()],
    )  # fmt: skip


def _source(snapshot: Snapshot) -> Iterator[Metric]:
    yield _gauge("leeway_source_up", "1 if the source can be read.", (), [((), float(snapshot.source_up))])
    yield _counter(
        "leeway_rows_rejected", "Rows that could not be used.", ("topic", "reason"), snapshot.rejects.items()
    )
    where = ("topic", "partition")
    parts = [((part.topic, str(part.partition)), part) for part in snapshot.partitions]
    yield _gauge(
        "leeway_source_lag_messages", "Messages behind the end of the partition.", where,
        [(labels, part.lag) for labels, part in parts if part.lag is not None],
    )  # fmt: skip
    yield _gauge(
        "leeway_source_position_offset", "Offset at which reading goes on after a restart.", where,
        [(labels, part.position) for labels, part in parts],
    )  # fmt: skip
    yield _counter(
        "leeway_source_messages", "Messages read.", where, [(labels, part.messages) for labels, part in parts]
    )
    yield _counter(
        "leeway_source_lost_messages", "Messages that could not be read any more.", (*where, "reason"),
        [((*labels, reason), count) for labels, part in parts for reason, count in part.lost.items()],
    )  # fmt: skip
