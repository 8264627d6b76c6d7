"""Windows that reach back to before the state was damaged say so, so that people hear of it as of any finding."""

from __future__ import annotations

import msgspec

from alerts.evaluation import Finding
from alerts.subjects import DAMAGED
from monitor.common.codec import decode, encode

_NAN = float("nan")


class Damage(msgspec.Struct):
    """The damage, and the end of the first window that was judged afterwards (epoch ms)."""

    text: str
    first: int | None


class DamageNotice:
    """The damage to one model's state, until no window reaches back so far.

    Args:
        longest: of its windows, ms.
    """

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._damage = Damage("", None)
        self.changed = False

    def report(self, text: str) -> None:
        """Damage was found at the start."""
        self._damage, self.changed = Damage(text, None), True

    def findings(self, start: int, end: int) -> tuple[Finding, ...]:
        """One finding if the window [start, end) began before the first window that was judged afterwards ended."""
        damage = self._damage
        if not damage.text:
            return ()
        if damage.first is None:
            damage.first, self.changed = end, True
        if start < damage.first:
            return (Finding("quality", DAMAGED, 1.0, _NAN, _NAN, 0.0, "breached", damage.text),)
        if end - self._longest >= damage.first:
            damage.text, self.changed = "", True
        return ()

    def document(self) -> bytes:
        """The state, encoded."""
        return encode(self._damage)

    def restore(self, document: bytes) -> None:
        """Goes on from a checkpoint."""
        self._damage = decode(document, Damage)
