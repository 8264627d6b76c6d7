"""Feeds decoded rows to the windows in an order that keeps event time together.

Partitions are read at different speeds, above all when a backlog is caught up. Rows that lie too far ahead of the
slowest partition wait here (and their partition is not polled meanwhile), so a bounded number of panes is open and the
watermark, the least event time of all partitions that are not idle, never has to wait for what was read already.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from monitor.daemon.recovery import RowPlace
from monitor.evaluate.record_faults import rejects_by_model
from monitor.rows.records import Decoded, Position

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from detectors.array_types import Integers
    from monitor.daemon.model import Step
    from monitor.evaluate.record_faults import Rejects
    from monitor.rows.records import LabelRows, ModelRows, Partition

_NEVER = -(2**62)


@dataclass(slots=True)
class _Waiting:
    decoded: Decoded
    clocks: NDArray[np.int64]
    cursor: int


class TakesRows(Protocol):
    """A monitored model, or one that still learns its reference."""

    @property
    def name(self) -> str:
        """The model's name."""

    def horizon(self, floor: int) -> int:
        """Rows up to this event time may be added while the slowest partition stands at ``floor``."""

    def add(self, rows: ModelRows, clocks: Integers, offsets: Integers, partition: Partition) -> None:
        """Takes rows of one partition in.

        Args:
            rows: in the partition's order.
            clocks: int64[n], greatest event time of the partition up to and including each row.
            offsets: int64[n], offset of each row's message.
            partition: where they came from.
        """

    def offer(self, labels: LabelRows, clocks: Integers) -> None:
        """Takes labels in, with their partition's clock at each row."""

    def reject(self, rejects: Rejects) -> None:
        """Takes in that records could not be used."""

    def advance(self, clock: int) -> Iterator[Step]:
        """Moves event time on; the steps that follow from it, in order."""

    def finish(self, latest: int) -> Iterator[Step]:
        """The steps at the end of a replay, whose last record has this event time."""


