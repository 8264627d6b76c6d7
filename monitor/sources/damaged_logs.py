"""Finds where a log can be read again after a corrupt batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def first_readable(readable: Callable[[int], bool], broken: int, end: int) -> int:
    """The first readable offset after a corrupt batch, found in a logarithmic number of attempts.

    All offsets inside a corrupt batch fail, and batches are short, so the search goes up in doubling steps and then
    bisects the last step.

    Args:
        readable: returns whether reading at an offset works.
        broken: an offset that cannot be read.
        end: the log's end, which is returned if no later offset can be read.
    """
    span = 1
    while broken + span < end and not readable(broken + span):
        span *= 2
    low, high = broken + span // 2, min(broken + span, end)
    while high - low > 1:
        middle = (low + high) // 2
        if readable(middle):
            high = middle
        else:
            low = middle
    return high
