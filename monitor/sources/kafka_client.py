"""Opens the clients of kafka-python. The only module that imports it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic
from kafka.codec import has_lz4, has_snappy, has_zstd
from kafka.errors import (
    AuthorizationError,
    CorruptRecordError,
    IllegalSaslStateError,
    KafkaConfigurationError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    OffsetOutOfRangeError,
    SaslAuthenticationFailedError,
    UnsupportedSaslMechanismError,
    for_code,
)
from kafka.net.compat import KafkaNetClient
from kafka.record import legacy_records, memory_records
from kafka.record.default_records import DefaultRecordBatch
from kafka.structs import OffsetAndMetadata

from monitor.common.errors import SourceError
from monitor.config.schema import KafkaSection
from monitor.sources.kafka_codecs import DECOMPRESS, OversizedError, gunzip, unlz4, unsnap
from monitor.sources.kafka_options import client_options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from monitor.config.schema import IngestSection

__all__ = [
    "CALL_MS",
    "REFUSED",
    "Access",
    "AuthorizationError",
    "KafkaAdminClient",
    "KafkaConfigurationError",
    "KafkaConnectionError",
    "KafkaConsumer",
    "KafkaError",
    "KafkaProducer",
    "KafkaTimeoutError",
    "OffsetAndMetadata",
    "OffsetOutOfRangeError",
    "TopicPartition",
    "beginning_offsets",
    "check_codecs",
    "end_offsets",
    "for_code",
    "is_passing",
    "known_options",
    "open_admin",
    "open_consumer",
    "open_producer",
    "publish",
]

CALL_MS = 3_000
"""Time-out of a request to the broker."""
REFUSED = (SaslAuthenticationFailedError, UnsupportedSaslMechanismError, IllegalSaslStateError)
"""The broker refused the login. The library never retries such a connection."""

_LARGEST_DEAD_LETTER = 64 * 1_048_576
_FETCH_BYTES = 4 * 1_048_576
_ANY_SIZE = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Access:
    """Access to the broker; secrets are read from ``environment`` and from files whenever a client is opened."""

    config: KafkaSection
    environment: Mapping[str, str]

    def options(self, client: type, **ours: Any) -> dict[str, Any]:
        """The options of a client of the library; configured options that the client does not know are left out.

        Raises:
            ConfigError: if a secret cannot be read.
        """
        base: dict[str, Any] = {
            "bootstrap_servers": self.config.bootstrap_servers,
            "client_id": "leewayd",
            "bootstrap_timeout_ms": CALL_MS,
            "reconnect_backoff_max_ms": 2_000,
        }
        known: dict[str, Any] = client.DEFAULT_CONFIG  # type: ignore[attr-defined]  # the library has no types
        configured = client_options(self.config, self.environment)
        options: dict[str, Any] = {**base, **ours}
        options.update((name, value) for name, value in configured.items() if name in known)
        return options


def known_options() -> dict[str, Any]:
    """Option → default, of all clients that this module opens."""
    return {**KafkaProducer.DEFAULT_CONFIG, **KafkaAdminClient.DEFAULT_CONFIG, **KafkaConsumer.DEFAULT_CONFIG}


def check_codecs() -> None:
    """Checks that all codecs are installed: kafka-python's poll hangs at a batch without its codec.

    Raises:
        SourceError: naming those that are missing.
    """
    codecs = {"lz4": has_lz4, "snappy": has_snappy, "zstd": has_zstd}
    missing = [name for name, present in codecs.items() if not present()]
    if missing:
        raise SourceError(f"Kafka topics compressed with {', '.join(missing)} could not be read: install the codecs")


def _opened(kind: type, options: dict[str, Any]) -> Any:
    """Opens a client of the library, and closes the sockets that it leaves open if it cannot connect."""
    made: list[KafkaNetClient] = []

    def network(**settings: Any) -> KafkaNetClient:
        made.append(KafkaNetClient(**settings))
        return made[-1]

    try:
        return kind(**options, kafka_client=network)
    except BaseException:
        for client in made:
            client.close()
        raise


def open_admin(access: Access) -> KafkaAdminClient:
    """Opens a client that describes topics."""
    return _opened(KafkaAdminClient, access.options(KafkaAdminClient, request_timeout_ms=CALL_MS))


class _Consumer(KafkaConsumer):  # type: ignore[misc]  # the library has no types
    """Continues with partitions after a pause.

    kafka-python 3.0 keeps the data fetched from a paused partition, and continues with it once no other fetch is in
    progress. A fetch that was read to its end still counts as in progress: without this the partition would stall.
    """

    def poll(self, timeout_ms: int = 0, max_records: int | None = None, update_offsets: bool = True) -> Any:
        if not self._fetcher._next_partition_records:
            self._fetcher._next_partition_records = None
        return super().poll(timeout_ms, max_records, update_offsets)


class _Batch(DefaultRecordBatch):  # type: ignore[misc]  # the library has no types
    """A batch that is refused before it takes more than ``limit`` bytes of memory, compressed or not."""

    limit = _ANY_SIZE
    _buffer: bytearray
    _pos: int
    _decompressed: bool

    def __init__(self, buffer: memoryview) -> None:
        if len(buffer) > self.limit:
            # The header contains the offset of the next batch; the body is not read.
            header = self.HEADER_STRUCT.unpack_from(buffer)
            raise OversizedError(header[0] + header[6] + 1)
        super().__init__(buffer)

    def _maybe_uncompress(self) -> None:
        decompress = DECOMPRESS.get(self.compression_type)
        if self._decompressed or decompress is None:
            super()._maybe_uncompress()
            return
        try:
            self._buffer = decompress(bytes(memoryview(self._buffer)[self._pos :]), self.limit)
        except OversizedError as error:
            raise OversizedError(self.next_offset) from error
        self._pos, self._decompressed = 0, True


def bound_batches(limit: int) -> None:
    """Makes the library refuse batches of more than ``limit`` bytes, in the whole process."""
    _Batch.limit = limit
    memory_records.DefaultRecordBatch = _Batch
    # Message formats from before 2017.
    for name, decompress in (("gzip_decode", gunzip), ("snappy_decode", unsnap), ("lz4_decode", unlz4)):
        setattr(legacy_records, name, lambda data, own=decompress: own(bytes(data), limit))


def open_consumer(access: Access, limits: IngestSection) -> KafkaConsumer:
    """Opens a consumer of raw bytes at given offsets; it resets and commits no offset by itself."""
    bound_batches(limits.max_batch_bytes)
    # A message above ingest.max_message_bytes must still arrive, to be counted and skipped.
    fetch = max(_FETCH_BYTES, limits.max_message_bytes + 1024)
    return _opened(
        _Consumer,
        access.options(
            KafkaConsumer,
            group_id=access.config.group_id,
            enable_auto_commit=False,
            auto_offset_reset="none",
            allow_auto_create_topics=False,
            max_poll_records=limits.max_poll_messages,
            max_partition_fetch_bytes=fetch,
            fetch_max_bytes=4 * fetch,
            # A batch of any size arrives whole; a client that refused it would request it for ever.
            receive_message_max_bytes=_ANY_SIZE,
            metrics_enabled=False,
        ),
    )


def end_offsets(consumer: KafkaConsumer, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
    """The end of each partition; deleted partitions are left out."""
    return _offsets(consumer.end_offsets, list(partitions))


def beginning_offsets(consumer: KafkaConsumer, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
    """The oldest offset of each partition; deleted partitions are left out."""
    return _offsets(consumer.beginning_offsets, list(partitions))


def _offsets(ask: Callable[..., dict[TopicPartition, int]], asked: list[TopicPartition]) -> dict[TopicPartition, int]:
    try:
        return ask(asked, timeout_ms=CALL_MS) if asked else {}
    except KeyError:  # raised by the library if a partition does not exist
        return {}


def open_producer(access: Access) -> KafkaProducer:
    """Opens a producer for dead letters."""
    return _opened(
        KafkaProducer,
        access.options(
            KafkaProducer,
            max_block_ms=CALL_MS,
            # With idempotence, one message that is too large for the broker would make all later ones fail.
            enable_idempotence=False,
            # The broker limits the size for each topic.
            max_request_size=_LARGEST_DEAD_LETTER,
        ),
    )


def is_passing(error: KafkaError) -> bool:
    """Whether an error does not concern the messages and may pass, by itself or when a permission is granted."""
    if isinstance(error, CorruptRecordError):
        # kafka-python calls a bad checksum retriable, but another read of these bytes would fail, too.
        return False
    return bool(error.retriable) or isinstance(error, (*REFUSED, AuthorizationError, KafkaConfigurationError))


def publish(access: Access, topic: str, messages: Iterable[bytes]) -> int:
    """Creates a topic of one partition and sends messages to it; for the demo.

    Returns:
        The number of messages sent.

    Raises:
        SourceError: if the broker cannot be reached or refuses.
    """
    try:
        admin = open_admin(access)
        admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
        admin.close()
        options = access.options(KafkaProducer, compression_type="lz4", linger_ms=50, batch_size=262_144)
        producer = _opened(KafkaProducer, options)
        count = 0
        for message in messages:
            producer.send(topic, message)
            count += 1
        producer.flush(timeout=60)
        producer.close()
    except KafkaError as error:
        raise SourceError(f"Kafka at {', '.join(access.config.bootstrap_servers)}: {type(error).__name__}") from error
    return count
