"""Performance counts by pane of the prediction's event time: on disk, and coarser with age.

A label may arrive weeks after its prediction, so panes are kept for weeks, which would need too much memory.
They are stored in the state's database, are read when a label or a window needs them, and are merged into
hours after `FINE` and into days after `HOURLY`, only at whole boundaries, so every window sum stays exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from monitor.common.durations import DAY, HOUR
from monitor.labels.pane_totals import PaneTotals
from monitor.windows.lives import Life, Lifetimes
from monitor.windows.series import ALL, SeriesKey

if TYPE_CHECKING:
    from collections.abc import Iterable

Counts = NDArray[np.int64]
FINE = 2 * DAY
HOURLY = 14 * DAY
ROWS, LABELLED, AHEAD = 0, 1, 2
"""A pane's vector: rows, labelled rows, and from index 2 the counts of the scorer."""
_CACHE_BYTES = 64 * 2**20
_KEPT_WINDOWS = 8
_NEVER = 2**62


class PaneReader(Protocol):
    """Reads saved panes."""

    def labelled_panes(self, model: str, key: SeriesKey, start: int, end: int) -> list[tuple[int, Counts]]:
        """(start, vector) of the saved panes of a series that begin in [start, end)."""


@dataclass(frozen=True, slots=True)
class LabelledChange:
    """The changes that a checkpoint saves: current panes, deleted panes, dropped series.

    Attributes:
        panes: (series, start, step, vector).
        gone: (series, start).
        before: panes that end before this event time are dropped; None to drop none.
        dropped: series whose panes are all deleted.
    """

    panes: Sequence[tuple[SeriesKey, int, int, Counts]] = ()
    gone: Sequence[tuple[SeriesKey, int]] = ()
    before: int | None = None
    dropped: Sequence[SeriesKey] = ()


@dataclass(slots=True)
class _Window:
    """The sum of the panes of a series in [start, end), updated while panes are added and the window advances.

    Attributes:
        count: panes of the series in the window; at 0 there is no sum.
    """

    start: int
    end: int
    vector: Counts
    count: int


