"""A first configuration from a sample: it works, and its guesses are the ones a person would make."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from monitor.checks.load import parse_config
from monitor.cli.guess import Guess, guess
from monitor.cli.init import starting_config
from monitor.reference.build import load_reference
from monitor.reference.tables import DataTable, read_table
from tests.support.census import REFERENCE
from tests.support.paths import ROOT
from tests.support.process import leewayd


def frame(rows: int = 2_000, minutes: float = 1.0) -> pd.DataFrame:
    dice = np.random.default_rng(3)
    truth = dice.integers(0, 2, rows)
    return pd.DataFrame(
        {
            "requestId": [f"r{row}" for row in range(rows)],
            "loggedAt": pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(np.arange(rows) * minutes, unit="min"),
            "modelVersion": "7",
            "age": dice.integers(18, 90, rows),
            "country": dice.choice(["FR", "DE", "IT"], rows),
            "rare": dice.choice(["a", "b"], rows, p=[0.99, 0.01]),
            "note": [f"text {row}" for row in range(rows)],
            "prediction": np.where(dice.random(rows) < 0.85, truth, 1 - truth),
            "score": dice.random(rows),
            "churned": truth,
        }
    )


def found(table: pd.DataFrame) -> Guess:
    return guess(DataTable(table))


def test_columns_are_told_by_name_and_value() -> None:
    seen = found(frame())
    assert (seen.timestamp, seen.prediction, seen.score) == ("loggedAt", "prediction", "score")
    assert (seen.label, seen.id, seen.version) == ("churned", "requestId", "modelVersion")
    assert seen.task == "binary"
    assert seen.segments == ("country",)
    assert seen.excluded == ("note",)


@pytest.mark.parametrize(
    ("minutes", "pane", "windows"),
    [(0.001, 60_000, ("15m", "1h")), (0.05, 60_000, ("1h", "6h")), (1.0, 3_600_000, ("24h", "7d")),
     (60.0, 86_400_000, ("28d",))],
)  # fmt: skip
def test_windows_fit_the_traffic(minutes: float, pane: int, windows: tuple[str, ...]) -> None:
    seen = found(frame(minutes=minutes))
    assert (seen.pane, seen.windows) == (pane, windows)


@pytest.mark.parametrize(
    ("values", "task"),
    [([0, 1], "binary"), (["cat", "dog", "cow"], "multiclass"), ([1, 2, 3, 4], "multiclass"),
     ([0.5, 1.5, 2.25], "regression")],
)  # fmt: skip
def test_the_task_is_told_by_what_was_predicted(values: list[object], task: str) -> None:
    table = pd.DataFrame({"prediction": values * 100, "age": range(100 * len(values))})
    assert found(table).task == task


def test_what_is_called_a_score_but_is_none_is_left_a_feature() -> None:
    table = frame()
    table["score"] *= 700
    assert found(table).score is None


@pytest.mark.parametrize("name", ["census", "flights", "nested", "bare"])
def test_what_is_written_is_a_working_configuration(tmp_path: Path, name: str) -> None:
    sample = {"census": REFERENCE, "flights": ROOT / "examples" / "flights" / "reference.parquet"}.get(name)
    if name == "bare":
        sample = tmp_path / 'odd "name".csv'
        frame()[["age", "country"]].to_csv(sample, index=False)
    if name == "nested":
        sample = tmp_path / "log.jsonl"
        records = [
            {"at": 1_700_000_000 + row, "features": {"age": row % 50, "city": "ab"[row % 2]},
             "output": {"class": row % 2, "probability": 0.5}, "tags": ["x"]}
            for row in range(500)
        ]  # fmt: skip
        sample.write_text("\n".join(map(json.dumps, records)))
    assert sample is not None
    seen = guess(read_table(sample))
    config = parse_config(tomllib.loads(starting_config(seen, str(sample), "m")), tmp_path)
    if name == "bare":
        assert seen.timestamp is None
        return
    profile = load_reference(config.models[0])
    if name == "census":
        assert seen.label == "employed"
    if name == "flights":
        assert seen.label == "late"
    if name == "nested":
        assert set(profile.layout.subjects) == {"feature:features.age", "feature:features.city", "prediction", "score"}


def test_the_command_writes_a_file_that_check_takes_and_never_overwrites_one(tmp_path: Path) -> None:
    frame().to_parquet(tmp_path / "sample.parquet")
    target = tmp_path / "leewayd.toml"
    done = leewayd("init", "-i", tmp_path / "sample.parquet", "-o", target, "--model", "churn")
    assert done.returncode == 0, done.stderr
    assert 'reference = "sample.parquet"' in target.read_text()
    checked = leewayd("check", target)
    assert checked.returncode == 0, checked.stderr
    assert 'model "churn": 5 subjects' in checked.stdout
    again = leewayd("init", "-i", tmp_path / "sample.parquet", "-o", target)
    assert again.returncode == 2
    assert "already exists" in again.stderr


def test_an_id_that_rows_share_is_not_that_of_a_prediction() -> None:
    table = frame().rename(columns={"requestId": "id"})
    assert found(table).id == "id"
    table["id"] = [f"customer {row % 500}" for row in range(len(table))]
    assert found(table).id is None
