"""The step by which a window slides."""

from __future__ import annotations

from monitor.common.durations import DAY


def window_step(length: int, pane: int) -> int:
    """The step of a window, ms: the pane, or about 1/100 of the window if that is longer.

    The step is a whole number of panes that divides the window and the day (or, for steps of whole days, is a multiple
    of the day), so that the starts of windows do not move from day to day.
    """
    steps = range(pane, length + 1, pane)
    return next(
        (
            step
            for step in steps
            if step * 100 >= length and length % step == 0 and (DAY % step == 0 or step % DAY == 0)
        ),
        pane,
    )
