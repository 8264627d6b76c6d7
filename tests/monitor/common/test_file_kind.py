"""The kind of a file by its first bytes, as its own writer makes them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sqlite3
import zipfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
import zstandard

from monitor.common.file_kind import LONGEST, kind_of

RAW = b'{"a": 1}\n' * 10


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a", RAW)
    return out.getvalue()


def arrow() -> bytes:
    out = io.BytesIO()
    table = pa.table({"a": [1]})
    with pa.ipc.new_file(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (gzip.compress(RAW, mtime=0), "gzip data"),
        (zstandard.ZstdCompressor().compress(RAW), "Zstandard data"),
        (bz2.compress(RAW), "bzip2 data"),
        (lzma.compress(RAW), "xz data"),
        (zipped(), "a zip archive"),
        (pd.DataFrame({"a": [1]}).to_parquet(), "Parquet"),
        (arrow(), "Arrow"),
        (RAW.decode().encode("utf-16"), "UTF-16 text"),
        (b"\x00\x01", "binary data"),
        (RAW, ""),
        (b"a,b\n1,2\n", ""),
        (b"", ""),
    ],
    # Bytes hold the time, and workers must agree on names.
    ids=range(12),
)
def test_what_a_writer_makes_is_recognised(raw: bytes, kind: str) -> None:
    assert kind_of(raw) == kind
    assert kind_of(raw[:LONGEST]) == kind


def test_a_database_is_recognised(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE t (a)")
    database.close()
    assert kind_of(path.read_bytes()[:LONGEST]) == "an SQLite database"
