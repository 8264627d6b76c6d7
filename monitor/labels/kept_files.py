"""Label files that a configuration cannot use now are kept aside, and taken back."""

from __future__ import annotations

import shutil
import zlib
from typing import TYPE_CHECKING

from monitor.common.durable_files import fault_of

if TYPE_CHECKING:
    from pathlib import Path


def _aside(labels: Path, kind: str) -> Path:
    """Counts as a model of its own that is not configured, and goes as such after a while."""
    return labels.with_name(f"{labels.name}.aside-{zlib.crc32(kind.encode()):08x}")


def keep_labels(labels: Path, kind: str) -> None:
    """Keeps label files of a kind that the configuration cannot use now: it may be one that is taken back.

    Args:
        labels: folder of the model's label files.
        kind: what their rows consist of.

    Raises:
        RetryableError: if the folder cannot be renamed.
    """
    kept = _aside(labels, kind)
    try:
        # Files that were kept before were named by a list that is gone.
        if labels.is_dir() and kept.is_dir():
            shutil.rmtree(kept)
        if labels.is_dir():
            labels.rename(kept)
    except OSError as error:
        raise fault_of(labels, error) from error


def take_back_labels(labels: Path, kind: str) -> None:
    """Undoes `keep_labels`: the state still names those files, since nothing was saved with the other configuration.

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
