"""Rows and labels of consecutive panes, in sorted arrays that grow at their end without being rebuilt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from detectors.array_types import Integers


_STARTS, _ENDS, _ROWS, _LABELLED = range(4)
_ROOM = 1024


class PaneTotals:
    """Panes that do not overlap, in the order of their starts.

    Every tick of event time reads them, and a month may have a hundred thousand panes. Reads are therefore views of
    sorted arrays, and finding a pane is a binary search.
    """

    def __init__(self) -> None:
        self._columns = np.zeros((4, _ROOM), dtype=np.int64)
        self._size = 0

    def __len__(self) -> int:
        return self._size

    @property
    def starts(self) -> Integers:
        """int64[P], ascending, epoch ms. A view like all other properties: read it before the next change."""
        return self._columns[_STARTS, : self._size]

    @property
    def ends(self) -> Integers:
        """int64[P], ascending, epoch ms."""
        return self._columns[_ENDS, : self._size]

    @property
    def rows(self) -> Integers:
        """int64[P]."""
        return self._columns[_ROWS, : self._size]

    @property
    def labelled(self) -> Integers:
        """int64[P], rows with a label."""
        return self._columns[_LABELLED, : self._size]

    def add(self, starts: Integers, ends: Integers, rows: Integers, labelled: Integers) -> None:
        """Adds to panes, int64[k] each; every pane once, in any order. New panes are inserted in order."""
        order = np.argsort(starts, kind="stable")
        fresh = np.stack([starts, ends, rows, labelled])[:, order]
        index = np.searchsorted(self.starts, fresh[_STARTS])
        known = np.zeros(len(index), dtype=np.bool_)
        inside = index < self._size
        known[inside] = self.starts[index[inside]] == fresh[_STARTS, inside]
        self._columns[_ROWS, index[known]] += fresh[_ROWS, known]
        self._columns[_LABELLED, index[known]] += fresh[_LABELLED, known]
        if known.all():
            return
        fresh, index = fresh[:, ~known], index[~known]
        if index[0] == self._size:
            self._append(fresh)
        else:
            self._set(np.insert(self._columns[:, : self._size], index, fresh, axis=1))

    def _append(self, fresh: Integers) -> None:
        size = self._size + fresh.shape[1]
        if size > self._columns.shape[1]:
            room = np.zeros((4, 2 * size), dtype=np.int64)
            room[:, : self._size] = self._columns[:, : self._size]
            self._columns = room
        self._columns[:, self._size : size] = fresh
        self._size = size

    def _set(self, columns: Integers) -> None:
        self._columns, self._size = np.ascontiguousarray(columns), columns.shape[1]

    def between(self, start: int, end: int) -> list[int]:
        """Starts of the panes that begin in [start, end)."""
        first, stop = np.searchsorted(self.starts, (start, end))
        starts: list[int] = self.starts[first:stop].tolist()
        return starts

    def merge(self, starts: Integers, step: int) -> None:
        """Merges the panes that begin at ``starts``, int64[k], ascending, into panes on whole multiples of ``step``."""
        gone = np.isin(self.starts, starts)
        old = self._columns[:, : self._size][:, gone]
        into, group = np.unique(starts // step * step, return_inverse=True)
        sums = [np.bincount(group, weights=old[column], minlength=len(into)) for column in (_ROWS, _LABELLED)]
        self._set(self._columns[:, : self._size][:, ~gone])
        self.add(into, into + step, *(counts.astype(np.int64) for counts in sums))

    def drop_before(self, time: int) -> None:
        """Drops the panes that end at a time or before it."""
        kept = int(np.searchsorted(self.ends, time, side="right"))
        if kept:
            self._set(self._columns[:, kept : self._size])

    def saved(self) -> Mapping[int, tuple[int, int, int]]:
        """Pane start → (step, rows, labelled)."""
        columns = (self.starts.tolist(), (self.ends - self.starts).tolist(), self.rows.tolist(), self.labelled.tolist())
        return {start: (step, rows, labelled) for start, step, rows, labelled in zip(*columns, strict=True)}

    def restore(self, saved: Mapping[int, tuple[int, int, int]]) -> None:
        """Restores the totals from a checkpoint."""
        starts = sorted(saved)
        rest = np.array([saved[start] for start in starts], dtype=np.int64).reshape(-1, 3).T
        self._set(np.stack([np.array(starts, dtype=np.int64), np.array(starts, dtype=np.int64) + rest[0], *rest[1:]]))
