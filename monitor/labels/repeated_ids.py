"""Counts rows that repeat a recent id, for models without labels, whose ids are not stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from monitor.rows.ids import hash_ids

if TYPE_CHECKING:
    from collections.abc import Sequence

SLOTS = 1 << 20
"""Most ids remembered: 8 MiB for each model."""


class RepeatedIds:
    """Counts rows whose id is among the remembered ones, since the process started.

    A row's hash replaces an older one in a table, so memory is bounded. 64 bits are compared, so every counted row is a
    repeat. Repeats after many other rows may be missed: with n rows in between, the share e^(−n / `SLOTS`) is counted.
    """

    def __init__(self) -> None:
        self._hashes = np.zeros(SLOTS, dtype=np.uint64)
        self.count = 0

    def take(self, ids: Sequence[object]) -> None:
        """Counts the repeats among the ids of new rows, in order."""
        hashes, usable = hash_ids(ids)
        hashes = hashes[usable]
        fresh = np.unique(hashes)
        self.count += len(hashes) - len(fresh)
        slots = (fresh % np.uint64(SLOTS)).astype(np.int64)
        self.count += int((self._hashes[slots] == fresh).sum())
        self._hashes[slots] = fresh
