"""Where messages come from: the port that the Kafka and file adapters fill."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from monitor.rows.records import Partition, Poll, Position


class Source(Protocol):
    """Reads partitions from stored positions on. Used from one thread."""

    def start(self, positions: Mapping[Partition, Position], *, everything: bool = False) -> None:
        """Says where reading goes on; partitions not named begin where the configuration says.

        Args:
            positions: as saved.
            everything: they were lost: partitions not named begin with the oldest message that is still there.

        Raises:
            SourceError: if the source can never work as configured.
        """

    def poll(self, timeout_seconds: float, paused: frozenset[Partition]) -> Poll:
        """The next messages of partitions that are not paused; empty when there are none in time. Never raises."""

    def reject(self, partition: Partition, reason: str, value: bytes) -> None:
        """Hands over a rejected message for the dead-letter topic."""

    def settle(self) -> None:
        """Waits, for a bounded time, until rejected messages that were handed over are safe. Never raises."""

    def commit(self, positions: Mapping[Partition, Position]) -> None:
        """Tells the outside world what is safely counted. Advisory: never blocks, never raises."""

    def close(self) -> None:
        """Lets go of connections and files."""
