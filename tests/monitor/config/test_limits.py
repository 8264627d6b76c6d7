"""Extreme but valid settings: detectors get what their formulas hold for, and absurd memory is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from detectors.sequential.cusum import plain_spread
from monitor.checks.window_memory import memory_problems, pane_counts, series_bytes
from monitor.common.errors import ReferenceDataError
from monitor.config.model import ModelSection
from monitor.evaluate.change_points import ChangePoints
from monitor.evaluate.extra_counts import make_count_spec
from monitor.reference.build import load_reference, load_references
from monitor.reference.by_version import single
from monitor.reference.streams import Streams
from monitor.windows.panes import PaneRing

if TYPE_CHECKING:
    from pathlib import Path


def model(path: Path, **more: object) -> ModelSection:
    columns = {"timestamp": "t", "prediction": "p"} | more.pop("columns", {})  # type: ignore[operator]
    section = {"name": "m", "task": "binary", "reference": path, "columns": columns, **more}
    return ModelSection.model_validate(section)


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    table = pd.DataFrame(rng.normal(size=(400, 20)), columns=[f"f{number}" for number in range(20)])
    table["p"], table["segment"] = rng.integers(2, size=400), rng.integers(40, size=400).astype(str)
    table.to_parquet(tmp_path / "r.parquet")
    return tmp_path / "r.parquet"


@pytest.mark.parametrize("arl_panes", [1e-300, 0.01, 9.0, 49.0, 50.0, 1e12, 1e15, 1e308, float("inf")])
def test_any_budget_gives_sequential_detectors_a_limit(arl_panes: float) -> None:
    one = np.zeros(1, dtype=np.int64)
    streams = Streams(1_000, ("score",), one, one - 1, np.zeros(1), np.ones(1), ("",), plain_spread(1))
    followed = ChangePoints(streams, 0.05, 1_000, arl_panes)
    assert 0 < followed.cusum.limit < 1_000
    assert 0 < followed.adwin.limit < 10


def test_the_memory_of_a_series_is_that_of_its_rings(reference: Path) -> None:
    section = model(reference, windows=["1h", "24h"], drift={"rolling": "14d"})
    references = single(load_reference(section))
    shape = make_count_spec(section, references.profiles[0])
    extra = sum(part.width for part in shape.whole)
    rings = [PaneRing(step, count, shape.subjects, extra) for step, count in pane_counts(section).items()]
    assert len(rings) == 3
    assert series_bytes(section, references) == sum(ring.nbytes for ring in rings)


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"pane": "1s", "windows": ["1m"], "lateness": "30d"}, "pane: one series keeps 2,592,"),
        ({"drift": {"rolling": "36525d"}}, None),
        ({"pane": "1m", "windows": ["364d"]}, None),
    ],
)
def test_panes_that_fit_into_no_memory_are_refused(
    more: dict[str, object], problem: str | None, reference: Path
) -> None:
    section = model(reference, **more)
    told = memory_problems(section, single(load_reference(section)))
    assert bool(told) == (problem is not None), told
    assert problem is None or told[0].startswith(problem)


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_an_embedding_of_too_few_rows_is_refused(rows: int, tmp_path: Path) -> None:
    pd.DataFrame({"p": [0] * rows, "v": [[1.0, 2.0], None, None][:rows]}).to_parquet(tmp_path / "r.parquet")
    with pytest.raises(ReferenceDataError, match=r"columns\.embeddings\[0\]: column \"v\" holds fewer than two lists"):
        load_reference(model(tmp_path / "r.parquet", columns={"embeddings": ["v"]}))


@pytest.mark.parametrize("unit", [1e-150, 1e150, 1e308])
def test_a_regression_in_an_absurd_unit_is_refused(unit: float, tmp_path: Path) -> None:
    pd.DataFrame({"p": [unit, -unit, 0.0], "a": [1, 2, 3]}).to_parquet(tmp_path / "r.parquet")
    with pytest.raises(ReferenceDataError, match=r"columns\.prediction: .* give the column in another unit"):
        load_reference(model(tmp_path / "r.parquet", task="regression"))


def test_a_ranking_without_features_has_nothing_to_compare(tmp_path: Path) -> None:
    pd.DataFrame({"p": [[1, 2], [2, 1]]}).to_parquet(tmp_path / "r.parquet")
    with pytest.raises(ReferenceDataError, match="columns: there is nothing to compare"):
        load_reference(model(tmp_path / "r.parquet", task="ranking"))


def test_a_feature_named_by_its_path_is_found_in_the_reference(tmp_path: Path) -> None:
    pd.DataFrame({"p": [0, 1], "age": [1.0, 2.0]}).to_parquet(tmp_path / "r.parquet")
    profile = load_reference(model(tmp_path / "r.parquet", columns={"features": ["in.age"]}))
    assert profile.columns == ("age", "p")


def test_a_column_that_is_only_left_out_may_be_in_one_reference_of_several(tmp_path: Path) -> None:
    pd.DataFrame({"p": [0, 1], "a": [1, 2]}).to_parquet(tmp_path / "1.parquet")
    pd.DataFrame({"p": [0, 1], "a": [1, 2], "new": [1, 2]}).to_parquet(tmp_path / "2.parquet")
    paths = {"1": tmp_path / "1.parquet", "2": tmp_path / "2.parquet"}
    several = {"name": "m", "task": "binary", "references": paths}
    columns = {"timestamp": "t", "prediction": "p", "exclude": ["new"]}
    assert len(load_references(ModelSection.model_validate({**several, "columns": columns})).profiles) == 2
    columns["exclude"] = ["nwe"]
    with pytest.raises(ReferenceDataError, match=r'columns\.exclude\[0\]: the reference has no column "nwe"'):
        load_references(ModelSection.model_validate({**several, "columns": columns}))
