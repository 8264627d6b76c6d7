"""Prints the progress of a replay and the estimated remaining time to standard error.

A terminal gets one line that is redrawn; any other stream, such as a file, gets a line every few seconds.
"""

from __future__ import annotations

import math
import os
from collections import deque
from shutil import get_terminal_size
from typing import TYPE_CHECKING, TextIO

from alerts.moments import utc

if TYPE_CHECKING:
    from collections.abc import Callable

    from monitor.serve.snapshot import Snapshot

_REDRAW_SECONDS = 0.2
_FIRST_SECONDS, _AGAIN_SECONDS = 5.0, 10.0
"""Seconds before the first line, and between lines, on a stream that is not a terminal."""
_RATE_SECONDS = 30.0
"""Seconds over which the rate is measured."""
_LEAST_SECONDS = 2.0
"""Seconds that a rate needs to be shown."""
_MOST = 0.99
"""Greatest share shown before the end: windows may still be judged after all rows are counted."""
_CLEAR = "\r\x1b[K"


def share_counted(snapshot: Snapshot, share_read: float) -> float:
    """The share of a log whose rows have been counted and judged; rows that were read may still wait.

    Args:
        snapshot: of the daemon.
        share_read: of the log's bytes.
    """
    if snapshot.ended:
        return 1.0
    read = sum(partition.messages for partition in snapshot.partitions)
    counted = 1 - snapshot.progress.waiting / read if read else 0.0
    return min(share_read * max(counted, 0.0), _MOST)


def replay_progress(stream: TextIO, monotonic: Callable[[], float]) -> ReplayProgress:
    """Progress for a stream: a terminal that can redraw a line, or another stream."""
    terminal = stream.isatty() and os.environ.get("TERM") != "dumb"
    return ReplayProgress(stream, monotonic, (lambda: get_terminal_size().columns) if terminal else None)


class ReplayProgress:
    """Shows progress.

    Args:
        stream: standard error.
        monotonic: seconds.
        width: returns the columns of the terminal; None if the stream is not a terminal.
    """

    def __init__(self, stream: TextIO, monotonic: Callable[[], float], width: Callable[[], int] | None) -> None:
        self._stream, self._monotonic, self._width = stream, monotonic, width
        self._samples: deque[tuple[float, float]] = deque([(monotonic(), 0.0)])
        self._share = 0.0
        self._due = monotonic() + (0.0 if width is not None else _FIRST_SECONDS)
        self._line = ""

    def update(self, snapshot: Snapshot, share_read: float) -> None:
        """Updates the progress, and prints it if due.

        Args:
            snapshot: of the daemon.
            share_read: of the log's bytes.
        """
        now = self._monotonic()
        self._share = max(self._share, share_counted(snapshot, share_read))
        self._samples.append((now, self._share))
        while now - self._samples[0][0] > _RATE_SECONDS and len(self._samples) > 2:
            self._samples.popleft()
        if now < self._due and not (snapshot.ended and self._line):
            return
        self._due = now + (_REDRAW_SECONDS if self._width is not None else _AGAIN_SECONDS)
        self._show(self._text(snapshot))

    def close(self) -> None:
        """Ends the line on a terminal, so that later output begins on a new line."""
        if self._width is not None and self._line:
            self._stream.write("\n")
            self._stream.flush()
        self._line = ""

    def _show(self, line: str) -> None:
        self._line = line
        if self._width is None:
            self._stream.write(line + "\n")
        else:
            # One column stays free: some terminals wrap when the last column is filled.
            self._stream.write(_CLEAR + line[: max(self._width() - 1, 0)])
        self._stream.flush()

    def _text(self, snapshot: Snapshot) -> str:
        rows = sum(sum(model.rows.values()) + model.late for model in snapshot.models) + snapshot.learned_rows
        reached = max((model.watermark for model in snapshot.models if model.watermark is not None), default=None)
        total = "" if self._share == 1.0 or not (rows and self._share) else f" of about {_rounded(rows / self._share)}"
        columns = [
            f"{math.floor(self._share * 100):3} %",
            *([] if reached is None else [utc(reached)]),
            f"{rows:,}{total} rows",
        ]
        if (left := self._left()) is not None:
            columns.append(f"about {_duration(left)} left")
        return "  ".join(columns)

    def _left(self) -> float | None:
        """Seconds to the end at the present rate; None while unknown, and at the end."""
        (begin, first), (end, last) = self._samples[0], self._samples[-1]
        if self._share == 1.0 or last <= first or end - begin < _LEAST_SECONDS:
            return None
        return (1 - last) * (end - begin) / (last - first)


def _rounded(number: float) -> str:
    """A number to two digits."""
    return f"{float(f'{number:.1e}'):,.0f}"


def _duration(seconds: float) -> str:
    seconds = math.ceil(seconds)
    if seconds < 100:
        return f"{seconds} s"
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
