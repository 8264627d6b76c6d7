"""Files as a source: every row once, from wherever a stored position says."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.common.errors import SourceError
from monitor.rows.records import Messages, Partition, Position, Table
from monitor.sources.damaged_logs import first_readable
from monitor.sources.files import FileSource

NOBODY: frozenset[Partition] = frozenset()


def source(*paths: Path, follow: bool = False, batch: int = 3) -> FileSource:
    return FileSource(list(paths), follow=follow, batch=batch, wait=lambda _: None)


def read(found: FileSource, polls: int = 50) -> list[tuple[str, int, object]]:
    """(file, offset, value) of everything that polls bring."""
    seen: list[tuple[str, int, object]] = []
    for _ in range(polls):
        poll = found.poll(0.0, NOBODY)
        for chunk in poll.chunks:
            if isinstance(chunk, Messages):
                seen += [
                    (chunk.partition.topic, offset, value)
                    for offset, value in zip(chunk.offsets.tolist(), chunk.values, strict=True)
                ]
            else:
                seen += [
                    (chunk.partition.topic, chunk.first_offset + row, chunk.columns["a"][row])
                    for row in range(chunk.rows)
                ]
        if poll.finished:
            break
    return seen


def test_lines_are_read_in_order_and_blank_ones_passed(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"a": 1}\n\n  \r\n{"a": 2}\r\n{"a": 3}')
    found = source(path)
    found.start({})
    assert read(found) == [("log.jsonl", 0, b'{"a": 1}'), ("log.jsonl", 3, b'{"a": 2}'), ("log.jsonl", 4, b'{"a": 3}')]


@pytest.mark.parametrize("first", range(8))
@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_reading_goes_on_where_a_position_says(tmp_path: Path, kind: str, first: int) -> None:
    path = tmp_path / f"log.{kind}"
    frame = pd.DataFrame({"a": range(7)})
    frame.to_parquet(path, row_group_size=2) if kind == "parquet" else frame.to_json(path, orient="records", lines=True)
    found = source(path)
    found.start({Partition(path.name, 0): Position(first)})
    assert [offset for _, offset, _ in read(found)] == list(range(first, 7))


def test_a_followed_file_brings_lines_when_they_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"a": 1}\n{"a"')
    found = source(path, follow=True)
    found.start({})
    assert [value for _, _, value in read(found, 3)] == [b'{"a": 1}']
    with path.open("ab") as file:
        file.write(b": 2}\n")
    assert [(offset, value) for _, offset, value in read(found, 3)] == [(1, b'{"a": 2}')]


def test_a_followed_file_that_is_read_to_its_end_counts_as_idle(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"a": 1}\n')
    found = source(path, follow=True)
    found.start({})
    polls = [found.poll(0.0, NOBODY) for _ in range(3)]
    assert polls[-1].idle == {Partition("log.jsonl", 0)}
    assert not any(poll.finished for poll in polls)


def test_paused_files_wait(tmp_path: Path) -> None:
    one, two = tmp_path / "1.jsonl", tmp_path / "2.jsonl"
    for path in (one, two):
        path.write_bytes(b'{"a": 1}\n')
    found = source(one, two)
    found.start({})
    poll = found.poll(0.0, frozenset({Partition("1.jsonl", 0)}))
    assert [chunk.partition.topic for chunk in poll.chunks] == ["2.jsonl"]
    assert [name for name, _, _ in read(found)] == ["1.jsonl"]


def test_parquet_times_come_as_numbers_or_dates_and_categories_as_text(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    at = pd.to_datetime(["2013-04-02T06:00:00Z", "2013-04-02T06:00:01Z"])
    pd.DataFrame({"a": pd.Categorical(["x", None]), "at": at}).to_parquet(path)
    found = source(path)
    found.start({})
    (chunk,) = found.poll(0.0, NOBODY).chunks
    assert isinstance(chunk, Table)
    assert list(chunk.columns["a"]) == ["x", None]
    assert list(chunk.columns["at"]) == [1_364_882_400_000, 1_364_882_401_000]


def test_what_cannot_be_a_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        source(tmp_path / "none.jsonl").start({})
    (tmp_path / "a").mkdir()
    for path in (tmp_path / "x.jsonl", tmp_path / "a" / "x.jsonl"):
        path.write_text("")
    with pytest.raises(SourceError, match="same name"):
        source(tmp_path / "x.jsonl", tmp_path / "a" / "x.jsonl")


@given(st.integers(0, 500), st.integers(1, 500), st.integers(0, 500))
def test_the_end_of_a_damaged_stretch_is_found_in_few_attempts(broken: int, length: int, more: int) -> None:
    end, attempts = broken + length + more, []

    def readable(offset: int) -> bool:
        attempts.append(offset)
        return offset >= broken + length

    assert first_readable(readable, broken, end) == broken + length
    assert len(attempts) <= 2 * 10 + 2
    assert all(broken < offset < end for offset in attempts)
