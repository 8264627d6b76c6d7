"""Where a log can be read again after a damaged stretch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def first_readable(readable: Callable[[int], bool], broken: int, end: int) -> int:
    """The first offset after a damaged batch that can be read, in a logarithmic number of attempts.

    Offsets inside a damaged batch fail with it, and batches are short, so the search goes up in doubling steps and
    then halves the last one.

    Args:
        readable: tells whether reading at an offset works.
        broken: an offset where it does not.
        end: the log's end, which is returned if nothing more can be read.
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
