"""A model's sliding windows: rows go into panes by their event time, windows are sums of panes.

Which pane a row belongs to and whether it is late depend on nothing but the order of rows within its own partition, so
counts do not depend on batch sizes, on how partitions interleave, or on restarts.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from detectors.layout import COLUMNS
from monitor.counting import count_groups
from monitor.durations import DAY, parse_duration
from monitor.panes import EMPTY, Pane, PaneRing
from monitor.pyramid import SLACK_PANES, Window, ring_capacities, window_step
from monitor.schema_changes import SchemaChanges

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from monitor.config import ModelSection
    from monitor.records import ModelRows, Partition

ALL = "all"
OVERFLOW = "overflow"
UNVERSIONED = "-"
NO_EXTRA = np.zeros(0, dtype=np.int64)


class SeriesKey(NamedTuple):
    """One (version, segment) of a model."""

    version: str
    segment: str


class Extra(Protocol):
    """Something that is counted beside the subjects: sums of whole numbers, so that panes add up exactly."""

    @property
    def width(self) -> int:
        """How many numbers."""

    def count(self, rows: ModelRows, groups: NDArray[np.int64], size: int) -> NDArray[np.int64]:
        """int64[size, width]: the sums of each group of rows (groups int64[n], from 0 to ``size`` − 1)."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What is counted of rows that were encoded with one reference.

    Attributes:
        subjects: S.
        whole: counted beside them in the series of all rows.
        part: counted beside them in segments.
        fingerprint: changes whenever what is counted does.
    """

    subjects: int
    whole: tuple[Extra, ...] = ()
    part: tuple[Extra, ...] = ()
    fingerprint: str = ""

    def extras(self, segment: str) -> tuple[Extra, ...]:
        """What is counted beside the subjects in a segment."""
        return self.whole if segment == ALL else self.part


@dataclass(slots=True)
class Series:
    """The state of one series.

    Attributes:
        rings: by pane length.
        started, latest: starts of its first and latest pane, ms.
        profile: which reference its counts are made by.
        flagged: starts of days in which a window was found drifted; kept for rolling references.
        touched: something but its rings has changed since it was saved.
    """

    rings: dict[int, PaneRing]
    started: int
    latest: int
    profile: int = 0
    flagged: set[int] = field(default_factory=set)
    touched: bool = False


@dataclass(frozen=True, slots=True)
class Due:
    """A window that the watermark has passed: [start, end)."""

    window: Window
    start: int
    end: int


@dataclass(slots=True)
class Tally:
    """What became of rows.

    Attributes:
        rows: version → rows counted, since the state began; so are ``late`` and ``overflow``.
        late: rows whose pane had closed.
        overflow: rows counted in the overflow series.
        columns: for each reference int64[S, COLUMNS], what the values of all rows were, since the process began.
    """

    columns: list[NDArray[np.int64]]
    rows: dict[str, int] = field(default_factory=dict)
    late: int = 0
    overflow: int = 0


class ModelWindows:
    """All series of one model.

    Args:
        model: its configuration.
        shapes: what is counted, for each of the model's references.
    """

    def __init__(self, model: ModelSection, shapes: Sequence[Shape]) -> None:
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
        self.max_series = model.max_series
        self.shapes = tuple(shapes)
        self.series: dict[SeriesKey, Series] = {}
        self.ended: list[SeriesKey] = []
        self.watermark: int | None = None
        self.evaluated: dict[str, int] = {}
        self.tally = Tally([np.zeros((shape.subjects, COLUMNS), dtype=np.int64) for shape in self.shapes])
        self.offsets: dict[int, dict[int, dict[Partition, tuple[int, int]]]] = {step: {} for step in self.capacities}
        self.dirty_offsets: set[tuple[int, int]] = set()
        self.schema = SchemaChanges()

    def add(self, rows: ModelRows, clocks: NDArray[np.int64], offsets: NDArray[np.int64], partition: Partition) -> None:
        """Counts rows of one partition.

        Args:
            rows: in the partition's order.
            clocks: int64[n], greatest event time of the partition up to and including each row.
            offsets: int64[n], offset of each row's message.
            partition: where they came from.
        """
        panes, on_time = self._on_time(rows, clocks)
        self.tally.late += int((~on_time).sum())
        if not on_time.any():
            return
        kept = np.flatnonzero(on_time)
        panes = panes[kept]
        self._remember_offsets(panes, offsets[kept], partition)
        rows = rows if len(kept) == len(on_time) else rows.take(kept)
        if rows.unknown:
            self.schema.take(
                (int(panes[place]), str(rows.versions[place]), rows.unknown[row])
                for place, row in enumerate(rows.index.tolist())
                if row in rows.unknown
            )
        for version, count in zip(*np.unique(rows.versions.astype(str), return_counts=True), strict=True):
            # A field full of ids, taken for the version, must not fill the memory and the metrics page.
            known = version in self.tally.rows or len(self.tally.rows) < self.max_series
            name = str(version) if known else OVERFLOW
            self.tally.rows[name] = self.tally.rows.get(name, 0) + int(count)
        self._count(rows, None, panes)
        for labels in rows.segments:
            held = np.flatnonzero(labels != np.array(None))
            self._count(rows.take(held), labels[held], panes[held])

    def _on_time(self, rows: ModelRows, clocks: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """int64[n], the start of each row's pane; bool[n], whether it is still open."""
        panes = rows.times // self.pane * self.pane
        closed = clocks - self.lateness
        if self.watermark is not None:
            # A partition that was idle while others went on comes back behind the watermark.
            closed = np.maximum(closed, self.watermark)
        return panes, panes + self.pane > closed

    def repeat(self, rows: ModelRows, clocks: NDArray[np.int64]) -> None:
        """Rows that are counted already came again: in their panes, the last of the extra numbers counts how many."""
        panes, on_time = self._on_time(rows, clocks)
        shape = self.shapes[rows.profile]
        again = Counter(zip(rows.versions[on_time].tolist(), panes[on_time].tolist(), strict=True))
        for (version, start), count in again.items():
            series = self.series.get(SeriesKey(version, ALL))
            if series is None or series.profile != rows.profile:
                continue
            extra = np.zeros(sum(part.width for part in shape.whole), dtype=np.int64)
            extra[-1] = count
            for step, ring in series.rings.items():
                ring.add(_without_counts(start // step * step, 0, shape.subjects, extra))

    def _count(self, rows: ModelRows, labels: NDArray[np.object_] | None, panes: NDArray[np.int64]) -> None:
        if not len(panes):
            return
        versions, shape = rows.versions, self.shapes[rows.profile]
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
        extras = shape.extras(ALL if labels is None else "")
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
                pane = _without_counts(pane.start, pane.rows, self.shapes[0].subjects, NO_EXTRA)
            # Rows of one chunk come in any order of time, and so do chunks of different partitions.
            series.started, series.latest = min(series.started, start), max(series.latest, start)
            for step, ring in series.rings.items():
                ring.add(replace(pane, start=start // step * step))

    def new_series(self, key: SeriesKey, profile: int, started: int, latest: int) -> Series:
        """An empty series."""
        shape = self.shapes[profile]
        extra = 0 if key.version == OVERFLOW else sum(extra.width for extra in shape.extras(key.segment))
        rings = {step: PaneRing(step, size, shape.subjects, extra) for step, size in self.capacities.items()}
        return Series(rings, started, latest, profile)

    def find(self, version: str, segment: str) -> Series:
        """A series that is there."""
        return self.series[SeriesKey(version, segment)]

    def _series(self, key: SeriesKey, start: int, rows: int, profile: int) -> Series:
        series = self.series.get(key)
        if series is None and len(self.series) >= self.max_series and key != SeriesKey(OVERFLOW, ALL):
            # A flood of versions or segments ends in one series, so memory and metrics stay bounded.
            self.tally.overflow += rows
            return self._series(SeriesKey(OVERFLOW, ALL), start, rows, 0)
        if series is None:
            series = self.series[key] = self.new_series(key, profile, start, start)
        return series

    def _remember_offsets(self, panes: NDArray[np.int64], offsets: NDArray[np.int64], partition: Partition) -> None:
        for start in np.unique(panes).tolist():
            held = offsets[panes == start]
            first, last = int(held.min()), int(held.max())
            for step, ledger in self.offsets.items():
                bucket = ledger.setdefault(start // step * step, {})
                old = bucket.get(partition, (first, last))
                bucket[partition] = (min(first, old[0]), max(last, old[1]))
                self.dirty_offsets.add((step, start // step * step))

    def horizon(self, floor: int) -> int:
        """Rows up to this event time may be added while the slowest partition stands at ``floor``."""
        return floor + self.slack

    def advance(self, clock: int) -> Iterator[Due]:
        """Moves the watermark behind ``clock`` (event time, ms) and yields each window it passed, oldest end first.

        Each window is to be read before the next one is asked for.
        """
        watermark = clock - self.lateness
        if self.watermark is not None and watermark <= self.watermark:
            return
        started = min((series.started for series in self.series.values()), default=None)
        self.watermark = watermark
        if started is None:
            return
        due: list[Due] = []
        for window in self.windows:
            done = self.evaluated.get(window.name, started // window.step * window.step)
            ends = range(done + window.step, watermark + 1, window.step)
            if len(ends) > 1:
                # Time has jumped. Windows that hold no row of any series are passed over: there may be millions.
                filled = self._filled(window, watermark)
                due += [Due(window, end - window.length, end) for end in filled if end > done]
            else:
                due += [Due(window, end - window.length, end) for end in ends]
        due.sort(key=lambda item: (item.end, item.window.length))
        for item in due:
            self.evaluated[item.window.name] = item.end
            yield item
        self._retire()

    def _filled(self, window: Window, watermark: int) -> list[int]:
        """Ends up to the watermark of the windows that hold a row of any series."""
        starts = np.unique(np.concatenate([series.rings[window.step].starts for series in self.series.values()]))
        reach = np.arange(window.step, window.length + 1, window.step)
        ends = np.unique(starts[starts != EMPTY][:, None] + reach)
        return [int(end) for end in ends if end <= watermark]

    def _retire(self) -> None:
        """Drops series and ledgers that no window can reach any more."""
        assert self.watermark is not None
        oldest = self.watermark - self.memory - self.pane
        for key in [key for key, series in self.series.items() if series.latest < oldest]:
            del self.series[key]
            self.ended.append(key)
        for series in self.series.values():
            series.flagged = {day for day in series.flagged if day >= oldest - DAY}
        oldest = self.watermark - self.longest - self.pane
        for step, ledger in self.offsets.items():
            for start in [start for start in ledger if start + step <= oldest]:
                del ledger[start]

    def window_offsets(self, due: Due) -> dict[Partition, tuple[int, int]]:
        """First and last offset, by partition, of the messages that fed a window."""
        ranges: dict[Partition, tuple[int, int]] = {}
        for start, bucket in self.offsets[due.window.step].items():
            if due.start <= start < due.end:
                for partition, (first, last) in bucket.items():
                    old = ranges.get(partition, (first, last))
                    ranges[partition] = (min(first, old[0]), max(last, old[1]))
        return ranges

    @property
    def nbytes(self) -> int:
        """Bytes of all panes."""
        return sum(ring.nbytes for series in self.series.values() for ring in series.rings.values())


def _without_counts(start: int, rows: int, subjects: int, extra: NDArray[np.int64]) -> Pane:
    extremes = np.empty((subjects, 2))
    extremes[:, 0], extremes[:, 1] = np.inf, -np.inf
    none = np.zeros((subjects, COLUMNS), dtype=np.int64)
    return Pane(start, rows, none, np.zeros((subjects, 2), dtype=np.int64), extremes, extra)
