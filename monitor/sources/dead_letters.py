"""Sends rejected messages to the dead-letter topic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.common.errors import ConfigError
from monitor.sources.kafka_client import CALL_MS, KafkaError, KafkaProducer, open_producer

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from monitor.rows.records import Partition
    from monitor.sources.kafka_client import Access


class DeadLetters:
    """Sends rejected messages whole to the dead-letter topic; the first message opens the producer."""

    def __init__(self, access: Access, log: FilteringBoundLogger) -> None:
        self._access, self._log = access, log
        self._producer: KafkaProducer | None = None
        self._unsent = False

    def send(self, partition: Partition, reason: str, value: bytes) -> None:
        """Sends one message; its origin and the reason go in headers. A failure is logged."""
        headers = [
            ("reason", reason.encode()),
            ("topic", partition.topic.encode()),
            ("partition", str(partition.partition).encode()),
        ]
        try:
            if self._producer is None:
                self._producer = open_producer(self._access)
            self._unsent = True
            self._producer.send(self._access.config.dead_letter, value=value, headers=headers).add_errback(
                self._refused
            )
        except (KafkaError, ConfigError, OSError) as error:
            self._refused(error)

    def _refused(self, error: Exception) -> None:
        self._log.warning("dead letter not sent", error=type(error).__name__)

    def settle(self) -> None:
        """Waits, for a few seconds at most, until the broker has confirmed all messages."""
        if self._producer is None or not self._unsent:
            return
        try:
            self._producer.flush(timeout=CALL_MS / 1000)
            self._unsent = False
        except KafkaError as error:
            self._log.warning("dead letters not confirmed", error=type(error).__name__)

    def close(self) -> None:
        """Sends waiting messages and closes the producer."""
        if self._producer is not None:
            self._producer.close(timeout=2)
