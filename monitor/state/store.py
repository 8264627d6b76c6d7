"""The durable state: one SQLite database, one transaction for each checkpoint. The only module that imports sqlite3.

There are three kinds of failure. *Corruption* (SQLITE_CORRUPT, SQLITE_NOTADB, a checksum): the file is set aside and
the backup is loaded. A *newer format*: the state is refused and not changed. Any other failure, such as a full disk,
may be temporary: `RetryableError`, and the state is not changed either.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections import Counter
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from monitor.common.durable_files import FILE_MODE, claim, fault_of, sync_folder
from monitor.common.errors import RetryableError, StateError
from monitor.state.generations import Generations
from monitor.state.read import check_documents, read_labelled, read_state
from monitor.state.tables import (
    FORMAT,
    StoreDamagedError,
    check,
    check_pages,
    create,
    every_row,
    format_of,
    said_format,
    upgrade,
)
from monitor.state.write import erase_documents, erase_models, write_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import numpy as np
    from structlog.typing import FilteringBoundLogger

    from monitor.state.checkpoint import Checkpoint, LoadedState
    from monitor.windows.series import SeriesKey

_LITTLE = 2**20
_DAMAGE = frozenset((sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB))
DAMAGE = ("database", "backup", "label_file", "label_block", "learned_reference")
"""Kinds of corruption that are counted."""


class Store:
    """The state directory, locked by one process.

    Args:
        folder: created if it does not exist.
        log: past-tense events.

    Attributes:
        folder: the state directory.
        damaged: kind → number of corruptions since the process started.

    Raises:
        StateError: if another process has locked it, or its state was written by a newer leewayd.
        RetryableError: if it cannot be written now.
    """

    def __init__(self, folder: Path, log: FilteringBoundLogger) -> None:
        self.folder, self._log = folder, log
        self._files = Generations(folder, log)
        self._path, self._previous = self._files.current, self._files.previous
        self._places = 0
        self.damaged = Counter(dict.fromkeys(DAMAGE, 0))
        self._database: sqlite3.Connection | None = None
        # Before locking, which creates a file.
        self._files.refuse_newer(self._formats)
        self._lock = claim(folder)

    def load(self, stamp: str, readable: Callable[[str, bytes], object] = lambda name, document: None) -> LoadedState:
        """The state of the last checkpoint; of the latest backup if the database is corrupt; else an empty state.

        Args:
            stamp: goes into the name of a corrupt file that is set aside.
            readable: decodes a document of a name, and raises if it cannot.

        Raises:
            StateError: if the state was written by a newer leewayd, or contains an intact document that this leewayd
                cannot read. Nothing has been changed.
            RetryableError: if it cannot be read or written now. Nothing has been changed.
        """
        self._files.refuse_newer(self._formats)
        damage, lost = "", False
        for kind in ("database", "backup", "backup"):
            try:
                saved = self._read(readable)
            except StoreDamagedError as error:
                damage = damage or str(error)
                self.damaged[kind] += 1
                self._close()
                lost = not self._files.fall_back(stamp, error)
            else:
                return replace(saved, damage=damage, lost=lost)
        raise RetryableError(f"{self.folder}: a new, empty state could not be read: {damage}")

    def _read(self, readable: Callable[[str, bytes], object]) -> LoadedState:
        fresh = self._files.prepare()
        with self._faults(self._path):
            self._database = database = _connect(self._path)
            check_pages(database)
            written = format_of(database)
            if written == 0:
                if not fresh:
                    raise StoreDamagedError("the database is empty")
                self._transaction(create)
                written = FORMAT
            saved = read_state(database, written)
            fault = check_documents(saved, readable, sealed=written >= FORMAT)
            if fault is not None:
                self._close()
                raise StateError(
                    f"{self._path}: document {fault[0]!r} is intact, but this leewayd cannot read it ({fault[1]}). "
                    "Nothing was changed: start the leewayd that wrote it, or move the state directory away"
                )
            if written < FORMAT:
                self._keep_copy(written)
                self._transaction(upgrade)
                self._log.info("state format upgraded", before=written, now=FORMAT)
            # After a crash it contains pages of deleted rows.
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._places = database.execute("SELECT COALESCE(MAX(place), 0) FROM outbox").fetchone()[0]
            return saved

    def _formats(self, path: Path) -> tuple[int, int | None]:
        with self._faults(path), closing(_connect(path)) as database:
            (version,) = database.execute("PRAGMA user_version").fetchone()
            return version, said_format(database)

    @contextmanager
    def _faults(self, path: Path) -> Iterator[None]:
        """Converts errors of SQLite and of the system to corruption or retryable errors."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            self._close()
            if _code(error) in _DAMAGE:
                raise StoreDamagedError(str(error)) from error
            raise RetryableError(f"{path}: {error}{_room(path)}") from error
        except MemoryError as error:
            self._close()
            raise RetryableError(f"{path}: out of memory") from error

    def _transaction(self, work: Callable[[sqlite3.Connection], object]) -> None:
        assert self._database is not None
        self._database.execute("BEGIN IMMEDIATE")
        try:
            work(self._database)
            self._database.execute("COMMIT")
        except BaseException:
            if self._database is not None and self._database.in_transaction:
                with suppress(sqlite3.Error):
                    self._database.execute("ROLLBACK")
            raise

    def commit(self, checkpoint: Checkpoint) -> None:
        """Saves a checkpoint atomically.

        Raises:
            StateError: if it could not be saved (a full disk); the previous checkpoint then remains valid.
            RetryableError: if the database is corrupt; the next start loads the backup.
        """
        before = self._places

        def write(database: sqlite3.Connection) -> None:
            self._places = write_checkpoint(database, checkpoint, before)

        try:
            self._change(write)
        except BaseException:
            self._places = before
            raise

    def _change(self, work: Callable[[sqlite3.Connection], object]) -> None:
        if self._database is None:
            raise StateError("the state has not been loaded")
        try:
            self._transaction(work)
        except sqlite3.Error as error:
            if _code(error) in _DAMAGE:
                raise RetryableError(f"{self._path}: damaged: {error}") from error
            raise StateError(f"{self._path}: {error}") from error
        except (TypeError, ValueError, OverflowError) as error:
            raise StateError(f"{self._path}: a value that cannot be saved: {error}") from error

    def labelled_panes(
        self, model: str, key: SeriesKey, start: int, end: int
    ) -> list[tuple[int, np.ndarray[tuple[int, ...], np.dtype[np.int64]]]]:
        """(start, vector) of the saved panes of a series that begin in [start, end), as of the last checkpoint.

        Raises:
            RetryableError: if they cannot be read; if they are corrupt, the next start loads the backup.
        """
        assert self._database is not None
        try:
            return read_labelled(self._database, model, key, start, end)
        except (sqlite3.DatabaseError, StoreDamagedError) as error:
            raise RetryableError(f"{self._path}: {error}") from error

    def backed_up(self) -> dict[str, bytes]:
        """The documents of the backup; empty if there is no backup or it is corrupt.

        Raises:
            RetryableError: if it cannot be read now.
        """
        if not self._previous.exists():
            return {}
        try:
            with self._faults(self._previous), closing(_look(self._previous)) as database:
                return dict(every_row(database, "documents", format_of(database)))
        except StoreDamagedError as error:
            self.damaged["backup"] += 1
            self._log.error("state backup damaged", error=str(error))
            return {}

    def back_up(self) -> None:
        """Copies the present state to the backup, which is loaded if the database becomes corrupt.

        Raises:
            StateError: if it could not be written; the previous backup then remains.
            RetryableError: if the database is corrupt; the next start loads the previous backup.
        """
        fresh = self._previous.with_suffix(".new")
        try:
            self._copy(fresh)
            with closing(_look(fresh)) as database:
                check(database)
            fresh.replace(self._previous)
            sync_folder(self.folder)
        except (sqlite3.Error, OSError) as error:
            raise StateError(f"{fresh}: {error}") from error
        except StoreDamagedError as error:
            raise RetryableError(f"{self._path}: damaged: {error}") from error

    def _copy(self, target: Path) -> None:
        if self._database is None:
            raise StateError("the state has not been loaded")
        target.unlink(missing_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, FILE_MODE))
        with closing(sqlite3.connect(target)) as database:
            self._database.backup(database)

    def _keep_copy(self, written: int) -> None:
        """Copies the database in its older format, for a downgrade; an existing copy is not overwritten."""
        name = f"{self._path.name}.format-{written}"
        number = len(list(self.folder.glob(f"{name}*")))
        target = self.folder / (f"{name}-{number + 1}" if number else name)
        fresh = self.folder / f"{name}.new"
        try:
            self._copy(fresh)
            fresh.rename(target)
            sync_folder(self.folder)
        except OSError as error:
            raise fault_of(fresh, error) from error

    def drop(self, names: set[str]) -> dict[str, int]:
        """Deletes models from the database and its copies; returns table → deleted rows.

        Raises:
            StateError: if deletion failed.
        """
        erased: dict[str, int] = {}
        self._change(lambda database: erased.update(erase_models(database, names)))
        self.scrub(lambda database: erase_models(database, names))
        return erased

    def scrub(self, erase: Callable[[sqlite3.Connection], object]) -> None:
        """Erases data that the last checkpoint deleted from all other files: the log, the backup, older formats.

        Args:
            erase: deletes the data from a copy of an older format.

        Raises:
            StateError: if erasure failed.
        """
        assert self._database is not None
        try:
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self.back_up()
            for copy in sorted(self.folder.glob(f"{self._path.name}.format-*[0-9]")):
                with closing(_connect(copy)) as database:
                    erase(database)
        except sqlite3.Error as error:
            raise StateError(f"{self.folder}: {error}") from error

    def forget(self, documents: set[str]) -> None:
        """Erases documents that the last checkpoint deleted from all other files.

        Raises:
            StateError: if erasure failed.
        """
        self.scrub(lambda database: erase_documents(database, documents))

    @property
    def set_aside(self) -> list[str]:
        """Names of corrupt files that were set aside; their content is unknown."""
        return sorted(path.name for path in self.folder.glob("*.damaged-*"))

    @property
    def nbytes(self) -> int:
        """Bytes on disk."""
        return sum(file.stat().st_size for file in self.folder.glob("leewayd*") if file.is_file())

    def close(self) -> None:
        """Closes the database and unlocks the directory."""
        self._close()
        os.close(self._lock)

    def _close(self) -> None:
        if self._database is not None:
            database, self._database = self._database, None
            with suppress(sqlite3.Error):
                database.close()


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None)
    # A byte that is not UTF-8 is corruption, which the row's checksum detects.
    database.text_factory = _text
    if not path.stat().st_size:
        # On an existing database it would write the header, even without a change.
        database.execute("PRAGMA auto_vacuum = INCREMENTAL")
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    # Deleted data is overwritten with zeros: raw values must not remain in free pages.
    database.execute("PRAGMA secure_delete = ON")
    return database


def _look(path: Path) -> sqlite3.Connection:
    """Opens a database that no process writes to, without creating files beside it."""
    database = sqlite3.connect(f"{path.resolve().as_uri()}?immutable=1", uri=True)
    database.text_factory = _text
    return database


def _room(path: Path) -> str:
    """A note if the disk is full, because SQLite may report a full disk as any error."""
    with suppress(OSError):
        if (free := shutil.disk_usage(path.parent).free) < _LITTLE:
            return f" (the disk is full: {free:,} bytes are free)"
    return ""


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; 0 if the error is not SQLite's own."""
    return int(getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF
