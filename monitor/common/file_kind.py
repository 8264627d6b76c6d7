"""The kind of a file or a message, by its first bytes."""

from __future__ import annotations

_FIRST_BYTES = (
    (b"\x1f\x8b", "gzip data"),
    (b"\x28\xb5\x2f\xfd", "Zstandard data"),
    (b"BZh", "bzip2 data"),
    (b"\xfd7zXZ\x00", "xz data"),
    (b"\x04\x22\x4d\x18", "LZ4 data"),
    (b"\xff\x06\x00\x00sNaPpY", "Snappy data"),
    (b"PK\x03\x04", "a zip archive"),
    (b"PAR1", "Parquet"),
    (b"ARROW1", "Arrow"),
    (b"Obj\x01", "Avro"),
    (b"ORC", "ORC"),
    (b"SQLite format 3", "an SQLite database"),
    (b"\xff\xfe", "UTF-16 text"),
    (b"\xfe\xff", "UTF-16 text"),
    (b"\x00", "binary data"),
)
LONGEST = 16
"""Bytes that `kind_of` needs at most."""


def kind_of(first: bytes) -> str:
    """Describes the kind of data that begins with ``first``; empty for data that may be JSON or other text."""
    return next((name for start, name in _FIRST_BYTES if first.startswith(start)), "")
