"""Apache Kafka as a source.

Partitions are assigned manually and read from stored offsets. Offsets are never reset silently: ``auto_offset_reset``
is ``none``, so a position that retention has deleted raises an error; a topic that was created again has a new id.
kafka-python gets no deserializer: after a deserializer raises, its next poll blocks until a seek.

Messages are returned only after the broker has listed the partitions again. So the watermark accounts for every
partition that may contain older messages, and rows of a new partition are not late.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from monitor.common.errors import ConfigError
from monitor.rows.records import BrokerTime, Loss, Messages, Partition, Poll, Position
from monitor.sources.broken_batches import broken_at
from monitor.sources.dead_letters import DeadLetters
from monitor.sources.kafka_client import (
    Access,
    KafkaAdminClient,
    KafkaConsumer,
    KafkaError,
    OffsetAndMetadata,
    OffsetOutOfRangeError,
    TopicPartition,
    beginning_offsets,
    check_codecs,
    end_offsets,
    is_passing,
    open_admin,
    open_consumer,
)
from monitor.sources.kafka_faults import FaultLog, Trouble, fault_of, topics_fault
from monitor.sources.kafka_topics import Topics

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from structlog.typing import FilteringBoundLogger

    from monitor.config.schema import IngestSection, KafkaSection

_CONNECT_AGAIN_SECONDS = 2.0
_VERIFY_SECONDS = 5.0
_LIST_SECONDS = 0.2
"""Shortest time between two listings of partitions."""
_LASTING = ("authentication", "authorization", "tls", "secret", "configuration")
"""Faults that a new client may fix, but no retry."""
_APPEND_TIME = 1


class KafkaSource:
    """Reads the prediction topics.

    Args:
        config: broker and topics.
        limits: sizes and the idle time-out.
        environment: of the process, for secrets.
        monotonic: a clock that never jumps, in seconds.
        wait: called with seconds while the broker cannot be reached.
        log: past-tense events.
    """

    def __init__(
        self,
        config: KafkaSection,
        limits: IngestSection,
        *,
        environment: Mapping[str, str],
        monotonic: Callable[[], float],
        wait: Callable[[float], object],
        log: FilteringBoundLogger,
    ) -> None:
        self._config, self._limits = config, limits
        self._access = Access(config, environment)
        self._monotonic, self._wait, self._log = monotonic, wait, log
        self._trouble, self._faults, self._topics = Trouble(), FaultLog(log, monotonic), Topics()
        self._consumer: KafkaConsumer | None = None
        self._admin: KafkaAdminClient | None = None
        self._dead_letters = None if config.dead_letter is None else DeadLetters(self._access, log)
        self._positions: dict[Partition, Position] = {}
        self._everything = config.start == "earliest"
        self._quiet_since: dict[Partition, float] = {}
        self._proven_idle: dict[Partition, float] = {}
        # Fetched messages that wait for the next listing of partitions.
        self._fetched: list[Messages] = []
        self._ready: list[Messages] = []
        self._assigned: dict[Partition, Position] = {}
        self._losses: list[Loss] = []
        # Partitions of topics that were created again; returned after the messages of the old topic.
        self._assigned_next: dict[Partition, Position] = {}
        self._losses_next: list[Loss] = []
        self._next_connect = self._next_refresh = self._next_list = self._next_verify = 0.0
        self._up = False

    def start(self, positions: Mapping[Partition, Position], *, everything: bool = False) -> None:
        """Checks that all codecs are installed, and stores the positions. `poll` connects."""
        check_codecs()
        self._trouble.listen()
        self._positions = dict(positions)
        self._everything |= everything

    def poll(self, timeout_seconds: float, paused: frozenset[Partition]) -> Poll:
        """The next messages; an empty poll with ``up = False`` while no broker answers."""
        self._assigned, self._assigned_next = self._assigned_next, {}
        self._losses, self._losses_next = self._losses_next, []
        self._ready = []
        try:
            if self._consumer is None:
                self._connect()
            if self._consumer is not None and not self._refresh():
                self._fetched += self._fetch(timeout_seconds, paused)
                if not self._refresh():
                    self._verify()
        except KafkaError as error:
            self._down(error)
        if self._consumer is None:
            self._wait(min(timeout_seconds, _CONNECT_AGAIN_SECONDS))
        now = self._monotonic()
        fresh = self._limits.idle_partition_timeout / 1000
        return Poll(
            chunks=tuple(self._ready),
            partitions=frozenset(self._quiet_since),
            idle=frozenset(p for p, proven in self._proven_idle.items() if now - proven <= fresh),
            lag=self._lag(),
            assigned=self._assigned,
            losses=tuple(self._losses),
            up=self._up,
            fault=self._faults.fault,
        )

    def _connect(self) -> None:
        if self._monotonic() < self._next_connect:
            return
        try:
            if self._admin is None:
                self._admin = open_admin(self._access)
            self._consumer = self._open_consumer()
            self._place()
        except (KafkaError, ConfigError, OSError, ValueError, TypeError) as error:
            self._down(error)
            return
        finally:
            self._next_connect = self._monotonic() + _CONNECT_AGAIN_SECONDS
        self._next_refresh = self._next_verify = 0.0
        self._log.info("kafka connected", bootstrap_servers=self._config.bootstrap_servers)

    def _open_consumer(self) -> KafkaConsumer:
        return open_consumer(self._access, self._limits)

    def _down(self, error: Exception) -> None:
        self._up = False
        self._proven_idle.clear()
        self._next_refresh = min(self._next_refresh, self._monotonic() + _CONNECT_AGAIN_SECONDS)
        fault = fault_of(error, self._trouble.last, self._config.bootstrap_servers)
        self._faults.set(fault)
        if fault.reason in _LASTING:
            # New clients read secrets and certificates again.
            self._close(self._consumer, self._admin)
            self._consumer = self._admin = None

    def _lost(self, partition: Partition, reason: str, count: int, resumes: int = 0) -> None:
        later = reason in ("recreated", "gone")
        (self._losses_next if later else self._losses).append(Loss(partition, reason, count, resumes))
        self._log.error(
            "kafka messages lost", topic=partition.topic, partition=partition.partition, reason=reason,
            lost=None if later else count,
        )  # fmt: skip

    def _refresh(self) -> bool:
        """Lists the partitions when due, and releases messages; returns whether a topic was created again."""
        now = self._monotonic()
        due = now >= self._next_refresh or (bool(self._fetched) and now >= self._next_list)
        if not due or self._admin is None or self._consumer is None:
            return False
        self._next_list = now + _LIST_SECONDS
        self._next_refresh = now + self._config.refresh / 1000
        wanted = self._config.predictions + self._config.labels
        listing = self._topics.listing(self._admin.describe_topics(wanted))
        listed = listing.found
        recreated = self._forget(self._topics.outdated(self._positions, listed))
        fresh = {partition: identity for partition, identity in listed.items() if partition not in self._quiet_since}
        if fresh or recreated:
            self._assign(fresh, recreated)
        self._ready += self._fetched
        self._fetched = []
        self._up, self._trouble.last = True, None
        fault = topics_fault(listing.codes, self._config.bootstrap_servers)
        if fault is not None:
            self._next_refresh = now + _CONNECT_AGAIN_SECONDS
        self._faults.set(fault)
        return bool(recreated)

    def _forget(self, outdated: Mapping[Partition, str]) -> frozenset[Partition]:
        """Drops partitions of topics that were created again."""
        for partition, reason in outdated.items():
            self._lost(partition, reason, 0)
            del self._positions[partition]
            self._quiet_since.pop(partition, None)
            self._proven_idle.pop(partition, None)
        return frozenset(outdated)

    def _assign(self, fresh: Mapping[Partition, str], recreated: frozenset[Partition]) -> None:
        assert self._consumer is not None
        # A partition that appears later, or belongs to a new topic, is read from its beginning.
        late = bool(self._quiet_since or recreated)
        read_before = {partition.topic for partition in (*self._positions, *recreated)}
        unknown = [TopicPartition(*partition) for partition in fresh if partition not in self._positions]
        begin, end = beginning_offsets(self._consumer, unknown), end_offsets(self._consumer, unknown)
        now = self._monotonic()
        for partition, identity in fresh.items():
            known = self._positions.get(partition)
            tp = TopicPartition(*partition)
            if known is None:
                whole = self._everything or late or partition.topic in read_before
                first = (begin if whole else end).get(tp)
                if first is None:
                    self._next_refresh = 0.0
                    continue
                known = Position(first, topic_id=identity)
                (self._assigned_next if partition in recreated else self._assigned)[partition] = known
            elif not known.topic_id:
                known = Position(known.offset, known.skip, identity, known.clock)
            self._positions[partition] = known
            # An empty partition at the start counts as idle. A partition that appears later is expected to fill.
            self._quiet_since[partition] = now if late else -np.inf
        self._place()
        self._log.info("kafka partitions assigned", partitions=len(self._quiet_since))

    def _place(self) -> None:
        assert self._consumer is not None
        self._consumer.assign([TopicPartition(*partition) for partition in self._quiet_since])
        for partition in self._quiet_since:
            self._consumer.seek(TopicPartition(*partition), self._positions[partition].offset)

    def _fetch(self, timeout_seconds: float, paused: frozenset[Partition]) -> list[Messages]:
        assert self._consumer is not None
        if not self._quiet_since:
            self._wait(timeout_seconds)
            return []
        stopped = {TopicPartition(*partition) for partition in paused & self._quiet_since.keys()}
        current = self._consumer.paused()
        if current - stopped:
            self._consumer.resume(*(current - stopped))
        if stopped - current:
            self._consumer.pause(*(stopped - current))
        try:
            polled = self._consumer.poll(timeout_ms=int(timeout_seconds * 1000))
        except OffsetOutOfRangeError as error:
            self._jump_the_gap(list(error.args[0]))
            return []
        except KafkaError as error:
            if is_passing(error):
                raise
            self._pass_broken_batch()
            return []
        except Exception:  # noqa: BLE001 - a corrupt batch can fail anywhere inside the library
            self._pass_broken_batch()
            return []
        now = self._monotonic()
        chunks = []
        for tp, records in polled.items():
            partition = Partition(tp.topic, tp.partition)
            if partition not in self._quiet_since:
                continue
            offsets = np.array([record.offset for record in records], dtype=np.int64)
            written = BrokerTime(records[-1].timestamp, records[-1].timestamp_type == _APPEND_TIME)
            chunks.append(Messages(partition, offsets, [record.value for record in records], written))
            self._moved(partition, int(offsets[-1]) + 1)
            self._quiet_since[partition] = now
            self._proven_idle.pop(partition, None)
        return chunks

    def _moved(self, partition: Partition, offset: int) -> None:
        self._positions[partition] = Position(offset, topic_id=self._positions[partition].topic_id)

    def _jump_the_gap(self, partitions: list[TopicPartition]) -> None:
        """Moves positions that the broker no longer has: retention deleted them, or the topic was created again."""
        assert self._consumer is not None
        self._next_refresh = 0.0
        if self._refresh():
            return
        begin, end = beginning_offsets(self._consumer, partitions), end_offsets(self._consumer, partitions)
        for tp in partitions:
            partition = Partition(tp.topic, tp.partition)
            if tp not in begin or tp not in end or partition not in self._quiet_since:
                continue
            position = self._positions[partition].offset
            if begin[tp] <= position <= end[tp]:
                continue  # the refresh above has already handled it
            lost = begin[tp] - position
            # Beyond the end without a new topic id: the broker lost messages that leewayd has already read.
            target = begin[tp] if lost > 0 else end[tp]
            self._lost(partition, "retention", max(lost, 0), target)
            self._consumer.seek(tp, target)
            self._moved(partition, target)

    def _pass_broken_batch(self) -> None:
        """Finds the partition whose next batch cannot be read, and continues after that batch."""
        everyone = [TopicPartition(*partition) for partition in self._quiet_since]
        assert self._consumer is not None
        # A consumer that met a broken batch keeps the rest of it, and its next poll would block for ever.
        try:
            end = end_offsets(self._consumer, everyone)
        finally:
            self._close(self._consumer)
            self._consumer = None
        for tp in everyone:
            partition = Partition(tp.topic, tp.partition)
            first = self._positions[partition].offset
            if first >= end.get(tp, 0):
                continue
            broken = broken_at(self._open_consumer, tp, first, end[tp])
            if broken is not None:
                self._lost(partition, broken.reason, broken.next_offset - first, broken.next_offset)
                self._moved(partition, broken.next_offset)
        self._next_connect = 0.0
        self._connect()

    def _verify(self) -> None:
        """Asks the broker which quiet partitions contain no unread message."""
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
        end = end_offsets(self._consumer, (TopicPartition(*partition) for partition in quiet))
        if len(end) < len(quiet):
            self._next_refresh = 0.0
        for partition in quiet:
            last = end.get(TopicPartition(*partition))
            read = last is not None and self._positions[partition].offset >= last
            if read and now - self._quiet_since[partition] >= limit:
                self._proven_idle[partition] = now
            else:
                self._proven_idle.pop(partition, None)

    def _lag(self) -> dict[Partition, int]:
        if self._consumer is None:
            return {}
        waiting: dict[Partition, int] = {}
        for chunk in self._fetched:
            waiting[chunk.partition] = waiting.get(chunk.partition, 0) + len(chunk.offsets)
        lag = {}
        for partition in self._quiet_since:
            end = self._consumer.highwater(TopicPartition(*partition))
            if end is not None:
                lag[partition] = max(end - self._positions[partition].offset, 0) + waiting.get(partition, 0)
        return lag

    def reject(self, partition: Partition, reason: str, value: bytes) -> None:
        """Sends a rejected message whole to the dead-letter topic, with origin and reason in its headers."""
        if self._dead_letters is not None:
            self._dead_letters.send(partition, reason, value)

    def settle(self) -> None:
        """Waits, for a few seconds at most, until the dead-letter topic has all messages sent to it."""
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
        """Closes the connections after sending waiting dead letters."""
        self._close(self._dead_letters, self._consumer, self._admin)
        self._trouble.close()

    def _close(self, *clients: DeadLetters | KafkaConsumer | KafkaAdminClient | None) -> None:
        for client in clients:
            try:
                if client is not None:
                    client.close()
            except KafkaError as error:
                self._log.warning("kafka not closed", error=type(error).__name__)
