"""How much of what has been read goes into one step, and which rows are left out of it, after a turn has failed."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from monitor.daemon.recovery import Attempt, Caution, RowPlace
from monitor.rows.records import Decoded, Messages, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from monitor.rows.records import Partition

    Chunk = Messages | Table

FAILED = "failed"
"""The reason of rows that are set aside because leewayd fails on them."""


class Ration:
    """Chunks on their way to the decoder.

    Args:
        caution: as `monitor.daemon.recovery` decides.
    """

    def __init__(self, caution: Caution) -> None:
        self.caution = caution
        self._waiting: dict[Partition, deque[Chunk]] = {}
        self._decoding: Attempt | None = None

    @property
    def waiting(self) -> frozenset[Partition]:
        """Partitions of which messages wait here; they need not be polled."""
        return frozenset(partition for partition, queue in self._waiting.items() if queue)

    def attempt(self, rows: int, last: RowPlace | None) -> Attempt:
        """The rows being taken in: the chunk in the decoder, or else the counted rows."""
        return self._decoding or Attempt(rows, last)

    def forget(self, partition: Partition) -> None:
        """Drops what waits of a partition."""
        self._waiting.pop(partition, None)

    def take(self, chunks: tuple[Chunk, ...], full: frozenset[Partition]) -> Iterator[Chunk]:
        """The chunks to decode now; partitions in ``full`` already have rows waiting."""
        for chunk in chunks:
            self._waiting.setdefault(chunk.partition, deque()).append(chunk)
        for partition, queue in self._waiting.items():
            while queue and (self.caution.limit is None or partition not in full):
                chunk = queue.popleft()
                if self.caution.limit is None:
                    yield chunk
                    continue
                head, rest = _split(chunk, self.caution.limit)
                if rest is not None:
                    queue.appendleft(rest)
                yield head
                break

    def decode(self, chunk: Chunk, decode: Callable[[Chunk], Decoded]) -> Decoded:
        """A chunk, decoded, without the rows that are to be left out."""
        offsets = _offsets(chunk)
        whole = RowPlace(chunk.partition, int(offsets[0]), None)
        if len(offsets) == 1 and whole in (*self.caution.aside, self.caution.trial):
            return _rejected(chunk, offsets)
        self._decoding = Attempt(len(offsets), whole)
        decoded = decode(chunk)
        self._decoding = None
        if self.caution.trial is not None:
            decoded = _without(decoded, chunk, self.caution.trial, rejected=False)
        for place in self.caution.aside:
            decoded = _without(decoded, chunk, place, rejected=True)
        return decoded


def _offsets(chunk: Chunk) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    if isinstance(chunk, Messages):
        return chunk.offsets
    return np.arange(chunk.first_offset, chunk.first_offset + chunk.rows, dtype=np.int64)


def _split(chunk: Chunk, size: int) -> tuple[Chunk, Chunk | None]:
    """The first messages of a chunk, and the others."""
    if isinstance(chunk, Messages):
        if len(chunk.offsets) <= size:
            return chunk, None
        parts = (slice(None, size), slice(size, None))
        head, rest = (replace(chunk, offsets=chunk.offsets[part], values=chunk.values[part]) for part in parts)
        return head, rest
    if chunk.rows <= size:
        return chunk, None
    first = {name: values[:size] for name, values in chunk.columns.items()}
    others = {name: values[size:] for name, values in chunk.columns.items()}
    return (
        replace(chunk, rows=size, columns=first),
        replace(chunk, first_offset=chunk.first_offset + size, rows=chunk.rows - size, columns=others),
    )


def _value(chunk: Chunk, offset: int) -> bytes | None:
    if not isinstance(chunk, Messages):
        return None
    return chunk.values[int(np.searchsorted(chunk.offsets, offset))]


def _rejected(chunk: Chunk, offsets: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Decoded:
    """A chunk of one message that cannot even be decoded."""
    none = np.zeros(1, dtype=np.int64)
    value = _value(chunk, int(offsets[0]))
    values = {} if value is None else {0: value}
    return Decoded(chunk.partition, offsets, none, none, {0: FAILED}, values, (), int(offsets[0]) + 1)


def _without(decoded: Decoded, chunk: Chunk, place: RowPlace, *, rejected: bool) -> Decoded:
    """A chunk without the content of one row; as a reject the row has no event time either."""
    if place.partition != decoded.partition or place.within is None:
        return decoded
    found = np.flatnonzero((decoded.offsets == place.offset) & (decoded.within == place.within))
    if not len(found):
        return decoded
    row = int(found[0])
    models = tuple(rows.take(np.flatnonzero(rows.index != row)) for rows in decoded.models)
    labels = tuple(rows.take(np.flatnonzero(rows.index != row)) for rows in decoded.labels)
    decoded = replace(decoded, models=models, labels=labels)
    if not rejected:
        return decoded
    value = _value(chunk, place.offset)
    values = decoded.values if value is None else {**decoded.values, row: value}
    return replace(decoded, rejects={**decoded.rejects, row: FAILED}, values=values)
