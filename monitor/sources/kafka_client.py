"""kafka-python, opened the way that leewayd needs it. The only module that imports it."""

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
"""How long a question to the broker may take."""
REFUSED = (SaslAuthenticationFailedError, UnsupportedSaslMechanismError, IllegalSaslStateError)
"""The broker does not accept who we say we are. The library then never tries that connection again."""

_LARGEST_DEAD_LETTER = 64 * 1_048_576
_FETCH_BYTES = 4 * 1_048_576
_ANY_SIZE = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Access:
    """How the broker is reached; secrets are read from ``environment`` and from files whenever a client is opened."""

    config: KafkaSection
    environment: Mapping[str, str]

    def options(self, client: type, **ours: Any) -> dict[str, Any]:
        """The options of a client of the library; what is configured goes only to clients that know it.

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
        found: dict[str, Any] = {**base, **ours}
        found.update((name, value) for name, value in configured.items() if name in known)
        return found


def known_options() -> dict[str, Any]:
    """Option → default, of every client that is opened here."""
    return {**KafkaProducer.DEFAULT_CONFIG, **KafkaAdminClient.DEFAULT_CONFIG, **KafkaConsumer.DEFAULT_CONFIG}


def check_codecs() -> None:
    """Sees to it that every compression can be read: without its codec, kafka-python's poll hangs at such a batch.

    Raises:
        SourceError: naming those that are missing.
    """
    codecs = {"lz4": has_lz4, "snappy": has_snappy, "zstd": has_zstd}
    missing = [name for name, present in codecs.items() if not present()]
    if missing:
        raise SourceError(f"Kafka topics compressed with {', '.join(missing)} could not be read: install the codecs")


def _opened(kind: type, options: dict[str, Any]) -> Any:
    """A client of the library, which leaves a thread and sockets behind whenever it cannot connect."""
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
    """Asks about topics."""
    return _opened(KafkaAdminClient, access.options(KafkaAdminClient, request_timeout_ms=CALL_MS))


class _Consumer(KafkaConsumer):  # type: ignore[misc]  # the library has no types
    """Goes on with partitions that were paused.

    kafka-python 3.0 keeps what it had fetched of a partition that is paused, and takes it up again once no other fetch
    is in hand. One that was read to its end still counts as in hand: without this the partition would stand still.
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
            # The header tells where the next batch begins; the body is not looked at.
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
    """From now on the library refuses batches of more than ``limit`` bytes, in the whole process."""
    _Batch.limit = limit
    memory_records.DefaultRecordBatch = _Batch
    # Message formats of before 2017.
    for name, decompress in (("gzip_decode", gunzip), ("snappy_decode", unsnap), ("lz4_decode", unlz4)):
        setattr(legacy_records, name, lambda data, own=decompress: own(bytes(data), limit))


def open_consumer(access: Access, limits: IngestSection) -> KafkaConsumer:
    """Reads raw bytes at offsets that it is told; resets and commits nothing by itself."""
    bound_batches(limits.max_batch_bytes)
    # One message above our own limit must still arrive, to be counted and passed.
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
            # A batch arrives whole whatever its size, and a client that refused it would ask for it for ever.
            receive_message_max_bytes=_ANY_SIZE,
            metrics_enabled=False,
        ),
    )


def end_offsets(consumer: KafkaConsumer, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
    """The end of each partition; those that are gone are left out."""
    return _offsets(consumer.end_offsets, list(partitions))


def beginning_offsets(consumer: KafkaConsumer, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
    """The oldest offset of each partition; those that are gone are left out."""
    return _offsets(consumer.beginning_offsets, list(partitions))


def _offsets(ask: Callable[..., dict[TopicPartition, int]], asked: list[TopicPartition]) -> dict[TopicPartition, int]:
    try:
        return ask(asked, timeout_ms=CALL_MS) if asked else {}
    except KeyError:  # how the library says that a partition is not there
        return {}


def open_producer(access: Access) -> KafkaProducer:
    """Sends dead letters."""
    return _opened(
        KafkaProducer,
        access.options(
            KafkaProducer,
            max_block_ms=CALL_MS,
            # With it one letter that the broker finds too large would be the end of all others.
            enable_idempotence=False,
            # What the topic takes is the broker's to say.
            max_request_size=_LARGEST_DEAD_LETTER,
        ),
    )


def is_passing(error: KafkaError) -> bool:
    """Whether an error says nothing of the messages: it may go away, by itself or when somebody grants a right."""
    if isinstance(error, CorruptRecordError):
        # kafka-python calls a bad checksum retriable; reading the same bytes again would only fail again.
        return False
    return bool(error.retriable) or isinstance(error, (*REFUSED, AuthorizationError, KafkaConfigurationError))


def publish(access: Access, topic: str, messages: Iterable[bytes]) -> int:
    """Creates a topic of one partition and sends messages to it; for the demo.

    Returns:
        How many were sent.

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
