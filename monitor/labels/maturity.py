"""Which window is the newest whose labels have come, as far as they will.

A window is mature once the longest delay has passed since its end, or once its share of labels has reached what the
model's own history says will come at all: the share among the panes that the longest delay has already passed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from detectors.array_types import Integers
from monitor.windows.geometry import Window

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


_MOST_ENDS = 10_000


@dataclass(frozen=True, slots=True)
class MatureWindow:
    """A window whose labels have come, as far as they will: [start, end), judged at ``at`` (epoch ms of event time)."""

    window: Window
    start: int
    end: int
    at: int


@dataclass(frozen=True, slots=True)
class MaturityPolicy:
    """How long labels are waited for: the longest delay and the memory of shares in ms, the share of those expected
    that is enough, and the number of labels below which no share is believed."""

    max_delay: int
    memory: int
    share: float
    min_labels: int


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Labels of consecutive panes.

    Attributes:
        starts: int64[pane], ascending; the epoch ms at which each begins.
        ends: int64[pane].
        rows: int64[pane]; predictions.
        labelled: int64[pane]; of those, with a label.
    """

    starts: Integers
    ends: Integers
    rows: Integers
    labelled: Integers

    def final_share(self, tick: int, patience: MaturityPolicy) -> float | None:
        """The share of labels that comes in the end; None until enough predictions have waited for the longest delay.

        Only the panes that reached it within ``patience.memory`` count, since labelling changes over the years.
        """
        settled = self.ends + patience.max_delay <= tick
        lately = settled & (self.ends > tick - patience.max_delay - patience.memory)
        rows = int(self.rows[lately].sum())
        return int(self.labelled[lately].sum()) / rows if rows >= max(patience.min_labels, 1) else None


def _ends(arrivals: Arrivals, window: Window, after: int, tick: int) -> Integers:
    """int64[n], ascending: ends in (after, tick] of windows, all that hold a pane among them."""
    if (tick - after) // window.step <= _MOST_ENDS:
        return np.arange(after + window.step, tick + 1, window.step)
    # Time has jumped: between the panes there may be millions of windows that hold none.
    first = arrivals.starts // window.step * window.step
    reach = np.arange(window.step, window.length + window.step, window.step)
    found = np.unique(first[:, None] + reach)
    return found[(found > after) & (found <= tick)]


def newest_mature(
    arrivals: Arrivals,
    window: Window,
    after: int | None,
    tick: int,
    patience: MaturityPolicy,
    on_boundary: Callable[[Integers], NDArray[np.bool_]],
    log_end: int | None = None,
) -> MatureWindow | None:
    """The newest mature window of a length that ends later than ``after``, or None.

    Args:
        arrivals: labels by pane.
        window: its length and step.
        after: the end of the one judged last; None before the first.
        tick: now, epoch ms of event time.
        patience: how long labels are waited for.
        on_boundary: bool[n], whether no pane lies across each of int64[n] times; a window holds whole panes only.
        log_end: no window ends later; None if there is no such end.
    """
    ends, rows, labelled = _windows(arrivals, window, after, tick, on_boundary, log_end)
    mature = ends + patience.max_delay <= tick
    share = arrivals.final_share(tick, patience)
    if share is not None:
        mature |= (labelled >= patience.min_labels) & (labelled >= patience.share * share * rows)
    ready = ends[mature]
    if not len(ready):
        return None
    end = int(ready[-1])
    return MatureWindow(window, end - window.length, end, tick)


def complete(
    arrivals: Arrivals,
    window: Window,
    after: int | None,
    tick: int,
    patience: MaturityPolicy,
    on_boundary: Callable[[Integers], NDArray[np.bool_]],
    log_end: int | None = None,
) -> list[MatureWindow]:
    """Every window of a length that ends later than ``after`` and has its labels, oldest first.

    Arguments as for `newest_mature`. For a log that ends before its history tells which share of labels comes: as far
    as it is known, all of them do.
    """
    ends, rows, labelled = _windows(arrivals, window, after, tick, on_boundary, log_end)
    ready = ends[(labelled >= patience.min_labels) & (labelled >= patience.share * rows)]
    return [MatureWindow(window, end - window.length, end, tick) for end in ready.tolist()]


def _windows(
    arrivals: Arrivals,
    window: Window,
    after: int | None,
    tick: int,
    on_boundary: Callable[[Integers], NDArray[np.bool_]],
    log_end: int | None,
) -> tuple[Integers, Integers, Integers]:
    """Ends, rows and labels, int64[n] each, of the windows that may be judged and hold a row."""
    if not len(arrivals.starts):
        none = np.zeros(0, dtype=np.int64)
        return none, none, none
    first = int(arrivals.starts[0]) // window.step * window.step
    last = tick if log_end is None else min(tick, log_end)
    ends = _ends(arrivals, window, max(first, first if after is None else after), last)
    begins = ends - window.length
    whole = on_boundary(ends) & on_boundary(begins)
    low, high = np.searchsorted(arrivals.starts, begins), np.searchsorted(arrivals.starts, ends)
    row_sums, label_sums = (np.concatenate([[0], np.cumsum(part)]) for part in (arrivals.rows, arrivals.labelled))
    rows, labelled = row_sums[high] - row_sums[low], label_sums[high] - label_sums[low]
    kept = whole & (rows > 0)
    return ends[kept], rows[kept], labelled[kept]
