"""The state directory: held by one process, readable by its owner alone, and nothing damaged is overwritten."""

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
    """Makes the directory if need be and takes its lock; the descriptor that holds it.

    Raises:
        StateError: if another process holds it, or it cannot be made.
        RetryableError: if there is no room for it.
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
    """An error of the operating system as one of ours: a path that can never be used is not worth another start."""
    text = f"{path}: {error.strerror or error}"
    never = (FileNotFoundError, NotADirectoryError, IsADirectoryError, FileExistsError)
    return StateError(text) if isinstance(error, never) else RetryableError(text)


def tighten(folder: Path) -> None:
    """Takes the rights of group and others from everything that is leewayd's own.

    The directory itself, too, unless it holds anything else: then somebody made it for more than the state. Files of
    another owner stay as they are.
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
    """Writes a file whole or not at all, durably, for its owner alone.

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
    """Makes the names in a folder durable."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def set_aside(paths: Iterable[Path], stamp: str) -> str:
    """Renames what cannot be trusted to ``NAME.damaged-STAMP``, or ``-2``, ``-3``, … of it: nothing is overwritten.

    Args:
        paths: those that do not exist are passed over.
        stamp: may be empty.

    Returns:
        The suffix that was added, the same for all.

    Raises:
        OSError: if a file cannot be renamed.
    """
    found = [path for path in paths if path.exists()]
    number = 1
    while True:
        suffix = "-".join([".damaged", *([stamp] if stamp else []), *([str(number)] if number > 1 else [])])
        if not any(path.with_name(path.name + suffix).exists() for path in found):
            break
        number += 1
    for path in found:
        path.rename(path.with_name(path.name + suffix))
    return suffix
