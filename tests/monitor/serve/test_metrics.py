"""The metrics page: what stands on it, how it is capped, and that the documentation tells the same."""

from __future__ import annotations

import gzip
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from monitor.common.clock import Clock
from monitor.serve.finding_metrics import feature_label
from monitor.serve.liveness import Liveness
from monitor.serve.metrics import OwnProcessCollector, Telemetry
from monitor.serve.snapshot import ProcessStatus, Progress, Snapshot
from tests.support.paths import ROOT
from tests.support.snapshots import evaluation, snapshot

METRICS_MD = ROOT / "docs" / "metrics.md"


@dataclass
class Hands:
    """A clock that the test moves."""

    seconds: float = 1000.0

    def clock(self) -> Clock:
        return Clock(lambda: 1.8e9 + self.seconds, lambda: self.seconds, lambda _: None)


def telemetry(
    current: Callable[[], Snapshot], max_series: int = 10_000, hands: Hands | None = None, turned: bool = True
) -> Telemetry:
    clock = (hands or Hands()).clock()
    liveness = Liveness(clock, 60.0, {}, 7)
    if turned:
        liveness.progress()
    return Telemetry(
        "1.2.3", current, max_series, monotonic=clock.monotonic, liveness=liveness, log_lines_dropped=lambda: 3
    )


def page(current: Snapshot, max_series: int = 10_000) -> dict[str, Metric]:
    response = telemetry(lambda: current, max_series).page({})
    assert response.status == 200
    return {family.name: family for family in text_string_to_metric_families(response.body.decode())}


def value(families: dict[str, Metric], name: str, **labels: str) -> float | None:
    for family in families.values():
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return sample.value
    return None


def table(families: dict[str, Metric]) -> list[str]:
    """The lines of docs/metrics.md for these families."""
    lines = []
    for family in families.values():
        if not family.name.startswith("leeway_"):
            continue
        name = family.name + ("_total" if family.type == "counter" else "")
        labels = ", ".join(f"`{label}`" for label in family.samples[0].labels)
        lines.append(f"| `{name}` | {family.type} | {labels} | {family.documentation} |")
    return sorted(lines)


def test_the_documentation_lists_exactly_the_metrics_of_the_page() -> None:
    told = [line for line in METRICS_MD.read_text().splitlines() if line.startswith("| `leeway_")]
    assert sorted(told) == table(page(snapshot()))


def test_names_and_labels_keep_to_the_conventions() -> None:
    for family in page(snapshot()).values():
        if family.name.startswith("leeway_"):
            for sample in family.samples:
                assert set(sample.labels) <= {
                    "model", "version", "segment", "window", "feature", "statistic", "topic", "partition", "reason",
                    "receiver", "result", "rule", "severity", "state", "kind",
                    "metric", "outcome", "quantile", "column",
                }  # fmt: skip
            assert not re.search(r"_(age|ms|millis|percent)(_|$)", family.name)
            assert family.documentation.endswith(".")


def test_a_finding_is_shown_with_its_bounds_and_threshold_and_what_is_unknown_is_left_out() -> None:
    families = page(snapshot())
    labels = {"model": "income", "version": "3", "segment": "all", "window": "1h", "feature": "age"}
    assert value(families, "leeway_drift_statistic", statistic="psi", **labels) == 0.4
    assert value(families, "leeway_drift_lower_bound", statistic="psi", **labels) == 0.3
    assert value(families, "leeway_drift_upper_bound", statistic="psi", **labels) == 0.5
    assert value(families, "leeway_drift_threshold", statistic="psi", model="income") == 0.02
    assert value(families, "leeway_drift_threshold", statistic="ks") is None
    assert value(families, "leeway_drift_statistic", statistic="missing", **labels) is None
    assert value(families, "leeway_drifted", **labels) == 1
    assert value(families, "leeway_window_end_timestamp_seconds", segment="all") == 3600


def test_performance_is_shown_apart_from_drift() -> None:
    families = page(snapshot())
    series = {"model": "income", "version": "3", "segment": "all", "window": "1h"}
    labels = {**series, "metric": "accuracy"}
    assert value(families, "leeway_performance", **labels) == 0.7
    assert value(families, "leeway_performance_lower_bound", **labels) == 0.65
    assert value(families, "leeway_performance_reference", **labels) == 0.85
    assert value(families, "leeway_performance_threshold", **labels) == 0.8
    assert value(families, "leeway_performance_breached", **labels) == 1
    assert value(families, "leeway_estimated_performance", **labels) == 0.8
    assert value(families, "leeway_estimated_performance_breached", **labels) == 0
    assert value(families, "leeway_version_difference", **labels) == -0.1
    assert value(families, "leeway_worse_segments", **labels) == 2
    assert value(families, "leeway_fairness", column="SEX", metric="disparate_impact_ratio", **series) == 0.9
    assert value(families, "leeway_data_quality_breached", feature="age", **series) == 1
    assert value(families, "leeway_traffic", statistic="traffic_ratio", **series) == 0.5
    assert value(families, "leeway_reference_fallback", **series) == 1
    assert value(families, "leeway_performance_labelled_rows", **series) == 80
    assert value(families, "leeway_window_rows", **series) == 100
    drift = {sample.labels["feature"] for sample in families["leeway_drift_statistic"].samples}
    assert drift == {"age"}
    assert value(families, "leeway_drifted_features", **series) == 1


