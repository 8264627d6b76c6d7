"""Decides which of several labels counts, on structured arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Batch = tuple[Sequence[object], NDArray[np.int64], NDArray[np.void]]


def latest(group: NDArray[np.int64], at: NDArray[np.int64], count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The row of the group that counted when each row arrived: the greatest time, of equal times the later row.

    Args:
        group: int64[count + n], the first ``count`` are 0, 1, …, count − 1.
        at: int64[count + n].

    Returns:
        int64[count + n], the row that counted before each row (anything for the first ones), and int64[count], the
        row that counts in the end of each group.
    """
    size = len(group)
    by_time = np.argsort(at, kind="stable")
    rank = np.empty(size, dtype=np.int64)
    rank[by_time] = np.arange(size)
    order = np.argsort(group, kind="stable")
    # Groups ascend, so that the running maximum restarts in each group.
    best = np.maximum.accumulate(group[order] * size + rank[order]) - group[order] * size
    counting = by_time[best]
    before = np.zeros(size, dtype=np.int64)
    before[order[1:]] = counting[:-1]
    ends = np.flatnonzero(np.append(np.diff(group[order]) != 0, True)) if size else np.empty(0, dtype=np.int64)
    return before, counting[ends]


def same(left: NDArray[np.void], right: NDArray[np.void]) -> NDArray[np.bool_]:
    """bool[n]: whether all fields are equal; NaN equals NaN."""
    equal = np.ones(len(left), dtype=np.bool_)
    for name in left.dtype.names or ():
        one, other = left[name], right[name]
        equal &= (one == other) | ((one != one) & (other != other))
    return equal


def with_fields(label: np.dtype[np.void], further: list[tuple[str, str]]) -> np.dtype[np.void]:
    """The dtype of a label with further fields before its own."""
    return np.dtype([*further, *((name, label[name]) for name in label.names or ())])


def fields_of(rows: NDArray[np.void], kind: np.dtype[np.void]) -> NDArray[np.void]:
    """The fields of ``kind`` from rows that have additional fields."""
    chosen = np.empty(len(rows), kind)
    for name in kind.names or ():
        chosen[name] = rows[name]
    return chosen


def together(batches: Sequence[Batch]) -> Batch:
    """Ids, times and values of several batches of labels, one after the other."""
    if len(batches) == 1:
        return batches[0]
    ids = [one for own, _, _ in batches for one in own]
    return ids, np.concatenate([times for _, times, _ in batches]), np.concatenate([values for _, _, values in batches])
