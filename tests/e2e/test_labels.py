"""Labels that come thirty days late, through Apache Kafka: every month's performance is the one that pandas finds."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score, log_loss, roc_auc_score

from monitor.backtest.lines import evaluation_line
from monitor.backtest.replay import replayed, run_backtest
from monitor.checks.load import read_config
from monitor.common.clock import system_clock
from monitor.daemon.service import set_up
from tests.support.census import DAY, REFERENCE, census, census_labels, keyless, label_messages, messages
from tests.support.logs import SILENT

if TYPE_CHECKING:
    from collections.abc import Callable

    from alerts.evaluation import Evaluation
    from monitor.alerting.alerting import Outcome
    from tests.servers.kafka import KafkaBroker

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


def config(folder: Path, kafka: KafkaBroker, predictions: str, labels: str) -> Path:
    path = folder / "config.toml"
    path.write_text(f"""
[state]
dir = "{folder}/state"
checkpoint = "1s"
[http]
listen = "127.0.0.1:0"
[ingest]
idle_partition_timeout = "5s"
[kafka]
bootstrap_servers = ["{kafka.bootstrap}"]
predictions = ["{predictions}"]
labels = ["{labels}"]
group_id = "{predictions}"
[[models]]
name = "income"
task = "binary"
reference = "{REFERENCE}"
pane = "1d"
windows = ["28d"]
lateness = "1d"
[models.columns]
timestamp = "timestamp"
id = "id"
prediction = "prediction"
score = "predicted_probability"
label = "employed"
[models.labels]
max_delay = "31d"
maturity = 1.0
[models.performance]
windows = ["28d", "29d", "30d", "31d"]  # so that every month of the calendar is a window
""")
    return path


def test_each_month_is_as_right_as_pandas_finds_it_and_as_a_backtest_does(
    kafka: KafkaBroker, topic: Callable[..., str], tmp_path: Path
) -> None:
    rows, labels = topic(), topic()
    settings = read_config(config(tmp_path, kafka, rows, labels))
    log = SILENT
    kafka.produce(rows, keyless(messages(census())))
    kafka.produce(labels, keyless(label_messages(census_labels())))

    live: list[bytes] = []

    def observe(evaluation: Evaluation | None, outcome: Outcome) -> None:
        if evaluation is not None:
            live.append(evaluation_line(evaluation))

    running = set_up(settings, clock=system_clock(), environment={}, log=log, observer=observe)
    give_up, joined = time.monotonic() + 300, 0
    # The labels of the last day wait for the watermark to pass them.
    while joined < len(census()) * 0.995:
        assert time.monotonic() < give_up, f"{joined} labels joined"
        running.turn()
        status = running.daemon.snapshot.models[0]
        joined = status.labels.outcomes["joined"] if status.labels else 0
    running.close()

    found = {}
    for line in live:
        evaluation = json.loads(line)
        values = {part["statistic"]: part for part in evaluation["findings"] if part["subject"] == "performance"}
        if values:
            found[evaluation["start"], evaluation["end"]] = (evaluation, values)
    frame = census().assign(truth=census_labels()["employed"])
    months = pd.date_range("2016-01-01", "2018-11-01", freq="MS", tz="UTC")
    assert len(months) == 35
    for month in months:
        end = month + pd.offsets.MonthBegin(1)
        told, values = found[f"{month:%Y-%m-%dT%H:%M:%SZ}", f"{end:%Y-%m-%dT%H:%M:%SZ}"]
        part = frame[(frame["timestamp"] >= month) & (frame["timestamp"] < end)]
        assert told["rows"] == told["labelled_rows"] == len(part)
        # Labels come after thirty days; the last of the month's prediction is known thirty days after its end.
        assert pd.Timestamp(told["at"]) - end <= pd.Timedelta(days=32)
        score = part["predicted_probability"].astype(np.float64)
        assert values["accuracy"]["value"] == pytest.approx((part["prediction"] == part["truth"]).mean(), abs=1e-12)
        assert values["f1"]["value"] == pytest.approx(f1_score(part["truth"], part["prediction"]), abs=1e-9)
        assert values["log_loss"]["value"] == pytest.approx(log_loss(part["truth"], score), abs=1e-9)
        assert values["roc_auc"]["value"] == pytest.approx(roc_auc_score(part["truth"], score), abs=5e-4)
        assert values["accuracy"]["lower"] < values["accuracy"]["value"] < values["accuracy"]["upper"]

    files = tmp_path / "predictions.jsonl", tmp_path / "labels.jsonl"
    for file, lines in zip(files, (messages(census()), label_messages(census_labels())), strict=True):
        file.write_bytes(b"\n".join(lines))
    replay: list[bytes] = []
    clock = system_clock()
    run_backtest(
        replayed(settings, [files[0]], None, [files[1]]),
        now=clock.wall(),
        monotonic=clock.monotonic,
        log=log,
        write=lambda line: replay.append(line) if line.startswith(b'{"type":"evaluation"') else None,
        progress=lambda *_: None,
    )
    # Byte for byte, as long as predictions came: at the end of the log, the daemon goes on waiting for more.
    until = str(pd.Timestamp(int(census()["time"].max()) - 31 * DAY, unit="ms"))[:10].encode()
    same = [[line for line in lines if json.loads(line)["at"].encode() < until] for lines in (live, replay)]
    assert len(same[0]) > 3_000
    assert same[0] == same[1]
