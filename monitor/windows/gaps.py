"""Event time in which messages were lost: windows that overlap it hold fewer rows than there were, and say so.

A gap begins at the greatest event time that its partition had shown before, and ends at the first one after. While
nothing has come after, it has no end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from alerts.evaluation import Finding
from alerts.subjects import LOST
from monitor.common.codec import decode, encode

if TYPE_CHECKING:
    from alerts.evaluation import Status
    from monitor.rows.records import Loss, Partition

_MOST = 1_000
_MOST_NAMED = 3
_NAN = float("nan")
_EVER = -(2**62)
_WORDS = {
    "retention": "deleted before they were read",
    "corrupt": "damaged",
    "oversized": "in batches that are too large",
    "recreated": "in a topic that was deleted and made again",
    "gone": "in a partition that is gone",
}


class Gap(msgspec.Struct, frozen=True):
    """A loss in one partition between two event times, epoch ms.

    Attributes:
        end: None while nothing has come after.
        resumes: offset at which reading went on.
    """

    topic: str
    partition: int
    reason: str
    messages: int
    begin: int
    end: int | None = None
    resumes: int = 0


class Gaps:
    """The gaps of one model."""

    def __init__(self) -> None:
        self._gaps: list[Gap] = []
        self.changed = False

    def lost(self, loss: Loss, before: int | None, latest: int | None) -> None:
        """Takes in a loss.

        Args:
            loss: of a partition that feeds the model.
            before: greatest event time of the partition before it; None if it has shown none.
            latest: greatest event time of any partition; None likewise.
        """
        begin = _EVER if before is None else before
        # Nothing ever comes after what is gone; what was lost had been written by now.
        end = max(_EVER if latest is None else latest, begin) if loss.reason == "gone" else None
        gap = Gap(loss.partition.topic, loss.partition.partition, loss.reason, loss.messages, begin, end, loss.resumes)
        # A restart before the position was saved reports the loss again.
        name = (gap.topic, gap.partition, gap.reason, gap.begin)
        kept = [known for known in self._gaps if (known.topic, known.partition, known.reason, known.begin) != name]
        self._gaps = [*kept, gap][-_MOST:]
        self.changed = True

    def seen(self, partition: Partition, offset: int, time: int) -> None:
        """A row of a partition came: gaps before it have an end."""
        for place, gap in enumerate(self._gaps):
            if gap.end is None and (gap.topic, gap.partition) == partition and offset >= gap.resumes:
                self._gaps[place] = msgspec.structs.replace(gap, end=max(time, gap.begin))
                self.changed = True

    def expire(self, before: int) -> None:
        """Forgets gaps that end before an event time: no window reaches back so far."""
        kept = [gap for gap in self._gaps if gap.end is None or gap.end >= before]
        if len(kept) < len(self._gaps):
            self._gaps, self.changed = kept, True

    def findings(self, start: int, end: int, *, alarm: bool) -> tuple[Finding, ...]:
        """One finding if the window [start, end) is incomplete, else none.

        Args:
            start, end: of the window.
            alarm: the finding is breached, so that rules see it; else it is only shown.
        """
        if not self._gaps:
            return ()
        inside = [gap for gap in self._gaps if gap.begin < end and (gap.end is None or gap.end >= start)]
        if not inside:
            return ()
        known = all(gap.messages for gap in inside)
        count = float(sum(gap.messages for gap in inside)) if known else _NAN
        losses = [_words(gap) for gap in inside[:_MOST_NAMED]]
        more = f", and {len(inside) - _MOST_NAMED} more losses" if len(inside) > _MOST_NAMED else ""
        status: Status = "breached" if alarm else "ok"
        detail = f"the window is incomplete: {', '.join(losses)}{more}"
        return (Finding("quality", LOST, count, _NAN, _NAN, 0.0, status, detail),)

    def document(self) -> bytes:
        """The state, encoded."""
        return encode(self._gaps)

    def restore(self, document: bytes) -> None:
        """Goes on from a checkpoint."""
        self._gaps = decode(document, list[Gap])


def _words(gap: Gap) -> str:
    count = f"{gap.messages:,} messages" if gap.messages else "an unknown number of messages"
    return f"{count} of {gap.topic} partition {gap.partition} were lost ({_WORDS.get(gap.reason, gap.reason)})"
