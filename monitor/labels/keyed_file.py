"""One file of rows by key, sorted, immutable and memory-mapped.

A file is a magic number, the length and checksum of a JSON header, the header, one contiguous column each for keys,
times and the fields of the payload, and once more header and magic number. Columns begin at multiples of 64 bytes;
numbers are little-endian. Every `BLOCK` rows have a checksum over all their columns, so that a flipped bit costs one
block, and no row if it hits a header. Files of format 1 have one checksum and one header.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.common.durable_files import FILE_MODE, FOLDER_MODE
from monitor.common.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import BinaryIO

NEVER = -(2**63)
"""A time before all row times."""

BLOCK = 1024
"""Rows that share a checksum."""

_FORMAT = 2
_MAGIC = b"leewayrs"
_PREAMBLE = struct.Struct("<8sII")
_ALIGN = 64
_READ = 2**22

Fields = list[tuple[str, np.dtype[Any]]]
"""Names and little-endian types of the payload's columns."""


class _Header(msgspec.Struct):
    format: int
    rows: int
    fields: list[tuple[str, str]]
    first: int
    last: int
    crc: int = 0
    block: int = 0
    crcs: list[int] = []


class Entry(msgspec.Struct):
    """A manifest's entry of a file."""

    file: str
    rows: int
    first: int
    last: int


class UnusableFileError(Exception):
    """A file does not match its entry in the manifest."""


@dataclass(frozen=True, slots=True)
class Part:
    """Rows sorted by key, one for each key: in memory, or views of a file.

    Attributes:
        keys: uint64[n], ascending. times: int64[n]. fields: the columns of the payload, [n] each.
        first, last: least and greatest time.
        file: the file's name, "" in memory. view: the file's mapping; None if its rows had to be copied.
        lost: number of corrupt rows of the file, which are left out. harmed: the file has a corrupt byte anywhere.
    """

    keys: NDArray[np.uint64]
    times: NDArray[np.int64]
    fields: tuple[NDArray[Any], ...]
    first: int
    last: int
    file: str = ""
    view: mmap.mmap | None = None
    lost: int = 0
    harmed: bool = False


def write_part(folder: Path, name: str, part: Part, fields: Fields) -> Part:
    """Writes a file atomically; its name is durable once the folder has been synced.

    Raises:
        StateError: if it cannot be written.
    """
    columns = [part.keys.astype("<u8", copy=False), part.times.astype("<i8", copy=False)]
    columns += [
        column.astype(kind, copy=False) for column, kind in zip(part.fields, (kind for _, kind in fields), strict=True)
    ]
    pieces = [piece for column in columns for piece in (column.data.cast("B"), _padding(column.nbytes))]
    crcs = [0] * -(-len(part.keys) // BLOCK)
    for column in columns:
        _checksum(crcs, column.data.cast("B"), column.itemsize * BLOCK)
    header = msgspec.json.encode(
        _Header(_FORMAT, len(part.keys), _described(fields), part.first, part.last, block=BLOCK, crcs=crcs)
    )
    preamble = _PREAMBLE.pack(_MAGIC, len(header), zlib.crc32(header))
    start = preamble + header
    fresh = folder / f"{name}.new"
    try:
        folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE), "wb") as file:
            file.writelines([start, _padding(len(start)), *pieces, header, preamble])
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(folder / name)
        opened = open_part(folder / name, fields, None)
    except (OSError, UnusableFileError) as error:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise StateError(f"{fresh}: {getattr(error, 'strerror', None) or error}") from error
    return opened


def _checksum(crcs: list[int], column: bytes | memoryview, width: int) -> None:
    """Updates the checksums of blocks with a column, of which each block has ``width`` bytes."""
    for index in range(len(crcs)):
        crcs[index] = zlib.crc32(column[index * width : (index + 1) * width], crcs[index])


