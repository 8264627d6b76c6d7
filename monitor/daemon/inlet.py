"""Polled messages on their way into the models, and what is known of the partitions that they come from."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from monitor.common.clock import Clock
from monitor.config.labels import label_sources
from monitor.daemon.losses import OLD_TOPIC, Losses
from monitor.daemon.present import Present
from monitor.daemon.ration import Ration
from monitor.daemon.recovery import Caution
from monitor.decode.first_usable import NO_FEATURES, FirstUsable
from monitor.rows.records import REJECT_REASONS, Messages
from monitor.serve.snapshot import PartitionStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from structlog.typing import FilteringBoundLogger

    from monitor.config.schema import Config
    from monitor.daemon.model import MonitoredModel
    from monitor.daemon.ordering import EventTimeBuffer
    from monitor.daemon.recovery import Attempt
    from monitor.decode.first_usable import Seen
    from monitor.decode.topics import TopicDecoder
    from monitor.rows.records import Partition, Poll, Position, SourceFault


class Inlet:
    """Decodes what was polled and offers it to the intake.

    Args:
        config: validated.
        intake: takes decoded rows.
        models: those that are watched, not those that still learn their reference.
        clock: time, to recognise rows from the future.
        seen: model → whether a record that it can use has come.
        reject: hands a rejected message over for the dead-letter topic.
        log: past-tense events.
    """

    def __init__(
        self,
        config: Config,
        intake: EventTimeBuffer,
        models: Mapping[str, MonitoredModel],
        clock: Clock,
        *,
        seen: Callable[[], Mapping[str, Seen]],
        reject: Callable[[Partition, str, bytes], object],
        log: FilteringBoundLogger,
    ) -> None:
        self._intake, self._seen, self._reject, self._log = intake, seen, reject, log
        self.routers: Mapping[str, TopicDecoder] = {}
        self.label_topics = label_sources(config)
        self._ration = Ration(Caution())
        self._first_usable = FirstUsable(lambda name: seen()[name], self._report_no_features)
        self.hints: dict[tuple[str, str], str] = {}
        topics = [] if config.kafka is None else config.kafka.predictions + config.kafka.labels
        # Counters stand at zero from the start, so that a rate sees the first reject.
        self.rejects = Counter({(topic, reason): 0 for topic in topics for reason in REJECT_REASONS})
        self._messages: Counter[Partition] = Counter()
        self._models, self._losses = models, Losses(config, intake)
        # For a replay the present stands still.
        live = config.file is None or config.file.follow
        clock = clock if live else Clock(clock.wall, lambda: 0.0, clock.wait)
        self._present = Present(clock, config.ingest.max_future_skew)
        self._lag: Mapping[Partition, int] = {}
        self._partitions: frozenset[Partition] = frozenset()
        self._read_to_their_end = False
        self.up = False
        self.fault: SourceFault | None = None

    def resume(self, positions: Mapping[Partition, Position]) -> None:
        """Goes on from the positions of the last checkpoint."""
        self._intake.positions.update(positions)
        clocks = (position.clock for position in positions.values())
        self._present.counted(clock for clock in clocks if clock is not None)

    @property
    def stands_at(self) -> int:
        """Event time that all partitions have reached together, epoch ms."""
        return self._intake.stands_at

    @property
    def held(self) -> frozenset[Partition]:
        """Partitions of which messages wait that were read already."""
        return self._intake.crowded() | self._ration.waiting

    @property
    def limited(self) -> bool:
        """Whether a step is limited to a number of rows."""
        return self._ration.caution.limit is not None

    @property
    def attempt(self) -> Attempt:
        """The rows taken in since the last checkpoint, or since the step began."""
        return self._ration.attempt(self._intake.counted, self._intake.last)

    def be_careful(self, caution: Caution) -> None:
        """Begins a step: as many rows are taken in, and those left out, as `monitor.daemon.recovery` decides."""
        self._ration.caution = caution
        self._intake.allow(caution.limit)

    def take_in(self, poll: Poll) -> None:
        """Decodes the messages of a poll and offers them to the intake."""
        self.up, self.fault, self._lag, self._partitions = poll.up, poll.fault, poll.lag, poll.partitions
        # Predictions do not wait for labels, but while both are caught up with: then time goes on for both together.
        # While no predictions come, labels give the time.
        read = {p for p in poll.partitions if p.topic in self.label_topics and poll.lag.get(p) == 0}
        waited_for = poll.partitions - poll.idle
        self._intake.active = waited_for - read or waited_for
        # Losses of a recreated topic come after everything that was read of it; other losses come after this poll.
        models = self._models.values()
        self._losses.take((loss for loss in poll.losses if loss.reason in OLD_TOPIC), models)
        for partition, position in poll.assigned.items():
            self._intake.forget(partition)
            self._ration.forget(partition)
            self._first_usable.forget(partition)
            self._intake.positions[partition] = position
        for chunk in poll.chunks:
            if isinstance(chunk, Messages) and chunk.written is not None and poll.lag.get(chunk.partition) == 0:
                self._present.written(chunk.written)
        now = self._present.now()
        for chunk in self._ration.take(poll.chunks, self._intake.crowded()):
            router = self.routers.get(chunk.partition.topic) or self.routers[""]
            decoded = self._first_usable.sift(self._ration.decode(chunk, partial(router.decode, now=now)))
            for reason in {*decoded.rejects.values()} & decoded.hints.keys():
                self.hints.setdefault((chunk.partition.topic, reason), decoded.hints[reason])
            self._messages[chunk.partition] += decoded.next_offset - int(
                decoded.offsets[0] if len(decoded.offsets) else decoded.next_offset
            )
            self._intake.offer(decoded)
            self._losses.resumed(decoded, models)
        self._losses.take((loss for loss in poll.losses if loss.reason not in OLD_TOPIC), models)
        predictions = {partition for partition in poll.partitions if partition.topic not in self.label_topics}
        self._read_to_their_end = bool(predictions) and predictions <= poll.done and not self._ration.waiting

    @property
    def log_end(self) -> int | None:
        """The event time of the last prediction, epoch ms, once a replayed log has been read to its end; else None."""
        return self.latest() if self._read_to_their_end else None

    def latest(self) -> int | None:
        """The greatest event time of a prediction so far, epoch ms."""
        return self._intake.latest([part for part in self._intake.positions if part.topic not in self.label_topics])

    def on_reject(self, partition: Partition, reason: str, value: bytes | None) -> None:
        """Counts a reject, and hands its message over if there is one."""
        if not self.rejects[partition.topic, reason] and reason != NO_FEATURES:
            hint = self.hints.get((partition.topic, reason), "")
            self._log.warning("records rejected", topic=partition.topic, reason=reason, hint=hint)
        self.rejects[partition.topic, reason] += 1
        if value is not None:
            self._reject(partition, reason, value)

    def _report_no_features(self, model: str, topic: str, hint: str) -> None:
        self._log.warning("records hold none of the features", model=model, topic=topic, hint=hint)

    def partitions(self) -> tuple[PartitionStatus, ...]:
        """Progress of each partition."""
        return tuple(
            PartitionStatus(
                partition.topic,
                partition.partition,
                position.offset if (position := self._intake.positions.get(partition)) is not None else None,
                self._lag_of(partition),
                self._messages[partition],
                self._losses.of(partition),
            )
            for partition in sorted(self._partitions | set(self._losses.partitions))
            if partition in self._intake.positions or partition in self._losses.partitions
        )

    def _lag_of(self, partition: Partition) -> int | None:
        """Messages that are not counted yet: those at the broker, and those that are read but wait."""
        behind = self._lag.get(partition)
        return None if behind is None else behind + self._intake.waiting(partition)

    def counted_and_waiting(self) -> tuple[int, int]:
        """Messages counted since the process began, and those that are known to wait."""
        read = sum(self._intake.waiting(partition) for partition in self._partitions)
        waiting = sum(self._lag.get(partition) or 0 for partition in self._partitions) + read
        return sum(self._messages.values()) - read, waiting

    def why_not_ready(self) -> str:
        """Why nothing can be taken in; empty when it can."""
        if self.fault is not None:
            return self.fault.text
        if not self.up:
            return "the source cannot be reached"
        if not self._partitions:
            return "no partition of the configured topics was found"
        return self._first_usable.why_not_ready(self._seen())
