"""Rows that come again under an id that was read not long ago, where nothing else knows ids one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from monitor.rows.ids import hash_ids

if TYPE_CHECKING:
    from collections.abc import Sequence

SLOTS = 1 << 20
"""Ids that are remembered at most: 8 MiB a model."""


class RepeatedIds:
    """Counts rows whose id is among those remembered, since the process began.

    A row's hash takes the place of an older one in a table, so memory is bounded; 64 bits of it are compared, so what
    is counted did come again. Of repeats that come after many other rows some are missed: with n rows in between, the
    share e^(−n / `SLOTS`) is found.
    """

    def __init__(self) -> None:
        self._held = np.zeros(SLOTS, dtype=np.uint64)
        self.count = 0

    def take(self, ids: Sequence[object]) -> None:
        """Rows came with these ids, in order."""
        hashes, usable = hash_ids(ids)
        hashes = hashes[usable]
        fresh = np.unique(hashes)
        self.count += len(hashes) - len(fresh)
        places = (fresh % np.uint64(SLOTS)).astype(np.int64)
        self.count += int((self._held[places] == fresh).sum())
        self._held[places] = fresh
