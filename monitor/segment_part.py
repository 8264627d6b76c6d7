"""One file of rows by key, sorted, immutable and memory-mapped.

A file is a magic number, the length and check sum of a JSON header, the header, and one contiguous column each for
keys, times and the fields of the payload. Columns begin at multiples of 64 bytes; numbers are little-endian.
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

from monitor.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NEVER = -(2**63)
"""A time before all others; no row may have it."""

_FORMAT = 1
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
    crc: int


class Entry(msgspec.Struct):
    """What a manifest says of a file."""

    file: str
    rows: int
    first: int
    last: int


class UnusableFileError(Exception):
    """A file is not what the manifest says it is."""


@dataclass(frozen=True, slots=True)
class Part:
    """Rows sorted by key, one a key: in memory, or views of a file.

    Attributes:
        keys: uint64[n], ascending. times: int64[n]. fields: the columns of the payload, [n] each.
        first, last: least and greatest time.
        file: the file's name, "" in memory. view: the file's mapping.
    """

    keys: NDArray[np.uint64]
    times: NDArray[np.int64]
    fields: tuple[NDArray[Any], ...]
    first: int
    last: int
    file: str = ""
    view: mmap.mmap | None = None


def write_part(folder: Path, name: str, part: Part, fields: Fields) -> Part:
    """Writes a file, whole or not at all; its name is durable once the folder has been synced.

    Raises:
        StateError: if it cannot be written.
    """
    columns = [part.keys.astype("<u8", copy=False), part.times.astype("<i8", copy=False)]
    columns += [
        column.astype(kind, copy=False) for column, kind in zip(part.fields, (kind for _, kind in fields), strict=True)
    ]
    pieces = [piece for column in columns for piece in (column.data.cast("B"), _padding(column.nbytes))]
    crc = 0
    for piece in pieces:
        crc = zlib.crc32(piece, crc)
    header = msgspec.json.encode(
        _Header(_FORMAT, len(part.keys), _described(fields), part.first, part.last, crc),
    )
    start = _PREAMBLE.pack(_MAGIC, len(header), zlib.crc32(header)) + header
    fresh = folder / f"{name}.new"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with fresh.open("wb") as file:
            file.writelines([start, _padding(len(start)), *pieces])
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(folder / name)
        opened = open_part(folder / name, fields, None)
    except (OSError, UnusableFileError) as error:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise StateError(f"{fresh}: {getattr(error, 'strerror', None) or error}") from error
    return opened


def open_part(path: Path, fields: Fields, expected: Entry | None) -> Part:
    """Maps a file; one from an earlier run (with what is expected of it) is read through and checked first."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(_PREAMBLE.size)
        if len(start) < _PREAMBLE.size:
            raise UnusableFileError("too short")
        magic, length, crc = _PREAMBLE.unpack(start)
        text = file.read(length)
        if magic != _MAGIC or zlib.crc32(text) != crc:
            raise UnusableFileError("header damaged")
        try:
            header = msgspec.json.decode(text, type=_Header)
        except msgspec.DecodeError as error:
            raise UnusableFileError("header of another kind") from error
        if header.format != _FORMAT or header.fields != _described(fields):
            raise UnusableFileError("columns of another kind")
        body = _aligned(_PREAMBLE.size + length)
        kinds = [np.dtype("<u8"), np.dtype("<i8"), *(kind for _, kind in fields)]
        widths = [_aligned(header.rows * kind.itemsize) for kind in kinds]
        if size != body + sum(widths):
            raise UnusableFileError("wrong size")
        if expected is not None:
            if (header.rows, header.first, header.last) != (expected.rows, expected.first, expected.last):
                raise UnusableFileError("not the file of this name")
            file.seek(body)
            crc = 0
            while block := file.read(_READ):
                crc = zlib.crc32(block, crc)
            if crc != header.crc:
                raise UnusableFileError("rows damaged")
        view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    starts = body + np.cumsum([0, *widths])
    keys, times, *columns = (
        np.frombuffer(view, kind, header.rows, int(at)) for kind, at in zip(kinds, starts, strict=False)
    )
    return Part(keys, times, tuple(columns), header.first, header.last, path.name, view)


def merged_parts(parts: Sequence[Part], before: int) -> Part:
    """One part of several, oldest first: the row that counts of each key, without rows earlier than ``before``."""
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
    """Gives the pages back that were read of a file; they stay in the system's cache as long as there is room."""
    if part.view is not None:
        part.view.madvise(mmap.MADV_DONTNEED)


def _aligned(size: int) -> int:
    return -(-size // _ALIGN) * _ALIGN


def _padding(size: int) -> bytes:
    return bytes(_aligned(size) - size)


def _described(fields: Fields) -> list[tuple[str, str]]:
    return [(name, kind.str) for name, kind in fields]
