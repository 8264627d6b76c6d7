"""Compares the partitions that topics have now with the partitions that were read before."""

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
    """The broker's list of partitions.

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
        retired: ids of deleted topics. A broker that does not know of the deletion yet may still list them.
    """

    retired: set[str] = field(default_factory=set)

    def listing(self, topics: Iterable[Mapping[str, Any]]) -> Listing:
        """Converts the answer of kafka-python's ``describe_topics``."""
        topics = list(topics)
        partitions = {
            Partition(topic["name"], entry["partition_index"]): str(topic["topic_id"])
            for topic in topics
            if not topic["error_code"] and str(topic["topic_id"]) not in self.retired
            for entry in topic["partitions"]
        }
        return Listing(partitions, {topic["name"]: topic["error_code"] for topic in topics})

    def outdated(self, positions: Mapping[Partition, Position], found: Mapping[Partition, str]) -> dict[Partition, str]:
        """Partition → why its position is invalid: its topic was created again, with this partition (``recreated``) or
        without it (``gone``)."""
        identities = {partition.topic: identity for partition, identity in found.items()}
        old: dict[Partition, str] = {}
        for partition, position in positions.items():
            identity = identities.get(partition.topic)
            # A topic never loses partitions while it keeps its id: a listing that lacks one is outdated.
            if identity is None or not position.topic_id or position.topic_id == identity:
                continue
            old[partition] = "recreated" if partition in found else "gone"
            self.retired.add(position.topic_id)
        return old
