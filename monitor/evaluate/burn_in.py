"""Learns from live traffic how much windows differ from one another, where the reference has no event times.

A reference without event times, or with too few windows in it, says nothing of how correlated rows are. During the
burn-in that the configuration declares, windows are not judged; those that do not overlap are kept as blocks, and their
dispersion around their own mean is what later windows are judged with (`detectors.drift.dispersion`).
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from detectors.drift.dispersion import MIN_BLOCKS, measure_dispersion
from detectors.drift.reference import Dispersion, independent_rows
from detectors.layout import COLUMNS
from monitor.common.codec import decode, encode

if TYPE_CHECKING:
    from detectors.layout import Counts

MOST_BLOCKS = 512
"""Blocks kept of each window length; more add little information."""


class _Block(msgspec.Struct, array_like=True):
    start: int
    rows: int
    packed: bytes


class BurnInBlocks(msgspec.Struct):
    """The saved part of a `BurnIn`."""

    began: int | None
    subjects: int
    blocks: dict[int, list[_Block]]


@dataclass(slots=True)
class BurnIn:
    """The burn-in of one reference of a model.

    Attributes:
        duration: of the burn-in, ms of event time.
        subjects: S.
        began: event time of the first row, ms.
        blocks: window length → windows that do not overlap.
        changed: since it was last saved.
    """

    duration: int
    subjects: int
    began: int | None = None
    blocks: dict[int, list[_Block]] = field(default_factory=dict)
    changed: bool = False
    _learned: dict[int, Dispersion] | None = None

    def begin(self, started: int) -> None:
        """Tells when the first row came; only the earliest counts."""
        if self.began is None or started < self.began:
            self.began, self.changed = started, True

    def until(self) -> int:
        """Event time at which the burn-in ends."""
        assert self.began is not None
        return self.began + self.duration

    def over(self, at: int) -> bool:
        """Whether windows that end at this event time may be judged."""
        return self.began is not None and at > self.until()

    def add(self, length: int, start: int, counts: Counts) -> bool:
        """Takes a window of the burn-in in, unless it overlaps with one that was taken; whether it was."""
        held = self.blocks.setdefault(length, [])
        if start % length or len(held) >= MOST_BLOCKS or any(block.start == start for block in held):
            return False
        packed = zlib.compress(counts.bins.tobytes() + counts.moments.tobytes(), 1)
        held.append(_Block(start, int(counts.rows), packed))
        self.changed, self._learned = True, None
        return True

    def dispersion(self, length: int) -> Dispersion:
        """The dispersion learned for a window length, or for the nearest length that has one."""
        if self._learned is None:
            measured = {known: self._measure(blocks) for known, blocks in self.blocks.items() if blocks}
            self._learned = {known: found for known, found in measured.items() if found.blocks >= MIN_BLOCKS}
        if not self._learned:
            return independent_rows(self.subjects)
        return self._learned[min(self._learned, key=lambda known: abs(np.log(known / length)))]

    def _measure(self, blocks: list[_Block]) -> Dispersion:
        size = self.subjects * COLUMNS * 8
        raw = [zlib.decompress(block.packed) for block in blocks]
        bins = [np.frombuffer(part[:size], dtype=np.int64).reshape(self.subjects, COLUMNS) for part in raw]
        moments = [np.frombuffer(part[size:], dtype=np.float64).reshape(self.subjects, 2) for part in raw]
        rows = np.array([block.rows for block in blocks], dtype=np.int64)
        return measure_dispersion(rows, np.stack(bins), np.stack(moments))

    def document(self) -> bytes:
        """The state, encoded."""
        return encode(BurnInBlocks(self.began, self.subjects, self.blocks))

    def restore(self, document: bytes) -> None:
        """Goes on from a checkpoint; what was learned with other subjects is of no use."""
        saved = decode(document, BurnInBlocks)
        if saved.subjects == self.subjects:
            self.began, self.blocks = saved.began, saved.blocks
