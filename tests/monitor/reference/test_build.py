"""References: from a table, as a profile, and what is told when they do not fit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from detectors.layout import BINS, HIGH, LOW, MISSING
from monitor.common.errors import ReferenceDataError
from monitor.config.model import ModelSection
from monitor.reference.build import load_reference
from monitor.reference.profile import load_profile, save_profile


def frame(rows: int = 3_000) -> pd.DataFrame:
    dice = np.random.default_rng(7)
    return pd.DataFrame(
        {
            "at": pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(np.arange(rows), unit="min"),
            "id": [f"row-{row}" for row in range(rows)],
            "income": dice.lognormal(10, 1, rows),
            "age": dice.integers(18, 90, rows),
            "constant": np.ones(rows),
            "empty": np.full(rows, np.nan),
            "city": dice.choice([f"city {number}" for number in range(100)], rows),
            "member": dice.random(rows) < 0.5,
            "half": np.where(dice.random(rows) < 0.5, np.nan, 1.5),
            "prediction": dice.integers(0, 2, rows),
            "p": dice.random(rows),
            "truth": dice.integers(0, 2, rows),
        }
    )


def section(path: Path, **more: object) -> ModelSection:
    columns = {"timestamp": "at", "id": "id", "prediction": "prediction", "score": "p", "label": "truth"}
    columns |= more.pop("columns", {})  # type: ignore[arg-type]
    return ModelSection.model_validate(
        {"name": "m", "task": "binary", "reference": path, "windows": ["1h"], "columns": columns, **more}
    )


def written(folder: Path, suffix: str = "parquet") -> Path:
    path = folder / f"reference.{suffix}"
    table = frame()
    if suffix == "parquet":
        table.to_parquet(path)
    elif suffix == "csv":
        table.to_csv(path, index=False)
    else:
        table["at"] = table["at"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")
        table.to_json(path, orient="records", lines=True)
    return path


def test_the_other_columns_are_the_features_and_their_types_are_inferred(tmp_path: Path) -> None:
    layout = load_reference(section(written(tmp_path))).layout
    kinds = dict(zip(layout.subjects, layout.numeric.tolist(), strict=True))
    assert kinds == {
        "feature:income": True, "feature:age": True, "feature:constant": True, "feature:empty": True,
        "feature:city": False, "feature:member": False, "feature:half": True, "prediction": False, "score": True,
    }  # fmt: skip


def test_counts_are_those_of_the_table(tmp_path: Path) -> None:
    table = frame()
    profile = load_reference(section(written(tmp_path), segments=["member"]))
    assert profile.rows == len(table)
    places = {subject: place for place, subject in enumerate(profile.layout.subjects)}
    for name in ("income", "age", "p"):
        subject = "score" if name == "p" else f"feature:{name}"
        bins = profile.counts.bins[places[subject]]
        counted, _ = np.histogram(table[name], np.array(profile.edges[subject]))
        assert bins[: len(counted)].tolist() == counted.tolist()
        assert bins[BINS:].sum() == 0
        z = (table[name] - table[name].mean()) / table[name].std(ddof=0)
        assert profile.counts.moments[places[subject]] == pytest.approx([z.sum(), (z**2).sum()], rel=0.05, abs=60)
    assert profile.counts.bins[places["feature:empty"], MISSING] == len(table)
    city = profile.counts.bins[places["feature:city"]]
    assert city[:BINS].sum() + city[LOW] == len(table)
    assert city[HIGH] == 0
    assert len(profile.top["feature:city"]) + len(profile.others["feature:city"]) == 100
    assert int(profile.segments["member=1"].rows) == int(table["member"].sum())


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_formats_agree(tmp_path: Path, suffix: str) -> None:
    one = load_reference(section(written(tmp_path)))
    other = load_reference(section(written(tmp_path, suffix)))
    assert one.layout.subjects == other.layout.subjects
    assert one.counts.bins.tolist() == other.counts.bins.tolist()


def test_a_profile_is_read_as_it_was_written_and_holds_no_row(tmp_path: Path) -> None:
    built = load_reference(section(written(tmp_path), segments=["member"]))
    path = tmp_path / "m.profile.json"
    save_profile(built, path)
    read = load_reference(section(path, segments=["member"]))
    assert read.fingerprint() == built.fingerprint()
    for one, two in ((built.counts, read.counts), (built.segments["member=0"], read.segments["member=0"])):
        assert one.bins.tolist() == two.bins.tolist()
        assert one.moments.tolist() == two.moments.tolist()
        assert one.extremes.tolist() == two.extremes.tolist()
    assert np.array_equal(built.layout.edges, read.layout.edges, equal_nan=True)
    assert np.array_equal(built.layout.centers, read.layout.centers, equal_nan=True)
    assert read.dispersions.keys() == built.dispersions.keys()
    assert "row-17" not in path.read_text()


def test_profiles_of_another_version_or_corrupt_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.profile.json"
    save_profile(load_reference(section(written(tmp_path))), path)
    good = json.loads(path.read_text())
    path.write_text(json.dumps(good | {"version": 99}, separators=(",", ":")))
    with pytest.raises(ReferenceDataError, match="build it again"):
        load_profile(path)
    for harm in ({"columns": 5}, {"counts": {}}, {"subjects": []}):
        path.write_text(json.dumps(good | harm, separators=(",", ":")))
        with pytest.raises(ReferenceDataError):
            load_profile(path)
    path.write_text('{"format":"leewayd-profile"')
    with pytest.raises(ReferenceDataError, match="corrupt"):
        load_profile(path)


def test_every_column_that_the_reference_lacks_is_told_with_the_nearest(tmp_path: Path) -> None:
    model = section(written(tmp_path), segments=["mmber"], columns={"score": "pp", "features": ["incom", "zzz"]})
    with pytest.raises(ReferenceDataError) as caught:
        load_reference(model)
    text = str(caught.value)
    assert 'columns.features[0]: the reference has no column "incom"; did you mean "income"?' in text
    assert 'columns.features[1]: the reference has no column "zzz"; it has: "at", "id", "income"' in text
    assert 'segments[0]: the reference has no column "mmber"; did you mean "member"?' in text
    assert 'columns.score: the reference has no column "pp"' in text


def test_files_that_are_no_tables_are_told(tmp_path: Path) -> None:
    for name, text in (("a.parquet", "x"), ("b.csv", ""), ("c.jsonl", "{"), ("d.xlsx", "x"), ("e.csv", "a,b\n")):
        (tmp_path / name).write_text(text)
        with pytest.raises(ReferenceDataError, match=name[:5]):
            load_reference(section(tmp_path / name))
    with pytest.raises(ReferenceDataError, match="no such file"):
        load_reference(section(tmp_path / "none.parquet"))


def test_types_can_be_set_and_wrong_ones_are_told(tmp_path: Path) -> None:
    path = written(tmp_path)
    layout = load_reference(section(path, columns={"types": {"age": "categorical"}})).layout
    assert not layout.numeric[layout.subjects.index("feature:age")]
    with pytest.raises(ReferenceDataError, match='"city" is set to be numeric'):
        load_reference(section(path, columns={"types": {"city": "numeric"}}))


def test_another_binning_is_another_fingerprint(tmp_path: Path) -> None:
    path = written(tmp_path)
    one = load_reference(section(path))
    other = load_reference(section(path, columns={"types": {"age": "categorical"}}))
    assert one.fingerprint() == load_reference(section(path)).fingerprint()
    assert one.fingerprint() != other.fingerprint()
