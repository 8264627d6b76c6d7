"""Finds the next readable batch after one that cannot be read.

kafka-python would request an unreadable batch for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from monitor.sources.damaged_logs import first_readable
from monitor.sources.kafka_client import CALL_MS, KafkaError, KafkaTimeoutError, is_passing
from monitor.sources.kafka_codecs import OversizedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from monitor.sources.kafka_client import KafkaConsumer, TopicPartition


@dataclass(frozen=True, slots=True)
class Broken:
    """A range that cannot be read: the reason (`monitor.rows.records.LOSS_REASONS`), and the first offset after it."""

    reason: str
    next_offset: int


def broken_at(open_consumer: Callable[[], KafkaConsumer], tp: TopicPartition, offset: int, end: int) -> Broken | None:
    """The fault of the batch at an offset; None if it can be read.

    Args:
        open_consumer: opens a consumer; each attempt needs a new one, because a broken batch makes it unusable.
        tp: the partition.
        offset: less than ``end``.
        end: of the partition.

    Raises:
        KafkaError: if the broker did not answer; then no message may be skipped.
    """
    error = _error_at(open_consumer, tp, offset)
    if error is None:
        return None
    if isinstance(error, OversizedError):
        if error.next_offset is not None:
            return Broken("oversized", error.next_offset)
        reason = "oversized"
    else:
        reason = "corrupt"
    target = first_readable(lambda candidate: _error_at(open_consumer, tp, candidate) is None, offset, end)
    return Broken(reason, target)


def _error_at(open_consumer: Callable[[], KafkaConsumer], tp: TopicPartition, offset: int) -> Exception | None:
    probe = open_consumer()
    try:
        probe.assign([tp])
        probe.seek(tp, offset)
        if probe.poll(timeout_ms=CALL_MS, max_records=1):
            return None
    except Exception as error:
        # A corrupt batch can fail anywhere inside the library.
        if isinstance(error, KafkaError) and is_passing(error):
            raise
        return error
    finally:
        probe.close()
    raise KafkaTimeoutError("no answer while a broken batch was examined")
