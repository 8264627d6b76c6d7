"""Features that appear: names that records begin to carry, and the reference does not know.

Most logs carry more than the model's features: hosts, request ids, names of experiments. So what is there from the
beginning is learned first, and only what comes later is news, for a week. All of it goes by event time, so that what is
told is a function of the log.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from alerts.evaluation import Finding
from monitor.common.durations import DAY

if TYPE_CHECKING:
    from collections.abc import Iterable

    from alerts.evaluation import Status

LEARN_MS = DAY
LEARN_RECORDS = 100
"""Records of the sample that are looked at before any name is news."""
NEWS_MS = 7 * DAY
_MOST_NAMES = 200
"""More names than a schema has: keys that are data, such as ids. Of those nothing is told."""
_TOLD = 5
_NAN = float("nan")


class _Saved(msgspec.Struct):
    began: int | None
    learned: int | None
    first: dict[str, int]
    records: dict[int, int]
    seen: dict[int, dict[str, list[str]]]
    too_many: bool


class SchemaChanges:
    """The names in one model's records that are not known, by pane.

    A pane holds which versions carried which of them; panes that no window will ask for are dropped.
    """

    def __init__(self) -> None:
        self._began: int | None = None
        self._learned: int | None = None
        self._first: dict[str, int] = {}
        self._records: Counter[int] = Counter()
        self._seen: dict[int, dict[str, set[str]]] = {}
        self._too_many = False
        self.changed = False

    def take(self, records: Iterable[tuple[int, str, tuple[str, ...]]]) -> None:
        """Takes records of the sample in: the start of the pane of each, its version, and names that are not known."""
        for pane, version, names in records:
            if self._began is None or pane < self._began:
                self._began, self.changed = pane, True
            if self._learned is None:
                self._records[pane] += 1
                self.changed = True
            for name in names:
                self._saw(pane, version, name)

    def _saw(self, pane: int, version: str, name: str) -> None:
        first = self._first.get(name)
        if first is None and len(self._first) >= _MOST_NAMES:
            self._too_many = True
            return
        if first is None or pane < first:
            self._first[name], self.changed = pane, True
        elif pane >= first + NEWS_MS or (self._learned is not None and first < self._learned):
            return
        held = self._seen.setdefault(pane, {}).setdefault(version, set())
        if name not in held:
            held.add(name)
            self.changed = True

    def advance(self, end: int, oldest: int) -> None:
        """Event time has come to ``end``; no window will begin before ``oldest``."""
        if self._learned is None and self._began is not None and end >= self._began + LEARN_MS:
            looked_at = sum(count for pane, count in self._records.items() if pane < end)
            if looked_at >= LEARN_RECORDS:
                self._learned, self.changed = end, True
                self._records.clear()
        # What comes before learning is over will be known by definition.
        until = end if self._learned is None else oldest
        for pane in [pane for pane in self._seen if pane < until]:
            del self._seen[pane]
            self.changed = True

    def finding(self, version: str, start: int, end: int, held_back: str) -> Finding:
        """How many new names the records of [start, end) carry, and which."""
        names = sorted(
            {
                name
                for pane, versions in self._seen.items()
                if start <= pane < end
                for name in versions.get(version, ())
                if self._learned is not None and self._first[name] >= self._learned
            }
        )
        status: Status = "breached" if names else "ok"
        detail = f"records carry what the reference does not know: {listed(names)}" if names else ""
        if self._learned is None:
            status, detail = "insufficient", "the names that records carry are being learned"
        elif self._too_many:
            status, detail = "insufficient", "records carry too many different names to tell new ones"
        elif held_back:
            status, detail = "insufficient", held_back
        return Finding("quality", "features_new", float(len(names)), _NAN, _NAN, 0.0, status, detail)

    def document(self) -> bytes:
        """What a checkpoint saves."""
        seen = {
            pane: {version: sorted(names) for version, names in versions.items()}
            for pane, versions in self._seen.items()
        }
        return msgspec.msgpack.encode(
            _Saved(self._began, self._learned, self._first, dict(self._records), seen, self._too_many)
        )

    def restore(self, document: bytes) -> None:
        """Goes on from a checkpoint."""
        saved = msgspec.msgpack.decode(document, type=_Saved)
        self._began, self._learned, self._too_many = saved.began, saved.learned, saved.too_many
        self._first, self._records = saved.first, Counter(saved.records)
        self._seen = {
            pane: {version: set(names) for version, names in versions.items()} for pane, versions in saved.seen.items()
        }


def listed(names: list[str]) -> str:
    """The first of some names."""
    more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
    return ", ".join(names[:_TOLD]) + more
