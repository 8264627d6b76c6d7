"""Parts of the daemon that are saved: each has one document, and says whether it has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


class Stateful(Protocol):
    """Something that survives a restart.

    Attributes:
        changed: since its document was last saved.
    """

    changed: bool

    def document(self) -> bytes:
        """Its state, encoded."""

    def restore(self, document: bytes) -> None:
        """Takes the state of a document over."""


class Documents:
    """Stateful parts of one owner, saved under ``KIND/OWNER``.

    Args:
        owner: a model's name.
        parts: kind → part.
    """

    def __init__(self, owner: str, parts: Mapping[str, Stateful]) -> None:
        self._parts = {f"{kind}/{owner}": part for kind, part in parts.items()}

    def restore(self, documents: Mapping[str, bytes]) -> None:
        """Restores each part whose document was saved."""
        for name, part in self._parts.items():
            if (document := documents.get(name)) is not None:
                part.restore(document)

    def changes(self) -> dict[str, bytes]:
        """Name → document of each part that has changed."""
        return {name: part.document() for name, part in self._parts.items() if part.changed}

    def mark_saved(self) -> None:
        """Marks the last changes as saved."""
        for part in self._parts.values():
            part.changed = False
