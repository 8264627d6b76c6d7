"""A log of plain rows replayed through the whole pipeline, for tests of what a window tells."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from monitor.backtest.replay import replayed, run_backtest
from monitor.checks.load import parse_config
from tests.monitor.daemon.test_restarts import SILENT, FakeTime

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Row = dict[str, Any]


def replay(folder: Path, rows: Sequence[Row], reference: Sequence[Row], **model: object) -> list[Row]:
    """All JSON lines of a backtest of one model ``m``; the timestamp is ``t``, the prediction ``p``."""
    for name, held in (("log", rows), ("reference", reference)):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, held)))
    section = {"name": "m", "task": "binary", "reference": "reference.jsonl", **model}
    raw = {"state": {"dir": str(folder / "state")}, "file": {"predictions": ["log.jsonl"]}, "models": [section]}
    lines: list[bytes] = []
    clock = FakeTime(now=2e9).clock()
    run_backtest(
        replayed(parse_config(raw, folder), [folder / "log.jsonl"], None),
        now=clock.wall(), monotonic=clock.monotonic, log=SILENT, write=lines.append, progress=lambda *_: None,
    )  # fmt: skip
    return [json.loads(line) for line in lines]


def evaluations(lines: list[Row]) -> dict[str, Row]:
    """End of each window → its evaluation."""
    return {line["end"]: line for line in lines if line["type"] == "evaluation"}


def finding(evaluation: Row, subject: str, statistic: str) -> Row:
    """The one finding of a subject and statistic."""
    (found,) = [
        part for part in evaluation["findings"] if part["subject"] == subject and part["statistic"] == statistic
    ]
    return dict(found)


def alerts(lines: list[Row], rule: str) -> list[Row]:
    """What a rule told of alerts."""
    return [line for line in lines if line["type"] == "alert" and line["rule"] == rule]