class EventTimeBuffer:
    """Rows on their way into windows.

    Args:
        models: by name.
        on_reject: called with (partition, reason, raw message or None) for each reject that is passed.
    """

    def __init__(
        self,
        models: Mapping[str, TakesRows],
        on_reject: Callable[[Partition, str, bytes | None], None],
    ) -> None:
        self._models = dict(models)
        self._on_reject = on_reject
        self._waiting: dict[Partition, deque[_Waiting]] = {}
        self._ahead: dict[Partition, int] = {}
        self.positions: dict[Partition, Position] = {}
        self.active: frozenset[Partition] = frozenset()
        # The event time that all partitions have reached together; windows are judged up to its lateness.
        self.stands_at = _NEVER
        # How many rows may still be taken in (None: any number); how many were, and the last one, since it was set.
        self.room: int | None = None
        self.counted = 0
        self.last: RowPlace | None = None

    def offer(self, decoded: Decoded) -> None:
        """Takes a chunk in. Rows that a resumed position says are counted already are skipped."""
        partition = decoded.partition
        position = self.positions.get(partition)
        before = self._ahead.get(partition, _NEVER)
        if position is not None and position.clock is not None:
            before = max(before, position.clock)
        times = decoded.times.copy()
        for row in decoded.rejects:
            times[row] = _NEVER
        clocks = np.maximum.accumulate(np.maximum(times, before)) if times.size else times
        cursor = 0
        if position is not None and position.skip:
            done = (decoded.offsets < position.offset) | (
                (decoded.offsets == position.offset) & (decoded.within < position.skip)
            )
            cursor = int(done.sum())
        if clocks.size:
            self._ahead[partition] = int(clocks[-1])
        self._waiting.setdefault(partition, deque()).append(_Waiting(decoded, clocks, cursor))

    def allow(self, room: int | None) -> None:
        """Starts a new count of rows taken in; at most ``room`` are allowed."""
        self.room, self.counted, self.last = room, 0, None

    def crowded(self) -> frozenset[Partition]:
        """Partitions that need not be polled now: rows of theirs still wait."""
        return frozenset(partition for partition, queue in self._waiting.items() if queue)

    def waiting(self, partition: Partition) -> int:
        """How many messages of a partition have been read but not counted; one counted in part is among them."""
        queue = self._waiting.get(partition)
        if not queue:
            return 0
        first = queue[0]
        return queue[-1].decoded.next_offset - int(
            first.decoded.offsets[first.cursor] if first.cursor < len(first.clocks) else first.decoded.next_offset
        )

    def forget(self, partition: Partition) -> None:
        """Drops waiting rows and clock of a partition whose topic was recreated."""
        self._waiting.pop(partition, None)
        self._ahead.pop(partition, None)
        self.positions.pop(partition, None)

    def hand_over(self, name: str, model: TakesRows, encoded: Callable[[ModelRows], ModelRows]) -> None:
        """A model has learned its reference: what waits of it is encoded, and goes to its windows from now on."""
        self._models[name] = model
        for queue in self._waiting.values():
            for waiting in queue:
                models = tuple(encoded(rows) if rows.model == name else rows for rows in waiting.decoded.models)
                waiting.decoded = replace(waiting.decoded, models=models)

    def drain(self) -> Iterator[tuple[str, Step]]:
        """Adds what may be added and yields what comes of it, to be dealt with at once.

        Between two items the work can be left off, and gone on with later. An item without a model's name means that
        rows have been added: the watermark moves on when the next item is asked for.
        """
        while True:
            floor = self._floor()
            if floor is None:
                return
            self.stands_at = max(self.stands_at, floor)
            if floor > _NEVER:
                for model in self._models.values():
                    for item in model.advance(floor):
                        yield model.name, item
            if not self._take(floor):
                return
            yield "", None

    def flush(self) -> Iterator[tuple[str, Step]]:
        """The steps at the end of a replay; time does not move past the log."""
        latest = self.latest(self.positions)
        if latest is None:
            return
        for model in self._models.values():
            for item in model.finish(latest):
                yield model.name, item

    def latest(self, partitions: Collection[Partition]) -> int | None:
        """The greatest event time that was read of some partitions, added to windows yet or not; None without any."""
        clocks = [self._ahead.get(partition, _NEVER) for partition in partitions]
        clocks += [
            position.clock for partition in partitions
            if (position := self.positions.get(partition)) is not None and position.clock is not None
        ]  # fmt: skip
        latest = max(clocks, default=_NEVER)
        return None if latest == _NEVER else latest

    def _floor(self) -> int | None:
        """The event time that every partition has reached; None while some partition has yet to show where it is."""
        bounds = []
        for partition in self.active | self.crowded():
            queue = self._waiting.get(partition)
            if queue:
                waiting = queue[0]
                if waiting.cursor < len(waiting.clocks):
                    bounds.append(int(waiting.clocks[waiting.cursor]))
                    continue
            position = self.positions.get(partition)
            if position is None or (position.clock is None and not queue):
                if partition in self._ahead:
                    continue  # only rejects so far: no event time yet; does not hold back the watermark
                return None
            bounds.append(_NEVER if position.clock is None else position.clock)
        if not bounds:
            return None
        return min(bounds)

    def _take(self, floor: int) -> bool:
        limit = min(model.horizon(floor) for model in self._models.values())
        moved = False
        for queue in self._waiting.values():
            while queue:
                waiting = queue[0]
                stop = int(np.searchsorted(waiting.clocks, limit, side="right"))
                if self.room is not None:
                    stop = min(stop, waiting.cursor + self.room)
                if stop > waiting.cursor or waiting.cursor >= len(waiting.clocks):
                    self._add(waiting, max(stop, waiting.cursor))
                    moved = True
                if waiting.cursor < len(waiting.clocks):
                    break
                queue.popleft()
        return moved

    def _add(self, waiting: _Waiting, stop: int) -> None:
        decoded, first = waiting.decoded, waiting.cursor
        partition = decoded.partition
        # Before they are counted: that may fail.
        if stop > first:
            self.counted += stop - first
            self.last = RowPlace(partition, int(decoded.offsets[stop - 1]), int(decoded.within[stop - 1]))
            self.room = None if self.room is None else self.room - (stop - first)
        for rows in decoded.models:
            part = rows.between(first, stop)
            if len(part.index):
                self._models[rows.model].add(part, waiting.clocks[part.index], decoded.offsets[part.index], partition)
        for labels in decoded.labels:
            mine = labels.between(first, stop)
            if len(mine.index):
                self._models[labels.model].offer(mine, waiting.clocks[mine.index])
        for row, reason in decoded.rejects.items():
            if first <= row < stop:
                self._on_reject(partition, reason, decoded.values.get(row))
        for name, rejects in rejects_by_model(decoded, first, stop, waiting.clocks) if decoded.rejects else ():
            self._models[name].reject(rejects)
        waiting.cursor = stop
        old = self.positions.get(partition, Position(0))
        clock = int(waiting.clocks[stop - 1]) if stop else _NEVER
        self.positions[partition] = replace(
            old,
            offset=decoded.next_offset if stop == len(waiting.clocks) else int(decoded.offsets[stop]),
            skip=0 if stop == len(waiting.clocks) else int(decoded.within[stop]),
            clock=old.clock if clock == _NEVER else clock,
        )
