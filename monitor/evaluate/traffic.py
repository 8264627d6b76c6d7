"""A model's traffic hour by hour against what is usual at that hour of the week."""

from __future__ import annotations

from dataclasses import dataclass

from alerts.evaluation import Finding, Status
from detectors.quality.traffic import TrafficState, Volume, judge_traffic, learn, start
from monitor.common.array_json import from_json, to_json
from monitor.common.durations import DAY, HOUR

_NAN = float("nan")
_MONDAY_MS = 4 * DAY
"""The epoch began on a Thursday; the first Monday came four days later."""
_WEEK = 7 * DAY


@dataclass(frozen=True, slots=True)
class _Saved:
    piece: int | None
    rows: float
    state: TrafficState
    last: Volume | None


class Traffic:
    """Follows one model's traffic.

    Args:
        step: by how much its shortest window slides, ms: rows are told in such steps.
        alpha: error probability of one piece, to either side.
    """

    def __init__(self, step: int, alpha: float) -> None:
        self._length = HOUR if HOUR % step == 0 else DAY
        self.usable = self._length % step == 0
        self._step, self._alpha = step, alpha
        slots = _WEEK // self._length
        self._state = start(slots, max(DAY // self._length, 1))
        self._piece: int | None = None
        self._rows = 0.0
        self._last: Volume | None = None
        self.changed = False

    def take(self, start_ms: int, rows: int) -> None:
        """Rows of the next step of event time; steps that never come hold none."""
        piece = start_ms // self._length
        if self._piece is None:
            self._piece = piece
        # The first piece is seldom whole, but nothing is judged before others have come.
        self._close(piece)
        self._rows += rows
        self._close((start_ms + self._step) // self._length)
        self.changed = True

    def _close(self, piece: int) -> None:
        """Judges what has ended before a piece begins; of a longer gap its first piece and its last week."""
        while self._piece is not None and self._piece < piece:
            slot = (self._piece * self._length - _MONDAY_MS) % _WEEK // self._length
            self._last = judge_traffic(self._state, slot, self._rows, self._alpha)
            self._state = learn(self._state, slot, self._rows, self._alpha)
            self._piece, self._rows = max(self._piece + 1, piece - _WEEK // self._length), 0.0

    def finding(self) -> Finding:
        """The last whole piece."""
        last = self._last
        if last is None or last.status == "insufficient":
            return Finding(
                "quality", "traffic_ratio", _NAN, _NAN, _NAN, 1.0, "insufficient", "traffic is being learned"
            )
        status: Status = "breached" if last.status == "breached" else "ok"
        usual = last.expected if last.expected > 0 else _NAN
        lower, upper = last.lower / usual, last.upper / usual
        return Finding("quality", "traffic_ratio", last.ratio, lower, upper, 1.0, status, last.detail)

    def document(self) -> bytes:
        """What a checkpoint saves."""
        return to_json(_Saved(self._piece, self._rows, self._state, self._last))

    def restore(self, document: bytes) -> None:
        """Goes on from a checkpoint; what was learned by slots of another length is of no use."""
        saved = read_traffic(document)
        if len(saved.state.weight) == len(self._state.weight):
            self._piece, self._rows, self._state, self._last = saved.piece, saved.rows, saved.state, saved.last


def read_traffic(document: bytes) -> _Saved:
    """What `Traffic.document` gave, decoded."""
    return from_json(document, _Saved)
