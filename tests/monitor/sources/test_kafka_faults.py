"""Why Kafka cannot be read, from what kafka-python lets through; and clients that fail leave nothing behind."""

from __future__ import annotations

import gc
import logging
import os
import ssl
import threading

import pytest
import structlog
from kafka.errors import (
    CorruptRecordError,
    KafkaConnectionError,
    KafkaTimeoutError,
    SaslAuthenticationFailedError,
    TopicAuthorizationFailedError,
    UnsupportedCodecError,
)

from monitor.common.errors import ConfigError
from monitor.config.schema import IngestSection, KafkaSection
from monitor.rows.records import Partition, Position, SourceFault
from monitor.sources.kafka_client import Access, KafkaError, is_passing, open_admin, open_consumer, open_producer
from monitor.sources.kafka_faults import FaultLog, Trouble, fault_of, topics_fault
from monitor.sources.kafka_topics import Topics
from tests.servers.found import free_port

SERVERS = ["kafka-1:9092", "kafka-2:9092"]


@pytest.mark.parametrize(
    ("error", "trouble", "reason"),
    [
        (KafkaTimeoutError("Unable to bootstrap"), ConnectionRefusedError(111, "Connection refused"), "unreachable"),
        (KafkaTimeoutError(), None, "unreachable"),
        (KafkaTimeoutError(), SaslAuthenticationFailedError("wrong password"), "authentication"),
        (SaslAuthenticationFailedError("wrong password"), None, "authentication"),
        (TopicAuthorizationFailedError("p"), ConnectionRefusedError(), "authorization"),
        (KafkaTimeoutError(), KafkaConnectionError("Handshake failed: CERTIFICATE_VERIFY_FAILED"), "tls"),
        (ssl.SSLError("no start line"), None, "tls"),
        (KafkaTimeoutError(), FileNotFoundError(2, "No such file", "ca.pem"), "tls"),
        (KafkaTimeoutError(), "DNS lookup failed for kafka-1:9092", "unreachable"),
        (ConfigError(["kafka.client.sasl_plain_password_file: cannot read it"]), None, "secret"),
        (ValueError("unknown option"), None, "configuration"),
    ],
)
def test_a_fault_has_a_reason_and_a_sentence_with_the_address(
    error: Exception, trouble: BaseException | str | None, reason: str
) -> None:
    fault = fault_of(error, trouble, SERVERS)
    assert fault.reason == reason
    assert reason in ("secret", "configuration") or "kafka-1:9092, kafka-2:9092" in fault.text
    assert len(fault.text) < 400
    assert fault.text.isprintable()


def test_only_what_is_in_the_messages_is_passed_over() -> None:
    # The others say nothing of the messages: passing over them would lose what is there.
    passing = (KafkaTimeoutError, TopicAuthorizationFailedError, SaslAuthenticationFailedError, KafkaConnectionError)
    assert all(is_passing(error()) for error in passing)
    assert not is_passing(CorruptRecordError())
    assert not is_passing(UnsupportedCodecError())


def test_topics_that_cannot_be_read_are_named() -> None:
    assert topics_fault({"p": 0}, SERVERS) is None
    one, two, barred = (topics_fault(codes, SERVERS) for codes in ({"p": 3}, {"p": 3, "q": 3, "r": 0}, {"p": 29}))
    assert one == SourceFault("unknown_topic", "Kafka at kafka-1:9092, kafka-2:9092 has no topic 'p'")
    assert two is not None
    assert "topics 'p', 'q'" in two.text
    assert barred is not None
    assert barred.reason == "authorization"


def test_a_fault_is_logged_at_once_on_change_and_every_five_minutes() -> None:
    now = [0.0]
    with structlog.testing.capture_logs() as lines:
        faults = FaultLog(structlog.get_logger(), lambda: now[0])
        for second in range(901):
            now[0] = float(second)
            faults.set(SourceFault("unreachable", f"try {second}") if second < 700 else SourceFault("tls", "no"))
        faults.set(None)
        faults.set(None)
    assert [(line["event"], line["reason"], line.get("for_seconds")) for line in lines] == [
        ("source failed", "unreachable", 0),
        ("source failed", "unreachable", 300),
        ("source failed", "unreachable", 600),
        ("source failed", "tls", 700),
        ("source recovered", "tls", None),
    ]


def test_the_librarys_own_complaints_are_heard_and_not_printed(capfd: pytest.CaptureFixture[str]) -> None:
    trouble = Trouble()
    trouble.listen()
    trouble.listen()
    try:
        error = SaslAuthenticationFailedError("no")
        logging.getLogger("kafka.net.manager").error("Connection failed: %s", error)
        logging.getLogger("kafka.net.manager").error("Bootstrap failed: %s", KafkaTimeoutError("Unable to bootstrap"))
        logging.getLogger("kafka.net.manager").error("failed: %s", KafkaConnectionError("socket disconnected"))
        assert trouble.last is error
    finally:
        trouble.close()
    logging.getLogger("kafka.net.manager").error("Connection failed: %s", KafkaTimeoutError("later"))
    assert trouble.last is error


def test_clients_that_cannot_connect_leave_no_thread_and_no_socket() -> None:
    access = Access(KafkaSection(bootstrap_servers=[f"127.0.0.1:{free_port()}"], predictions=["p"]), {})
    access.config.client["bootstrap_timeout_ms"] = 100
    opens = (lambda: open_admin(access), lambda: open_consumer(access, IngestSection()), lambda: open_producer(access))

    def attempt() -> tuple[int, int]:
        for opened in opens:
            with pytest.raises(KafkaError):
                opened()
        gc.collect()  # what the library itself forgets of a connection that failed
        return threading.active_count(), len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    # Else pytest keeps every error that was logged, with its sockets.
    logging.disable(logging.CRITICAL)
    try:
        before = attempt()
        for _ in range(3):
            assert attempt() == before
    finally:
        logging.disable(logging.NOTSET)


def test_a_topic_made_again_outdates_positions_and_a_late_listing_does_not() -> None:
    def listing(identity: str, partitions: int) -> list[dict[str, object]]:
        entries = [{"partition_index": number} for number in range(partitions)]
        return [{"name": "p", "topic_id": identity, "error_code": 0, "partitions": entries}]

    topics = Topics()
    positions = {Partition("p", number): Position(10, topic_id="one") for number in range(3)}
    # A broker that has not heard of the third partition yet.
    assert topics.outdated(positions, topics.listing(listing("one", 2)).found) == {}
    assert topics.outdated(positions, topics.listing(listing("two", 2)).found) == {
        Partition("p", 0): "recreated", Partition("p", 1): "recreated", Partition("p", 2): "gone",
    }  # fmt: skip
    # Nor of the new topic.
    positions = {Partition("p", 0): Position(0, topic_id="two")}
    assert topics.outdated(positions, topics.listing(listing("one", 3)).found) == {}
    # Positions of before topics had ids, and of topics that nobody reads any more.
    old = {Partition("p", 0): Position(5), Partition("q", 0): Position(5, topic_id="one")}
    assert topics.outdated(old, topics.listing(listing("two", 2)).found) == {}
