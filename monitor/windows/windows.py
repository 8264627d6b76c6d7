"""A model's sliding windows: rows go into panes by their event time, windows are sums of panes.

Which pane a row belongs to and whether it is late depend on nothing but the order of rows within its own partition, so
counts do not depend on batch sizes, on how partitions interleave, or on restarts.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from detectors.layout import COLUMNS
from monitor.common.durations import DAY, parse_duration
from monitor.common.window_step import window_step
from monitor.windows.counting import count_groups
from monitor.windows.geometry import SLACK_PANES, Window, ring_capacities
from monitor.windows.lives import Life, Lifetimes
from monitor.windows.offset_ledger import OffsetLedger
from monitor.windows.panes import Pane, PaneRing, rows_alone
from monitor.windows.series import (
    ALL,
    NO_EXTRA,
    OVERFLOW,
    REPEATED,
    CountSpec,
    DueWindow,
    Series,
    SeriesEnd,
    SeriesKey,
    Tally,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from monitor.config.model import ModelSection
    from monitor.rows.records import ModelRows, Partition


class ModelWindows:
    """All series of one model.

    Args:
        model: its configuration.
        specs: the counts, for each of the model's references.
    """

    def __init__(self, model: ModelSection, specs: Sequence[CountSpec]) -> None:
        self.name, self.pane, self.lateness = model.name, model.pane, model.lateness
        self.windows = tuple(
            Window(name, length, window_step(length, model.pane))
            for name, length in sorted(
                ((name, parse_duration(name)) for name in model.windows), key=lambda item: item[1]
            )
        )
        self.capacities = ring_capacities(self.windows, self.pane, self.lateness, model.drift.rolling)
        self.slack = SLACK_PANES * self.pane
        self.longest = self.windows[-1].length
        # A rolling reference looks back from the start of the window, by whole days.
        self.rolling = model.drift.rolling
        self.memory = self.longest + (0 if self.rolling is None else self.rolling + DAY)
        self.lifetimes = Lifetimes(self.memory + self.pane, min(window.step for window in self.windows))
        self.max_series = model.max_series
        self.specs = tuple(specs)
        self.series: dict[SeriesKey, Series] = {}
        self.ended: list[SeriesKey] = []
        self.watermark: int | None = None
        self.evaluated: dict[str, int] = {}
        # Windows that have ended and are to be yielded next; no rows are added between them.
        self.ahead: deque[DueWindow] = deque()
        self.tally = Tally([np.zeros((spec.subjects, COLUMNS), dtype=np.int64) for spec in self.specs])
        self.offsets = OffsetLedger(self.capacities)

    def add(self, rows: ModelRows, clocks: NDArray[np.int64], offsets: NDArray[np.int64], partition: Partition) -> None:
        """Counts rows of one partition.

        Args:
            rows: in the partition's order.
            clocks: int64[n], greatest event time of the partition up to and including each row.
            offsets: int64[n], offset of each row's message.
            partition: where they came from.
        """
        panes, on_time = self.on_time(rows.times, clocks)
        self.tally.late += int((~on_time).sum())
        if not on_time.any():
            return
        kept = np.flatnonzero(on_time)
        panes = panes[kept]
        self.offsets.add(panes, offsets[kept], partition)
        rows = rows if len(kept) == len(on_time) else rows.take(kept)
        for version, count in zip(*np.unique(rows.versions.astype(str), return_counts=True), strict=True):
            # A field full of ids, taken for the version, must not fill the memory and the metrics page.
            known = version in self.tally.rows or len(self.tally.rows) < self.max_series
            name = str(version) if known else OVERFLOW
            self.tally.rows[name] = self.tally.rows.get(name, 0) + int(count)
        self._count(rows, None, panes)
        for labels in rows.segments:
            held = np.flatnonzero(labels != np.array(None))
            self._count(rows.take(held), labels[held], panes[held])

    def on_time(
        self, times: NDArray[np.int64], clocks: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """int64[n], the start of each row's pane; bool[n], whether it is still open."""
        panes = times // self.pane * self.pane
        closed = clocks - self.lateness
        if self.watermark is not None:
            # A partition that was idle while others went on comes back behind the watermark.
            closed = np.maximum(closed, self.watermark)
        return panes, panes + self.pane > closed

    def repeat(self, rows: ModelRows, clocks: NDArray[np.int64]) -> None:
        """Counts rows that came again in their panes, as the extra count `REPEATED` alone."""
        panes, on_time = self.on_time(rows.times, clocks)
        spec = self.specs[rows.profile]
        again = Counter(zip(rows.versions[on_time].tolist(), panes[on_time].tolist(), strict=True))
        for (version, start), count in again.items():
            series = self.series.get(SeriesKey(version, ALL))
            if series is None or series.profile != rows.profile:
                continue
            extra = np.zeros(spec.width(ALL), dtype=np.int64)
            extra[spec.slices(ALL)[REPEATED]] = count
            for step, ring in series.rings.items():
                ring.add(rows_alone(start // step * step, 0, spec.subjects, extra))

    def _count(self, rows: ModelRows, labels: NDArray[np.object_] | None, panes: NDArray[np.int64]) -> None:
        if not len(panes):
            return
        versions, spec = rows.versions, self.specs[rows.profile]
        # Groups are numbered through (pane, series); there are few of them, so the loop below is short.
        numbers: dict[tuple[str, str], int] = {}
        segments = [ALL] * len(panes) if labels is None else labels
        owner = np.array(
            [numbers.setdefault(pair, len(numbers)) for pair in zip(versions, segments, strict=True)], dtype=np.int64
        )
        keys = [SeriesKey(*pair) for pair in numbers]
        distinct, place = np.unique(panes, return_inverse=True)
        pairs, groups = np.unique(place * len(keys) + owner, return_inverse=True)
        counted = count_groups(rows.codes, rows.z, groups, len(pairs))
        extras = spec.extras(ALL if labels is None else "")
        parts = [extra.count(rows, groups, len(pairs)) for extra in extras]
        extra = np.concatenate(parts, axis=1) if parts else np.zeros((len(pairs), 0), dtype=np.int64)
        if labels is None:
            self.tally.columns[rows.profile] += counted.bins.sum(axis=0)
        for group, pair in enumerate(pairs.tolist()):
            start = int(distinct[pair // len(keys)])
            pane = Pane(
                start,
                int(counted.rows[group]),
                counted.bins[group],
                counted.moments[group],
                counted.extremes[group],
                extra[group],
            )
            key = keys[pair % len(keys)]
            series = self._series(key, start, pane.rows, rows.profile)
            if series is self.series.get(SeriesKey(OVERFLOW, ALL)):
                # It is never judged, and takes in rows of any reference and segment: it counts rows alone.
                pane = rows_alone(pane.start, pane.rows, self.specs[0].subjects, NO_EXTRA)
            # Rows of one chunk come in any order of time, and so do chunks of different partitions.
            series.lives = self.lifetimes.extended(series.lives, start)
            for step, ring in series.rings.items():
                ring.add(replace(pane, start=start // step * step))

    def new_series(self, key: SeriesKey, profile: int, lives: tuple[Life, ...]) -> Series:
        """An empty series."""
        spec = self.specs[profile]
        extra = 0 if key.version == OVERFLOW else spec.width(key.segment)
        rings = {step: PaneRing(step, size, spec.subjects, extra) for step, size in self.capacities.items()}
        return Series(rings, lives, profile)

    def _series(self, key: SeriesKey, start: int, rows: int, profile: int) -> Series:
        series = self.series.get(key)
        if series is None and len(self.series) >= self.max_series and key != SeriesKey(OVERFLOW, ALL):
            # A flood of versions or segments ends in one series, so memory and metrics stay bounded.
            self.tally.overflow += rows
            return self._series(SeriesKey(OVERFLOW, ALL), start, rows, 0)
        if series is None:
            series = self.series[key] = self.new_series(key, profile, (Life(start, start),))
        return series

    def horizon(self, floor: int) -> int:
        """Rows up to this event time may be added while the slowest partition stands at ``floor``."""
        return floor + self.slack

    def advance(self, clock: int) -> Iterator[DueWindow | SeriesEnd]:
        """Moves the watermark behind ``clock`` (event time, ms); yields each window that it passes and each series
        that ends on its way, in the order of their ends.

        Each item is to be dealt with before the next one is asked for. The watermark moves on with the items, so they
        may be asked for later, or not at all: the next call then goes on after the last one.
        """
        target = clock - self.lateness
        if self.watermark is not None and target <= self.watermark:
            return
        passed = self._passed(target)
        self.ahead = deque(item for item in passed if isinstance(item, DueWindow))
        for item in passed:
            self.watermark = item.end if self.watermark is None else max(self.watermark, item.end)
            if isinstance(item, DueWindow):
                self.evaluated[item.window.name] = self.ahead.popleft().end
            else:
                self._end(item.key)
            yield item
        self.watermark = target
        self._retire()

    def _passed(self, target: int) -> list[DueWindow | SeriesEnd]:
        """Windows and series that end up to an event time, in order."""
        found: list[DueWindow | SeriesEnd] = [
            SeriesEnd(key, end)
            for key, series in sorted(self.series.items())
            for life in series.lives
            if (end := self.lifetimes.end(life.last)) <= target
        ]
        alive = self._alive()
        for window in self.windows:
            done = self.evaluated.get(window.name)
            for first, over in alive:
                # A window that ends before the first row, or when no series is left, is not judged.
                begin = first // window.step * window.step
                begin = begin if done is None else max(done, begin)
                ends = range(begin + window.step, min(over, target + 1), window.step)
                found += [DueWindow(window, end - window.length, end) for end in ends]
        return sorted(found, key=_order)

    def _alive(self) -> list[tuple[int, int]]:
        """Stretches of event time [first row, end) in which some series lives; in order, none overlaps."""
        spans = sorted(
            (life.first, self.lifetimes.end(life.last)) for series in self.series.values() for life in series.lives
        )
        found: list[tuple[int, int]] = []
        for first, over in spans:
            if found and first < found[-1][1]:
                found[-1] = (found[-1][0], max(found[-1][1], over))
            else:
                found.append((first, over))
        return found

    def _end(self, key: SeriesKey) -> None:
        """The present life of a series is over; rows of its next one may be here already."""
        series = self.series[key]
        if len(series.lives) > 1:
            series.lives = series.lives[1:]
            series.touched = True
        else:
            del self.series[key]
            self.ended.append(key)

    def _retire(self) -> None:
        """Drops days and ledgers that no window can reach any more."""
        assert self.watermark is not None
        oldest = self.watermark - self.memory - self.pane
        for series in self.series.values():
            series.flagged = {day for day in series.flagged if day >= oldest - DAY}
        self.offsets.retire(self.watermark - self.longest - self.pane)

    @property
    def nbytes(self) -> int:
        """Bytes of all panes."""
        return sum(ring.nbytes for series in self.series.values() for ring in series.rings.values())


def _order(item: DueWindow | SeriesEnd) -> tuple[int, int]:
    """By end; at one time a series ends before windows are judged, and short windows are judged before long ones."""
    return item.end, item.window.length if isinstance(item, DueWindow) else 0
