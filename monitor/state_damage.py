"""Windows that reach back to before the state was damaged say so, so that people hear of it as of any finding."""

from __future__ import annotations

import msgspec

from alerts.evaluation import Finding
from alerts.subjects import DAMAGED

_NAN = float("nan")


class _Saved(msgspec.Struct):
    text: str
    first: int | None


class DamageNotice:
    """What happened to the state of one model, until no window reaches back so far.

    Args:
        longest: of its windows, ms.
    """

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._text = ""
        self._first: int | None = None
        self.changed = False

    def report(self, text: str) -> None:
        """Damage was found at the start."""
        self._text, self._first, self.changed = text, None, True

    def findings(self, start: int, end: int) -> tuple[Finding, ...]:
        """One finding if the window [start, end) began before the first window that was judged afterwards ended."""
        if not self._text:
            return ()
        if self._first is None:
            self._first, self.changed = end, True
        if start < self._first:
            return (Finding("quality", DAMAGED, 1.0, _NAN, _NAN, 0.0, "breached", self._text),)
        if end - self._longest >= self._first:
            self._text, self.changed = "", True
        return ()

    def document(self) -> bytes:
        """What a checkpoint saves."""
        return msgspec.msgpack.encode(_Saved(self._text, self._first))

    def restore(self, document: bytes) -> None:
        """Goes on from a checkpoint."""
        saved = msgspec.msgpack.decode(document, type=_Saved)
        self._text, self._first = saved.text, saved.first
