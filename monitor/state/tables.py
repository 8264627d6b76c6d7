"""The tables of the state's database, the checksum of every row, and the upgrade from an older format.

A checksum covers a row's table, key and content, so any bit flipped on disk is detected when the row is read. CRC-32
detects every single flip and every burst of up to 32 bits (Koopman 2002); it is not a signature.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator

FORMAT = 3
"""Format number of the tables below; `upgrade` converts older formats."""

BY_MODEL = ("series", "panes", "ledger", "labelled")
"""Tables whose rows belong to the model in their column ``model``."""

Row = tuple[Any, ...]

_COLUMNS = {
    "positions": "(topic TEXT, part INTEGER, offset INTEGER, skip INTEGER, topic_id TEXT, clock INTEGER, crc INTEGER, "
    "PRIMARY KEY (topic, part)) WITHOUT ROWID",
    "models": "(name TEXT PRIMARY KEY, document BLOB, crc INTEGER) WITHOUT ROWID",
    "series": "(model TEXT, version TEXT, segment TEXT, started INTEGER, latest INTEGER, fingerprint TEXT, "
    "flagged BLOB, crc INTEGER, PRIMARY KEY (model, version, segment)) WITHOUT ROWID",
    "panes": "(model TEXT, version TEXT, segment TEXT, step INTEGER, start INTEGER, subjects INTEGER, extra INTEGER, "
    "counts BLOB, crc INTEGER, PRIMARY KEY (model, version, segment, step, start))",
    "ledger": "(model TEXT, step INTEGER, start INTEGER, document BLOB, crc INTEGER, "
    "PRIMARY KEY (model, step, start)) WITHOUT ROWID",
    "labelled": "(model TEXT, version TEXT, segment TEXT, start INTEGER, step INTEGER, counts BLOB, crc INTEGER, "
    "PRIMARY KEY (model, version, segment, start))",
    "documents": "(name TEXT PRIMARY KEY, document BLOB, crc INTEGER) WITHOUT ROWID",
    "outbox": "(id TEXT PRIMARY KEY, place INTEGER, document BLOB, crc INTEGER) WITHOUT ROWID",
}
# Every format from 3 on has this table, which repeats the format number under a checksum.
_ABOUT = "(name TEXT PRIMARY KEY, value INTEGER, crc INTEGER) WITHOUT ROWID"
_CHECKED = ", crc INTEGER"


class StoreDamagedError(Exception):
    """The database is corrupt; the backup must be loaded."""


def sealed(table: str, rows: Iterable[Row]) -> list[Row]:
    """Adds checksums to rows of a table before writing."""
    return [(*row, _checksum(table, row)) for row in rows]


def unsealed(table: str, rows: Iterable[Row]) -> Iterator[Row]:
    """The inverse of `sealed`.

    Raises:
        StoreDamagedError: at a row that fails its checksum.
    """
    for *values, crc in rows:
        row = tuple(values)
        if crc != _checksum(table, row):
            raise StoreDamagedError(f"a row of {table} fails its checksum")
        yield row


def _checksum(table: str, row: Row) -> int:
    return zlib.crc32(msgspec.msgpack.encode((table, row)))


def put(database: sqlite3.Connection, table: str, rows: Iterable[Row]) -> None:
    """Inserts rows; replaces rows with equal keys."""
    kept = sealed(table, rows)
    if kept:
        marks = ", ".join("?" * len(kept[0]))
        database.executemany(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", kept)  # noqa: S608 - our own names


def every_row(database: sqlite3.Connection, table: str, written: int) -> Iterator[Row]:
    """All rows of a table by their primary order, without checksums.

    Args:
        written: the format of the database; rows of format 2 have no checksum.

    Raises:
        StoreDamagedError: at a row that fails its checksum.
    """
    # NOT INDEXED: an index that lost an entry must not hide a row.
    rows = database.execute(f"SELECT * FROM {table} NOT INDEXED")  # noqa: S608 - our own names
    return unsealed(table, rows) if written >= 3 else iter(rows)


def create(database: sqlite3.Connection) -> None:
    """Creates the tables of an empty database, within the caller's transaction."""
    for table, columns in {**_COLUMNS, "about": _ABOUT}.items():
        database.execute(f"CREATE TABLE {table} {columns}")
    put(database, "about", [("format", FORMAT)])
    database.execute(f"PRAGMA user_version = {FORMAT}")


def upgrade(database: sqlite3.Connection) -> None:
    """Converts format 2 to format 3, within the caller's transaction: every row gets its checksum."""
    for table in _COLUMNS:
        database.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
        database.execute(f"CREATE TABLE {table} {_COLUMNS[table]}")
        rows = database.execute(f"SELECT * FROM old_{table}")  # noqa: S608 - our own names
        while batch := rows.fetchmany(1_000):
            put(database, table, batch)
        database.execute(f"DROP TABLE old_{table}")
    database.execute(f"CREATE TABLE about {_ABOUT}")
    put(database, "about", [("format", FORMAT)])
    database.execute(f"PRAGMA user_version = {FORMAT}")


def format_of(database: sqlite3.Connection) -> int:
    """The format of a database; 0 if it is empty.

    Raises:
        StoreDamagedError: if its tables do not match the format in its header.
    """
    (version,) = database.execute("PRAGMA user_version").fetchone()
    rows = database.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'table'")
    tables = {name: _words(sql) for name, sql in rows}
    if version == 0 and not tables:
        return 0
    if tables != _tables_of(version):
        raise StoreDamagedError(f"the tables do not match format {version}")
    if version >= 3 and said_format(database) != version:
        raise StoreDamagedError(f"the header has format {version}, the table another")
    return int(version)


def _tables_of(version: int) -> dict[str, str]:
    if version == FORMAT:
        return {table: f"CREATE TABLE {table} {columns}" for table, columns in {**_COLUMNS, "about": _ABOUT}.items()}
    if version == 2:
        return {table: f"CREATE TABLE {table} {columns.replace(_CHECKED, '')}" for table, columns in _COLUMNS.items()}
    return {}


def check_pages(database: sqlite3.Connection) -> None:
    """Raises `StoreDamagedError` if the file's pages, or an index and its table, contradict each other."""
    (verdict,) = database.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != "ok":
        raise StoreDamagedError(verdict)


def check(database: sqlite3.Connection) -> None:
    """Raises `StoreDamagedError` unless a database of the present format is intact, row by row."""
    check_pages(database)
    if format_of(database) != FORMAT:
        raise StoreDamagedError("the format is not the present one")
    for table in _COLUMNS:
        for _ in every_row(database, table, FORMAT):
            pass


def _words(sql: str) -> str:
    """SQL with normalised white space, because format 2 has other line breaks."""
    return " ".join(sql.split())


def said_format(database: sqlite3.Connection) -> int | None:
    """The format number in the table ``about``; None without this table."""
    if database.execute("SELECT 1 FROM sqlite_schema WHERE name = 'about'").fetchone() is None:
        return None
    for name, value in every_row(database, "about", 3):
        if name == "format":
            return int(value)
    raise StoreDamagedError("the format number is missing")


def model_of(document: str) -> str | None:
    """The model that a document belongs to by its name, ``kind/model`` or ``kind/place/model``; None for no model."""
    kind, _, rest = document.partition("/")
    if kind in ("burn-in", "followed"):
        return rest.partition("/")[2] or None
    return rest or None
