"""Labels, versions, fairness, embeddings and followed scores: whatever the crashes, what is told stays the same."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from monitor.common.durations import DAY, HOUR
from monitor.rows.records import Partition
from tests.support.config import make_config
from tests.support.crashes import Reported, report_through_crashes
from tests.support.sources import ScriptedSource

if TYPE_CHECKING:
    from pathlib import Path

    from monitor.config.schema import Config

BEGIN = 20_000 * DAY
DAYS, AN_HOUR = 11, 20
PARTS = (Partition("predictions", 0), Partition("predictions", 1), Partition("labels", 0))


def rows() -> pd.DataFrame:
    """Eleven days of a classifier; from the seventh on it errs more, from the ninth on a second version runs, too."""
    dice = np.random.default_rng(5)
    size = DAYS * 24 * AN_HOUR
    truth = (dice.random(size) < 0.4).astype(int)
    day = np.arange(size) // (24 * AN_HOUR)
    signal = np.where(day >= 6, 0.4, 1.5)
    score = 1 / (1 + np.exp(-(signal * (truth - 0.5) * 2 + dice.normal(0, 1, size))))
    vector = dice.normal(0, 1, (size, 4)) + np.where(day >= 8, 1.0, 0.0)[:, None]
    return pd.DataFrame(
        {
            "id": [f"p{row}" for row in range(size)],
            "t": BEGIN + np.arange(size) * (HOUR // AN_HOUR),
            "version": np.where((day >= 8) & (dice.random(size) < 0.5), "2", "1"),
            "sex": dice.choice(["f", "m"], size),
            "x": dice.normal(0, 1, size) + truth,
            "z": dice.normal(0, 1, size),
            "vector": list(vector.round(3).tolist()),
            "p": (score > 0.5).astype(int),
            "s": score.round(4),
            "y": truth,
        }
    )


def logs(frame: pd.DataFrame) -> dict[Partition, list[bytes]]:
    """Labels come a few hours to two days late, out of order, some twice, some corrected, some never."""
    dice = np.random.default_rng(6)
    predictions = [json.dumps(row).encode() for row in frame.drop(columns=["y"]).to_dict("records")]
    labels: list[tuple[int, bytes]] = []
    for row in frame.itertuples():
        known = int(row.t) + int(dice.integers(1, 48)) * HOUR
        if dice.random() < 0.9:
            labels.append((known, json.dumps({"id": row.id, "t": known, "y": int(row.y)}).encode()))
        if dice.random() < 0.05:
            later = known + 5 * HOUR
            labels.append((later, json.dumps({"id": row.id, "t": later, "y": 1 - int(row.y)}).encode()))
    labels.sort(key=lambda found: found[0])
    # A tenth of the predictions come twice.
    again = [value for value in predictions for _ in range(2 if dice.random() < 0.1 else 1)]
    return {PARTS[0]: again[::2], PARTS[1]: again[1::2], PARTS[2]: [value for _, value in labels]}


def config(folder: Path, reference: Path) -> Config:
    return make_config(
        folder,
        {
            "reference": str(reference), "windows": ["6h", "1d"], "pane": "1h", "segments": ["sex"],
            "columns": {
                "timestamp": "t", "id": "id", "version": "version", "prediction": "p", "score": "s",
                "label": "y", "embeddings": ["vector"],
            },
            "labels": {"max_delay": "3d", "maturity": 0.8},
            "performance": {"windows": ["1d"], "protected": ["sex"]},
            "drift": {"season": "hour_of_day"},
        },
        kafka={"bootstrap_servers": ["n:1"], "predictions": ["predictions"], "labels": ["labels"]},
    )  # fmt: skip


def told(settings: Config, log: dict[Partition, list[bytes]], fails: list[int]) -> Reported:
    """The labels are read from a partition of their own."""

    def source(fail_at: int | None) -> ScriptedSource:
        return ScriptedSource(log, fail_at, first_size=101, larger_by=17)

    return report_through_crashes(settings, source, fails, checkpoint_every=3)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labels")
    frame = rows()
    frame[frame["t"] < BEGIN + 6 * DAY].drop(columns=["id", "version"]).to_parquet(folder / "reference.parquet")
    return folder


@pytest.fixture(scope="module")
def uninterrupted(home: Path) -> list[bytes]:
    folder = home / "smooth"
    folder.mkdir()
    return told(config(folder, home / "reference.parquet"), logs(rows()), []).evaluations


def test_crashes_change_nothing_of_what_is_told(home: Path, uninterrupted: list[bytes]) -> None:
    folder = home / "rough"
    folder.mkdir()
    crashed = told(config(folder, home / "reference.parquet"), logs(rows()), [2, 4, 5, 7, 6, 9, 8, 3])
    assert crashed.evaluations == uninterrupted
    assert crashed.crashes == 8


def test_what_is_told_is_the_whole_of_it(uninterrupted: list[bytes]) -> None:
    evaluations: list[dict[str, Any]] = [json.loads(line) for line in uninterrupted]
    subjects = {finding["subject"] for evaluation in evaluations for finding in evaluation["findings"]}
    assert {
        "performance", "estimated_performance", "version", "segments", "fairness:sex", "labels", "quality",
        "multivariate", "embedding:vector", "score", "prediction", "feature:x",
    } <= subjects  # fmt: skip
    breached = {
        (finding["subject"], finding["statistic"])
        for evaluation in evaluations
        for finding in evaluation["findings"]
        if finding["status"] in ("breached", "drifted")
    }
    # It errs more from the seventh day on; its embedding moves on the ninth; a tenth of the records came twice.
    assert {("performance", "accuracy"), ("embedding:vector", "mmd"), ("quality", "duplicate_rate")} <= breached
    assert ("feature:z", "psi") not in breached
