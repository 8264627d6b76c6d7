"""The queue of labels before the join: labels take effect tick by tick, but are computed for many ticks at once.

A label is joined at the first tick that its partition's clock has reached. Between two batches of predictions, one
look-up in the files determines the outcomes of the labels of all ticks, unless a row that they depend on expires
meanwhile. Only labels whose tick has been reached are stored, so a checkpoint between two ticks contains no others.
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
    """Labels to be joined at a tick, epoch ms."""

    tick: int
    rows: LabelRows


@dataclass(slots=True)
class Plan:
    """The outcomes of the labels of some ticks.

    Attributes:
        ticks: int64[k], ascending.
        pairs: of all ticks.
        bounds: int64[k + 1]: the pairs of tick i are at bounds[i] to bounds[i + 1].
        foreseen: for the join.
        passed: number of ticks reached.
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
        join: receives them.
    """

    def __init__(self, join: LabelJoin) -> None:
        self._join = join
        self.waiting: list[Waiting] = []
        self._plan: Plan | None = None
        self._reached: int | None = None

    def add(self, ticks: Integers, labels: LabelRows) -> None:
        """Adds labels with the tick, int64[n], that each waits for."""
        self.settle()
        edges = np.flatnonzero(np.diff(ticks)) + 1
        for first, stop in zip([0, *edges.tolist()], [*edges.tolist(), len(ticks)], strict=True):
            if stop > first:
                self.waiting.append(Waiting(int(ticks[first]), labels.take(slice(first, stop))))

    def next_tick(self, following: int) -> int | None:
        """The first tick, from ``following`` on, at which labels are due; overdue labels are due at ``following``."""
        return max(min(waiting.tick for waiting in self.waiting), following) if self.waiting else None

    def plan(self, tick: int, until: int) -> Plan | None:
        """The outcomes of the labels that are due at ``tick``, and possibly at later ticks up to ``until``.

        One plan object serves all its ticks; the caller reports each tick by `reach`.
        """
        if self._plan is not None and self._plan.passed < len(self._plan.ticks):
            return self._plan if tick >= self._plan.ticks[self._plan.passed] else None
        self.settle()
        self._plan = self._planned(tick, until) or self._planned(tick, tick)
        return self._plan

    def _planned(self, tick: int, until: int) -> Plan | None:
        due = sorted((batch for batch in self.waiting if batch.tick <= until), key=lambda batch: max(batch.tick, tick))
        if not due or due[0].tick > tick:
            return None
        numbers = np.array([max(batch.tick, tick) for batch in due], dtype=np.int64)
        ticks = np.unique(numbers)[:_MOST_TICKS]
        due = due[: int(np.searchsorted(numbers, ticks[-1], side="right"))]
        sizes = np.array([len(batch.rows.index) for batch in due], dtype=np.int64)
        ids, times, values = together([(batch.rows.ids, batch.rows.times, batch.rows.values) for batch in due])
        foreseen = self._join.foresee(ids, times, values, None if len(ticks) == 1 else int(ticks[-1]))
        if foreseen is None:
            return None
        of_rows = np.repeat(numbers[: len(due)], sizes)[foreseen.rows]
        bounds = np.append(np.searchsorted(of_rows, ticks), len(of_rows))
        return Plan(ticks, foreseen.labelled.pairs, bounds, foreseen, tuple(due))

    def reach(self, tick: int) -> None:
        """Reports that event time has reached a tick: due labels have been credited, old rows expire."""
        self._reached = tick
        plan = self._plan
        if plan is None or plan.passed == len(plan.ticks) or plan.ticks[plan.passed] > tick:
            return
        plan.passed += 1
        done = {id(batch) for batch in plan.parts if batch.tick <= tick}
        self.waiting = [batch for batch in self.waiting if id(batch) not in done]

    def settle(self) -> None:
        """Stores the labels of all ticks reached."""
        plan, self._plan = self._plan, None
        if plan is not None and plan.passed == len(plan.ticks):
            self._join.keep(plan.foreseen)
        elif plan is not None and plan.passed:
            last = int(plan.ticks[plan.passed - 1])
            done = [batch for batch in plan.parts if batch.tick <= last]
            self._join.add_labels(*together([(batch.rows.ids, batch.rows.times, batch.rows.values) for batch in done]))
        if self._reached is not None:
            self._join.advance(self._reached)
            self._reached = None
