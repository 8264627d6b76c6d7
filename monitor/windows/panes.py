"""Counts of consecutive panes of one length, in arrays that are allocated once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from detectors.layout import COLUMNS, Counts
from monitor.windows.counting import moments_as_float

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

EMPTY = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class Pane:
    """One pane's counts, as saved and loaded; shapes as in `monitor.windows.counting.GroupCounts` less the group axis.

    ``extra`` is int64[X]: further sums, whatever is counted beside the subjects (`monitor.windows.windows.Shape`).
    """

    start: int
    rows: int
    bins: np.ndarray[tuple[int, ...], np.dtype[np.int64]]
    moments: np.ndarray[tuple[int, ...], np.dtype[np.int64]]
    extremes: np.ndarray[tuple[int, ...], np.dtype[np.float64]]
    extra: np.ndarray[tuple[int, ...], np.dtype[np.int64]] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))


class PaneRing:
    """The latest panes of one series at one pane length.

    Args:
        step: pane length, ms.
        capacity: how many panes are kept; an older one makes room for a newer one.
        subjects: S.
        extra: X.
    """

    def __init__(self, step: int, capacity: int, subjects: int, extra: int = 0) -> None:
        self.step, self.capacity = step, capacity
        self.starts = np.full(capacity, EMPTY, dtype=np.int64)
        self.rows = np.zeros(capacity, dtype=np.int64)
        self.bins = np.zeros((capacity, subjects, COLUMNS), dtype=np.int64)
        self.moments = np.zeros((capacity, subjects, 2), dtype=np.int64)
        self.extremes = np.empty((capacity, subjects, 2))
        self.extra = np.zeros((capacity, extra), dtype=np.int64)
        self.dirty = np.zeros(capacity, dtype=bool)
        # Each change of a pane gets a new number: equal numbers mean equal counts.
        self.marks = np.zeros(capacity, dtype=np.int64)
        self._changes = 0
        self._blank(np.arange(capacity))

    def _blank(self, slots: np.ndarray[tuple[int, ...], np.dtype[np.int64]] | int) -> None:
        self.rows[slots] = 0
        self.bins[slots] = 0
        self.moments[slots] = 0
        self.extra[slots] = 0
        self.extremes[slots, :, 0] = np.inf
        self.extremes[slots, :, 1] = -np.inf

    def add(self, pane: Pane) -> bool:
        """Adds counts to the pane at ``pane.start``; False if that pane has already made room for a newer one."""
        slot = pane.start // self.step % self.capacity
        held = int(self.starts[slot])
        if held > pane.start:
            return False
        if held < pane.start:
            self._blank(slot)
            self.starts[slot] = pane.start
        self.rows[slot] += pane.rows
        self.bins[slot] += pane.bins
        self.moments[slot] += pane.moments
        self.extra[slot] += pane.extra
        np.minimum(self.extremes[slot, :, 0], pane.extremes[:, 0], out=self.extremes[slot, :, 0])
        np.maximum(self.extremes[slot, :, 1], pane.extremes[:, 1], out=self.extremes[slot, :, 1])
        self.dirty[slot] = True
        self._changes += 1
        self.marks[slot] = self._changes
        return True

    def window(self, start: int, end: int) -> Counts:
        """Sum of the panes in [start, end), which must lie on pane boundaries and within the capacity."""
        return self._sum(np.flatnonzero((self.starts >= start) & (self.starts < end)))

    def mark(self, start: int, end: int) -> bytes:
        """The marks of the panes in [start, end): windows of equal length and marks have equal counts."""
        marks: bytes = self.marks[(self.starts >= start) & (self.starts < end)].tobytes()
        return marks

    def windows(
        self, spans: Sequence[tuple[int, int]]
    ) -> tuple[Counts, np.ndarray[tuple[int, ...], np.dtype[np.int64]]]:
        """Sums of the panes of several windows [start, end): counts and int64[W, X], stacked in their order.

        Windows that overlap are differences of running sums: each pane is added once. Whole numbers stay exact.
        """
        begins, ends = np.array(spans, dtype=np.int64).T
        held = np.flatnonzero((self.starts >= begins.min()) & (self.starts < ends.max()))
        held = held[np.argsort(self.starts[held])]
        low, high = np.searchsorted(self.starts[held], begins), np.searchsorted(self.starts[held], ends)
        extremes = np.empty((len(spans), *self.extremes.shape[1:]))
        for window, (first, stop) in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
            own = self.extremes[held[first:stop]]
            extremes[window, :, 0] = own[:, :, 0].min(axis=0, initial=np.inf)
            extremes[window, :, 1] = own[:, :, 1].max(axis=0, initial=-np.inf)

        def sums(
            counts: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
        ) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
            running = np.zeros((len(held) + 1, *counts.shape[1:]), dtype=np.int64)
            np.cumsum(counts[held], axis=0, out=running[1:])
            total: np.ndarray[tuple[int, ...], np.dtype[np.int64]] = running[high] - running[low]
            return total

        counts = Counts(sums(self.rows), sums(self.bins), moments_as_float(sums(self.moments)), extremes)
        return counts, sums(self.extra)

    def panes_at(self, starts: Collection[int]) -> Counts:
        """Sum of the panes that begin at any of some times."""
        return self._sum(np.flatnonzero(np.isin(self.starts, list(starts))))

    def pane_rows(
        self, start: int, end: int
    ) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.int64]], np.ndarray[tuple[int, ...], np.dtype[np.int64]]]:
        """Starts and rows, int64[P] each, of the panes in [start, end)."""
        held = (self.starts >= start) & (self.starts < end)
        return self.starts[held], self.rows[held]

    def _sum(self, held: np.ndarray[tuple[int, ...], np.dtype[np.intp]]) -> Counts:
        if held.size == 0:
            extremes = np.empty(self.extremes.shape[1:])
            extremes[..., 0], extremes[..., 1] = np.inf, -np.inf
            return Counts(
                np.zeros((), dtype=np.int64),
                np.zeros(self.bins.shape[1:], dtype=np.int64),
                np.zeros(self.moments.shape[1:]),
                extremes,
            )
        return Counts(
            self.rows[held].sum(),
            self.bins[held].sum(axis=0),
            moments_as_float(self.moments[held].sum(axis=0)),
            np.stack([self.extremes[held, :, 0].min(axis=0), self.extremes[held, :, 1].max(axis=0)], axis=-1),
        )

    def window_extra(self, start: int, end: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
        """int64[X], sum of the further counts in [start, end)."""
        held = (self.starts >= start) & (self.starts < end)
        total: np.ndarray[tuple[int, ...], np.dtype[np.int64]] = self.extra[held].sum(axis=0)
        return total

    def window_rows(self, start: int, end: int) -> int:
        """Rows in [start, end)."""
        return int(self.rows[(self.starts >= start) & (self.starts < end)].sum())

    def dirty_panes(self) -> list[Pane]:
        """Copies of the panes that changed since the last `mark_clean`."""
        return [self._pane(int(slot)) for slot in np.flatnonzero(self.dirty)]

    def panes(self) -> list[Pane]:
        """Copies of all panes that hold anything, oldest first."""
        slots = np.flatnonzero(self.starts != EMPTY)
        return [self._pane(int(slot)) for slot in slots[np.argsort(self.starts[slots])]]

    def _pane(self, slot: int) -> Pane:
        return Pane(
            int(self.starts[slot]),
            int(self.rows[slot]),
            self.bins[slot].copy(),
            self.moments[slot].copy(),
            self.extremes[slot].copy(),
            self.extra[slot].copy(),
        )

    def mark_clean(self) -> None:
        """Forgets which panes are dirty: they have been saved."""
        self.dirty[:] = False

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        arrays = (self.bins, self.moments, self.extremes, self.extra, self.rows, self.starts)
        return sum(array.nbytes for array in arrays)


def rows_alone(start: int, rows: int, subjects: int, extra: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Pane:
    """A pane that counts rows, and numbers beside the subjects, but no values; ``extra`` int64[E]."""
    extremes = np.empty((subjects, 2))
    extremes[:, 0], extremes[:, 1] = np.inf, -np.inf
    none = np.zeros((subjects, COLUMNS), dtype=np.int64)
    return Pane(start, rows, none, np.zeros((subjects, 2), dtype=np.int64), extremes, extra)
