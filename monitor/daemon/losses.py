"""Messages that can no longer be read: counted, and remembered by the models whose windows lack them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from monitor.rows.records import LOSS_REASONS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from monitor.config.schema import Config
    from monitor.daemon.model import MonitoredModel
    from monitor.daemon.ordering import EventTimeBuffer
    from monitor.rows.records import Decoded, Loss, Partition

OLD_TOPIC = frozenset({"recreated", "gone"})
"""Losses of a topic that was made again: they came after all that was read of it, and before all of the new one."""


class Losses:
    """All losses since the process began.

    Args:
        config: says which topics feed a model.
        intake: knows how far each partition has been read.
    """

    def __init__(self, config: Config, intake: EventTimeBuffer) -> None:
        self._topics = [] if config.kafka is None else config.kafka.predictions
        self._intake = intake
        self._counts: dict[Partition, Counter[str]] = {}

    def take(self, losses: Iterable[Loss], models: Collection[MonitoredModel]) -> None:
        """Takes in what was lost since the rows that were offered last."""
        for loss in losses:
            partition = loss.partition
            self._counts.setdefault(partition, Counter())[loss.reason] += max(loss.messages, 1)
            for model in models:
                if partition.topic in (model.section.topics or self._topics):
                    model.gaps.lost(loss, self._intake.latest([partition]), self._intake.latest(self._intake.positions))
            if loss.reason == "gone":
                self._intake.positions.pop(partition, None)

    def resumed(self, decoded: Decoded, models: Collection[MonitoredModel]) -> None:
        """The next rows of a partition came."""
        if (first := decoded.first()) is not None:
            for model in models:
                model.gaps.seen(decoded.partition, *first)

    @property
    def partitions(self) -> Collection[Partition]:
        """Those that have lost any."""
        return self._counts.keys()

    def of(self, partition: Partition) -> Mapping[str, int]:
        """Reason → how many."""
        counts = self._counts.get(partition, Counter())
        return {reason: counts[reason] for reason in LOSS_REASONS}
