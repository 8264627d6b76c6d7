"""Where reading goes on after a batch that cannot be read, asked of a consumer that breaks as kafka-python does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.sources.broken_batches import Broken, broken_at
from monitor.sources.kafka_client import KafkaError, KafkaTimeoutError
from monitor.sources.kafka_codecs import OversizedError


class Log:
    """Offsets 0 to ``end``; a stretch of them raises."""

    def __init__(self, first: int, stop: int, error: Exception | None, answers: bool = True) -> None:
        self.first, self.stop, self.error, self.answers = first, stop, error, answers
        self.opened = self.closed = 0

    def open(self) -> Any:
        self.opened += 1
        return Probe(self)


class Probe:
    def __init__(self, log: Log) -> None:
        self.log, self.at = log, 0

    def assign(self, partitions: list[object]) -> None: ...

    def seek(self, partition: object, offset: int) -> None:
        self.at = offset

    def poll(self, timeout_ms: int, max_records: int) -> dict[str, list[int]]:
        if self.log.error is not None and self.log.first <= self.at < self.log.stop:
            raise self.log.error
        return {"p": [self.at]} if self.log.answers else {}

    def close(self) -> None:
        self.log.closed += 1


TP: Any = ("t", 0)


@given(st.integers(0, 50), st.integers(1, 300), st.integers(1, 400))
def test_the_first_offset_after_the_damage_is_found_in_few_looks(first: int, length: int, after: int) -> None:
    log = Log(first, first + length, ValueError("bad bytes"))
    found = broken_at(log.open, TP, first, first + length + after)
    assert found == Broken("corrupt", first + length)
    assert log.opened == log.closed <= 2 * length.bit_length() + 4


def test_damage_up_to_the_end_is_passed_over_whole() -> None:
    assert broken_at(Log(5, 99, ValueError()).open, TP, 5, 20) == Broken("corrupt", 20)


def test_a_batch_that_is_too_large_says_where_it_ends_if_it_knows() -> None:
    assert broken_at(Log(5, 9, OversizedError(9)).open, TP, 5, 20) == Broken("oversized", 9)
    assert broken_at(Log(5, 9, OversizedError()).open, TP, 5, 20) == Broken("oversized", 9)


def test_what_can_be_read_is_not_broken() -> None:
    assert broken_at(Log(0, 0, None).open, TP, 5, 20) is None


def test_without_an_answer_nothing_is_known() -> None:
    with pytest.raises(KafkaTimeoutError):
        broken_at(Log(0, 0, None, answers=False).open, TP, 5, 20)
    log = Log(5, 9, KafkaTimeoutError("away"))
    with pytest.raises(KafkaError):
        broken_at(log.open, TP, 5, 20)
    assert log.opened == log.closed == 1
