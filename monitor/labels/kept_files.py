"""Sets label files aside that the configuration cannot use, and restores them when it can."""

from __future__ import annotations

import shutil
import zlib
from typing import TYPE_CHECKING

from monitor.common.durable_files import fault_of

if TYPE_CHECKING:
    from pathlib import Path


def _aside(labels: Path, kind: str) -> Path:
    """The folder for unused files; it is removed later like the folder of a model that is not configured."""
    return labels.with_name(f"{labels.name}.aside-{zlib.crc32(kind.encode()):08x}")


def keep_labels(labels: Path, kind: str) -> None:
    """Sets aside label files that the configuration cannot use, because the change may be reverted.

    Args:
        labels: folder of the model's label files.
        kind: layout of their rows.

    Raises:
        RetryableError: if the folder cannot be renamed.
    """
    kept = _aside(labels, kind)
    try:
        # The list that named the files set aside earlier no longer exists.
        if labels.is_dir() and kept.is_dir():
            shutil.rmtree(kept)
        if labels.is_dir():
            labels.rename(kept)
    except OSError as error:
        raise fault_of(labels, error) from error


def take_back_labels(labels: Path, kind: str) -> None:
    """Undoes `keep_labels`: the state still names the files, because nothing was saved with the other configuration.

    Raises:
        RetryableError: if the folder cannot be renamed.
    """
    kept = _aside(labels, kind)
    try:
        if kept.is_dir():
            if labels.is_dir():
                shutil.rmtree(labels)
            kept.rename(labels)
    except OSError as error:
        raise fault_of(labels, error) from error
