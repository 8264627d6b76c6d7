"""The port for sources of messages; the Kafka and file adapters implement it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from monitor.rows.records import Partition, Poll, Position


class Source(Protocol):
    """Reads partitions, beginning at stored positions. Used from one thread."""

    def start(self, positions: Mapping[Partition, Position], *, everything: bool = False) -> None:
        """Sets where reading continues; other partitions begin where the configuration says.

        Args:
            positions: as saved.
            everything: positions were lost: partitions without one begin with their oldest message.

        Raises:
            SourceError: if the source can never work as configured.
        """

    def poll(self, timeout_seconds: float, paused: frozenset[Partition]) -> Poll:
        """The next messages of partitions that are not paused; empty when there are none in time. Never raises."""

    def reject(self, partition: Partition, reason: str, value: bytes) -> None:
        """Sends a rejected message to the dead-letter topic."""

    def settle(self) -> None:
        """Waits, for a bounded time, until rejected messages have been stored. Never raises."""

    def commit(self, positions: Mapping[Partition, Position]) -> None:
        """Publishes the positions that the state contains. Advisory: never blocks, never raises."""

    def close(self) -> None:
        """Closes connections and files."""
