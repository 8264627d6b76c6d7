"""Checks the files of predictions and labels before any of them is read."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from monitor.common.compressed import compression_of
from monitor.common.nearest import hint, quoted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from monitor.config.schema import FileSection

PARQUET = (".parquet", ".pq")


def file_problems(section: FileSection | None) -> list[str]:
    """Faults of the files of ``[file]``, each with its key."""
    if section is None:
        return []
    problems: list[str] = []
    names: set[str] = set()
    for key, paths in (("predictions", section.predictions), ("labels", section.labels)):
        for number, path in enumerate(paths):
            option = f"file.{key}[{number}]"
            if path.name in names:
                problems.append(f"{option}: two input files are named {quoted(path.name)}; rename one of them")
            names.add(path.name)
            if (fault := fault_of(path, follow=section.follow)) is not None:
                problems.append(f"{option}: {fault}")
    return problems


def faults(paths: Sequence[Path]) -> list[str]:
    """Faults of the files of a replay, as lines."""
    return [fault for path in paths if (fault := fault_of(path, follow=False)) is not None]


def fault_of(path: Path, *, follow: bool) -> str | None:
    """Why a file cannot be read; None if it can."""
    try:
        if path.is_dir():
            return f"{path}: this is a folder; name the files in it"
        if not path.exists():
            beside = [other.name for other in path.parent.iterdir() if other.is_file()] if path.parent.is_dir() else []
            advice = hint(path.name, beside, "")
            return f"{path}: no such file{f'; {advice}' if advice.startswith('did') else ''}"
        if not os.access(path, os.R_OK):
            return f"{path}: permission denied; the file must be readable for this user"
        if follow and (compression := compression_of(path)):
            return f"{path}: found {compression}; a compressed file cannot be followed: follow the plain one"
    except OSError as error:
        return f"{path}: {error.strerror}"
    if follow and path.suffix.lower() in PARQUET:
        return f"{path}: a Parquet file cannot be followed; use JSON lines"
    return None
