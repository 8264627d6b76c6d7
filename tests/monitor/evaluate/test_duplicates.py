"""Records that come twice are told, whether or not labels are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from monitor.common.durations import DAY
from tests.support.replays import replay

if TYPE_CHECKING:
    from pathlib import Path

BEGIN = 20_000 * DAY
ROWS = 2_000


def record(number: int, dice: np.random.Generator) -> dict[str, Any]:
    return {"id": f"a-{number}", "t": BEGIN + number * DAY // ROWS, "x": float(dice.normal()), "p": number % 2}


def findings(folder: Path, *, labelled: bool, again: float, columns: dict[str, Any]) -> list[dict[str, Any]]:
    """Of the share of repeated records, one a window; on the second of three days some records come again."""
    dice = np.random.default_rng(2)
    rows = [record(number, dice) for number in range(3 * ROWS)]
    told = [
        copy
        for row in rows
        for copy in ([row] * 2 if BEGIN + DAY <= row["t"] < BEGIN + 2 * DAY and dice.random() < again else [row])
    ]
    reference = [{**row, "y": row["p"]} for row in rows]
    truths = [{"id": row["id"], "t": row["t"], "y": 1} for row in rows] if labelled else None
    named = {"timestamp": "t", "prediction": "p", "label": "y", "features": ["x"]} | columns
    lines = replay(folder, told, reference, truths, windows=["1d"], pane="1h", columns=named)
    evaluations = [line for line in lines if line["type"] == "evaluation"]
    days = [evaluation for evaluation in evaluations if str(evaluation["end"]).endswith("T00:00:00Z")]
    found = [part for day in days for part in day["findings"] if part["statistic"] == "duplicate_rate"]
    assert all(part["subject"] == "quality" for part in found)
    return found


@pytest.mark.parametrize("labelled", [False, True])
def test_records_that_come_twice_are_told_in_their_window_and_no_other(tmp_path: Path, labelled: bool) -> None:
    found = findings(tmp_path, labelled=labelled, again=0.5, columns={"id": "id"})
    assert [part["status"] for part in found] == ["ok", "breached", "ok"]
    # Half of the rows come again: a third of all that came.
    assert found[1]["value"] == pytest.approx(1 / 3, abs=0.02 if labelled else 0.1)
    assert found[1]["lower"] <= found[1]["value"] <= found[1]["upper"]
    assert "repeat the id of another record" in found[1]["detail"]


def test_a_few_repeats_are_told_where_the_predictions_are_known_one_by_one(tmp_path: Path) -> None:
    found = findings(tmp_path, labelled=True, again=0.04, columns={"id": "id"})
    assert found[1]["status"] == "breached"
    assert found[1]["value"] == pytest.approx(0.04 / 1.04, abs=0.01)


@pytest.mark.parametrize("labelled", [False, True])
def test_without_repeats_nobody_is_told(tmp_path: Path, labelled: bool) -> None:
    found = findings(tmp_path, labelled=labelled, again=0.0, columns={"id": "id"})
    assert [part["status"] for part in found] == ["ok"] * 3
    if labelled:
        assert [part["value"] for part in found] == [0.0] * 3


def test_without_ids_nothing_is_said(tmp_path: Path) -> None:
    assert findings(tmp_path, labelled=False, again=0.5, columns={}) == []