def test_the_delay_of_labels_is_told_by_quantiles() -> None:
    families = page(snapshot())
    # Half of the labels came within 2**20.5 ms, the others within 2**25.5.
    assert value(families, "leeway_label_delay_seconds", quantile="0.5") == pytest.approx(2**20.5 / 1000)
    assert value(families, "leeway_label_delay_seconds", quantile="0.99") == pytest.approx(2**25.5 / 1000)
    assert value(families, "leeway_labels_total", outcome="joined") == 20
    assert value(families, "leeway_label_store_bytes") == 4096
    unlabelled = Snapshot(models=(replace(snapshot().models[0], labels=None),))
    assert value(page(unlabelled), "leeway_labels_total") is None


def test_the_cap_leaves_out_segments_before_the_whole_and_counts_what_it_leaves_out() -> None:
    many = [evaluation(), *(evaluation(segment=f"SEX={number}") for number in range(50))]
    families = page(snapshot(*many), max_series=100)
    shown = {sample.labels["segment"] for sample in families["leeway_window_rows"].samples}
    assert "all" in shown
    assert 1 < len(shown) < 30
    kept, dropped = value(families, "leeway_metric_series"), value(families, "leeway_metric_series_dropped")
    assert kept is not None
    assert kept <= 100
    assert dropped
    assert dropped > 100


def test_a_series_that_ended_is_gone_from_the_page() -> None:
    current = snapshot(evaluation(), evaluation(segment="SEX=1"))
    assert value(page(current), "leeway_window_rows", segment="SEX=1") == 100
    assert value(page(snapshot(evaluation())), "leeway_window_rows", segment="SEX=1") is None


def test_features_named_like_outputs_keep_apart_from_them() -> None:
    assert feature_label("feature:age") == "age"
    assert feature_label("score") == "score"
    assert feature_label("feature:score") == "feature:score"
    assert feature_label("feature:score:cat") == "feature:score:cat"


def test_readiness_tells_why_not() -> None:
    away = telemetry(lambda: replace(snapshot(), not_ready="the source cannot be reached"))
    assert (away.ready({}).status, away.ready({}).body) == (503, b"the source cannot be reached\n")
    assert away.healthy({}).status == 200
    assert telemetry(snapshot).ready({}).body == b"ready\n"


def test_a_loop_that_hangs_is_neither_healthy_nor_ready_and_the_page_says_so() -> None:
    hands = Hands()
    hanging, current = telemetry(lambda: current, hands=hands), snapshot()
    assert hanging.healthy({}).body == b"ok\n"
    assert b"\nleeway_ready 1.0\n" in hanging.page({}).body
    hands.seconds += 75
    fault = (503, b"the loop has made no progress for 75 s\n")
    assert (hanging.healthy({}).status, hanging.healthy({}).body) == fault
    assert (hanging.ready({}).status, hanging.ready({}).body) == fault
    assert b"\nleeway_ready 0.0\n" in hanging.page({}).body
    assert b"\nleeway_progress_timestamp_seconds 1.800001e+09\n" in hanging.page({}).body


def test_failed_turns_reloads_and_the_backlog_are_on_the_page() -> None:
    process = ProcessStatus(failures=3, reload_failed=True, reloaded_at=1.7e9)
    families = page(replace(snapshot(), process=process, progress=Progress(behind_ms=90_500, waiting=12, seconds=4.0)))
    assert value(families, "leeway_turn_failures_total") == 3
    assert value(families, "leeway_reload_successful") == 0
    assert value(families, "leeway_configuration_timestamp_seconds") == 1.7e9
    assert value(families, "leeway_judging_behind_seconds") == 90.5
    assert value(families, "leeway_waiting_messages") == 12
    assert value(families, "leeway_catch_up_seconds") == 4
    assert value(page(snapshot()), "leeway_reload_successful") == 1


def test_a_page_before_the_first_turn_is_a_page() -> None:
    families = page(Snapshot())
    assert value(families, "leeway_ready") == 0
    assert value(families, "leeway_build_info", version="1.2.3") == 1
    starting = telemetry(Snapshot, turned=False)
    assert b"leeway_progress_timestamp_seconds" not in starting.page({}).body
    assert starting.healthy({}).status == 200


def test_open_metrics_is_spoken_to_who_asks_for_it() -> None:
    response = telemetry(snapshot).page({"accept": "application/openmetrics-text; version=1.0.0"})
    assert response.content_type.startswith("application/openmetrics-text")
    assert response.body.endswith(b"# EOF\n")


def test_the_page_is_rendered_once_for_a_snapshot_and_compressed_for_who_takes_it() -> None:
    asked = [0]
    current = snapshot()

    def counted() -> Snapshot:
        asked[0] += 1
        return current

    found = telemetry(counted)
    first = found.page({})
    collected = asked[0]
    packed = found.page({"accept-encoding": "gzip, deflate"})
    assert (packed.encoding, first.encoding) == ("gzip", "")
    assert gzip.decompress(packed.body) == first.body
    for accept in ("*/*", "text/plain;version=1.0.0;escaping=allow-utf-8", "text/plain;version=0.0.4"):
        assert found.page({"accept": accept}).body is first.body
    assert asked[0] - collected <= 4  # it looks whether the snapshot is still the same, and renders nothing


def test_the_process_is_shown_also_where_proc_holds_processes_only(tmp_path: Path) -> None:
    (tmp_path / "self").symlink_to("/proc/self")
    registry = CollectorRegistry()
    OwnProcessCollector(registry=registry, proc=str(tmp_path))
    started = registry.get_sample_value("process_start_time_seconds")
    assert started is not None
    assert time.time() - 86_400 < started < time.time() + 1
    assert registry.get_sample_value("process_resident_memory_bytes")
    assert registry.get_sample_value("process_open_fds")
