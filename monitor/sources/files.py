"""Files as a source: JSON lines, replayed or followed as they grow, and Parquet. Each file is one partition."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from monitor.common.errors import SourceError
from monitor.common.file_kind import LONGEST, kind_of
from monitor.rows.records import Messages, Partition, Poll, Position, Table
from monitor.sources.input_files import PARQUET, fault_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path


class FileSource:
    """Reads files in their order of rows, all of them side by side.

    Args:
        paths: ``.jsonl`` (or ``.ndjson``) and ``.parquet`` files.
        follow: keep reading JSON lines as they are appended; Parquet files cannot be followed.
        batch: the most rows a poll brings from each file.
        wait: called with seconds when a followed file has nothing new.
    """

    def __init__(self, paths: list[Path], *, follow: bool, batch: int, wait: Callable[[float], object]) -> None:
        self._paths = {Partition(path.name, 0): path for path in paths}
        if len(self._paths) != len(paths):
            raise SourceError("two input files have the same name; their positions could not be told apart")
        self._follow, self._batch, self._wait = follow, batch, wait
        self._readers: dict[Partition, Iterator[Messages | Table | None]] = {}
        self._done: set[Partition] = set()
        self._assigned: dict[Partition, Position] = {}

    def start(self, positions: Mapping[Partition, Position], *, everything: bool = False) -> None:
        """Opens the files and skips the rows that are counted already."""
        for partition, path in self._paths.items():
            if (fault := fault_of(path, follow=self._follow)) is not None:
                raise SourceError(fault)
            first = positions[partition].offset if partition in positions else 0
            if partition not in positions:
                self._assigned[partition] = Position(0)
            if path.suffix.lower() in PARQUET:
                self._readers[partition] = _parquet(partition, path, first, self._batch)
            else:
                _refuse_other_kinds(path)
                self._readers[partition] = _lines(partition, path, first, self._batch, self._follow)

    def poll(self, timeout_seconds: float, paused: frozenset[Partition]) -> Poll:
        """One batch of each file that is not paused."""
        chunks = []
        quiet = set()
        for partition, reader in self._readers.items():
            if partition in paused or partition in self._done:
                continue
            chunk = next(reader, None)
            if chunk is not None:
                chunks.append(chunk)
            elif self._follow:
                quiet.add(partition)
            else:
                self._done.add(partition)
        if self._follow and not chunks:
            self._wait(timeout_seconds)
        assigned, self._assigned = self._assigned, {}
        return Poll(
            chunks=tuple(chunks),
            partitions=frozenset(self._paths),
            idle=frozenset(self._done | quiet),
            lag=dict.fromkeys(self._done | quiet, 0),
            assigned=assigned,
            finished=len(self._done) == len(self._paths),
            done=frozenset(self._done),
        )

    def reject(self, partition: Partition, reason: str, value: bytes) -> None:
        """Files have no dead-letter topic; the row stays where it is."""

    def settle(self) -> None:
        """Nothing is handed over."""

    def commit(self, positions: Mapping[Partition, Position]) -> None:
        """Nobody else follows the position in a file."""

    def close(self) -> None:
        """Closes the files."""
        self._readers.clear()


# In ms, with a day's room for the zones.
_FIRST_DATE, _LAST_DATE = -62_135_510_400_000, 253_402_214_400_000


def _refuse_other_kinds(path: Path) -> None:
    """Raises a `SourceError` for a file that surely holds no JSON lines."""
    with path.open("rb") as file:
        kind = kind_of(file.read(LONGEST))
    if kind:
        raise SourceError(f"{path}: found {kind}, not JSON lines; leewayd reads plain JSON lines and .parquet files")
    if path.suffix.lower() in (".csv", ".tsv"):
        raise SourceError(f"{path}: a log is read as JSON lines or Parquet, not as {path.suffix[1:].upper()}")


def _lines(partition: Partition, path: Path, first: int, batch: int, follow: bool) -> Iterator[Messages | None]:
    """Batches of lines; when following, None whenever there is no whole new line yet."""
    number = 0
    with path.open("rb") as file:
        while number < first and file.readline():
            number += 1
        lines: list[bytes] = []
        rest = b""
        while True:
            line = file.readline()
            if line and not line.endswith(b"\n") and follow:
                # The writer is in the middle of a line.
                rest += line
                line = b""
            elif line:
                lines.append(rest + line)
                rest = b""
            if len(lines) >= batch or (not line and lines):
                kept = [(number + place, text.strip()) for place, text in enumerate(lines)]
                number += len(lines)
                lines = []
                filled = [(offset, text) for offset, text in kept if text]
                if filled:
                    offsets = np.array([offset for offset, _ in filled], dtype=np.int64)
                    yield Messages(partition, offsets, [text for _, text in filled])
            elif not line:
                if not follow:
                    if rest:
                        yield Messages(partition, np.array([number]), [rest])
                    return
                yield None


def _parquet(partition: Partition, path: Path, first: int, batch: int) -> Iterator[Table]:
    try:
        file = pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise SourceError(f"{path}: not a Parquet file: {error}") from error
    place = 0
    with file:
        for part in file.iter_batches(batch_size=batch):
            begin, place = place, place + part.num_rows
            if place <= first:
                continue
            if begin < first:
                part = part.slice(first - begin)
                begin = first
            columns = {name: _values(part.column(name)) for name in part.schema.names}
            yield Table(partition, begin, part.num_rows, columns)


def _values(column: pa.Array) -> list[object]:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()  # element by element it would take ten times longer
    if pa.types.is_timestamp(column.type):
        column = pc.cast(column, pa.timestamp("ms", tz=column.type.tz), safe=False)
        counts = pc.cast(column, pa.int64())
        # Python's dates end before Arrow's: what is beyond them is a reject like any other impossible time.
        counts = pc.max_element_wise(counts, _FIRST_DATE, skip_nulls=False)
        counts = pc.min_element_wise(counts, _LAST_DATE, skip_nulls=False)
        # Epoch milliseconds are told from seconds by their size, so only dates after March 1973 may go as numbers.
        if column.null_count == 0 and len(column) and pc.min(counts).as_py() >= 10**11:
            column = counts
        else:
            column = pc.cast(counts, column.type)
    values: list[object] = column.to_pylist()
    return values
