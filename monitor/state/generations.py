"""The files of the state: the database, its backup, and corrupt files that were set aside."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from monitor.common.durable_files import FILE_MODE, fault_of, set_aside, tighten
from monitor.common.errors import StateError
from monitor.state.format import header_fault, written_formats
from monitor.state.tables import FORMAT, StoreDamagedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

Formats = tuple[int, int | None]
"""The format in a database's header, and in its table ``about``."""


class Generations:
    """The database and its backup.

    Args:
        folder: the state directory.
        log: past-tense events.
    """

    def __init__(self, folder: Path, log: FilteringBoundLogger) -> None:
        self._folder, self._log = folder, log
        self.current = folder / "leewayd.db"
        self.previous = folder / "leewayd.previous.db"

    def refuse_newer(self, look: Callable[[Path], Formats]) -> None:
        """Checks that no newer leewayd wrote the state; only reads the files.

        Args:
            look: opens a database and reads its formats.

        Raises:
            StateError: if a newer leewayd did.
        """
        for path in (self.current, self.previous):
            try:
                newest = max(written_formats(path), default=0)
                if newest <= FORMAT or not self._newer(path, look):
                    continue
            except OSError as error:
                raise fault_of(path, error) from error
            raise StateError(
                f"{path}: state of format {newest}, this leewayd reads {FORMAT}: start the leewayd that wrote it"
            )

    def _newer(self, path: Path, look: Callable[[Path], Formats]) -> bool:
        """Whether the format is newer, and not a flipped bit; examines a copy, since opening would write."""
        with tempfile.TemporaryDirectory(prefix="leewayd-") as name:
            copy = Path(name) / "copy.db"
            for suffix in ("", "-wal"):
                if (file := path.with_name(path.name + suffix)).exists():
                    shutil.copyfile(file, copy.with_name(copy.name + suffix))
            try:
                version, said = look(copy)
            except StoreDamagedError:
                return False
        # The table has the number that the header had before one of its bits flipped.
        flipped = said is not None and said <= FORMAT and (said ^ version).bit_count() == 1
        return version > FORMAT and not flipped

    def prepare(self) -> bool:
        """Prepares the files for opening: private to their owner, without partly written files.

        Returns:
            Whether the state is new: only then may the database be empty.

        Raises:
            StoreDamagedError: if the file is not a database, or is missing although a backup exists.
            RetryableError: if the files cannot be read or written.
        """
        try:
            tighten(self._folder)
            for path in self._folder.glob("leewayd*.new*"):
                path.unlink()
            # Earlier versions left these files, which are empty, beside the backup when they read it.
            for suffix in ("-wal", "-shm"):
                self.previous.with_name(self.previous.name + suffix).unlink(missing_ok=True)
            size = self.current.stat().st_size if self.current.exists() else None
            if not size and self.previous.exists():
                fault = "missing" if size is None else "empty"
                raise StoreDamagedError(f"the database is {fault}, although a backup exists")
            if size is None:
                os.close(os.open(self.current, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, FILE_MODE))
            elif fault := header_fault(self.current):
                raise StoreDamagedError(fault)
            return not self.previous.exists()
        except OSError as error:
            raise fault_of(self.current, error) from error

    def fall_back(self, stamp: str, error: StoreDamagedError) -> bool:
        """Sets the corrupt database aside and replaces it by the backup; False if there is no backup.

        Raises:
            RetryableError: if the files cannot be renamed.
        """
        try:
            suffix = set_aside([self.current.with_name(self.current.name + end) for end in ("", "-wal", "-shm")], stamp)
            self._log.error("state damaged", error=str(error), kept_as=f"{self.current.name}{suffix}")
            if self.previous.exists():
                self.previous.rename(self.current)
                self._log.warning("state backup loaded", file=self.previous.name)
                return True
            # The lists of label files were in the database. A daemon without a list would delete the files.
            set_aside([self._folder / "labels"], stamp)
            self._log.error("state lost", why="there is no usable backup")
            return False
        except OSError as cause:
            raise fault_of(self.current, cause) from cause
