"""Which messages fed a window: first and last offset of each partition, pane by pane."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from detectors.array_types import Integers
    from monitor.rows.records import Partition
    from monitor.windows.series import DueWindow

    Ranges = dict[Partition, tuple[int, int]]


class OffsetLedger:
    """Offsets of one model's messages.

    Args:
        steps: lengths of the panes by which windows slide, ms.
    """

    def __init__(self, steps: Iterable[int]) -> None:
        self._panes: dict[int, dict[int, Ranges]] = {step: {} for step in steps}
        self._unsaved: set[tuple[int, int]] = set()

    def add(self, panes: Integers, offsets: Integers, partition: Partition) -> None:
        """Notes rows of one partition: int64[n], the start of each row's base pane, and the offset of its message."""
        for start in np.unique(panes).tolist():
            own = offsets[panes == start]
            first, last = int(own.min()), int(own.max())
            for step, ledger in self._panes.items():
                ranges = ledger.setdefault(start // step * step, {})
                known = ranges.get(partition, (first, last))
                ranges[partition] = (min(first, known[0]), max(last, known[1]))
                self._unsaved.add((step, start // step * step))

    def window(self, due: DueWindow) -> Ranges:
        """First and last offset, by partition, of the messages that fed a window."""
        ranges: Ranges = {}
        ledger = self._panes[due.window.step]
        starts = range(due.start, due.end, due.window.step)
        for start in starts if len(starts) < len(ledger) else [start for start in ledger if start in starts]:
            for partition, (first, last) in ledger.get(start, {}).items():
                known = ranges.get(partition, (first, last))
                ranges[partition] = (min(first, known[0]), max(last, known[1]))
        return ranges

    def retire(self, oldest: int) -> None:
        """Drops panes that end no later than an event time."""
        for step, ledger in self._panes.items():
            for start in [start for start in ledger if start + step <= oldest]:
                del ledger[start]

    def changes(self) -> dict[int, dict[int, Ranges]]:
        """Panes that have changed since `mark_saved`, by step and start."""
        changed: dict[int, dict[int, Ranges]] = {}
        for step, start in self._unsaved:
            ranges = self._panes[step].get(start)
            if ranges is not None:
                changed.setdefault(step, {})[start] = dict(ranges)
        return changed

    def mark_saved(self) -> None:
        """Marks the last changes as saved."""
        self._unsaved.clear()

    def touch_all(self) -> None:
        """Marks every pane as changed."""
        self._unsaved = {(step, start) for step, ledger in self._panes.items() for start in ledger}

    def restore(self, saved: Mapping[int, Mapping[int, Mapping[Partition, tuple[int, int]]]]) -> None:
        """Puts saved panes back."""
        for step, ledger in saved.items():
            self._panes[step] = {start: dict(ranges) for start, ranges in ledger.items()}
