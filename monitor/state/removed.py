"""Models that the configuration no longer names: what is kept of them stays for a while, in case it was a mistake."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.common.codec import decode, encode

if TYPE_CHECKING:
    from collections.abc import Iterable

DOCUMENT = "removed"
Since = dict[str, int]


class Removed:
    """Since when each of them has been missing, by the wall clock, in epoch ms: restarts do not begin it again.

    Attributes:
        since: model → when it was first found missing.
        changed: since it was last saved.
    """

    def __init__(self) -> None:
        self.since: Since = {}
        self.changed = False

    def look(self, kept: Iterable[str], configured: Iterable[str], now: int) -> set[str]:
        """Compares what is kept with the configuration; gives the models that are missing for the first time.

        Args:
            kept: models that anything is kept of.
            configured: models that the configuration names.
            now: epoch ms. A clock that went back begins the time again, so nothing goes too early.
        """
        missing = set(kept) - set(configured)
        since = {name: min(self.since.get(name, now), now) for name in missing}
        fresh = missing - self.since.keys()
        if since != self.since:
            self.since, self.changed = since, True
        return fresh

    def due(self, now: int, keep_ms: int) -> set[str]:
        """Models that have been missing for so long that they go."""
        return {name for name, since in self.since.items() if now - since >= keep_ms}

    def gone(self, names: Iterable[str]) -> None:
        """Nothing is kept of some models any more."""
        for name in names:
            self.changed = self.since.pop(name, None) is not None or self.changed

    def document(self) -> bytes:
        """What a checkpoint saves."""
        return encode(self.since)

    def restore(self, document: bytes) -> None:
        """Goes on from a checkpoint."""
        self.since = decode(document, Since)
