"""The series of a model, what is counted for each, and the events of event time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from monitor.windows.geometry import Window
from monitor.windows.lives import Life
from monitor.windows.panes import PaneRing

if TYPE_CHECKING:
    from monitor.rows.records import ModelRows


ALL = "all"
OVERFLOW = "overflow"
UNVERSIONED = "-"
REPEATED = "repeated"
"""Name of the extra count of rows that came again."""
NO_EXTRA = np.zeros(0, dtype=np.int64)


class SeriesKey(NamedTuple):
    """One (version, segment) of a model."""

    version: str
    segment: str


class ExtraCount(Protocol):
    """Something that is counted beside the subjects: sums of whole numbers, so that panes add up exactly."""

    @property
    def name(self) -> str:
        """Its name among the counts of a model."""

    @property
    def width(self) -> int:
        """How many numbers."""

    def count(self, rows: ModelRows, groups: NDArray[np.int64], size: int) -> NDArray[np.int64]:
        """int64[size, width]: the sums of each group of rows (groups int64[n], from 0 to ``size`` − 1)."""


@dataclass(frozen=True, slots=True)
class CountSpec:
    """The counts of rows that were encoded with one reference.

    Attributes:
        subjects: S.
        whole: counted beside them in the series of all rows.
        part: counted beside them in segments.
        fingerprint: changes whenever the counts change their meaning.
    """

    subjects: int
    whole: tuple[ExtraCount, ...] = ()
    part: tuple[ExtraCount, ...] = ()
    fingerprint: str = ""
    _slices: tuple[dict[str, slice], dict[str, slice]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_slices", (_slices(self.whole), _slices(self.part)))

    def extras(self, segment: str) -> tuple[ExtraCount, ...]:
        """The extra counts of a segment, or of the whole."""
        return self.whole if segment == ALL else self.part

    def width(self, segment: str) -> int:
        """How many numbers the extra counts of a segment take."""
        return sum(extra.width for extra in self.extras(segment))

    def slices(self, segment: str) -> dict[str, slice]:
        """Name of each extra count → where its numbers stand."""
        return self._slices[0 if segment == ALL else 1]


def _slices(extras: tuple[ExtraCount, ...]) -> dict[str, slice]:
    slices, start = {}, 0
    for extra in extras:
        slices[extra.name] = slice(start, start + extra.width)
        start += extra.width
    return slices


@dataclass(slots=True)
class Series:
    """The state of one series.

    Attributes:
        rings: by pane length.
        lives: from when to when it has rows; the first is the present one.
        profile: index of the reference that encodes its rows.
        flagged: starts of days in which a window was found drifted; kept for rolling references.
        touched: something but its rings has changed since it was saved.
    """

    rings: dict[int, PaneRing]
    lives: tuple[Life, ...]
    profile: int = 0
    flagged: set[int] = field(default_factory=set)
    touched: bool = False

    @property
    def started(self) -> int:
        """Start of the first pane of its present life, epoch ms."""
        return self.lives[0].first


@dataclass(frozen=True, slots=True)
class DueWindow:
    """A window that the watermark has passed: [start, end)."""

    window: Window
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class SeriesEnd:
    """A series of which no window holds a row any more ends at an event time, epoch ms.

    Attributes:
        realised: what ends is its realised performance, not its windows.
    """

    key: SeriesKey
    end: int
    realised: bool = False


@dataclass(slots=True)
class Tally:
    """Totals of rows.

    Attributes:
        rows: version → rows counted, since the state began; so are ``late`` and ``overflow``.
        late: rows whose pane had closed.
        overflow: rows counted in the overflow series.
        columns: for each reference int64[S, COLUMNS], counts of the values of all rows since the process started.
    """

    columns: list[NDArray[np.int64]]
    rows: dict[str, int] = field(default_factory=dict)
    late: int = 0
    overflow: int = 0
