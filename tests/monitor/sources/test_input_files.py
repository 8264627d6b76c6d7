"""Input files that cannot be read are named before anything is opened."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from monitor.config.schema import FileSection
from monitor.sources.input_files import fault_of, faults, file_problems


def test_each_fault_has_its_place(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text("")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "log.jsonl").write_text("")
    section = FileSection(
        predictions=[tmp_path / "log.jsonl", tmp_path / "lgo.jsonl"],
        labels=[tmp_path / "other" / "log.jsonl", tmp_path],
    )
    told = [problem.replace(f"{tmp_path}", "/home") for problem in file_problems(section)]
    assert told == [
        'file.predictions[1]: /home/lgo.jsonl: no such file; did you mean "log.jsonl"?',
        'file.labels[0]: two input files are named "log.jsonl"; rename one of them',
        "file.labels[1]: /home: this is a folder; name the files in it",
    ]
    assert file_problems(None) == []
    assert faults([tmp_path / "log.jsonl", tmp_path / "no" / "such"]) == [f"{tmp_path}/no/such: no such file"]


@pytest.mark.parametrize("name", ["log.parquet", "LOG.PQ"])
def test_only_plain_lines_can_be_followed(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"PAR1")
    assert fault_of(path, follow=False) is None
    assert "a Parquet file cannot be followed" in (fault_of(path, follow=True) or "")
    packed = tmp_path / "log.jsonl"
    packed.write_bytes(gzip.compress(b"{}"))
    assert fault_of(packed, follow=False) is None
    assert "found gzip" in (fault_of(packed, follow=True) or "")


def test_a_file_without_the_right_to_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text("")
    monkeypatch.setattr("os.access", lambda *_: False)
    assert "permission denied" in (fault_of(path, follow=False) or "")
