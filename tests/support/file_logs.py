"""A log file of plain rows, and the configuration that reads it to its end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tests.support.config import make_config

if TYPE_CHECKING:
    from pathlib import Path

    from monitor.config.schema import Config

BEGIN = 1_704_067_200_000


def file_config(folder: Path, records: list[Any]) -> Config:
    """Writes records and a reference; windows of half an hour, a checkpoint at every turn."""
    dice = np.random.default_rng(1)
    pd.DataFrame({"x": dice.normal(0, 1, 500), "p": dice.integers(0, 2, 500)}).to_parquet(folder / "reference.parquet")
    (folder / "log.jsonl").write_text("\n".join(json.dumps(record) for record in records))
    return make_config(
        folder,
        {"windows": ["30m"], "pane": "10m"},
        state={"dir": str(folder / "state"), "checkpoint": "1ms"},
        http={"listen": "127.0.0.1:0"},
        file={"predictions": [str(folder / "log.jsonl")]},
    )


def plain_rows(count: int) -> list[Any]:
    """A row every ten seconds."""
    return [{"t": BEGIN + index * 10_000, "x": index % 7 - 3.0, "p": index % 2} for index in range(count)]
