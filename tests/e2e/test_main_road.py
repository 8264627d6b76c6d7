"""The whole road on real Kafka: counts equal pandas', alerts arrive, SIGKILL half-way changes nothing."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import structlog
from kafka import KafkaConsumer, TopicPartition

from detectors.layout import BINS, HIGH, LOW, MISSING
from monitor.checks.load import read_config
from monitor.reference.build import load_reference
from monitor.rows.records import Partition
from monitor.state.store import Store
from tests.servers.found import free_port
from tests.servers.receiver import ROUTING_KEY, SLACK_PATH, Receiver
from tests.support.census import DAY, census, config_text, keyless, messages
from tests.support.daemon_process import DaemonProcess, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from monitor.reference.profile import Profile
    from monitor.state.checkpoint import LoadedState
    from tests.servers.kafka import KafkaBroker

pytestmark = pytest.mark.kafka

RULES = """
[[rules]]
name = "feature drift"
when = "drifted"
subject = "feature:AGEP"
segment = "all"
for = "2d"
severity = "critical"
notify = ["team-slack", "on-call", "retrain"]
runbook = "https://runbooks.example.org/drift"
[[receivers]]
name = "team-slack"
type = "slack"
url_env = "SLACK_URL"
[[receivers]]
name = "on-call"
type = "pagerduty"
routing_key_env = "PAGERDUTY_KEY"
url = "{pagerduty}"
[[receivers]]
name = "retrain"
type = "webhook"
url = "{webhook}"
purpose = "retrain"
"""


def since_autumn() -> pd.DataFrame:
    """The census log of four months before the shift, and of the year after it."""
    frame = census(shifted=True)
    return frame[frame["timestamp"] >= pd.Timestamp("2017-09-01", tz="UTC")].reset_index(drop=True)


def saved_state(folder: Path) -> LoadedState:
    store = Store(folder, structlog.get_logger())
    try:
        return store.load("test")
    finally:
        store.close()


def assert_panes_equal_pandas(saved: LoadedState, profile: Profile, frame: pd.DataFrame) -> int:
    """Every kept pane against pandas: rows, each category of each feature, each bin of the numeric ones."""
    compared = 0
    for series in saved.models["income"].series:
        part = frame
        if series.segment != "all":
            column, value = series.segment.split("=")
            part = frame[frame[column].astype(str) == value]
        for step, panes in series.panes.items():
            for pane in panes:
                rows = part[(part["time"] >= pane.start) & (part["time"] < pane.start + step)]
                assert pane.rows == len(rows)
                for place, subject in enumerate(profile.layout.subjects):
                    assert_subject(pane.bins[place], rows[profile.columns[place]], profile, subject, place)
                    compared += 1
    return compared


def assert_subject(bins: np.ndarray, values: pd.Series, profile: Profile, subject: str, place: int) -> None:
    assert bins[MISSING] == values.isna().sum()
    if profile.layout.numeric[place]:
        edges = np.array(profile.edges[subject])
        assert bins[LOW] == (values < edges[0]).sum()
        assert bins[HIGH] == (values > edges[-1]).sum()
        inside = values[(values >= edges[0]) & (values <= edges[-1])].astype("float64")
        counted, _ = np.histogram(inside, np.append(edges[:-1], np.inf))
        width = int(profile.layout.width[place])
        assert bins[:width].tolist() == counted.tolist()
        return
    counts = values.dropna().astype(str).value_counts()
    for column, name in enumerate(profile.top[subject]):
        assert bins[column] == counts.get(name, 0)
    known = set(profile.top[subject]) | set(profile.others[subject])
    assert bins[HIGH] == counts[[name for name in counts.index if name not in known]].sum()
    assert bins[:BINS].sum() + bins[LOW] + bins[HIGH] == counts.sum()


def test_census_with_a_shift_is_counted_exactly_and_told_to_everybody_through_a_sigkill(
    kafka: KafkaBroker, topic: Callable[..., str], tmp_path: Path
) -> None:
    name = topic()
    frame = since_autumn()
    values = messages(frame)
    half = len(values) // 2
    port = free_port()
    with Receiver() as receiver:
        rules = RULES.format(pagerduty=receiver.pagerduty_url, webhook=receiver.webhook_url)
        environment = {"SLACK_URL": receiver.slack_url, "PAGERDUTY_KEY": ROUTING_KEY}
        state = tmp_path / "state"
        daemon = DaemonProcess(tmp_path, config_text(name, kafka.bootstrap, state, port, rules), port, environment)
        kafka.produce(name, keyless(values[:half]))
        daemon.start()
        daemon.wait_for("leeway_rows_total", 20_000)
        daemon.kill()
        daemon.start()
        kafka.produce(name, keyless(values[half:]))
        daemon.wait_for("leeway_rows_total", len(values), seconds=240)
        assert daemon.metric("leeway_rows_total") == len(values)
        assert daemon.metric("leeway_rows_late_total") == 0
        assert daemon.get("/readyz") == (200, "ready\n")

        # The drift can be read off /metrics; what stayed as it was is not called drifted. (RELP is, and rightly: in the
        # files of 2017 and 2018 the people in group quarters stand together at the end of the year.)
        daemon.wait_for("leeway_drifted", 1, feature="AGEP", segment="all", window="28d")
        bound = daemon.metric("leeway_drift_lower_bound", feature="AGEP", statistic="psi", segment="all", window="28d")
        assert bound >= 0.02
        for feature in ("SEX", "RAC1P", "NATIVITY", "CIT"):
            assert daemon.metric("leeway_drifted", feature=feature, segment="all", window="28d") == 0

        wait_until(lambda: receiver.accepted("/retrain"), 30, "the retraining call")
        wait_until(lambda: receiver.accepted(SLACK_PATH), 30, "the Slack message")
        wait_until(lambda: receiver.accepted("/v2/enqueue"), 30, "the PagerDuty event")
        assert [request.status for request in receiver.requests if request.status >= 300] == []
        check_notifications(receiver, frame)
        wait_until(lambda: committed(kafka, name) == len(values), 20, "offsets committed for lag tools")
        daemon.stop()

    saved = saved_state(state)
    assert saved.positions[Partition(name, 0)].offset == len(values)
    profile = load_reference(read_config(daemon.config).models[0])
    assert assert_panes_equal_pandas(saved, profile, frame) > 1_000


def committed(kafka: KafkaBroker, name: str) -> int | None:
    consumer = KafkaConsumer(bootstrap_servers=kafka.bootstrap, group_id=name, enable_auto_commit=False)
    with contextlib.closing(consumer):
        offset: int | None = consumer.committed(TopicPartition(name, 0))
        return offset


def check_notifications(receiver: Receiver, frame: pd.DataFrame) -> None:
    # A call that was made but not yet marked as made when the daemon was killed comes again, under the same key.
    calls = {call.headers["idempotency-key"]: call for call in receiver.accepted("/retrain")}
    (call,) = calls.values()
    body = call.body
    assert body["event"] == "retrain"
    assert (body["model"], body["rule"]) == ("income", "feature drift")
    assert "feature:AGEP" in {finding["subject"] for finding in body["findings"]}
    assert all(finding["lower"] >= finding["threshold"] for finding in body["findings"])
    window = body["window"]
    start, end = (pd.Timestamp(window[key]).value // 1_000_000 for key in ("start", "end"))
    rows = frame.query("@start <= time < @end")
    assert window["rows"] == len(rows)
    # One message a row, so the window's offsets are the places of its first and last row in the log.
    assert [(part["first"], part["last"]) for part in window["offsets"]] == [(rows.index[0], rows.index[-1])]
    assert (end - start) % DAY == 0
    triggers = [event.body for event in receiver.accepted("/v2/enqueue") if event.body["event_action"] == "trigger"]
    assert len({event["dedup_key"] for event in triggers}) == 1
    assert "AGEP" in triggers[0]["payload"]["summary"]
    message = receiver.accepted(SLACK_PATH)[0].body
    assert "income" in message["text"]
    assert "AGEP" in message["blocks"][2]["text"]["text"]
    assert "threshold 0.02" in message["blocks"][2]["text"]["text"]
