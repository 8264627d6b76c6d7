"""Labels on their way into the join: tick by tick in what they do, many ticks at once in what is computed.

A label is joined at the first tick that its partition's clock has reached. Between two predictions that come in, what
becomes of the labels of all ticks can be told in one look at the files, unless something that they depend on expires
on the way. Only what a tick has reached is ever stored: a checkpoint between two ticks holds what it held before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from detectors.array_types import Integers
from monitor.labels.latest import together
from monitor.labels.outcomes import Foreseen, Pairs
from monitor.rows.records import LabelRows

if TYPE_CHECKING:
    from monitor.labels.join import LabelJoin

_MOST_TICKS = 64


@dataclass(slots=True)
class Waiting:
    """Labels that are to be joined at a tick, epoch ms."""

    tick: int
    rows: LabelRows


@dataclass(slots=True)
class Plan:
    """What becomes of the labels of some ticks.

    Attributes:
        ticks: int64[k], ascending.
        pairs: of all of them.
        bounds: int64[k + 1]: pairs of each tick, from one bound to the next.
        foreseen: for the join.
        passed: how many ticks have been reached.
    """

    ticks: Integers
    pairs: Pairs
    bounds: Integers
    foreseen: Foreseen
    parts: tuple[Waiting, ...]
    passed: int = 0


class LabelQueue:
    """Labels that wait for their tick.

    Args:
        join: takes them in.
    """

    def __init__(self, join: LabelJoin) -> None:
        self._join = join
        self.waiting: list[Waiting] = []
        self._plan: Plan | None = None
        self._reached: int | None = None

    def add(self, ticks: Integers, labels: LabelRows) -> None:
        """Labels, and the tick, int64[n], that each waits for."""
        self.settle()
        edges = np.flatnonzero(np.diff(ticks)) + 1
        for first, stop in zip([0, *edges.tolist()], [*edges.tolist(), len(ticks)], strict=True):
            if stop > first:
                self.waiting.append(Waiting(int(ticks[first]), labels.take(slice(first, stop))))

    def next_tick(self, following: int) -> int | None:
        """The first tick from one on at which labels are due: those that come behind their time are then, too."""
        return max(min(waiting.tick for waiting in self.waiting), following) if self.waiting else None

    def plan(self, tick: int, until: int) -> Plan | None:
        """What becomes of the labels that are due at a tick, and maybe of those of later ticks up to another.

        A plan is the same object for all its ticks; `reach` tells when one of them is reached.
        """
        if self._plan is not None and self._plan.passed < len(self._plan.ticks):
            return self._plan if tick >= self._plan.ticks[self._plan.passed] else None
        self.settle()
        self._plan = self._planned(tick, until) or self._planned(tick, tick)
        return self._plan

    def _planned(self, tick: int, until: int) -> Plan | None:
        due = sorted((part for part in self.waiting if part.tick <= until), key=lambda part: max(part.tick, tick))
        if not due or due[0].tick > tick:
            return None
        numbers = np.array([max(part.tick, tick) for part in due], dtype=np.int64)
        ticks = np.unique(numbers)[:_MOST_TICKS]
        due = due[: int(np.searchsorted(numbers, ticks[-1], side="right"))]
        sizes = np.array([len(part.rows.index) for part in due], dtype=np.int64)
        ids, times, values = together([(part.rows.ids, part.rows.times, part.rows.values) for part in due])
        foreseen = self._join.foresee(ids, times, values, None if len(ticks) == 1 else int(ticks[-1]))
        if foreseen is None:
            return None
        of_rows = np.repeat(numbers[: len(due)], sizes)[foreseen.rows]
        bounds = np.append(np.searchsorted(of_rows, ticks), len(of_rows))
        return Plan(ticks, foreseen.labelled.pairs, bounds, foreseen, tuple(due))

    def reach(self, tick: int) -> None:
        """Event time has come to a tick: labels that were due have been credited, old rows expire."""
        self._reached = tick
        plan = self._plan
        if plan is None or plan.passed == len(plan.ticks) or plan.ticks[plan.passed] > tick:
            return
        plan.passed += 1
        done = {id(part) for part in plan.parts if part.tick <= tick}
        self.waiting = [part for part in self.waiting if id(part) not in done]

    def settle(self) -> None:
        """Stores what the ticks that were reached have brought."""
        plan, self._plan = self._plan, None
        if plan is not None and plan.passed == len(plan.ticks):
            self._join.keep(plan.foreseen)
        elif plan is not None and plan.passed:
            last = int(plan.ticks[plan.passed - 1])
            done = [part for part in plan.parts if part.tick <= last]
            self._join.add_labels(*together([(part.rows.ids, part.rows.times, part.rows.values) for part in done]))
        if self._reached is not None:
            self._join.advance(self._reached)
            self._reached = None
