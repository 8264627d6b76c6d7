"""From when to when a series lives, by the event times of its rows alone.

A series ends once no window can hold a row of it. Rows are read a little ahead of the watermark, so a series that comes
back may already have rows of its next life when its last one ends: both are kept apart here. When a series ends, and
that it does, then depends neither on how far ahead rows were read nor on checkpoints and restarts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


class Life(NamedTuple):
    """Starts of the first and of the last pane that holds a row, epoch ms."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """When a life is over: at the first multiple of ``step`` later than ``reach`` after the start of its last pane.

    Attributes:
        reach: ms; how long after its start a pane can still be part of a window.
        step: ms; lives end on its multiples.
    """

    reach: int
    step: int

    def end(self, last: int) -> int:
        """The event time, epoch ms, at which a life is over whose last pane starts at ``last``."""
        return ((last + self.reach) // self.step + 1) * self.step

    def extended(self, lives: tuple[Life, ...], start: int) -> tuple[Life, ...]:
        """The lives of a series once the pane that starts at ``start`` holds a row, too; ascending, none overlaps."""
        if len(lives) == 1 and lives[0].first <= start <= lives[0].last:
            return lives
        return self.merged((*lives, Life(start, start)))

    def merged(self, lives: Iterable[Life]) -> tuple[Life, ...]:
        """Lives in order; those of which one begins before the other is over are one."""
        found: list[Life] = []
        for life in sorted(lives):
            if found and life.first < self.end(found[-1].last):
                found[-1] = Life(found[-1].first, max(found[-1].last, life.last))
            else:
                found.append(life)
        return tuple(found)
