"""The state directory: locked by one process, readable by its owner only; corrupt files are never overwritten."""

from __future__ import annotations

import fcntl
import os
import re
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from monitor.common.errors import RetryableError, StateError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

FILE_MODE, FOLDER_MODE = 0o600, 0o700
_OWN = re.compile(r"lock|leewayd\.(db|previous)\b.*|(labels|learned)(\.damaged-.*)?")


def claim(folder: Path) -> int:
    """Creates the directory if needed, locks it, and returns the descriptor of the lock.

    Raises:
        StateError: if another process holds the lock, or the directory cannot be created.
        RetryableError: if the disk is full.
    """
    try:
        folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    except OSError as error:
        raise fault_of(folder, error) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise StateError(f"{folder}: another leewayd is using this state directory; stop it first") from error
    except OSError as error:
        os.close(lock)
        raise fault_of(folder, error) from error
    return lock


def fault_of(path: Path, error: OSError) -> RetryableError | StateError:
    """Converts an error of the operating system: retryable, or a `StateError` if another start cannot help."""
    text = f"{path}: {error.strerror or error}"
    never = (FileNotFoundError, NotADirectoryError, IsADirectoryError, FileExistsError)
    return StateError(text) if isinstance(error, never) else RetryableError(text)


def tighten(folder: Path) -> None:
    """Removes the permissions of group and others from all files of leewayd.

    The directory is included unless it contains other files, which means that it was created for more than the state.
    Files of another owner stay as they are.
    """
    entries = list(folder.iterdir())
    own = [entry for entry in entries if _OWN.fullmatch(entry.name)]
    inside = [path for entry in own if entry.is_dir() and not entry.is_symlink() for path in entry.rglob("*")]
    for path in [*own, *inside, *([folder] if len(own) == len(entries) else [])]:
        with suppress(OSError):
            mode = stat.S_IMODE(path.lstat().st_mode)
            if mode & 0o077 and not path.is_symlink():
                path.chmod(mode & 0o700)


def write_private(path: Path, raw: bytes) -> None:
    """Writes a file atomically and durably, readable by its owner only.

    Raises:
        OSError: if it cannot be written.
    """
    path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    with os.fdopen(file, "wb") as out:
        out.write(raw)
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Flushes a folder's entries to disk."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def set_aside(paths: Iterable[Path], stamp: str) -> str:
    """Renames corrupt files to ``NAME.damaged-STAMP``, with ``-2``, ``-3``, … appended if that name is taken.

    Args:
        paths: files to rename; missing ones are skipped.
        stamp: may be empty.

    Returns:
        The suffix that was added to every file.

    Raises:
        OSError: if a file cannot be renamed.
    """
    existing = [path for path in paths if path.exists()]
    number = 1
    while True:
        suffix = "-".join([".damaged", *([stamp] if stamp else []), *([str(number)] if number > 1 else [])])
        if not any(path.with_name(path.name + suffix).exists() for path in existing):
            break
        number += 1
    for path in existing:
        path.rename(path.with_name(path.name + suffix))
    return suffix
