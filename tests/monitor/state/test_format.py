"""What a database file says of itself, against files that SQLite writes."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from monitor.state.format import header_fault, written_formats


def database(path: Path, version: int, mode: str = "wal") -> sqlite3.Connection:
    found = sqlite3.connect(path)
    found.execute(f"PRAGMA journal_mode = {mode}")
    found.execute(f"PRAGMA user_version = {version}")
    found.execute("CREATE TABLE t (a)")
    found.commit()
    return found


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_a_whole_database_has_no_fault_and_its_format(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.db"
    database(path, 7, mode).close()
    assert header_fault(path) == ""
    assert written_formats(path) == {7}


def test_a_format_that_only_the_log_holds_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    database(path, 7).close()
    held = sqlite3.connect(path)
    held.execute("PRAGMA user_version = 9")
    assert written_formats(path) == {7, 9}
    held.close()
    assert written_formats(path) == {9}


def test_files_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    assert written_formats(path) == set()
    path.write_bytes(b"")
    assert header_fault(path) == ""
    path.write_bytes(b"SQLite format 3\x00")
    assert header_fault(path) == "not a database"
    path.write_bytes(b"x" * 200)
    assert header_fault(path) == "not a database"
    assert written_formats(path) == set()
    path.with_name("a.db-wal").write_bytes(bytes(200))
    assert written_formats(path) == set()


@pytest.mark.parametrize("place", [18, 19, 20, 21, 22, 23, 44, 47, 56, 59, 72, 91])
def test_a_flipped_bit_in_a_fixed_field_is_a_fault(tmp_path: Path, place: int) -> None:
    path = tmp_path / "a.db"
    database(path, 7).close()
    raw = bytearray(path.read_bytes())
    raw[place] ^= 8
    path.write_bytes(raw)
    assert header_fault(path) == "the header is corrupt"