@dataclass(slots=True)
class LabelledPanes:
    """All panes of one model.

    Attributes:
        model: its name.
        base: length of the finest panes, ms.
        coarsest: greatest length of a pane, so that every window stays a sum of whole panes.
        reader: of saved panes.
        lifetimes: decides when a series ends.
        lives: first and last pane of each life of a series; the first life is the present one.
        totals: rows and labels, summed over all versions.
    """

    model: str
    base: int
    coarsest: int
    reader: PaneReader
    lifetimes: Lifetimes
    lives: dict[SeriesKey, tuple[Life, ...]] = field(default_factory=dict)
    totals: PaneTotals = field(default_factory=PaneTotals)
    fine_from: int | None = None
    hours_from: int | None = None
    dropped: list[SeriesKey] = field(default_factory=list)
    _vectors: dict[tuple[SeriesKey, int], Counts] = field(default_factory=dict)
    _dirty: set[tuple[SeriesKey, int]] = field(default_factory=set)
    _gone: set[tuple[SeriesKey, int]] = field(default_factory=set)
    _complete: dict[SeriesKey, tuple[int, int]] = field(default_factory=dict)
    _windows: dict[SeriesKey, dict[int, _Window]] = field(default_factory=dict)
    # No pane ends before this.
    _first_end: int = _NEVER

    def pane_starts(self, times: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64[n]: the start of the pane that each event time lies in."""
        starts = times // self.base * self.base
        if self.fine_from is not None:
            starts = np.where(times < self.fine_from, times // self._hour * self._hour, starts)
        if self.hours_from is not None:
            starts = np.where(times < self.hours_from, times // self._day * self._day, starts)
        return starts

    @property
    def _hour(self) -> int:
        return max(self.base, min(HOUR, self.coarsest))

    @property
    def _day(self) -> int:
        return max(self.base, min(DAY, self.coarsest))

    def step_at(self, start: int) -> int:
        """The length of the pane that begins at a time."""
        if self.hours_from is not None and start < self.hours_from:
            return self._day
        return self._hour if self.fine_from is not None and start < self.fine_from else self.base

    def add(self, key: SeriesKey, starts: NDArray[np.int64], vectors: Counts) -> None:
        """Adds int64[k, V] to the panes of a series that begin at int64[k] (each once)."""
        self._read(key, starts)
        if len(starts):
            self._first_end = min(self._first_end, int(starts.min()) + self.base)
        windows = list(self._windows.get(key, {}).values())
        for start, vector in zip(starts.tolist(), vectors, strict=True):
            name = (key, start)
            self.lives[key] = self.lifetimes.extended(self.lives.get(key, ()), start)
            known = self._vectors.get(name)
            self._vectors[name] = vector.copy() if known is None else known + vector
            self._dirty.add(name)
            self._gone.discard(name)
            for window in windows:
                if window.start <= start < window.end:
                    window.vector = window.vector + vector
                    window.count += known is None
        if key.segment == ALL and len(starts):
            ends = starts + np.array([self.step_at(start) for start in starts.tolist()], dtype=np.int64)
            self.totals.add(starts, ends, vectors[:, ROWS], vectors[:, LABELLED])

    def _read(self, key: SeriesKey, starts: NDArray[np.int64]) -> None:
        """Loads saved panes into memory."""
        if key not in self.lives:
            return
        wanted = [
            start for start in starts.tolist() if (key, start) not in self._vectors and (key, start) not in self._gone
        ]
        if wanted:
            self._load(key, min(wanted), max(wanted) + 1)

    def _load(self, key: SeriesKey, start: int, end: int) -> None:
        for begin, vector in self.reader.labelled_panes(self.model, key, start, end):
            if (key, begin) not in self._gone:
                self._vectors.setdefault((key, begin), vector)
                self._first_end = min(self._first_end, begin + self.base)

    def window(self, key: SeriesKey, start: int, end: int) -> Counts | None:
        """int64[V], the sum of the panes in [start, end); None if the series has none."""
        known = self._complete.get(key)
        if known is None or not known[0] <= start <= known[1]:
            self._load(key, start, end)
            self._complete[key] = (start, end)
        elif end > known[1]:
            self._load(key, known[1], end)
            self._complete[key] = (known[0], end)
        windows = self._windows.setdefault(key, {})
        kept = windows.pop(end - start, None)
        if kept is None or not kept.start <= start <= kept.end <= end:
            kept = self._sum(key, start, end)
        else:
            # The window advances: subtract the panes that leave it and add the new ones; integers stay exact.
            left, came = self._sum(key, kept.start, start), self._sum(key, kept.end, end)
            kept = _Window(start, end, kept.vector - left.vector + came.vector, kept.count - left.count + came.count)
        if len(windows) >= _KEPT_WINDOWS:
            windows.clear()
        windows[end - start] = kept
        return kept.vector if kept.count else None

    def _sum(self, key: SeriesKey, start: int, end: int) -> _Window:
        panes = (self._vectors.get((key, begin)) for begin in self.totals.between(start, end))
        vectors = [vector for vector in panes if vector is not None]
        total: Counts = np.sum(vectors, axis=0, dtype=np.int64) if vectors else np.zeros((), dtype=np.int64)
        return _Window(start, end, total, len(vectors))

    def coarsen(self, watermark: int) -> None:
        """Merges old panes; called at checkpoints, acts once a day of event time."""
        self.fine_from = self._merge(self.fine_from, (watermark - FINE) // DAY * DAY, self._hour)
        self.hours_from = self._merge(self.hours_from, (watermark - HOURLY) // DAY * DAY, self._day)

    def _merge(self, done: int | None, until: int, step: int) -> int | None:
        if not len(self.totals) or (done is not None and until <= done):
            return done
        first = int(self.totals.starts[0]) // DAY * DAY if done is None else done
        if until <= first:
            return done
        all_starts, lengths = self.totals.starts, self.totals.ends - self.totals.starts
        merged = all_starts[(all_starts >= first) & (all_starts < until) & (lengths < step)].copy()
        starts = merged.tolist()
        for key in list(self.lives):
            if not starts:
                break
            self._load(key, starts[0], starts[-1] + 1)
            for start in starts:
                vector = self._vectors.pop((key, start), None)
                if vector is None:
                    continue
                target = (key, start // step * step)
                self._dirty.discard((key, start))
                self._gone.add((key, start))
                known = self._vectors.get(target) if target != (key, start) else None
                self._vectors[target] = vector if known is None else known + vector
                self._dirty.add(target)
                self._gone.discard(target)
        if starts:
            self.totals.merge(merged, step)
        self._windows.clear()
        self._complete.clear()
        return until

    def drop(self, key: SeriesKey) -> None:
        """Deletes a series whose counts belong to another reference."""
        self.lives.pop(key, None)
        for name in [name for name in self._vectors if name[0] == key]:
            del self._vectors[name]
            self._dirty.discard(name)
        self._windows.pop(key, None)
        self.dropped.append(key)

    def expire(self, before: int, forget: int) -> None:
        """Drops panes that end before ``before``, and totals, which define the usual share, before ``forget``."""
        self.totals.drop_before(forget)
        if self._first_end > before:
            return  # called at every tick
        for name in [name for name in self._vectors if name[1] + self.step_at(name[1]) <= before]:
            del self._vectors[name]
            self._dirty.discard(name)
        self._windows.clear()
        self._first_end = min((start + self.step_at(start) for _, start in self._vectors), default=_NEVER)

    def ends(self, until: int) -> list[tuple[int, SeriesKey]]:
        """End times of the present lives of series, up to an event time, in order."""
        over = ((self.lifetimes.end(lives[0].last), key) for key, lives in self.lives.items())
        return sorted(ending for ending in over if ending[0] <= until)

    def end(self, key: SeriesKey) -> None:
        """Ends the present life of a series."""
        lives = self.lives.pop(key)[1:]
        if lives:
            self.lives[key] = lives

    def change(self, before: int | None) -> LabelledChange:
        """The changes that the next checkpoint must save."""
        panes = [(key, start, self.step_at(start), self._vectors[key, start]) for key, start in sorted(self._dirty)]
        return LabelledChange(panes, sorted(self._gone), before, tuple(self.dropped))

    def mark_saved(self) -> None:
        """Marks the last change set as saved, and releases panes beyond the memory limit."""
        self._dirty.clear()
        self._gone.clear()
        self.dropped.clear()
        size = sum(vector.nbytes for vector in self._vectors.values())
        if size > _CACHE_BYTES:
            self._vectors.clear()
            self._complete.clear()
            self._windows.clear()

    def arrays(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Starts, ends, rows and labels, int64[P] each, of all panes in order, all versions together."""
        return self.totals.starts, self.totals.ends, self.totals.rows, self.totals.labelled

    def saved_totals(self) -> Mapping[int, tuple[int, int, int]]:
        """Pane start → (step, rows, labelled), to be saved beside the panes."""
        return self.totals.saved()

    def restore(self, totals: Mapping[int, tuple[int, int, int]], series: Iterable[tuple[SeriesKey, int, int]]) -> None:
        """Restores totals and lives from a checkpoint."""
        self.totals.restore(totals)
        self.lives = {}
        for key, first, last in series:
            self.lives[key] = (*self.lives.get(key, ()), Life(first, last))

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return sum(vector.nbytes for vector in self._vectors.values())
