"""Files as a source: JSON lines, replayed or followed as they grow, and Parquet. Each file is one partition.

The offset of a JSON line is its line number. Compressed files are decompressed from the beginning after a restart.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from monitor.common.compressed import CORRUPT, compression_of, opened_for_reading
from monitor.common.errors import SourceError
from monitor.common.file_kind import LONGEST, kind_of
from monitor.rows.records import Messages, Partition, Poll, Position, Table
from monitor.sources.input_files import PARQUET, fault_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from typing import IO


class FileSource:
    """Reads all files in parallel, each in the order of its rows.

    Args:
        paths: JSON lines, plain or compressed with gzip or Zstandard, and ``.parquet`` files.
        follow: keep reading JSON lines as they are appended; Parquet files cannot be followed.
        batch: the most rows that a poll reads from each file.
        wait: called with seconds when a followed file has no new line.
    """

    def __init__(self, paths: list[Path], *, follow: bool, batch: int, wait: Callable[[float], object]) -> None:
        self._paths = {Partition(path.name, 0): path for path in paths}
        if len(self._paths) != len(paths):
            raise SourceError("two input files have the same name; their positions could not be distinguished")
        self._follow, self._batch, self._wait = follow, batch, wait
        self._readers: dict[Partition, Iterator[Messages | Table | None]] = {}
        self._done: set[Partition] = set()
        self._sizes: dict[Partition, int] = {}
        self._shares: dict[Partition, float] = {}
        self._assigned: dict[Partition, Position] = {}

    def start(self, positions: Mapping[Partition, Position], *, everything: bool = False) -> None:
        """Opens the files and skips the rows that have already been counted."""
        for partition, path in self._paths.items():
            if (fault := fault_of(path, follow=self._follow)) is not None:
                raise SourceError(fault)
            first = positions[partition].offset if partition in positions else 0
            if partition not in positions:
                self._assigned[partition] = Position(0)
            self._sizes[partition] = path.stat().st_size
            read = partial(self._shares.__setitem__, partition)
            if path.suffix.lower() in PARQUET:
                self._readers[partition] = _parquet(partition, path, first, self._batch, read)
            else:
                _refuse_other_kinds(path)
                self._readers[partition] = _lines(partition, path, first, self._batch, self._follow, read)

    @property
    def share(self) -> float:
        """The share of the files' bytes that has been read."""
        total = sum(self._sizes.values())
        read = sum(
            size * (1.0 if partition in self._done else self._shares.get(partition, 0.0))
            for partition, size in self._sizes.items()
        )
        return read / total if total else 1.0

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
        """Does nothing: files have no dead-letter topic, and the row stays in the file."""

    def settle(self) -> None:
        """Does nothing: no dead letters are sent."""

    def commit(self, positions: Mapping[Partition, Position]) -> None:
        """Does nothing: the position in a file is kept in leewayd's state only."""

    def close(self) -> None:
        """Closes the files."""
        self._readers.clear()


# In ms, with a margin of one day for time zones.
_FIRST_DATE, _LAST_DATE = -62_135_510_400_000, 253_402_214_400_000


def _refuse_other_kinds(path: Path) -> None:
    """Raises a `SourceError` for a file that certainly does not contain JSON lines."""
    compression = compression_of(path)
    try:
        with opened_for_reading(path) as lines:
            kind = kind_of(lines.text.read(LONGEST))
    except CORRUPT as error:
        raise SourceError(f"{path}: the {compression} are truncated or corrupt: {error}") from error
    if kind:
        description = f"{kind} within {compression}" if compression else kind
        raise SourceError(
            f"{path}: found {description}, not JSON lines; leewayd reads JSON lines, plain or compressed with gzip or "
            "Zstandard, and .parquet files"
        )
    name = path.with_suffix("") if path.suffix.lower() in (".gz", ".zst") else path
    if name.suffix.lower() in (".csv", ".tsv"):
        raise SourceError(f"{path}: a log is read as JSON lines or Parquet, not as {name.suffix[1:].upper()}")


def _lines(
    partition: Partition, path: Path, first: int, batch: int, follow: bool, read: Callable[[float], object]
) -> Iterator[Messages | None]:
    """Batches of lines; when following, None while there is no complete new line.

    Args:
        partition: of the messages.
        path: plain or compressed.
        first: number of the first line to return.
        batch: the most lines of a batch.
        follow: wait for more lines at the end.
        read: called before each batch with the share of the file that has been read.
    """
    try:
        with opened_for_reading(path) as file:
            skipped = 0
            while skipped < first and file.text.readline():
                skipped += 1
            for number, lines in _batches(file.text, skipped, batch, follow):
                read(file.share())
                filled = [(number + index, text) for index, line in enumerate(lines) if (text := line.strip())]
                if filled:
                    offsets = np.array([offset for offset, _ in filled], dtype=np.int64)
                    yield Messages(partition, offsets, [text for _, text in filled])
                elif not lines:
                    yield None
    except CORRUPT as error:
        raise SourceError(f"{path}: the {compression_of(path)} are truncated or corrupt: {error}") from error


def _batches(file: IO[bytes], number: int, batch: int, follow: bool) -> Iterator[tuple[int, list[bytes]]]:
    """Lines with the number of the first one; when following, an empty list while there is no complete new line."""
    lines: list[bytes] = []
    rest = b""
    while True:
        line = file.readline()
        if line and not line.endswith(b"\n") and follow:
            # The line is incomplete: its writer has not finished it.
            rest += line
            line = b""
        elif line:
            lines.append(rest + line)
            rest = b""
        if len(lines) >= batch or (not line and lines):
            yield number, lines
            number += len(lines)
            lines = []
        elif not line:
            if not follow:
                return
            yield number, lines


def _parquet(
    partition: Partition, path: Path, first: int, batch: int, read: Callable[[float], object]
) -> Iterator[Table]:
    try:
        file = pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise SourceError(f"{path}: not a Parquet file: {error}") from error
    stop = 0
    with file:
        for rows in file.iter_batches(batch_size=batch):
            begin, stop = stop, stop + rows.num_rows
            read(stop / file.metadata.num_rows)
            if stop <= first:
                continue
            if begin < first:
                rows = rows.slice(first - begin)
                begin = first
            columns = {name: _values(rows.column(name)) for name in rows.schema.names}
            yield Table(partition, begin, rows.num_rows, columns)


def _values(column: pa.Array) -> list[object]:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()  # element by element it would take ten times longer
    if pa.types.is_timestamp(column.type):
        column = pc.cast(column, pa.timestamp("ms", tz=column.type.tz), safe=False)
        counts = pc.cast(column, pa.int64())
        # Arrow allows dates that Python does not: such a row is rejected like any other impossible time.
        counts = pc.max_element_wise(counts, _FIRST_DATE, skip_nulls=False)
        counts = pc.min_element_wise(counts, _LAST_DATE, skip_nulls=False)
        # The size of a number decides between s and ms, so only dates after March 1973 may be passed as numbers.
        if column.null_count == 0 and len(column) and pc.min(counts).as_py() >= 10**11:
            column = counts
        else:
            column = pc.cast(counts, column.type)
    values: list[object] = column.to_pylist()
    return values
