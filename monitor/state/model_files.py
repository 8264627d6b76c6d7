"""Files of the state directory that belong to one model: label files, and its learned reference."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from pathlib import Path

_SUFFIX = ".profile.json"


def labels_folder(folder: Path, model: str) -> Path:
    """The folder of a model's waiting predictions and labels."""
    return folder / "labels" / quote(model, safe="")


def learned_path(folder: Path, model: str) -> Path:
    """The file of a model's learned reference."""
    return folder / "learned" / f"{quote(model, safe='')}{_SUFFIX}"


def models_with_files(folder: Path) -> set[str]:
    """Models with files."""
    labels, learned = folder / "labels", folder / "learned"
    models = {unquote(path.name) for path in labels.iterdir() if path.is_dir()} if labels.is_dir() else set()
    return models | {unquote(path.name.removesuffix(_SUFFIX)) for path in learned.glob(f"*{_SUFFIX}")}


def remove_files(folder: Path, model: str) -> list[str]:
    """Deletes the files of a model, including corrupt files that were set aside.

    Returns:
        Names of the deleted files, relative to the state directory.

    Raises:
        OSError: if a file could not be deleted.
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
