"""Models that the configuration no longer names. Their state is kept for a while, in case of a mistake."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.common.codec import decode, encode

if TYPE_CHECKING:
    from collections.abc import Iterable

DOCUMENT = "removed"
Since = dict[str, int]


class Removed:
    """When each removed model was first missing, by the wall clock, in epoch ms; survives restarts.

    Attributes:
        since: model → when it was first missing.
        changed: whether ``since`` has changed since it was last saved.
    """

    def __init__(self) -> None:
        self.since: Since = {}
        self.changed = False

    def look(self, kept: Iterable[str], configured: Iterable[str], now: int) -> set[str]:
        """Compares the state with the configuration; returns the models that are missing for the first time.

        Args:
            kept: models in the state.
            configured: models that the configuration names.
            now: epoch ms. If the clock goes back, the waiting time restarts, so no state is dropped too early.
        """
        missing = set(kept) - set(configured)
        since = {name: min(self.since.get(name, now), now) for name in missing}
        fresh = missing - self.since.keys()
        if since != self.since:
            self.since, self.changed = since, True
        return fresh

    def due(self, now: int, keep_ms: int) -> set[str]:
        """Models that have been missing for at least ``keep_ms``."""
        return {name for name, since in self.since.items() if now - since >= keep_ms}

    def gone(self, names: Iterable[str]) -> None:
        """Forgets models whose state has been deleted."""
        for name in names:
            self.changed = self.since.pop(name, None) is not None or self.changed

    def document(self) -> bytes:
        """The document that a checkpoint saves."""
        return encode(self.since)

    def restore(self, document: bytes) -> None:
        """Restores the times from a checkpoint."""
        self.since = decode(document, Since)
