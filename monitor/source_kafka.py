"""Apache Kafka as a source. The only module that knows kafka-python.

The consumer is assigned partitions by hand and sought to stored offsets; nothing is ever reset in silence:
``auto_offset_reset`` is ``none``, so a position that retention has passed raises, and a topic made anew is told by its id.
No deserializer is handed to kafka-python: after one raises, its next poll never returns until a seek.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic
from kafka.codec import has_lz4, has_snappy, has_zstd
from kafka.errors import CorruptRecordError, KafkaError, KafkaTimeoutError, OffsetOutOfRangeError
from kafka.structs import OffsetAndMetadata

from monitor.errors import SourceError
from monitor.records import Loss, Messages, Partition, Poll, Position

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from structlog.typing import FilteringBoundLogger

    from monitor.config import IngestSection, KafkaSection

_CONNECT_AGAIN_SECONDS = 2.0
_VERIFY_SECONDS = 5.0
_CALL_MS = 3_000


class KafkaSource:
    """Reads the prediction topics.

    Args:
        config: broker and topics.
        limits: sizes and the idle time-out.
        monotonic: a clock that never jumps, in seconds.
        wait: called with seconds while the broker cannot be reached.
        log: past-tense events.
    """

    def __init__(
        self,
        config: KafkaSection,
        limits: IngestSection,
        *,
        monotonic: Callable[[], float],
        wait: Callable[[float], object],
        log: FilteringBoundLogger,
    ) -> None:
        self._config, self._limits = config, limits
        self._monotonic, self._wait, self._log = monotonic, wait, log
        self._consumer: KafkaConsumer | None = None
        self._admin: KafkaAdminClient | None = None
        self._producer: KafkaProducer | None = None
        self._positions: dict[Partition, Position] = {}
        self._quiet_since: dict[Partition, float] = {}
        self._proven_idle: dict[Partition, float] = {}
        self._assigned_now: dict[Partition, Position] = {}
        self._losses: list[Loss] = []
        self._next_connect = self._next_refresh = self._next_verify = 0.0
        self._up = False
        self._unsent = False

    def start(self, positions: Mapping[Partition, Position]) -> None:
        """Checks that every codec can be read and remembers where to go on. Connecting is left to `poll`."""
        codecs = {"lz4": has_lz4, "snappy": has_snappy, "zstd": has_zstd}
        missing = [name for name, present in codecs.items() if not present()]
        if missing:
            raise SourceError(f"Kafka topics compressed with {', '.join(missing)} could not be read: install the codecs")
        self._positions = dict(positions)

    def poll(self, timeout_seconds: float, paused: frozenset[Partition]) -> Poll:
        """The next messages; an empty poll with ``up = False`` while no broker answers."""
        chunks: tuple[Messages, ...] = ()
        try:
            if self._consumer is None:
                self._connect()
            if self._consumer is not None:
                self._refresh()
                chunks = self._fetch(timeout_seconds, paused)
                self._verify()
        except KafkaError as error:
            self._down(error)
        if self._consumer is None:
            self._wait(min(timeout_seconds, _CONNECT_AGAIN_SECONDS))
        assigned, self._assigned_now = self._assigned_now, {}
        losses, self._losses = tuple(self._losses), []
        now = self._monotonic()
        fresh = self._limits.idle_partition_timeout / 1000
        return Poll(
            chunks=chunks,
            partitions=frozenset(self._quiet_since),
            idle=frozenset(p for p, proven in self._proven_idle.items() if now - proven <= fresh),
            lag=self._lag(),
            assigned=assigned,
            losses=losses,
            up=self._up,
        )

    def _connect(self) -> None:
        if self._monotonic() < self._next_connect:
            return
        self._next_connect = self._monotonic() + _CONNECT_AGAIN_SECONDS
        client: dict[str, Any] = {
            "bootstrap_servers": self._config.bootstrap_servers,
            "client_id": "leewayd",
            "bootstrap_timeout_ms": _CALL_MS,
            "reconnect_backoff_max_ms": 2_000,
            **self._config.client,
        }
        try:
            admin = KafkaAdminClient(**client)
            self._consumer = KafkaConsumer(
                **client,
                group_id=self._config.group_id,
                enable_auto_commit=False,
                auto_offset_reset="none",
                allow_auto_create_topics=False,
                max_poll_records=self._limits.max_poll_messages,
                # One message above our own limit must still arrive, to be counted and passed.
                max_partition_fetch_bytes=max(4 * 1_048_576, self._limits.max_message_bytes + 1024),
                metrics_enabled=False,
            )
            self._admin = admin
        except (KafkaError, OSError) as error:
            self._down(error)
            return
        self._next_refresh = self._next_verify = 0.0
        self._log.info("kafka connected", bootstrap_servers=self._config.bootstrap_servers)

    def _down(self, error: Exception) -> None:
        if self._up:
            self._log.warning("kafka unreachable", error=type(error).__name__)
        self._up = False
        self._proven_idle.clear()

    def _refresh(self) -> None:
        """Looks for new partitions and for topics that were made anew."""
        now = self._monotonic()
        if now < self._next_refresh or self._admin is None or self._consumer is None:
            return
        self._next_refresh = now + self._config.refresh / 1000
        fresh: dict[Partition, str] = {}
        anew: list[Partition] = []
        for topic in self._admin.describe_topics(self._config.predictions):
            if topic["error_code"]:
                self._log.warning("kafka topic not found", topic=topic["name"])
                self._next_refresh = now + _CONNECT_AGAIN_SECONDS
                continue
            identity = str(topic["topic_id"])
            for entry in topic["partitions"]:
                partition = Partition(topic["name"], entry["partition_index"])
                known = self._positions.get(partition)
                if known is not None and known.topic_id and known.topic_id != identity:
                    anew.append(partition)
                    self._losses.append(Loss(partition, "recreated", 0))
                    self._log.error("kafka topic recreated", topic=partition.topic, partition=partition.partition)
                    del self._positions[partition]
                if partition not in self._quiet_since or partition in anew:
                    fresh[partition] = identity
        if fresh:
            self._assign(fresh, anew)
        self._up = True

    def _assign(self, fresh: Mapping[Partition, str], anew: list[Partition]) -> None:
        assert self._consumer is not None  # noqa: S101 - called when connected
        # A partition that appears later, or belongs to a topic made anew, holds nothing that was meant to be passed over.
        late = bool(self._quiet_since)
        unknown = [TopicPartition(*partition) for partition in fresh if partition not in self._positions]
        begin = self._consumer.beginning_offsets(unknown, timeout_ms=_CALL_MS) if unknown else {}
        end = self._consumer.end_offsets(unknown, timeout_ms=_CALL_MS) if unknown else {}
        now = self._monotonic()
        for partition, identity in fresh.items():
            known = self._positions.get(partition)
            tp = TopicPartition(*partition)
            if known is None:
                first = begin if self._config.start == "earliest" or late or partition in anew else end
                known = Position(first[tp], topic_id=identity)
                self._assigned_now[partition] = known
            elif not known.topic_id:
                known = Position(known.offset, known.skip, identity, known.clock)
            self._positions[partition] = known
            # "Never heard of" counts as quiet for ever: an empty partition is not waited for.
            self._quiet_since[partition] = -np.inf if partition not in self._quiet_since else now
        self._consumer.assign([TopicPartition(*partition) for partition in self._quiet_since])
        for partition in self._quiet_since:
            self._consumer.seek(TopicPartition(*partition), self._positions[partition].offset)
        self._log.info("kafka partitions assigned", partitions=len(self._quiet_since))

    def _fetch(self, timeout_seconds: float, paused: frozenset[Partition]) -> tuple[Messages, ...]:
        assert self._consumer is not None  # noqa: S101 - called when connected
        if not self._quiet_since:
            self._wait(timeout_seconds)
            return ()
        held = {TopicPartition(*partition) for partition in paused & self._quiet_since.keys()}
        current = self._consumer.paused()
        if current - held:
            self._consumer.resume(*(current - held))
        if held - current:
            self._consumer.pause(*(held - current))
        try:
            polled = self._consumer.poll(timeout_ms=int(timeout_seconds * 1000))
        except OffsetOutOfRangeError as error:
            self._jump_the_gap(list(error.args[0]))
            return ()
        except KafkaError as error:
            if getattr(error, "retriable", False) and not _is_corrupt(error):
                raise
            self._pass_broken_batch()
            return ()
        except Exception:  # noqa: BLE001 - a damaged batch raises whatever its decoder does; none may end the daemon
            self._pass_broken_batch()
            return ()
        now = self._monotonic()
        chunks = []
        for tp, records in polled.items():
            partition = Partition(tp.topic, tp.partition)
            offsets = np.array([record.offset for record in records], dtype=np.int64)
            chunks.append(Messages(partition, offsets, [record.value for record in records]))
            self._moved(partition, int(offsets[-1]) + 1)
            self._quiet_since[partition] = now
            self._proven_idle.pop(partition, None)
            self._up = True
        return tuple(chunks)

    def _moved(self, partition: Partition, offset: int) -> None:
        self._positions[partition] = Position(offset, topic_id=self._positions[partition].topic_id)

    def _jump_the_gap(self, partitions: list[TopicPartition]) -> None:
        """The position is outside of what the broker holds: retention has passed it, or the topic was made anew."""
        assert self._consumer is not None  # noqa: S101 - called when connected
        self._next_refresh = 0.0
        self._refresh()
        begin = self._consumer.beginning_offsets(partitions, timeout_ms=_CALL_MS)
        end = self._consumer.end_offsets(partitions, timeout_ms=_CALL_MS)
        for tp in partitions:
            partition = Partition(tp.topic, tp.partition)
            position = self._positions[partition].offset
            if begin[tp] <= position <= end[tp]:
                continue  # the refresh above has already dealt with it
            lost = begin[tp] - position
            # Beyond the end without a new topic id: the broker lost its tail, and with it nothing that we lack.
            target = begin[tp] if lost > 0 else end[tp]
            self._losses.append(Loss(partition, "retention", max(lost, 0)))
            self._log.error("kafka messages lost", topic=tp.topic, partition=tp.partition, reason="retention", lost=lost)
            self._consumer.seek(tp, target)
            self._moved(partition, target)

    def _pass_broken_batch(self) -> None:
        """Finds the partition whose next batch cannot be read, and the first offset after it that can."""
        assert self._consumer is not None  # noqa: S101 - called when connected
        everyone = [TopicPartition(*partition) for partition in self._quiet_since]
        self._consumer.pause(*everyone)
        try:
            end = self._consumer.end_offsets(everyone, timeout_ms=_CALL_MS)
            for tp in everyone:
                partition = Partition(tp.topic, tp.partition)
                first = self._positions[partition].offset
                if first < end[tp] and not self._readable(tp, first):
                    target = self._first_readable(tp, first, end[tp])
                    lost = target - first
                    self._losses.append(Loss(partition, "corrupt", lost))
                    self._log.error(
                        "kafka messages lost", topic=tp.topic, partition=tp.partition, reason="corrupt", lost=lost
                    )
                    self._moved(partition, target)
        finally:
            # Probing moved the consumer about, and may have been cut short by a broker that went away.
            for tp in everyone:
                self._consumer.seek(tp, self._positions[Partition(tp.topic, tp.partition)].offset)
            self._consumer.resume(*everyone)

    def _first_readable(self, tp: TopicPartition, broken: int, end: int) -> int:
        # Offsets inside a broken batch fail with it, so readable() is monotone up to the next broken batch.
        span = 1
        while broken + span < end and not self._readable(tp, broken + span):
            span *= 2
        low, high = broken + span // 2, min(broken + span, end)
        while high - low > 1:
            middle = (low + high) // 2
            if self._readable(tp, middle):
                high = middle
            else:
                low = middle
        return high

    def _readable(self, tp: TopicPartition, offset: int) -> bool:
        """Whether the batch at an offset can be read.

        Raises:
            KafkaError: if no answer came: then nothing is known, and nothing may be passed over.
        """
        assert self._consumer is not None  # noqa: S101 - called when connected
        self._consumer.seek(tp, offset)
        self._consumer.resume(tp)
        try:
            if self._consumer.poll(timeout_ms=_CALL_MS, max_records=1):
                return True
        except Exception as error:  # noqa: BLE001 - as in _fetch
            if isinstance(error, KafkaError) and not _is_corrupt(error) and getattr(error, "retriable", False):
                raise
            return False
        finally:
            self._consumer.pause(tp)
        raise KafkaTimeoutError("no answer while a damaged batch was looked at")

    def _verify(self) -> None:
        """Proves which quiet partitions hold nothing unread, by asking the broker."""
        now = self._monotonic()
        if now < self._next_verify or self._consumer is None:
            return
        limit = self._limits.idle_partition_timeout / 1000
        quiet = [partition for partition, since in self._quiet_since.items() if now - since >= min(limit, _VERIFY_SECONDS)]
        if not quiet:
            return
        self._next_verify = now + min(_VERIFY_SECONDS, limit / 2)
        end = self._consumer.end_offsets([TopicPartition(*partition) for partition in quiet], timeout_ms=_CALL_MS)
        self._up = True
        for partition in quiet:
            read = self._positions[partition].offset >= end[TopicPartition(*partition)]
            if read and now - self._quiet_since[partition] >= limit:
                self._proven_idle[partition] = now
            else:
                self._proven_idle.pop(partition, None)

    def _lag(self) -> dict[Partition, int]:
        if self._consumer is None:
            return {}
        lag = {}
        for partition in self._quiet_since:
            end = self._consumer.highwater(TopicPartition(*partition))
            if end is not None:
                lag[partition] = max(end - self._positions[partition].offset, 0)
        return lag

    def reject(self, partition: Partition, reason: str, value: bytes) -> None:
        """Sends a rejected message whole to the dead-letter topic, its origin and the reason in headers."""
        if self._config.dead_letter is None:
            return
        try:
            if self._producer is None:
                self._producer = KafkaProducer(
                    bootstrap_servers=self._config.bootstrap_servers, max_block_ms=_CALL_MS, **self._config.client
                )
            headers = [("reason", reason.encode()), ("topic", partition.topic.encode()),
                       ("partition", str(partition.partition).encode())]  # fmt: skip
            self._unsent = True
            self._producer.send(self._config.dead_letter, value=value, headers=headers)
        except KafkaError as error:
            self._log.warning("dead letter not sent", error=type(error).__name__)

    def settle(self) -> None:
        """Waits until the dead-letter topic has what was sent to it, for a few seconds at the most."""
        if self._producer is None or not self._unsent:
            return
        try:
            self._producer.flush(timeout=_CALL_MS / 1000)
            self._unsent = False
        except KafkaError as error:
            self._log.warning("dead letters not confirmed", error=type(error).__name__)

    def commit(self, positions: Mapping[Partition, Position]) -> None:
        """Commits offsets under the group id without waiting; kafka-python's `commit` blocks while a broker is down."""
        if self._consumer is None or not self._up:
            return
        offsets = {
            TopicPartition(*partition): OffsetAndMetadata(position.offset, None, -1)
            for partition, position in positions.items()
            if partition in self._quiet_since
        }
        try:
            if offsets:
                self._consumer.commit_async(offsets)
        except KafkaError as error:
            self._log.warning("kafka offsets not committed", error=type(error).__name__)

    def close(self) -> None:
        """Closes the connections; what waits for the dead-letter topic is sent first."""
        for client in (self._producer, self._consumer, self._admin):
            if client is not None:
                try:
                    client.close(timeout=2) if client is self._producer else client.close()
                except KafkaError as error:
                    self._log.warning("kafka not closed", error=type(error).__name__)


def _is_corrupt(error: KafkaError) -> bool:
    # kafka-python calls a bad checksum retriable; reading the same bytes again would only fail again.
    return isinstance(error, CorruptRecordError)


def publish(config: KafkaSection, topic: str, messages: Iterable[bytes]) -> int:
    """Creates a topic of one partition and sends messages to it; for the demo.

    Returns:
        How many were sent.

    Raises:
        SourceError: if the broker cannot be reached or refuses.
    """
    try:
        admin = KafkaAdminClient(bootstrap_servers=config.bootstrap_servers, bootstrap_timeout_ms=_CALL_MS, **config.client)
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
