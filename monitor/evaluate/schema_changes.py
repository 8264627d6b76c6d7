"""Features that appear: names that records begin to carry, and the reference does not know.

Most logs carry more than the model's features: hosts, request ids, names of experiments. So what is there from the
beginning is learned first, and only what comes later is news, for a week. All of it goes by event time, so that what is
told is a function of the log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import asdict

from alerts.evaluation import Finding
from monitor.common.codec import decode, encode
from monitor.common.durations import DAY

if TYPE_CHECKING:
    from collections.abc import Iterable

    from alerts.evaluation import Status

LEARN_MS = DAY
LEARN_RECORDS = 100
"""Records of the sample that are looked at before any name is news."""
NEWS_MS = 7 * DAY
_MOST_NAMES = 200
"""More names than a schema has: keys that are data, such as ids. Such names are not reported."""
_TOLD = 5
_NAN = float("nan")


class NamesSeen(msgspec.Struct):
    """Names that the reference does not know.

    Attributes:
        began: start of the first pane; ``learned``: when learning was over. Epoch ms.
        first: name → start of the first pane with it.
        records: start of a pane → records of the sample, while names are learned.
        seen: start of a pane → version → names.
        too_many: more names came than a schema has.
    """

    began: int | None
    learned: int | None
    first: dict[str, int]
    records: dict[int, int]
    seen: dict[int, dict[str, set[str]]]
    too_many: bool


class SchemaChanges:
    """The names in one model's records that are not known, by pane.

    A pane holds which versions carried which of them; panes that no window will ask for are dropped.
    """

    def __init__(self) -> None:
        self._names = NamesSeen(None, None, {}, {}, {}, too_many=False)
        self.changed = False

    def take(self, records: Iterable[tuple[int, str, tuple[str, ...]]]) -> None:
        """Takes records of the sample in: the start of the pane of each, its version, and names that are not known."""
        for pane, version, names in records:
            if self._names.began is None or pane < self._names.began:
                self._names.began, self.changed = pane, True
            if self._names.learned is None:
                self._names.records[pane] = self._names.records.get(pane, 0) + 1
                self.changed = True
            for name in names:
                self._saw(pane, version, name)

    def _saw(self, pane: int, version: str, name: str) -> None:
        first = self._names.first.get(name)
        if first is None and len(self._names.first) >= _MOST_NAMES:
            self._names.too_many = True
            return
        if first is None or pane < first:
            self._names.first[name], self.changed = pane, True
        elif pane >= first + NEWS_MS or (self._names.learned is not None and first < self._names.learned):
            return
        held = self._names.seen.setdefault(pane, {}).setdefault(version, set())
        if name not in held:
            held.add(name)
            self.changed = True

    def advance(self, end: int, oldest: int) -> None:
        """Event time has come to ``end``; no window will begin before ``oldest``."""
        if self._names.learned is None and self._names.began is not None and end >= self._names.began + LEARN_MS:
            looked_at = sum(count for pane, count in self._names.records.items() if pane < end)
            if looked_at >= LEARN_RECORDS:
                self._names.learned, self.changed = end, True
                self._names.records.clear()
        # Names that appear while learning count as known.
        until = end if self._names.learned is None else oldest
        for pane in [pane for pane in self._names.seen if pane < until]:
            del self._names.seen[pane]
            self.changed = True

    def finding(self, version: str, start: int, end: int, held_back: str) -> Finding:
        """How many new names the records of [start, end) carry, and which."""
        names = sorted(
            {
                name
                for pane, versions in self._names.seen.items()
                if start <= pane < end
                for name in versions.get(version, ())
                if self._names.learned is not None and self._names.first[name] >= self._names.learned
            }
        )
        status: Status = "breached" if names else "ok"
        detail = f"records hold names that the reference does not know: {listed(names)}" if names else ""
        if self._names.learned is None:
            status, detail = "insufficient", "the names in records are still being learned"
        elif self._names.too_many:
            status, detail = "insufficient", "records hold too many different names to detect new names"
        elif held_back:
            status, detail = "insufficient", held_back
        return Finding("quality", "features_new", float(len(names)), _NAN, _NAN, 0.0, status, detail)

    def document(self) -> bytes:
        """The state, encoded."""
        # Sets in order, so that a log leaves equal bytes.
        seen = {pane: {key: sorted(names) for key, names in held.items()} for pane, held in self._names.seen.items()}
        return encode(asdict(self._names) | {"seen": seen})

    def restore(self, document: bytes) -> None:
        """Goes on from a checkpoint."""
        self._names = decode(document, NamesSeen)


def listed(names: list[str]) -> str:
    """The first of some names."""
    more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
    return ", ".join(names[:_TOLD]) + more
