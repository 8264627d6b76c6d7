"""Reads the format of a database file without opening it, because opening would already write files beside it."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

_MAGIC = b"SQLite format 3\x00"
_HEADER = 100
_FRAME, _WAL = 24, 32
_VERSION_AT = 60
_MODES = (b"\x01\x01", b"\x02\x02")
_SHARES = b"\x00\x40\x20\x20"


def header_fault(path: Path) -> str:
    """Why the first 100 bytes are not a valid header of a state database; empty if they are, or the file is empty.

    SQLite reports some of these faults as a file that is read-only or busy, which would look temporary.
    The fields are those of https://www.sqlite.org/fileformat2.html#the_database_header.

    Raises:
        OSError: if the file cannot be read.
    """
    with path.open("rb") as file:
        raw = file.read(_HEADER)
    if not raw:
        return ""
    if len(raw) < _HEADER or not raw.startswith(_MAGIC):
        return "not a database"
    schema, encoding = struct.unpack_from(">I", raw, 44)[0], struct.unpack_from(">I", raw, 56)[0]
    modes, shares = raw[18:20], raw[20:24]
    if modes not in _MODES or shares != _SHARES or any(raw[72:92]) or (schema, encoding) not in ((4, 1), (0, 0)):
        return "the header is corrupt"
    return ""


def written_formats(path: Path) -> set[int]:
    """Format numbers in a database file and its write-ahead log, including the latest.

    Raises:
        OSError: if the files cannot be read.
    """
    formats = set()
    if path.exists():
        with path.open("rb") as file:
            raw = file.read(_HEADER)
        if raw.startswith(_MAGIC) and len(raw) == _HEADER:
            formats.add(_version(raw))
    log = path.with_name(path.name + "-wal")
    if log.exists():
        with log.open("rb") as file:
            formats |= _logged(file)
    return formats


def _logged(file: BinaryIO) -> set[int]:
    """Format numbers in the first pages of a write-ahead log, committed or not."""
    header = file.read(_WAL)
    if len(header) < _WAL:
        return set()
    (size,) = struct.unpack_from(">I", header, 8)
    formats: set[int] = set()
    if not 512 <= size <= 65_536:
        return formats
    offset = _WAL
    while len(frame := file.read(_FRAME)) == _FRAME and frame[8:16] == header[16:24]:
        if struct.unpack_from(">I", frame)[0] == 1:
            page = file.read(_HEADER)
            if page.startswith(_MAGIC) and len(page) == _HEADER:
                formats.add(_version(page))
        offset += _FRAME + size
        file.seek(offset)
    return formats


def _version(header: bytes) -> int:
    return int(struct.unpack_from(">i", header, _VERSION_AT)[0])
