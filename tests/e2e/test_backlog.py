"""A backlog that takes long to judge: the daemon says so, saves on the way, and stops at once when it is asked to."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tests.servers.found import free_port
from tests.support.daemon_process import DaemonProcess, wait_until

if TYPE_CHECKING:
    from pathlib import Path

BEGIN = 1_704_067_200_000
CONFIG = """
[state]
dir = "{folder}/state"
checkpoint = "1s"
[http]
listen = "127.0.0.1:{port}"
[file]
predictions = ["{folder}/log.jsonl"]
[[models]]
name = "m"
task = "binary"
reference = "{folder}/reference.parquet"
windows = ["15m", "1h", "24h"]
segments = ["s"]
[models.columns]
timestamp = "t"
prediction = "p"
version = "v"
"""


def test_a_backlog_is_reported_and_saved_on_the_way_and_a_stop_takes_no_more_than_five_seconds(tmp_path: Path) -> None:
    dice = np.random.default_rng(1)
    size = 20_000
    frame = pd.DataFrame({f"x{place}": dice.normal(0, 1, size).round(3) for place in range(5)})
    frame["p"], frame["s"] = dice.integers(0, 2, size), dice.choice(["a", "b", "c"], size)
    frame.head(2_000).to_parquet(tmp_path / "reference.parquet")
    frame["t"], frame["v"] = BEGIN + np.arange(size) * 6_000, np.arange(size) % 10
    (tmp_path / "log.jsonl").write_text("\n".join(json.dumps(row) for row in frame.to_dict("records")))
    port = free_port()
    daemon = DaemonProcess(tmp_path, CONFIG.format(folder=tmp_path, port=port), port)
    daemon.start()
    # Judging all of it takes minutes; meanwhile checkpoints are made, waiting rows count, and the log says how it goes.
    daemon.wait_for("leeway_checkpoint_timestamp_seconds", 1.0, 30)
    first = daemon.metric("leeway_checkpoint_timestamp_seconds")
    wait_until(lambda: daemon.metric("leeway_checkpoint_timestamp_seconds") > first, 30, "another checkpoint")
    wait_until(lambda: daemon.metric("leeway_waiting_messages") > 1_000, 30, "waiting messages are shown")
    wait_until(lambda: "judging is behind" in daemon.log, 60, "the log says that judging is behind")
    began = time.monotonic()
    daemon.stop()
    assert time.monotonic() - began < 5.0
    # What was judged stays judged.
    daemon.start()
    daemon.wait_for("leeway_rows_total", 200.0, 30)
    daemon.stop()
