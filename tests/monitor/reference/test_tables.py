"""Column names of tables: text whatever a file holds, and never two alike."""

from __future__ import annotations

import datetime
import json
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from monitor.common.errors import ReferenceDataError
from monitor.reference.tables import DataTable, read_table

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("header", ["a,b,a", "a,b,a,b", '"a",b,a'])
def test_two_equal_headers_of_a_csv_are_refused_by_name(header: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"{header}\n1,2,3,4\n")
    with pytest.raises(ReferenceDataError, match=r't\.csv: two columns are named "a"; rename one of them'):
        read_table(tmp_path / "t.csv")


def test_headers_that_only_look_renamed_are_read(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,a.1,,\n1,2,3,4\n")
    assert read_table(tmp_path / "t.csv").names[:2] == ("a", "a.1")


def test_whole_numbers_are_read_as_names_of_text(tmp_path: Path) -> None:
    pd.DataFrame({0: [1.0, 2.0], 1: ["x", "y"]}).to_parquet(tmp_path / "t.parquet")
    table = read_table(tmp_path / "t.parquet")
    assert table.names == ("0", "1")
    assert table.is_numeric("0")
    assert table.factor("1").labels == ("x", "y")


def test_names_of_records_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text(json.dumps({"01": 1, "1": 2, "2024-01-01": 3}))
    assert read_table(tmp_path / "t.jsonl").names == ("01", "1", "2024-01-01")


def test_levels_dates_and_no_name_become_text() -> None:
    levels = pd.DataFrame([[1, 2, 3]], columns=pd.MultiIndex.from_tuples([("a", "b"), ("a", "c"), ("d", "")]))
    assert DataTable(levels).names == ("a.b", "a.c", "d")
    odd = pd.DataFrame([[1, 2, 3]], columns=pd.Index([None, datetime.date(2024, 1, 2), 1.5], dtype=object))
    assert DataTable(odd).names == ("None", "2024-01-02", "1.5")


@pytest.mark.parametrize("names", [[1, "1"], [("a", "b"), "a.b"], ["x", "x"]])
def test_names_that_are_equal_as_text_are_refused_by_name(names: list[object]) -> None:
    with pytest.raises(ReferenceDataError, match=r'two columns are named "(1|a\.b|x)"; rename one of them'):
        DataTable(pd.DataFrame([[1, 2]], columns=pd.Index(names, dtype=object, tupleize_cols=False)))


def test_an_object_and_a_dotted_name_that_meet_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text(json.dumps({"a": {"b": 1}, "a.b": 2}))
    with pytest.raises(ReferenceDataError, match=r'two columns are named "a\.b"'):
        read_table(tmp_path / "t.jsonl")


@pytest.mark.parametrize("name", ["t.csv", "t.json", "t"])
def test_a_folder_is_no_table_unless_it_holds_parquet_files(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(ReferenceDataError, match="this is a folder; name the file in it"):
        read_table(tmp_path / name)
    (tmp_path / "t.parquet").mkdir()
    for part in ("1.parquet", "2.parquet"):
        pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "t.parquet" / part)
    assert read_table(tmp_path / "t.parquet").rows == 2
