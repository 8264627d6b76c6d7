"""Rejects records without features until the first record with features arrives.

A wrong path in the configuration makes every record look empty; counted as rows, such records would raise false drift
alerts. After the first usable record, an empty one is a fault of the feed and is counted. The decision depends on the
order of records in the partition only, so batches and restarts do not change it: the windows save the partitions that
they have seen (`Seen`), and this module remembers records that were decoded ahead of the windows.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from monitor.common.codec import decode, encode
from monitor.rows.records import ModelRows, Partition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from monitor.rows.records import Decoded

NO_FEATURES = "no_features"
_NEVER = int(np.iinfo(np.int64).max)


class Seen:
    """The partitions in which a model has seen a usable record; saved with its windows."""

    def __init__(self) -> None:
        self.partitions: set[Partition] = set()
        self.changed = False

    def take(self, rows: ModelRows, partition: Partition) -> None:
        """Notes that rows of a partition were counted."""
        if partition not in self.partitions and len(rows.index) and (rows.bare is None or not rows.bare.all()):
            self.assume([partition])

    def assume(self, partitions: Iterable[Partition]) -> None:
        """Notes that usable records of some partitions were counted earlier."""
        self.partitions |= set(partitions)
        self.changed = True

    def document(self) -> bytes:
        """The document that a checkpoint saves."""
        return encode(sorted(self.partitions))

    def restore(self, document: bytes) -> None:
        """Restores the state from a checkpoint."""
        self.partitions = set(decode(document, list[Partition]))


class FirstUsable:
    """Turns records without any feature into rejects, chunk by chunk, until a partition has brought a usable one.

    Args:
        seen: returns the partitions that the windows of a model have seen.
        report: called with (model, topic, hint) once for each model and topic with such a reject.
    """

    def __init__(self, seen: Callable[[str], Seen], report: Callable[[str, str, str], object]) -> None:
        self._seen, self._report = seen, report
        self._ahead: set[tuple[str, Partition]] = set()
        self._hints: dict[tuple[str, str], str] = {}

    def forget(self, partition: Partition) -> None:
        """Forgets records read ahead of the windows; they will be read again."""
        self._ahead = {pair for pair in self._ahead if pair[1] != partition}

    def sift(self, decoded: Decoded) -> Decoded:
        """Moves such records to the chunk's rejects; chunks of a partition must come in order."""
        partition, kept, dropped = decoded.partition, list[ModelRows](), set[int]()
        for name in dict.fromkeys(rows.model for rows in decoded.models):
            own = [rows for rows in decoded.models if rows.model == name]
            first = self._first(name, own, partition)
            without: set[int] = set()
            for rows in own:
                if rows.bare is None or first < 0:
                    kept.append(rows)
                    continue
                use = ~rows.bare | (rows.index > first)
                without |= set(rows.index[~use].tolist())
                kept.append(rows.take(np.flatnonzero(use)))
            if without and (name, partition.topic) not in self._hints:
                hint = self._hints[name, partition.topic] = decoded.hints.get(NO_FEATURES, "")
                self._report(name, partition.topic, hint)
            dropped |= without
        if not dropped:
            return decoded
        # A record that another model can use is not a reject.
        dropped -= {row for rows in kept for row in rows.index.tolist()}
        rejects = dict(decoded.rejects) | dict.fromkeys(sorted(dropped), NO_FEATURES)
        return replace(decoded, models=tuple(kept), rejects=rejects)

    def _first(self, name: str, own: list[ModelRows], partition: Partition) -> int:
        """The row of the first usable record; −1 if the partition has already brought one."""
        if (name, partition) in self._ahead or partition in self._seen(name).partitions:
            return -1
        usable = [rows.index if rows.bare is None else rows.index[~rows.bare] for rows in own]
        first = min((int(index[0]) for index in usable if len(index)), default=_NEVER)
        if first < _NEVER:
            self._ahead.add((name, partition))
        return first

    def why_not_ready(self, models: Mapping[str, Seen]) -> str:
        """Names a model that waits for its first usable record, and the fields of its records; else empty."""
        for (name, topic), hint in self._hints.items():
            if name in models and not models[name].partitions:
                return f"model {name!r} has seen no record with any of its features in {topic!r}: {hint}"
        return ""
