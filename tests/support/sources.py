"""A source that plays logs from memory and may fail at a chosen poll."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from monitor.rows.records import Messages, Partition, Poll, Position

if TYPE_CHECKING:
    from collections.abc import Mapping


class AbortedError(Exception):
    """The machine lost power."""


@dataclass
class ScriptedSource:
    """Partitions of JSON messages.

    Attributes:
        logs: partition → its messages, the first at offset 0.
        fail_at: the number of the poll that raises `AbortedError`, from 1; None for none.
        first_size: messages of the first partition in a poll.
        larger_by: how many more each further partition brings, so that batches end anywhere in a pane.
    """

    logs: Mapping[Partition, list[bytes]]
    fail_at: int | None = None
    polls: int = 0
    next: dict[Partition, int] = field(default_factory=dict)
    assigned: bool = False
    first_size: int = 97
    larger_by: int = 31

    def start(self, positions: Mapping[Partition, Position], *, everything: bool = False) -> None:
        self.next = {part: positions[part].offset if part in positions else 0 for part in self.logs}
        self.known = set(positions)

    def poll(self, timeout_seconds: float, paused: frozenset[Partition]) -> Poll:
        self.polls += 1
        if self.polls == self.fail_at:
            raise AbortedError
        chunks = []
        for index, (part, log) in enumerate(self.logs.items()):
            first = self.next[part]
            size = self.first_size + self.larger_by * index
            if part not in paused and first < len(log):
                values = log[first : first + size]
                chunks.append(Messages(part, np.arange(first, first + len(values)), values))
                self.next[part] = first + len(values)
        finished = all(self.next[part] >= len(log) for part, log in self.logs.items())
        assigned = {} if self.assigned else {part: Position(0) for part in self.logs if part not in self.known}
        self.assigned = True
        idle = frozenset(part for part, log in self.logs.items() if self.next[part] >= len(log))
        return Poll(tuple(chunks), frozenset(self.logs), idle, assigned=assigned, finished=finished, done=idle)

    def reject(self, partition: Partition, reason: str, value: bytes) -> None: ...

    def settle(self) -> None: ...

    def commit(self, positions: Mapping[Partition, Position]) -> None: ...

    def close(self) -> None: ...
