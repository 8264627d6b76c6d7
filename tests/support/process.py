"""`leewayd` as a process that ends: its exit code and what it printed."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.support.census import PREDICTIONS, REFERENCE
from tests.support.paths import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def leewayd(*arguments: object, folder: Path = ROOT, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Runs the checkout under test in a folder."""
    command = [sys.executable, "-m", "monitor", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, check=False, cwd=folder, env=environment
    )


def write_config(folder: Path, more: str = "", columns: str = "") -> Path:
    """A configuration that replays the census log, with more sections and more columns."""
    path = folder / "config.toml"
    path.write_text(
        f"""
[state]
dir = "{folder / "state"}"
[http]
listen = "127.0.0.1:0"
[file]
predictions = ["{PREDICTIONS}"]
[[models]]
name = "income"
task = "binary"
reference = "{REFERENCE}"
pane = "1d"
windows = ["28d"]
lateness = "1d"
segments = ["SEX"]
[models.columns]
timestamp = "timestamp"
prediction = "prediction"
score = "predicted_probability"
label = "employed"
id = "id"
{columns}
{more}
"""
    )
    return path
