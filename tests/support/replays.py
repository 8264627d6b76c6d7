"""A log of plain rows replayed through the whole pipeline, for tests of what a window reports."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pandas as pd

from monitor.backtest.replay import replayed, run_backtest
from tests.support.clock import FakeTime
from tests.support.config import make_config
from tests.support.logs import SILENT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from monitor.backtest.history import History
    from monitor.config.schema import Config

Row = dict[str, Any]


def write_rows(path: Path, rows: Sequence[Row]) -> Path:
    """Rows as JSON lines, or as Parquet if the name ends so."""
    if path.suffix == ".parquet":
        pd.DataFrame(list(rows)).to_parquet(path)
    else:
        path.write_text("\n".join(map(json.dumps, rows)))
    return path


def run_files(config: Config, inputs: list[Path], labels: list[Path] | None = None) -> tuple[History, list[bytes]]:
    """A backtest of files, its clock in 2033: what the report is made of, and the JSON lines."""
    lines: list[bytes] = []
    clock = FakeTime(now=2e9).clock()
    history = run_backtest(
        replayed(config, inputs, None, labels),
        now=clock.wall(),
        monotonic=clock.monotonic,
        log=SILENT,
        write=lines.append,
        progress=lambda *_: None,
    )
    return history, lines


def replay_with_history(
    folder: Path,
    rows: Sequence[Row],
    reference: Sequence[Row],
    truths: Sequence[Row] | None = None,
    *,
    parquet: bool = False,
    rules: Sequence[Row] | None = None,
    receivers: Sequence[Row] | None = None,
    **model: object,
) -> tuple[History, list[Row]]:
    """A backtest of one model ``m``; the timestamp is ``t``, the prediction ``p``.

    Args:
        folder: takes the log, the labels and the reference.
        rows: the log.
        reference: its reference data.
        truths: labels; None for a model without labels.
        parquet: whether log, labels and reference are Parquet; else they are JSON lines.
        rules: sections of rules; None for the default rules.
        receivers: sections of receivers; None for the default receiver.
        model: further options of the model.
    """
    suffix = "parquet" if parquet else "jsonl"
    log = write_rows(folder / f"log.{suffix}", rows)
    write_rows(folder / f"reference.{suffix}", reference)
    labels = None if truths is None else [write_rows(folder / f"labels.{suffix}", truths)]
    sections = {"file": {"predictions": [log.name]}, "rules": rules, "receivers": receivers}
    given = {name: section for name, section in sections.items() if section is not None}
    config = make_config(folder, {"reference": f"reference.{suffix}", **model}, **given)
    history, lines = run_files(config, [log], labels)
    return history, [json.loads(line) for line in lines]


def replay(
    folder: Path, rows: Sequence[Row], reference: Sequence[Row], truths: Sequence[Row] | None = None, **options: Any
) -> list[Row]:
    """All JSON lines of the backtest that `replay_with_history` runs."""
    return replay_with_history(folder, rows, reference, truths, **options)[1]


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
    """The lines on alerts of a rule."""
    return [line for line in lines if line["type"] == "alert" and line["rule"] == rule]
