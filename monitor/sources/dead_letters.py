"""Rejected messages on their way to the dead-letter topic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.common.errors import ConfigError
from monitor.sources.kafka_client import CALL_MS, KafkaError, KafkaProducer, open_producer

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from monitor.rows.records import Partition
    from monitor.sources.kafka_client import Access


class DeadLetters:
    """Sends rejected messages whole to the dead-letter topic; the producer is opened when there is one to send."""

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
        """Waits until all that was sent has arrived, for a few seconds at the most."""
        if self._producer is None or not self._unsent:
            return
        try:
            self._producer.flush(timeout=CALL_MS / 1000)
            self._unsent = False
        except KafkaError as error:
            self._log.warning("dead letters not confirmed", error=type(error).__name__)

    def close(self) -> None:
        """Sends what waits, and closes."""
        if self._producer is not None:
            self._producer.close(timeout=2)
