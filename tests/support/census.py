"""The census log as messages, and what pandas counts in it."""

from __future__ import annotations

import functools
from pathlib import Path

import msgspec
import pandas as pd

from tests.support.paths import DATA

REFERENCE = DATA / "census_reference.parquet"
PREDICTIONS = DATA / "census_predictions.parquet"
LABELS = DATA / "census_labels.parquet"
SHIFT_FROM = pd.Timestamp("2018-01-01", tz="UTC")
DAY = 86_400_000


@functools.cache
def census(shifted: bool = False) -> pd.DataFrame:
    """The log; shifted: everybody is 15 years older from 2018 on."""
    frame = pd.read_parquet(PREDICTIONS)
    if shifted:
        frame.loc[frame["timestamp"] >= SHIFT_FROM, "AGEP"] += 15.0
    frame["time"] = frame["timestamp"].dt.tz_localize(None).to_numpy(dtype="datetime64[ms]").astype("int64")
    return frame


def messages(frame: pd.DataFrame) -> list[bytes]:
    columns = {name: frame[name].astype(object).tolist() for name in frame.columns if name not in ("timestamp", "time")}
    columns["timestamp"] = frame["time"].tolist()
    encode, names = msgspec.json.encode, list(columns)
    return [encode(dict(zip(names, row, strict=True))) for row in zip(*columns.values(), strict=True)]


@functools.cache
def census_labels() -> pd.DataFrame:
    """The true outcome of every prediction, known thirty days later."""
    frame = pd.read_parquet(LABELS)
    frame["id"], frame["time"] = census()["id"], census()["time"] + 30 * DAY
    return frame


def label_messages(frame: pd.DataFrame) -> list[bytes]:
    columns = zip(frame["id"].tolist(), frame["employed"].tolist(), frame["time"].tolist(), strict=True)
    return [msgspec.json.encode({"id": i, "employed": truth, "timestamp": known}) for i, truth, known in columns]


def config_text(
    topic: str, bootstrap: str, state: Path, port: int, more: str = "", windows: str = '["7d", "28d"]'
) -> str:
    return f"""
[state]
dir = "{state}"
checkpoint = "1s"
[http]
listen = "127.0.0.1:{port}"
[ingest]
idle_partition_timeout = "5s"
[kafka]
bootstrap_servers = ["{bootstrap}"]
predictions = ["{topic}"]
group_id = "{topic}"
refresh = "1s"
[[models]]
name = "income"
task = "binary"
reference = "{REFERENCE}"
pane = "1d"
windows = {windows}
lateness = "1d"
segments = ["SEX"]
[models.columns]
timestamp = "timestamp"
id = "id"
prediction = "prediction"
score = "predicted_probability"
label = "employed"
{more}
"""


def keyless(values: list[bytes], partition: int = 0) -> list[tuple[None, bytes, int, None]]:
    """Messages for `KafkaBroker.produce`."""
    return [(None, value, partition, None) for value in values]
