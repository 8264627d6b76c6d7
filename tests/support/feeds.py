"""Records whose features lie in an object of their own, two features a record, thirty records a minute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.replays import Row

START, MINUTE = 1_767_484_800_000, 60_000
A_MINUTE = 30
COLUMNS = {"timestamp": "t", "prediction": "p", "features_at": "in", "features": ["x", "y"]}
SHAPE: dict[str, Any] = {"pane": "1m", "windows": ["10m"], "lateness": "1m", "columns": COLUMNS}
LABELLED_CONFIG = """
[kafka]
bootstrap_servers = ["never:9092"]
predictions = ["predictions"]
labels = ["labels"]
[[models]]
name = "m"
task = "binary"
reference = "reference.jsonl"
pane = "1m"
windows = ["10m"]
lateness = "1m"
[models.columns]
timestamp = "t"
prediction = "p"
id = "id"
label = "truth"
features_at = "in"
features = ["x", "y"]
[models.labels]
max_delay = "5m"
"""


def reference() -> list[Row]:
    dice = np.random.default_rng(1)
    values = dice.normal(size=(3_000, 2)).round(3).tolist()
    return [{"t": START - row * 1000, "p": row % 2, "x": x, "y": y} for row, (x, y) in enumerate(values)]


def records(minutes: int, first: int = 0, seed: int = 2) -> list[Row]:
    dice = np.random.default_rng(seed)
    values = dice.normal(size=(minutes * A_MINUTE, 2)).round(3).tolist()
    step = MINUTE // A_MINUTE
    return [
        {"t": START + first * MINUTE + row * step, "p": row % 2, "in": {"x": x, "y": y}}
        for row, (x, y) in enumerate(values)
    ]


def without(rows: list[Row], inner: object = None) -> list[Row]:
    """The same records without features, or with something else in their place."""
    return [{name: value for name, value in row.items() if name != "in"} | ({} if inner is None else {"in": inner})
            for row in rows]  # fmt: skip


def log_and_labels(spelling: Callable[[int], object]) -> tuple[list[Row], list[Row]]:
    rows = [row | {"id": f"r{place}"} for place, row in enumerate(records(40))]
    return rows, [{"t": row["t"] + 2 * MINUTE, "id": row["id"], "truth": spelling(row["p"])} for row in rows]
