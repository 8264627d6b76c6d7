"""A model's traffic hour by hour against what is usual at that hour of the week."""

from __future__ import annotations

import msgspec

from alerts.evaluation import Finding, Status
from detectors.quality.traffic import TrafficState, Volume, judge_traffic, learn, start
from monitor.common.codec import decode, encode
from monitor.common.durations import DAY, HOUR

_NAN = float("nan")
_MONDAY_MS = 4 * DAY
"""The epoch began on a Thursday; the first Monday came four days later."""
_WEEK = 7 * DAY


class TrafficSoFar(msgspec.Struct):
    """The usual traffic, the rows of the current hour, and the last whole hour."""

    piece: int | None
    rows: float
    state: TrafficState
    last: Volume | None


class Traffic:
    """Follows one model's traffic.

    Args:
        step: by how much its shortest window slides, ms: rows are reported in such steps.
        alpha: error probability of one piece, to either side.
    """

    def __init__(self, step: int, alpha: float) -> None:
        self._length = HOUR if HOUR % step == 0 else DAY
        self.usable = self._length % step == 0
        self._step, self._alpha = step, alpha
        slots = _WEEK // self._length
        self._now = TrafficSoFar(None, 0.0, start(slots, max(DAY // self._length, 1)), None)
        self.changed = False

    def take(self, start_ms: int, rows: int) -> None:
        """Rows of the next step of event time; steps that never come hold none."""
        piece = start_ms // self._length
        if self._now.piece is None:
            self._now.piece = piece
        # The first piece is seldom whole, but nothing is judged before others have come.
        self._close(piece)
        self._now.rows += rows
        self._close((start_ms + self._step) // self._length)
        self.changed = True

    def _close(self, piece: int) -> None:
        """Judges what has ended before a piece begins; of a longer gap its first piece and its last week."""
        now = self._now
        while now.piece is not None and now.piece < piece:
            slot = (now.piece * self._length - _MONDAY_MS) % _WEEK // self._length
            now.last = judge_traffic(now.state, slot, now.rows, self._alpha)
            now.state = learn(now.state, slot, now.rows, self._alpha)
            now.piece, now.rows = max(now.piece + 1, piece - _WEEK // self._length), 0.0

    def finding(self) -> Finding:
        """The last whole piece."""
        last = self._now.last
        if last is None or last.status == "insufficient":
            return Finding(
                "quality",
                "traffic_ratio",
                _NAN,
                _NAN,
                _NAN,
                1.0,
                "insufficient",
                "the usual traffic is still being learned",
            )
        status: Status = "breached" if last.status == "breached" else "ok"
        usual = last.expected if last.expected > 0 else _NAN
        lower, upper = last.lower / usual, last.upper / usual
        return Finding("quality", "traffic_ratio", last.ratio, lower, upper, 1.0, status, last.detail)

    def document(self) -> bytes:
        """The state, encoded."""
        return encode(self._now)

    def restore(self, document: bytes) -> None:
        """Goes on from a checkpoint; what was learned by slots of another length is of no use."""
        saved = decode(document, TrafficSoFar)
        if len(saved.state.weight) == len(self._now.state.weight):
            self._now = saved
