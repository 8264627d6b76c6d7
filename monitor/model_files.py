"""Files of the state directory that belong to one model: label files, and the reference that it learned."""

from __future__ import annotations

import shutil
import zlib
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from monitor.state_folder import fault_of

if TYPE_CHECKING:
    from pathlib import Path

_SUFFIX = ".profile.json"


def labels_folder(folder: Path, model: str) -> Path:
    """Where the predictions of a model wait for their labels."""
    return folder / "labels" / quote(model, safe="")


def learned_path(folder: Path, model: str) -> Path:
    """Where the learned reference of a model is kept."""
    return folder / "learned" / f"{quote(model, safe='')}{_SUFFIX}"


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


def models_with_files(folder: Path) -> set[str]:
    """Models that have any such files."""
    labels, learned = folder / "labels", folder / "learned"
    found = {unquote(path.name) for path in labels.iterdir() if path.is_dir()} if labels.is_dir() else set()
    return found | {unquote(path.name.removesuffix(_SUFFIX)) for path in learned.glob(f"*{_SUFFIX}")}


def remove_files(folder: Path, model: str) -> list[str]:
    """Deletes the files of a model, those of it that were found damaged and set aside among them.

    Returns:
        Names of what was there, relative to the state directory.

    Raises:
        OSError: if something could not be deleted.
    """
    labels, learned = labels_folder(folder, model), learned_path(folder, model)
    removed = []
    for path in [labels, *labels.parent.glob(f"{labels.name}.aside-*")]:
        if path.is_dir():
            shutil.rmtree(path)
            removed.append(path)
    for path in [learned, *learned.parent.glob("*.damaged*")]:
        if path.exists() and (path == learned or path.name.startswith(f"{learned.name}.damaged")):
            path.unlink()
            removed.append(path)
    return [str(path.relative_to(folder)) for path in removed]
