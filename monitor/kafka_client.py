"""kafka-python, opened the way that leewayd needs it. The only module that imports it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic
from kafka.codec import has_lz4, has_snappy, has_zstd
from kafka.errors import CorruptRecordError, KafkaError, KafkaTimeoutError, OffsetOutOfRangeError
from kafka.structs import OffsetAndMetadata

from monitor.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from structlog.typing import FilteringBoundLogger

    from monitor.config import IngestSection, KafkaSection
    from monitor.records import Partition

__all__ = [
    "CALL_MS",
    "DeadLetters",
    "KafkaAdminClient",
    "KafkaConsumer",
    "KafkaError",
    "KafkaTimeoutError",
    "OffsetAndMetadata",
    "OffsetOutOfRangeError",
    "TopicPartition",
    "check_codecs",
    "is_passing",
    "open_admin",
    "open_consumer",
    "publish",
]

CALL_MS = 3_000
"""How long a question to the broker may take."""

_LARGEST_DEAD_LETTER = 64 * 1_048_576


def check_codecs() -> None:
    """Sees to it that every compression can be read: without its codec, kafka-python's poll hangs at such a batch.

    Raises:
        SourceError: naming those that are missing.
    """
    codecs = {"lz4": has_lz4, "snappy": has_snappy, "zstd": has_zstd}
    missing = [name for name, present in codecs.items() if not present()]
    if missing:
        raise SourceError(f"Kafka topics compressed with {', '.join(missing)} could not be read: install the codecs")


def _client(config: KafkaSection) -> dict[str, Any]:
    return {
        "bootstrap_servers": config.bootstrap_servers,
        "client_id": "leewayd",
        "bootstrap_timeout_ms": CALL_MS,
        "reconnect_backoff_max_ms": 2_000,
        **config.client,
    }


def open_admin(config: KafkaSection) -> KafkaAdminClient:
    """Asks about topics."""
    return KafkaAdminClient(**_client(config))


class _Consumer(KafkaConsumer):  # type: ignore[misc]  # the library has no types
    """Goes on with partitions that were paused.

    kafka-python 3.0 keeps what it had fetched of a partition that is paused, and takes it up again once no other fetch
    is in hand. One that was read to its end still counts as in hand: without this the partition would stand still.
    """

    def poll(self, timeout_ms: int = 0, max_records: int | None = None, update_offsets: bool = True) -> Any:
        if not self._fetcher._next_partition_records:
            self._fetcher._next_partition_records = None
        return super().poll(timeout_ms, max_records, update_offsets)


def open_consumer(config: KafkaSection, limits: IngestSection) -> KafkaConsumer:
    """Reads raw bytes at offsets that it is told; resets and commits nothing by itself."""
    return _Consumer(
        **_client(config),
        group_id=config.group_id,
        enable_auto_commit=False,
        auto_offset_reset="none",
        allow_auto_create_topics=False,
        max_poll_records=limits.max_poll_messages,
        # One message above our own limit must still arrive, to be counted and passed.
        max_partition_fetch_bytes=max(4 * 1_048_576, limits.max_message_bytes + 1024),
        metrics_enabled=False,
    )


class DeadLetters:
    """Sends rejected messages whole to the dead-letter topic; the producer is opened when there is one to send."""

    def __init__(self, config: KafkaSection, log: FilteringBoundLogger) -> None:
        self._config, self._log = config, log
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
                self._producer = KafkaProducer(
                    max_block_ms=CALL_MS,
                    # With it one letter that the broker finds too large would be the end of all others.
                    enable_idempotence=False,
                    # What the topic takes is the broker's to say.
                    max_request_size=_LARGEST_DEAD_LETTER,
                    **_client(self._config),
                )
            self._unsent = True
            self._producer.send(self._config.dead_letter, value=value, headers=headers).add_errback(self._refused)
        except KafkaError as error:
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


def is_passing(error: KafkaError) -> bool:
    """Whether an error may go away by itself, so that trying again is right."""
    # kafka-python calls a bad checksum retriable; reading the same bytes again would only fail again.
    return bool(error.retriable) and not isinstance(error, CorruptRecordError)


def publish(config: KafkaSection, topic: str, messages: Iterable[bytes]) -> int:
    """Creates a topic of one partition and sends messages to it; for the demo.

    Returns:
        How many were sent.

    Raises:
        SourceError: if the broker cannot be reached or refuses.
    """
    try:
        admin = KafkaAdminClient(
            bootstrap_servers=config.bootstrap_servers, bootstrap_timeout_ms=CALL_MS, **config.client
        )
        admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
        admin.close()
        producer = KafkaProducer(
            bootstrap_servers=config.bootstrap_servers, compression_type="lz4", linger_ms=50, batch_size=262_144,
            **config.client,
        )  # fmt: skip
        count = 0
        for message in messages:
            producer.send(topic, message)
            count += 1
        producer.flush(timeout=60)
        producer.close()
    except KafkaError as error:
        raise SourceError(f"Kafka at {', '.join(config.bootstrap_servers)}: {type(error).__name__}") from error
    return count
