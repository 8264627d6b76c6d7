"""The durable state: one SQLite database, one transaction a checkpoint. The only module that knows sqlite3."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import zlib
from contextlib import closing
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from alerts.delivery import OutboxEntry
from detectors.layout import COLUMNS
from monitor.errors import StateError
from monitor.panes import Pane
from monitor.records import Partition, Position
from monitor.saved import Checkpoint, Saved, SavedModel, SavedSeries

if TYPE_CHECKING:
    from pathlib import Path

    from structlog.typing import FilteringBoundLogger

    from monitor.labelled_panes import LabelledChange
    from monitor.windows import SeriesKey

_FORMAT = 2
_SCHEMA = """
CREATE TABLE IF NOT EXISTS positions (topic TEXT, part INTEGER, offset INTEGER, skip INTEGER, topic_id TEXT,
  clock INTEGER, PRIMARY KEY (topic, part)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS models (name TEXT PRIMARY KEY, document BLOB) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS series (model TEXT, version TEXT, segment TEXT, started INTEGER, latest INTEGER,
  fingerprint TEXT, flagged BLOB, PRIMARY KEY (model, version, segment)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS panes (model TEXT, version TEXT, segment TEXT, step INTEGER, start INTEGER, subjects INTEGER,
  extra INTEGER, counts BLOB, PRIMARY KEY (model, version, segment, step, start));
CREATE TABLE IF NOT EXISTS ledger (model TEXT, step INTEGER, start INTEGER, document BLOB,
  PRIMARY KEY (model, step, start)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS labelled (model TEXT, version TEXT, segment TEXT, start INTEGER, step INTEGER, counts BLOB,
  PRIMARY KEY (model, version, segment, start));
CREATE TABLE IF NOT EXISTS documents (name TEXT PRIMARY KEY, document BLOB) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outbox (id TEXT PRIMARY KEY, place INTEGER, document BLOB) WITHOUT ROWID;
"""


class StoreDamagedError(Exception):
    """The database cannot be trusted; another generation is to be loaded."""


class _ModelRow(msgspec.Struct):
    shape: str
    watermark: int | None
    evaluated: dict[str, int]
    rows: dict[str, int]
    late: int
    overflow: int
    later: list[tuple[str, str, int, int]] = []


class Store:
    """The state directory, held by one process.

    Args:
        folder: made if it does not exist.
        log: past-tense events.

    Raises:
        StateError: if another process holds it or it cannot be written.
    """

    def __init__(self, folder: Path, log: FilteringBoundLogger) -> None:
        self._folder, self._log = folder, log
        self._path = folder / "leewayd.db"
        self._previous = folder / "leewayd.previous.db"
        self._places = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StateError(f"{folder}: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            raise StateError(f"{folder}: another leewayd is using this state directory") from error
        self._database: sqlite3.Connection | None = None

    def load(self, stamp: str) -> Saved:
        """The state of the last checkpoint; that of the latest backup if the database is damaged; else an empty one.

        Args:
            stamp: goes into the name of a damaged file that is set aside.
        """
        for attempt in ("current", "previous", "empty"):
            try:
                saved = self._read()
            except (sqlite3.DatabaseError, StoreDamagedError, zlib.error, msgspec.DecodeError, ValueError) as error:
                self._set_aside(stamp, error)
                if attempt == "current" and self._previous.exists():
                    self._log.warning("state backup loaded", file=self._previous.name)
                    self._previous.replace(self._path)
            else:
                return saved
        raise StateError(f"{self._folder}: no usable state could be made")

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._path, isolation_level=None)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("PRAGMA auto_vacuum = INCREMENTAL")
        return database

    def _set_aside(self, stamp: str, error: Exception) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None
        for suffix in ("", "-wal", "-shm"):
            file = self._path.with_name(self._path.name + suffix)
            if file.exists():
                file.replace(file.with_name(f"{file.name}.damaged-{stamp}"))
        self._log.error("state damaged", error=str(error), kept_as=f"{self._path.name}.damaged-{stamp}")

    def _read(self) -> Saved:
        self._database = database = self._open()
        if (verdict := database.execute("PRAGMA quick_check").fetchone()[0]) != "ok":
            raise StoreDamagedError(verdict)
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, _FORMAT):
            raise StoreDamagedError(f"format {version}, this leewayd reads {_FORMAT}")
        database.executescript(_SCHEMA)
        database.execute(f"PRAGMA user_version = {_FORMAT}")
        positions = {
            Partition(topic, part): Position(offset, skip, topic_id, clock)
            for topic, part, offset, skip, topic_id, clock in database.execute("SELECT * FROM positions")
        }
        models = {
            name: self._read_model(database, name, document)
            for name, document in database.execute("SELECT name, document FROM models").fetchall()
        }
        documents = dict(database.execute("SELECT name, document FROM documents"))
        outbox = [
            msgspec.json.decode(document, type=OutboxEntry)
            for (document,) in database.execute("SELECT document FROM outbox ORDER BY place")
        ]
        self._places = database.execute("SELECT COALESCE(MAX(place), 0) FROM outbox").fetchone()[0]
        return Saved(positions, models, documents, tuple(outbox))

    def _read_model(self, database: sqlite3.Connection, name: str, document: bytes) -> SavedModel:
        row = msgspec.json.decode(document, type=_ModelRow)
        panes: dict[tuple[str, str], dict[int, list[Pane]]] = {}
        for version, segment, step, *pane in database.execute(
            "SELECT version, segment, step, start, subjects, extra, counts FROM panes WHERE model = ? ORDER BY start",
            (name,),
        ):
            panes.setdefault((version, segment), {}).setdefault(step, []).append(_unpack(*pane))
        series = tuple(
            SavedSeries(
                version, segment, started, latest, panes.get((version, segment), {}), fingerprint,
                msgspec.json.decode(flagged, type=tuple[int, ...]),
            )
            for version, segment, started, latest, fingerprint, flagged in database.execute(
                "SELECT version, segment, started, latest, fingerprint, flagged FROM series WHERE model = ?", (name,)
            )
        )  # fmt: skip
        offsets: dict[int, dict[int, dict[Partition, tuple[int, int]]]] = {}
        for step, start, ranges in database.execute(
            "SELECT step, start, document FROM ledger WHERE model = ?", (name,)
        ):
            offsets.setdefault(step, {})[start] = {
                Partition(topic, part): (first, last)
                for topic, part, first, last in msgspec.json.decode(ranges, type=list[tuple[str, int, int, int]])
            }
        return SavedModel(row.shape, row.watermark, row.evaluated, row.rows, row.late, row.overflow, series, offsets)

    def commit(self, checkpoint: Checkpoint) -> None:
        """Saves a checkpoint, whole or not at all.

        Raises:
            StateError: if it could not be saved (a full disk); the previous checkpoint is then still in force.
        """
        database = self._database
        if database is None:
            raise StateError("the state has not been loaded")
        try:
            database.execute("BEGIN IMMEDIATE")
            try:
                self._write(database, checkpoint)
                database.execute("COMMIT")
            except BaseException:
                if database.in_transaction:
                    database.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise StateError(f"{self._path}: {error}") from error

    def _write(self, database: sqlite3.Connection, checkpoint: Checkpoint) -> None:
        database.execute("DELETE FROM positions")
        database.executemany(
            "INSERT INTO positions VALUES (?, ?, ?, ?, ?, ?)",
            [
                (topic, part, position.offset, position.skip, position.topic_id, position.clock)
                for (topic, part), position in checkpoint.positions.items()
            ],
        )
        for name, change in checkpoint.models.items():
            model = change.model
            if change.fresh:
                for table in ("panes", "series", "ledger"):
                    database.execute(f"DELETE FROM {table} WHERE model = ?", (name,))  # noqa: S608 - table names are ours
            for step, oldest in (change.oldest or {}).items():
                for table in ("panes", "ledger"):
                    database.execute(
                        f"DELETE FROM {table} WHERE model = ? AND step = ? AND start + step <= ?",  # noqa: S608
                        (name, step, oldest),
                    )
            for version, segment in change.ended:
                for table in ("panes", "series"):
                    database.execute(
                        f"DELETE FROM {table} WHERE model = ? AND version = ? AND segment = ?",  # noqa: S608
                        (name, version, segment),
                    )
            row = _ModelRow(
                model.shape, model.watermark, dict(model.evaluated), dict(model.rows), model.late,
                model.overflow,
            )  # fmt: skip
            database.execute("INSERT OR REPLACE INTO models VALUES (?, ?)", (name, msgspec.json.encode(row)))
            for series in model.series:
                key = (name, series.version, series.segment)
                database.execute(
                    "INSERT OR REPLACE INTO series VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (*key, series.started, series.latest, series.fingerprint, msgspec.json.encode(series.flagged)),
                )
                database.executemany(
                    "INSERT OR REPLACE INTO panes VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    [
                        (*key, step, pane.start, pane.bins.shape[0], len(pane.extra), _pack(pane))
                        for step, panes in series.panes.items()
                        for pane in panes
                    ],
                )
            database.executemany(
                "INSERT OR REPLACE INTO ledger VALUES (?, ?, ?, ?)",
                [
                    (
                        name,
                        step,
                        start,
                        msgspec.json.encode([(*partition, *ends) for partition, ends in ranges.items()]),
                    )
                    for step, starts in model.offsets.items()
                    for start, ranges in starts.items()
                ],
            )
        for name, labelled in checkpoint.labelled.items():
            self._write_labelled(database, name, labelled)
        database.executemany("INSERT OR REPLACE INTO documents VALUES (?, ?)", list(checkpoint.documents.items()))
        for entry in checkpoint.outbox:
            self._places += 1
            database.execute(
                "INSERT INTO outbox VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET document = excluded.document",
                (entry.id, self._places, msgspec.json.encode(entry)),
            )
        database.executemany("DELETE FROM outbox WHERE id = ?", [(entry,) for entry in checkpoint.delivered])

    @staticmethod
    def _write_labelled(database: sqlite3.Connection, name: str, change: LabelledChange) -> None:
        one = "DELETE FROM labelled WHERE model = ? AND version = ? AND segment = ?"
        database.executemany(one, [(name, *key) for key in change.dropped])
        database.executemany(f"{one} AND start = ?", [(name, *key, start) for key, start in change.gone])
        if change.before is not None:
            database.execute("DELETE FROM labelled WHERE model = ? AND start + step <= ?", (name, change.before))
        database.executemany(
            "INSERT OR REPLACE INTO labelled VALUES (?, ?, ?, ?, ?, ?)",
            [
                (name, *key, start, step, zlib.compress(vector.tobytes(), 1))
                for key, start, step, vector in change.panes
            ],
        )

    def labelled_panes(
        self, model: str, key: SeriesKey, start: int, end: int
    ) -> list[tuple[int, np.ndarray[tuple[int, ...], np.dtype[np.int64]]]]:
        """(start, vector) of the saved panes of a series that begin in [start, end), as of the last checkpoint."""
        assert self._database is not None
        rows = self._database.execute(
            "SELECT start, counts FROM labelled WHERE model = ? AND version = ? AND segment = ? AND start >= ? "
            "AND start < ?",
            (model, *key, start, end),
        )
        return [(begin, np.frombuffer(zlib.decompress(packed), dtype=np.int64)) for begin, packed in rows]

    def backed_up(self) -> dict[str, bytes]:
        """The documents of the generation to fall back on; none where there is no such, or it cannot be read."""
        if not self._previous.exists():
            return {}
        try:
            with closing(sqlite3.connect(f"file:{self._previous}?mode=ro", uri=True)) as database:
                return dict(database.execute("SELECT name, document FROM documents"))
        except sqlite3.Error:
            return {}

    def back_up(self) -> None:
        """Keeps the present state as the generation to fall back on should the database be damaged.

        Raises:
            StateError: if it could not be written.
        """
        if self._database is None:
            raise StateError("the state has not been loaded")
        fresh = self._previous.with_suffix(".new")
        try:
            fresh.unlink(missing_ok=True)
            with closing(sqlite3.connect(fresh)) as target:
                self._database.backup(target)
            fresh.replace(self._previous)
        except (sqlite3.Error, OSError) as error:
            raise StateError(f"{fresh}: {error}") from error

    @property
    def nbytes(self) -> int:
        """Bytes on disk."""
        return sum(file.stat().st_size for file in self._folder.glob("leewayd*") if file.is_file())

    def close(self) -> None:
        """Closes the database and lets go of the directory."""
        if self._database is not None:
            self._database.close()
            self._database = None
        os.close(self._lock)


def _pack(pane: Pane) -> bytes:
    arrays = (pane.bins, pane.moments, pane.extremes, pane.extra)
    parts = (np.int64(pane.rows).tobytes(), *(array.tobytes() for array in arrays))
    # Counts are mostly zeros; level 1 shrinks them about fifteenfold and costs little.
    return zlib.compress(b"".join(parts), 1)


def _unpack(start: int, subjects: int, extra: int, packed: bytes) -> Pane:
    raw = zlib.decompress(packed)
    rows, rest = int(np.frombuffer(raw[:8], dtype=np.int64)[0]), raw[8:]
    size, pairs = subjects * COLUMNS * 8, subjects * 2 * 8
    further = size + 2 * pairs
    if len(rest) != further + extra * 8:
        raise StoreDamagedError("a pane has the wrong size")
    return Pane(
        start,
        rows,
        np.frombuffer(rest[:size], dtype=np.int64).reshape(subjects, COLUMNS).copy(),
        np.frombuffer(rest[size : size + pairs], dtype=np.int64).reshape(subjects, 2).copy(),
        np.frombuffer(rest[size + pairs : further], dtype=np.float64).reshape(subjects, 2).copy(),
        np.frombuffer(rest[further:], dtype=np.int64).copy(),
    )
