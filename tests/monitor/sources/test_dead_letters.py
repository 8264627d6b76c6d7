"""Rejected messages go to the dead-letter topic whole; what cannot be sent is logged and stops nothing."""

from __future__ import annotations

import io
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from monitor.rows.records import Partition
from monitor.sources.dead_letters import DeadLetters
from monitor.sources.kafka_client import KafkaError, KafkaTimeoutError
from tests.support.logs import log_into

PART = Partition("predictions", 3)


class Producer:
    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes, dict[str, bytes]]] = []
        self.flushes = 0
        self.fails: Exception | None = None
        self.errbacks: list[Callable[[Exception], object]] = []
        self.closed = False

    def send(self, topic: str, value: bytes, headers: list[tuple[str, bytes]]) -> Any:
        if self.fails is not None:
            raise self.fails
        self.sent.append((topic, value, dict(headers)))
        return SimpleNamespace(add_errback=self.errbacks.append)

    def flush(self, timeout: float) -> None:
        self.flushes += 1
        if self.fails is not None:
            raise self.fails

    def close(self, timeout: float) -> None:
        self.closed = True


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Producer]:
    producers: list[Producer] = []

    def open_producer(access: object) -> Producer:
        producers.append(Producer())
        return producers[-1]

    monkeypatch.setattr("monitor.sources.dead_letters.open_producer", open_producer)
    return producers


def letters(text: io.StringIO) -> DeadLetters:
    access: Any = SimpleNamespace(config=SimpleNamespace(dead_letter="dead"))
    return DeadLetters(access, log_into(text))


def test_a_message_goes_whole_with_its_origin(opened: list[Producer]) -> None:
    text = io.StringIO()
    dead = letters(text)
    dead.settle()
    dead.close()
    assert opened == []
    dead.send(PART, "malformed", b"\xff\x00")
    dead.send(PART, "future", b"{}")
    (producer,) = opened
    headers = {"reason": b"malformed", "topic": b"predictions", "partition": b"3"}
    assert producer.sent[0] == ("dead", b"\xff\x00", headers)
    for _ in range(3):
        dead.settle()
    assert producer.flushes == 1
    dead.close()
    assert producer.closed
    assert text.getvalue() == ""


@pytest.mark.parametrize("fault", [KafkaTimeoutError("secret"), KafkaError("secret"), OSError("secret")])
def test_what_cannot_be_sent_is_logged_without_its_words(opened: list[Producer], fault: Exception) -> None:
    text = io.StringIO()
    dead = letters(text)
    dead.send(PART, "malformed", b"first")
    opened[0].fails = fault
    dead.send(PART, "malformed", b"second")
    opened[0].errbacks[0](fault)
    assert text.getvalue().count(type(fault).__name__) == 2
    assert "secret" not in text.getvalue()


def test_letters_that_were_not_confirmed_are_waited_for_again(opened: list[Producer]) -> None:
    dead = letters(io.StringIO())
    dead.send(PART, "malformed", b"first")
    opened[0].fails = KafkaTimeoutError("away")
    dead.settle()
    opened[0].fails = None
    dead.settle()
    dead.settle()
    assert opened[0].flushes == 2
