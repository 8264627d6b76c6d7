"""Which partitions the topics have now, and what that says of those that were read before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from monitor.rows.records import Partition

if TYPE_CHECKING:
    from collections.abc import Iterable

    from monitor.rows.records import Position


@dataclass(frozen=True, slots=True)
class Listing:
    """An answer of the broker.

    Attributes:
        found: partition → id of its topic.
        codes: topic → error code; 0 for none.
    """

    found: Mapping[Partition, str]
    codes: Mapping[str, int]


@dataclass(slots=True)
class Topics:
    """Compares listings with what was read before.

    Attributes:
        retired: ids of topics that were deleted. A broker that has not heard of it yet may still list them.
    """

    retired: set[str] = field(default_factory=set)

    def listing(self, topics: Iterable[Mapping[str, Any]]) -> Listing:
        """The answer of kafka-python's ``describe_topics``."""
        topics = list(topics)
        found = {
            Partition(topic["name"], entry["partition_index"]): str(topic["topic_id"])
            for topic in topics
            if not topic["error_code"] and str(topic["topic_id"]) not in self.retired
            for entry in topic["partitions"]
        }
        return Listing(found, {topic["name"]: topic["error_code"] for topic in topics})

    def outdated(self, positions: Mapping[Partition, Position], found: Mapping[Partition, str]) -> dict[Partition, str]:
        """Partition → why its position is worth nothing: the topic was made again, ``recreated`` with this partition,
        or ``gone`` without it."""
        identities = {partition.topic: identity for partition, identity in found.items()}
        old: dict[Partition, str] = {}
        for partition, position in positions.items():
            identity = identities.get(partition.topic)
            # A topic never loses partitions while it keeps its id: a listing without one of them is a late one.
            if identity is None or not position.topic_id or position.topic_id == identity:
                continue
            old[partition] = "recreated" if partition in found else "gone"
            self.retired.add(position.topic_id)
        return old
