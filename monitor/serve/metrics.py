"""The Prometheus page, made from the latest snapshot. The only module that knows prometheus_client."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder, gzip_accepted
from prometheus_client.registry import Collector

from monitor.rows.records import SOURCE_FAULTS
from monitor.serve.finding_metrics import feature_label
from monitor.serve.http_server import Response
from monitor.serve.label_metrics import label_counters, label_gauges
from monitor.serve.page_cache import PageCache
from monitor.serve.statistics import StatisticsPage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from monitor.serve.liveness import Liveness
    from monitor.serve.snapshot import ModelStatus, Snapshot

_OPEN_METRICS = "application/openmetrics-text"


class OwnProcessCollector(ProcessCollector):
    """The library's collector, which also works where /proc holds processes only (ProcSubset=pid of systemd).

    The library reads the boot time from /proc/stat and shows no process metrics without it.
    """

    def _boot_time(self) -> float:
        return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


class Telemetry(Collector):
    """Collects the metrics of the current snapshot.

    Args:
        version: of leewayd.
        snapshot: returns the current snapshot.
        max_series: greatest number of series of model statistics on the page; further series are counted, not shown.
        monotonic: seconds.
        liveness: whether the loop makes progress.
        log_lines_dropped: returns the number of log lines that could not be written.
    """

    def __init__(
        self,
        version: str,
        snapshot: Callable[[], Snapshot],
        max_series: int,
        *,
        monotonic: Callable[[], float],
        liveness: Liveness,
        log_lines_dropped: Callable[[], int],
    ) -> None:
        self._version, self._snapshot, self._statistics = version, snapshot, StatisticsPage(max_series)
        self._liveness, self._log_lines_dropped = liveness, log_lines_dropped
        self.registry = CollectorRegistry()
        self.registry.register(self)
        OwnProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        # Only two formats: each further format would be another page to render.
        rendering = threading.Lock()
        self._pages = {
            accept: (PageCache(partial(encode, self.registry), snapshot, monotonic, rendering), content_type)
            for accept in (_OPEN_METRICS, "")
            for encode, content_type in [choose_encoder(accept)]
        }

    def page(self, headers: Mapping[str, str]) -> Response:
        """The /metrics page in the format that the scraper accepts."""
        pages, content_type = self._pages[_OPEN_METRICS if _OPEN_METRICS in headers.get("accept", "") else ""]
        page = pages.get()
        if gzip_accepted(headers.get("accept-encoding", "")):
            return Response(200, page.packed, content_type, encoding="gzip")
        return Response(200, page.body, content_type)

    def healthy(self, headers: Mapping[str, str]) -> Response:
        """200 while the loop makes progress; else 503 and for how long it has made none."""
        fault = self._liveness.fault()
        return Response(503, f"{fault}\n".encode()) if fault else Response(200, b"ok\n")

    def ready(self, headers: Mapping[str, str]) -> Response:
        """200 while the daemon does its work; else 503 and the reason."""
        reason = self._liveness.fault() or self._snapshot().not_ready
        return Response(503, f"{reason}\n".encode()) if reason else Response(200, b"ready\n")

    def collect(self) -> Iterator[Metric]:
        """Every family, from one snapshot."""
        snapshot = self._snapshot()
        yield _gauge("leeway_build_info", "The version of leewayd.", ("version",), [((self._version,), 1)])
        yield from self._process(snapshot)
        yield from _progress(snapshot)
        yield from _daemon(snapshot)
        yield from _models(snapshot)
        yield from (_gauge(*family) for family in label_gauges(snapshot.models))
        yield from (_counter(*family) for family in label_counters(snapshot.models))
        yield from _source(snapshot)
        statistics = self._statistics.collect(snapshot.evaluations, snapshot.realised)
        yield from (_gauge(*family) for family in statistics.families)
        yield _gauge(
            "leeway_metric_series", "Series of model statistics on this page.", ("model",), _by_model(statistics.shown)
        )
        yield _gauge(
            "leeway_metric_series_dropped",
            "Series of model statistics left out because of http.max_metric_series.",
            ("model",),
            _by_model(statistics.dropped),
        )

    def describe(self) -> list[Metric]:
        """Empty, so that registration does not collect."""
        return []

    def _process(self, snapshot: Snapshot) -> Iterator[Metric]:
        ready = not snapshot.not_ready and not self._liveness.fault()
        yield _gauge("leeway_ready", "1 if the daemon is ready (/readyz).", (), [((), float(ready))])
        if (progress := self._liveness.progress_timestamp) is not None:
            yield _gauge(
                "leeway_progress_timestamp_seconds",
                "Wall clock at the end of the loop's last turn.",
                (),
                [((), progress)],
            )
        yield _counter(
            "leeway_log_lines_dropped", "Log lines that could not be written.", (),
            [((), self._log_lines_dropped())],
        )  # fmt: skip


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


def _progress(snapshot: Snapshot) -> Iterator[Metric]:
    """How far judging is behind reading; failed turns; reloads of the configuration."""
    progress, process = snapshot.progress, snapshot.process
    yield _gauge(
        "leeway_judging_behind_seconds", "Event time that all partitions have reached and that is not judged yet.", (),
        [((), progress.behind_ms / 1000)],
    )  # fmt: skip
    yield _gauge(
        "leeway_waiting_messages",
        "Messages that are not counted in windows yet.",
        (),
        [((), progress.waiting)],
    )
    if progress.seconds is not None:
        yield _gauge(
            "leeway_catch_up_seconds", "Time until no message waits, at the rate of the last minute.", (),
            [((), progress.seconds)],
        )  # fmt: skip
    yield _counter(
        "leeway_turn_failures", "Failed turns; after each, the daemon restarts from its last checkpoint.", (),
        [((), process.failures)],
    )  # fmt: skip
    yield _gauge(
        "leeway_reload_successful", "1 if the configuration was usable when it was last loaded.", (),
        [((), float(not process.reload_failed))],
    )  # fmt: skip
    yield _gauge(
        "leeway_configuration_timestamp_seconds", "Wall clock when the configuration in use was loaded.", (),
        [((), process.reloaded_at)],
    )  # fmt: skip


def _daemon(snapshot: Snapshot) -> Iterator[Metric]:
    if snapshot.checkpoint_at is not None:
        yield _gauge(
            "leeway_checkpoint_timestamp_seconds",
            "Wall clock of the last checkpoint.",
            (),
            [((), snapshot.checkpoint_at)],
        )
        yield _gauge(
            "leeway_checkpoint_duration_seconds",
            "Duration of the last checkpoint.",
            (),
            [((), snapshot.checkpoint_seconds)],
        )
    yield _counter(
        "leeway_state_damaged", "Corrupt parts of the state directory that were found.", ("kind",),
        [((kind,), count) for kind, count in snapshot.state_damaged.items()],
    )  # fmt: skip
    yield _counter(
        "leeway_checkpoint_failures", "Checkpoints that could not be saved.", (), [((), snapshot.checkpoint_failures)]
    )
    memory = sum(model.nbytes for model in snapshot.models)
    yield _gauge(
        "leeway_state_bytes", "Size of windows in memory and of state on disk.", ("kind",),
        [(("memory",), memory), (("disk",), snapshot.disk_bytes)],
    )  # fmt: skip
    yield _gauge(
        "leeway_alerts", "Alerts by state.", ("model", "version", "rule", "severity", "state"), snapshot.alerts.items()
    )
    yield _gauge(
        "leeway_outbox_notifications", "Notifications that wait for delivery.", ("receiver",),
        [((receiver,), count) for receiver, (count, _) in snapshot.outbox.items()],
    )  # fmt: skip
    yield _gauge(
        "leeway_outbox_oldest_timestamp_seconds", "Wall clock when the oldest waiting notification was created.",
        ("receiver",),
        [((receiver,), oldest / 1000) for receiver, (_, oldest) in snapshot.outbox.items() if oldest is not None],
    )  # fmt: skip
    yield _counter(
        "leeway_notifications", "Notifications by result of delivery.", ("receiver", "result"),
        snapshot.notifications.items(),
    )  # fmt: skip
    yield _gauge(
        "leeway_receiver_up", "1 if the receiver accepts notifications, 0 while it fails.", ("receiver",),
        [((receiver,), float(status.works)) for receiver, status in snapshot.receivers.items()],
    )  # fmt: skip
    yield _gauge(
        "leeway_outbox_parked_notifications",
        "Notifications that wait until the receiver's fault is repaired.", ("receiver",),
        [((receiver,), status.parked) for receiver, status in snapshot.receivers.items()],
    )  # fmt: skip


def _known_repeats(model: ModelStatus) -> int:
    """Repeated predictions, known one by one where labels are read; else 0."""
    return 0 if model.labels is None else model.labels.outcomes.get("duplicate_prediction", 0)


def _models(snapshot: Snapshot) -> Iterator[Metric]:
    models = snapshot.models
    yield _counter(
        "leeway_rows", "Rows counted in windows.", ("model", "version"),
        [((model.name, version), count) for model in models for version, count in model.rows.items()],
    )  # fmt: skip
    for name, text, values in (
        ("leeway_rows_late", "Rows that arrived after their pane had closed.", [model.late for model in models]),
        (
            "leeway_rows_repeated",
            "Rows that repeat the id of an earlier row, among the ids still remembered.",
            [model.repeated or _known_repeats(model) for model in models],
        ),
        (
            "leeway_series_overflow_rows",
            "Rows of versions and segments left out by the cap max_series.",
            [model.overflow for model in models],
        ),
        ("leeway_evaluations", "Windows judged.", [model.evaluations for model in models]),
        ("leeway_evaluation_seconds", "Time spent judging windows.", [model.evaluation_seconds for model in models]),
    ):
        yield _counter(name, text, ("model",), [((m.name,), v) for m, v in zip(models, values, strict=True)])
    yield _gauge(
        "leeway_evaluation_duration_seconds", "Duration of the last judgement of all series.", ("model",),
        [((model.name,), model.last_evaluation_seconds) for model in models],
    )  # fmt: skip
    yield _gauge(
        "leeway_series",
        "Series (versions and segments) with windows in memory.",
        ("model",),
        [((m.name,), m.series) for m in models],
    )
    yield _gauge(
        "leeway_watermark_timestamp_seconds",
        "Watermark: event time up to which all partitions have been counted, less the lateness.",
        ("model",),
        [((model.name,), model.watermark / 1000) for model in models if model.watermark is not None],
    )  # fmt: skip
    yield _counter(
        "leeway_unseen_values", "Categorical values that the reference does not hold.", ("model", "feature"),
        [((model.name, feature_label(name)), count) for model in models for name, count in model.unseen.items()],
    )  # fmt: skip
    yield _counter(
        "leeway_invalid_values", "Values of the wrong type: text or infinity for a number, a list for a category.",
        ("model", "feature"),
        [((model.name, feature_label(name)), count) for model in models for name, count in model.invalid.items()],
    )  # fmt: skip


def _source(snapshot: Snapshot) -> Iterator[Metric]:
    yield _gauge("leeway_source_up", "1 if the source can be read.", (), [((), float(snapshot.source_up))])
    yield _gauge(
        "leeway_source_fault", "1 for the reason why the source cannot be read, or only in part.", ("reason",),
        [((reason,), float(reason == snapshot.source_fault)) for reason in SOURCE_FAULTS],
    )  # fmt: skip
    yield _counter(
        "leeway_rows_rejected", "Records that could not be used.", ("topic", "reason"), snapshot.rejects.items()
    )
    where = ("topic", "partition")
    partitions = [((partition.topic, str(partition.partition)), partition) for partition in snapshot.partitions]
    yield _gauge(
        "leeway_source_lag_messages", "Messages behind the end of the partition.", where,
        [(labels, partition.lag) for labels, partition in partitions if partition.lag is not None],
    )  # fmt: skip
    yield _gauge(
        "leeway_source_position_offset", "Offset at which reading continues after a restart.", where,
        [(labels, partition.position) for labels, partition in partitions if partition.position is not None],
    )  # fmt: skip
    yield _counter(
        "leeway_source_messages",
        "Messages read.",
        where,
        [(labels, partition.messages) for labels, partition in partitions],
    )
    yield _counter(
        "leeway_source_lost_messages", "Messages that were no longer readable.", (*where, "reason"),
        [((*labels, reason), count) for labels, partition in partitions for reason, count in partition.lost.items()],
    )  # fmt: skip
