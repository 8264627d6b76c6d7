"""Learned references: in the database, under a checksum, and as files for people and for other commands.

The database comes first: the reference is saved in the transaction that deletes the raw rows it was learned from, and
written to its file afterwards. A file that differs from the saved reference is corrupt, and is written again; deleting
the file makes the daemon learn the reference again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from monitor.common.codec import decode, encode
from monitor.common.durable_files import fault_of, set_aside, write_private
from monitor.reference.build import load_reference
from monitor.state.model_files import learned_path

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from structlog.typing import FilteringBoundLogger

    from monitor.config.model import ModelSection
    from monitor.reference.profile import Profile

KIND = "reference"


class LearnedReference(msgspec.Struct):
    """A profile as in its file, and whether the file has been written."""

    written: bool
    profile: bytes


class LearnedReferences:
    """All learned references of one state directory.

    Args:
        folder: the state directory.
        damaged: counts corrupt files by kind.
        log: past-tense events.
    """

    def __init__(self, folder: Path, damaged: Counter[str], log: FilteringBoundLogger) -> None:
        self._folder, self._damaged, self._log = folder, damaged, log
        self._kept: dict[str, LearnedReference] = {}
        self._changed: set[str] = set()
        self._gone: set[str] = set()
        self._failing = False

    @property
    def urgent(self) -> bool:
        """Whether a learned reference is not saved yet."""
        return any(not self._kept[name].written for name in self._changed)

    def learn(self, name: str, profile: bytes) -> None:
        """Stores the reference that a model has learned; ``profile`` is encoded as in a file."""
        self._kept[name] = LearnedReference(False, profile)
        self._changed.add(name)
        self._gone.add(f"learned/{name}")

    def documents(self) -> dict[str, bytes]:
        """The documents that the next checkpoint must save."""
        return {f"{KIND}/{name}": encode(self._kept[name]) for name in self._changed}

    def gone(self) -> set[str]:
        """Documents that the next checkpoint must delete."""
        return set(self._gone)

    def mark_saved(self) -> None:
        """Marks the last documents as saved, and writes their files."""
        self._changed.clear()
        self._gone.clear()
        for name, kept in self._kept.items():
            if kept.written:
                continue
            try:
                write_private(learned_path(self._folder, name), kept.profile)
            except OSError as error:
                if not self._failing:
                    self._log.error("learned reference not written", model=name, error=error.strerror)
                self._failing = True
                continue
            self._failing = False
            self._kept[name] = LearnedReference(True, kept.profile)
            self._changed.add(name)

    def settle(
        self, sections: Mapping[str, ModelSection], loaded: Collection[str], documents: Mapping[str, bytes], stamp: str
    ) -> dict[str, Profile]:
        """Compares the files with the saved references.

        Args:
            sections: of the models that learn their references.
            loaded: models whose file has been read.
            documents: as loaded.
            stamp: goes into the name of a corrupt file that is set aside.

        Returns:
            Model → the reference to be used instead of the loaded one, or of the one that could not be loaded.

        Raises:
            ReferenceDataError: if a reference is intact, but does not fit the configuration.
            RetryableError: if a file cannot be read or written now.
        """
        replaced: dict[str, Profile] = {}
        for name, section in sections.items():
            path, document = learned_path(self._folder, name), documents.get(f"{KIND}/{name}")
            try:
                raw = path.read_bytes() if path.exists() else None
                kept = None if document is None else decode(document, LearnedReference)
                if kept is not None and (raw is not None or not kept.written):
                    if raw != kept.profile:
                        self._replace(path, raw, kept.profile, stamp)
                    self._keep(name, kept, f"learned/{name}" in documents)
                    if raw != kept.profile or name not in loaded:
                        replaced[name] = load_reference(section, path)
                elif raw is not None and name in loaded:
                    self._keep(name, LearnedReference(True, raw), f"learned/{name}" in documents)
                    self._changed.add(name)
                elif raw is not None and _is_json(raw):
                    replaced[name] = load_reference(section, path)  # raises with its faults
                elif raw is not None:
                    self._damage(name, path, stamp)
                elif kept is not None:
                    self._gone.add(f"{KIND}/{name}")
                    self._log.warning("reference to be learned again", model=name, why="its file was deleted")
            except OSError as error:
                raise fault_of(path, error) from error
        return replaced

    def _keep(self, name: str, kept: LearnedReference, raw_rows: bool) -> None:
        self._kept[name] = LearnedReference(True, kept.profile)
        if not kept.written:
            self._changed.add(name)
        if raw_rows:
            # Earlier versions saved the rows that a reference was learned from.
            self._gone.add(f"learned/{name}")

    def _replace(self, path: Path, raw: bytes | None, profile: bytes, stamp: str) -> None:
        if raw is not None:
            self._damage(path.name, path, stamp)
        write_private(path, profile)

    def _damage(self, name: str, path: Path, stamp: str) -> None:
        suffix = set_aside([path], stamp)
        self._damaged["learned_reference"] += 1
        self._log.error("learned reference damaged", model=name, kept_as=f"{path.name}{suffix}")


def _is_json(raw: bytes) -> bool:
    try:
        msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True