def open_part(path: Path, fields: Fields, expected: Entry | None) -> Part:
    """Maps a file; a file of an earlier run (with ``expected``) is read and checked first.

    Raises:
        UnusableFileError: if none of its rows can be used.
        OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        header, body, trailer, harmed = _read_header(file, size)
        if header.format not in (1, _FORMAT) or header.fields != _described(fields):
            raise UnusableFileError("columns of another kind")
        kinds = [np.dtype("<u8"), np.dtype("<i8"), *(kind for _, kind in fields)]
        widths = [_aligned(header.rows * kind.itemsize) for kind in kinds]
        if size != body + sum(widths) + trailer:
            raise UnusableFileError("wrong size")
        whole = np.ones(header.rows, dtype=np.bool_)
        if expected is not None:
            if (header.rows, header.first, header.last) != (expected.rows, expected.first, expected.last):
                raise UnusableFileError("not the file of this name")
            whole = _whole_rows(file, header, body, [kind.itemsize for kind in kinds])
            if not whole.any():
                raise UnusableFileError("rows damaged")
        view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    starts = body + np.cumsum([0, *widths])
    keys, times, *columns = (
        np.frombuffer(view, kind, header.rows, int(at)) for kind, at in zip(kinds, starts, strict=False)
    )
    if whole.all():
        return Part(keys, times, tuple(columns), header.first, header.last, path.name, view, 0, harmed)
    kept = times[whole]
    rest = tuple(column[whole] for column in columns)
    lost = header.rows - len(kept)
    return Part(keys[whole], kept, rest, int(kept.min()), int(kept.max()), path.name, None, lost, True)


def _read_header(file: BinaryIO, size: int) -> tuple[_Header, int, int, bool]:
    """The header or its copy at the end, offset of the rows, length of the copy, and whether either is corrupt."""
    file.seek(0)
    first = _decoded(file, file.read(_PREAMBLE.size), lambda length: _PREAMBLE.size)
    if first is not None and first[0].format == 1:
        return first[0], _aligned(_PREAMBLE.size + first[1]), 0, False
    file.seek(max(size - _PREAMBLE.size, 0))
    last = _decoded(file, file.read(_PREAMBLE.size), lambda length: size - _PREAMBLE.size - length)
    decoded = first or last
    if decoded is None:
        raise UnusableFileError("header damaged")
    header, length = decoded
    return header, _aligned(_PREAMBLE.size + length), _PREAMBLE.size + length, first != last


def _decoded(file: BinaryIO, preamble: bytes, offset: Callable[[int], int]) -> tuple[_Header, int] | None:
    """The header that a preamble announces, and its length; None if one of them is corrupt."""
    if len(preamble) < _PREAMBLE.size:
        return None
    magic, length, crc = _PREAMBLE.unpack(preamble)
    if magic != _MAGIC or (start := offset(length)) < 0:
        return None
    file.seek(start)
    text = file.read(length)
    if zlib.crc32(text) != crc:
        return None
    try:
        return msgspec.json.decode(text, type=_Header), length
    except msgspec.DecodeError:
        return None


def _whole_rows(file: BinaryIO, header: _Header, body: int, sizes: list[int]) -> NDArray[np.bool_]:
    """bool[n]: whether the checksum of each row's block is correct."""
    # Read, not mapped: a bad sector then raises an error instead of a signal.
    file.seek(body)
    if header.format == 1:
        crc = 0
        while chunk := file.read(_READ):
            crc = zlib.crc32(chunk, crc)
        return np.full(header.rows, crc == header.crc, dtype=np.bool_)
    crcs = [0] * len(header.crcs)
    for size in sizes:
        column = file.read(_aligned(header.rows * size))[: header.rows * size]
        _checksum(crcs, memoryview(column), size * header.block)
    return np.repeat(np.array(crcs) == np.array(header.crcs), header.block)[: header.rows]


def merged_parts(parts: Sequence[Part], before: int) -> Part:
    """Merges parts, oldest first, and keeps the row that counts for each key, unless it is earlier than ``before``."""
    keys = np.concatenate([part.keys for part in parts])
    times = np.concatenate([part.times for part in parts])
    order = np.argsort(keys, kind="stable")
    ranked = keys[order]
    same = ranked[1:] == ranked[:-1]
    if same.any():
        tied = np.append(same, False) | np.append(False, same)
        among = order[tied]
        order[tied] = among[np.lexsort((times[among], keys[among]))]
        order = order[np.append(~same, True)]
    if before > NEVER:
        order = order[times[order] >= before]
    times = times[order]
    fields = tuple(np.concatenate(columns)[order] for columns in zip(*(part.fields for part in parts), strict=True))
    ends = (int(times.min()), int(times.max())) if len(times) else (0, 0)
    merged = Part(keys[order], times, fields, *ends)
    for part in parts:
        let_go(part)
    return merged


def let_go(part: Part) -> None:
    """Releases the pages read from a file; they stay in the system's cache while memory allows."""
    if part.view is not None:
        part.view.madvise(mmap.MADV_DONTNEED)


def _aligned(size: int) -> int:
    return -(-size // _ALIGN) * _ALIGN


def _padding(size: int) -> bytes:
    return bytes(_aligned(size) - size)


def _described(fields: Fields) -> list[tuple[str, str]]:
    return [(name, kind.str) for name, kind in fields]
