"""What no single feature tells in no single window: broken relations, moved embeddings, scores that creep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from monitor.common.durations import DAY
from tests.support.replays import Row, alerts, evaluations, finding, replay

if TYPE_CHECKING:
    from pathlib import Path

BEGIN = 20_000 * DAY
A_DAY = 1_500
COLUMNS: dict[str, Any] = {"timestamp": "t", "prediction": "p", "features": ["a", "b", "c", "d", "e"]}


def correlated(days: int, broken_from: int, seed: int) -> list[Row]:
    """Five features, a and b related at .8 until that breaks; each alone stays a standard normal all the time."""
    dice = np.random.default_rng(seed)
    x = dice.normal(size=(days * A_DAY, 5))
    day = np.arange(days * A_DAY) // A_DAY
    x[:, 1] = np.where(day < broken_from, 0.8 * x[:, 0] + 0.6 * x[:, 1], x[:, 1])
    rows = []
    for number, values in enumerate(x.round(5).tolist()):
        row = dict(zip("abcde", values, strict=True))
        rows.append({"t": BEGIN + number * DAY // A_DAY, "p": int(values[4] > 0), **row})
    return rows


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    folder = tmp_path_factory.mktemp("broken")
    return replay(
        folder, correlated(8, 4, 1), correlated(6, 6, 2), windows=["1d"], pane="1h", columns=COLUMNS,
    )  # fmt: skip


def test_a_broken_correlation_is_told_and_names_the_pair(broken: list[Row]) -> None:
    found = evaluations(broken)
    sound, after = found["2024-10-07T00:00:00Z"], found["2024-10-10T00:00:00Z"]
    for statistic in ("correlation", "mmd", "pca_reconstruction"):
        assert finding(sound, "multivariate", statistic)["status"] == "ok"
        assert finding(after, "multivariate", statistic)["status"] == "drifted", statistic
    detail = finding(after, "multivariate", "correlation")["detail"]
    assert "a and b" in detail
    assert finding(after, "multivariate", "correlation")["value"] == pytest.approx(0.8, abs=0.1)


def test_single_features_stay_quiet_about_it(broken: list[Row]) -> None:
    features = [
        part["status"]
        for evaluation in evaluations(broken).values()
        for part in evaluation["findings"]
        if part["subject"].startswith(("feature:", "prediction", "quality:")) and "younger" not in part["detail"]
    ]
    assert len(features) > 1_000
    assert set(features) == {"ok"}


def test_it_alerts(broken: list[Row]) -> None:
    fired = alerts(broken, "drift")[0]
    assert fired["at"] > "2024-10-08"


def embedded(days: int, moved_from: int, seed: int) -> list[Row]:
    """Vectors of eight, of which two turn into each other; every row has one feature beside."""
    dice = np.random.default_rng(seed)
    x = dice.normal(size=(days * A_DAY, 8))
    x[:, 0] *= 3
    late = np.arange(len(x)) // A_DAY >= moved_from
    x[late] = x[late][:, [1, 0, 2, 3, 4, 5, 6, 7]]
    return [
        {"t": BEGIN + number * DAY // A_DAY, "p": number % 2, "a": number % 7, "vector": values}
        for number, values in enumerate(x.round(4).tolist())
    ]


def test_moved_embeddings_are_told(tmp_path: Path) -> None:
    rows = embedded(6, 4, 3)
    rows[17]["vector"], rows[18]["vector"], rows[19]["vector"] = None, [1.0, 2.0], "nothing"
    columns = {"timestamp": "t", "prediction": "p", "features": ["a"], "embeddings": ["vector"]}
    lines = replay(tmp_path, rows, embedded(4, 4, 4), windows=["1d"], pane="1h", columns=columns)
    found = evaluations(lines)
    sound, after = found["2024-10-07T00:00:00Z"], found["2024-10-10T00:00:00Z"]
    for statistic in ("mmd", "pca_reconstruction"):
        assert finding(sound, "embedding:vector", statistic)["status"] == "ok"
        assert finding(after, "embedding:vector", statistic)["status"] == "drifted"
    assert finding(found["2024-10-05T00:00:00Z"], "embedding:vector", "mmd")["status"] == "ok"


def scored(days: int, moved_from: int, seed: int) -> list[Row]:
    """A score that creeps up by a fifth of its standard deviation: too little for the 300 rows of a day."""
    dice = np.random.default_rng(seed)
    rows = []
    for number in range(days * 300):
        time = BEGIN + number * DAY // 300
        score = float(np.clip(dice.normal(0.5, 0.1) + (0.02 if number // 300 >= moved_from else 0), 0, 1))
        rows.append({"t": time, "p": int(score > 0.5), "s": round(score, 5), "a": float(dice.normal())})
    return rows


def test_a_score_that_creeps_is_told_by_its_sum_over_days(tmp_path: Path) -> None:
    columns = {"timestamp": "t", "prediction": "p", "score": "s", "features": ["a"]}
    lines = replay(
        tmp_path, scored(60, 20, 5), scored(60, 60, 6), windows=["1d"], pane="1h", columns=columns,
    )  # fmt: skip
    found = evaluations(lines)
    creeping = [
        end for end, evaluation in found.items() if finding(evaluation, "score", "cusum")["status"] == "drifted"
    ]
    assert creeping
    assert min(creeping) > "2024-10-24"
    # Each window alone says that nothing has happened.
    whole = sorted(end for end in found if end.endswith("T00:00:00Z"))
    alone = [finding(found[end], "score", "psi")["status"] for end in whole]
    assert alone.count("drifted") == 0
    detail = finding(found[max(creeping)], "score", "cusum")["detail"]
    assert detail.startswith("score: the mean has risen slightly since about 2024-10-2")
