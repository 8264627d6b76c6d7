"""Finds the newest mature window: a window whose labels have arrived, as far as they will.

A window is mature once the longest delay has passed since its end, or once its share of labels has reached the final
share in the model's history: the share in panes whose longest delay has already passed.
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
    """A mature window: [start, end), judged at ``at`` (epoch ms of event time)."""

    window: Window
    start: int
    end: int
    at: int


@dataclass(frozen=True, slots=True)
class MaturityPolicy:
    """The conditions of maturity: the longest delay and the memory of shares in ms, the fraction of the final share
    that is enough, and the number of labels that a share needs."""

    max_delay: int
    memory: int
    share: float
    min_labels: int


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Labels of consecutive panes.

    Attributes:
        starts: int64[pane], ascending, epoch ms.
        ends: int64[pane].
        rows: int64[pane]; predictions.
        labelled: int64[pane]; predictions with a label.
    """

    starts: Integers
    ends: Integers
    rows: Integers
    labelled: Integers

    def final_share(self, tick: int, patience: MaturityPolicy) -> float | None:
        """The final share of labels; None until enough predictions have waited for the longest delay.

        Only panes that reached this delay within ``patience.memory`` count, since labelling changes over the years.
        """
        latest = tick - patience.max_delay
        lately = slice(*np.searchsorted(self.ends, (latest - patience.memory, latest), side="right"))
        rows = int(self.rows[lately].sum())
        return int(self.labelled[lately].sum()) / rows if rows >= max(patience.min_labels, 1) else None


def _ends(arrivals: Arrivals, window: Window, after: int, tick: int) -> Integers:
    """int64[n], ascending: ends in (after, tick] of windows, including all windows that contain a pane."""
    if (tick - after) // window.step <= _MOST_ENDS:
        return np.arange(after + window.step, tick + 1, window.step)
    # After a jump of time there may be millions of windows without a pane.
    first = arrivals.starts // window.step * window.step
    reach = np.arange(window.step, window.length + window.step, window.step)
    ends = np.unique(first[:, None] + reach)
    return ends[(ends > after) & (ends <= tick)]


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
        after: end of the last judged window; None before the first.
        tick: now, epoch ms of event time.
        patience: the conditions of maturity.
        on_boundary: bool[n], whether each of int64[n] times is a boundary of panes; a window contains whole panes only.
        log_end: no window ends later; None if there is no such end.
    """
    share = arrivals.final_share(tick, patience)
    # Without a final share, a window becomes mature by time alone.
    until = tick if share is not None else tick - patience.max_delay
    ends, rows, labelled = _windows(arrivals, window, after, until, on_boundary, log_end)
    mature = ends + patience.max_delay <= tick
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
    """All windows of a length that end later than ``after`` and have their labels, oldest first.

    Arguments as for `newest_mature`. If a log ends before the final share of labels is known, all labels are expected.
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
    """Ends, rows and labels, int64[n] each, of non-empty windows that may be judged."""
    if not len(arrivals.starts):
        none = np.zeros(0, dtype=np.int64)
        return none, none, none
    first = int(arrivals.starts[0]) // window.step * window.step
    last = tick if log_end is None else min(tick, log_end)
    ends = _ends(arrivals, window, max(first, first if after is None else after), last)
    if not len(ends):
        return ends, ends, ends
    begins = ends - window.length
    whole = on_boundary(ends) & on_boundary(begins)
    low, high = np.searchsorted(arrivals.starts, begins), np.searchsorted(arrivals.starts, ends)
    # Only the panes of these windows are summed: a month may have a hundred thousand.
    used = slice(int(low[0]), int(high[-1]))
    row_sums, label_sums = (np.concatenate([[0], np.cumsum(part[used])]) for part in (arrivals.rows, arrivals.labelled))
    low, high = low - low[0], high - low[0]
    rows, labelled = row_sums[high] - row_sums[low], label_sums[high] - label_sums[low]
    kept = whole & (rows > 0)
    return ends[kept], rows[kept], labelled[kept]
