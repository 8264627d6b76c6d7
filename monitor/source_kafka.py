"""Apache Kafka as a source.

The consumer is assigned partitions by hand and sought to stored offsets; nothing is ever reset in silence:
``auto_offset_reset`` is ``none``, so a position that retention has passed raises; a topic made anew is told by its id.
No deserializer is handed to kafka-python: after one raises, its next poll never returns until a seek.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from monitor.damaged import first_readable
from monitor.kafka_client import (
    CALL_MS,
    DeadLetters,
    KafkaAdminClient,
    KafkaConsumer,
    KafkaError,
    KafkaTimeoutError,
    OffsetAndMetadata,
    OffsetOutOfRangeError,
    TopicPartition,
    check_codecs,
    is_passing,
    open_admin,
    open_consumer,
)
from monitor.records import Loss, Messages, Partition, Poll, Position

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from structlog.typing import FilteringBoundLogger

    from monitor.config import IngestSection, KafkaSection

_CONNECT_AGAIN_SECONDS = 2.0
_VERIFY_SECONDS = 5.0


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
        self._dead_letters = None if config.dead_letter is None else DeadLetters(config, log)
        self._positions: dict[Partition, Position] = {}
        self._quiet_since: dict[Partition, float] = {}
        self._proven_idle: dict[Partition, float] = {}
        self._assigned_now: dict[Partition, Position] = {}
        self._losses: list[Loss] = []
        self._next_connect = self._next_refresh = self._next_verify = 0.0
        self._up = False

    def start(self, positions: Mapping[Partition, Position]) -> None:
        """Checks that every codec can be read and remembers where to go on. Connecting is left to `poll`."""
        check_codecs()
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
        try:
            if self._admin is None:
                self._admin = open_admin(self._config)
            self._consumer = self._open_consumer()
            self._place()
        except (KafkaError, OSError) as error:
            self._down(error)
            return
        self._next_refresh = self._next_verify = 0.0
        self._log.info("kafka connected", bootstrap_servers=self._config.bootstrap_servers)

    def _open_consumer(self) -> KafkaConsumer:
        return open_consumer(self._config, self._limits)

    def _lost(self, partition: Partition, reason: str, count: int) -> None:
        self._losses.append(Loss(partition, reason, count))
        self._log.error(
            "kafka messages lost", topic=partition.topic, partition=partition.partition, reason=reason, lost=count
        )

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
        for topic in self._admin.describe_topics(self._config.predictions + self._config.labels):
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
        assert self._consumer is not None
        # A partition that appears later, or belongs to a new topic, holds nothing that was meant to be passed over.
        late = bool(self._quiet_since)
        unknown = [TopicPartition(*partition) for partition in fresh if partition not in self._positions]
        begin = self._consumer.beginning_offsets(unknown, timeout_ms=CALL_MS) if unknown else {}
        end = self._consumer.end_offsets(unknown, timeout_ms=CALL_MS) if unknown else {}
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
        self._place()
        self._log.info("kafka partitions assigned", partitions=len(self._quiet_since))

    def _place(self) -> None:
        assert self._consumer is not None
        self._consumer.assign([TopicPartition(*partition) for partition in self._quiet_since])
        for partition in self._quiet_since:
            self._consumer.seek(TopicPartition(*partition), self._positions[partition].offset)

    def _fetch(self, timeout_seconds: float, paused: frozenset[Partition]) -> tuple[Messages, ...]:
        assert self._consumer is not None
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
            if is_passing(error):
                raise
            self._pass_broken_batch()
            return ()
        except Exception:  # noqa: BLE001 - a damaged batch can fail anywhere inside the library
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
        assert self._consumer is not None
        self._next_refresh = 0.0
        self._refresh()
        begin = self._consumer.beginning_offsets(partitions, timeout_ms=CALL_MS)
        end = self._consumer.end_offsets(partitions, timeout_ms=CALL_MS)
        for tp in partitions:
            partition = Partition(tp.topic, tp.partition)
            position = self._positions[partition].offset
            if begin[tp] <= position <= end[tp]:
                continue  # the refresh above has already dealt with it
            lost = begin[tp] - position
            # Beyond the end without a new topic id: the broker lost its tail, and with it nothing that we lack.
            target = begin[tp] if lost > 0 else end[tp]
            self._lost(partition, "retention", max(lost, 0))
            self._consumer.seek(tp, target)
            self._moved(partition, target)

    def _pass_broken_batch(self) -> None:
        """Finds the partition whose next batch cannot be read, and the first offset after it that can."""
        assert self._consumer is not None
        # A consumer that has met a damaged batch keeps what is left of it, and its next poll would never return.
        spoilt, self._consumer = self._consumer, None
        everyone = [TopicPartition(*partition) for partition in self._quiet_since]
        try:
            end = spoilt.end_offsets(everyone, timeout_ms=CALL_MS)
        finally:
            spoilt.close()
        for tp in everyone:
            partition = Partition(tp.topic, tp.partition)
            first = self._positions[partition].offset
            readable = partial(self._readable, tp)
            if first < end[tp] and not readable(first):
                target = first_readable(readable, first, end[tp])
                self._lost(partition, "corrupt", target - first)
                self._moved(partition, target)
        self._next_connect = 0.0
        self._connect()

    def _readable(self, tp: TopicPartition, offset: int) -> bool:
        """Whether the batch at an offset can be read; by a consumer of its own, which may be spoilt.

        Raises:
            KafkaError: if no answer came: then nothing is known, and nothing may be passed over.
        """
        probe = self._open_consumer()
        try:
            probe.assign([tp])
            probe.seek(tp, offset)
            if probe.poll(timeout_ms=CALL_MS, max_records=1):
                return True
        except KafkaError as error:
            if is_passing(error):
                raise
            return False
        except Exception:  # noqa: BLE001 - a damaged batch can fail anywhere inside the library
            return False
        finally:
            probe.close()
        raise KafkaTimeoutError("no answer while a damaged batch was looked at")

    def _verify(self) -> None:
        """Proves which quiet partitions hold nothing unread, by asking the broker."""
        now = self._monotonic()
        if now < self._next_verify or self._consumer is None:
            return
        limit = self._limits.idle_partition_timeout / 1000
        quiet = [
            partition for partition, since in self._quiet_since.items() if now - since >= min(limit, _VERIFY_SECONDS)
        ]
        if not quiet:
            return
        self._next_verify = now + min(_VERIFY_SECONDS, limit / 2)
        end = self._consumer.end_offsets([TopicPartition(*partition) for partition in quiet], timeout_ms=CALL_MS)
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
        if self._dead_letters is not None:
            self._dead_letters.send(partition, reason, value)

    def settle(self) -> None:
        """Waits until the dead-letter topic has what was sent to it, for a few seconds at the most."""
        if self._dead_letters is not None:
            self._dead_letters.settle()

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
        for client in (self._dead_letters, self._consumer, self._admin):
            if client is not None:
                try:
                    client.close()
                except KafkaError as error:
                    self._log.warning("kafka not closed", error=type(error).__name__)
