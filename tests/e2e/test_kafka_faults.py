"""What goes wrong with brokers and messages: nothing is lost or counted twice, and every loss is told."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from monitor.common.clock import system_clock
from monitor.config.schema import IngestSection, KafkaSection
from monitor.rows.records import Partition
from monitor.sources.kafka import KafkaSource
from tests.servers.found import free_port
from tests.servers.kafka import Codec, KafkaBroker
from tests.support.census import census, config_text, keyless, messages
from tests.support.daemon_process import DaemonProcess, wait_until
from tests.support.logs import SILENT

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.kafka

WINDOWS = '["7d"]'


def daemon_on(topic: str, broker: KafkaBroker, folder: Path, more: str = "") -> DaemonProcess:
    port = free_port()
    text = config_text(topic, broker.bootstrap, folder / "state", port, windows=WINDOWS).replace(
        'segments = ["SEX"]\n', ""
    )
    return DaemonProcess(folder, text.replace("[[models]]", f"{more}[[models]]"), port)


def test_broker_restart_mid_stream_loses_and_repeats_nothing(tmp_path: Path) -> None:
    values = messages(census()[:40_000])
    with KafkaBroker(tmp_path / "kafka") as broker:
        broker.create_topic("predictions")
        broker.produce("predictions", keyless(values[:20_000]))
        daemon = daemon_on("predictions", broker, tmp_path)
        daemon.start()
        daemon.wait_for("leeway_rows_total", 1)
        broker.stop()
        wait_until(lambda: daemon.metric("leeway_source_up") == 0, 60, "the outage to be seen")
        assert daemon.get("/readyz")[0] == 503
        broker.start()
        broker.produce("predictions", keyless(values[20_000:]))
        daemon.wait_for("leeway_rows_total", len(values))
        assert daemon.metric("leeway_rows_total") == len(values)
        assert daemon.get("/readyz")[0] == 200
        daemon.stop()


def test_an_idle_partition_holds_nobody_up(kafka: KafkaBroker, topic: Callable[..., str], tmp_path: Path) -> None:
    name = topic(partitions=2)
    values = messages(census()[:10_000])
    daemon = daemon_on(name, kafka, tmp_path)
    daemon.start()
    # Both partitions begin; then one falls silent while the other goes on for weeks.
    kafka.produce(name, [(None, value, place % 2, None) for place, value in enumerate(values[:2_000])])
    kafka.produce(name, keyless(values[2_000:]))
    daemon.wait_for("leeway_rows_total", len(values), seconds=60)
    daemon.wait_for("leeway_watermark_timestamp_seconds", (census()["time"][9_999] - 2 * 86_400_000) / 1000, seconds=60)
    assert daemon.metric("leeway_rows_late_total") == 0
    daemon.stop()


def test_a_partition_that_waited_for_a_slower_one_is_read_to_its_end(
    kafka: KafkaBroker, topic: Callable[..., str]
) -> None:
    name = topic(partitions=2)
    kafka.produce(name, [(None, b"%d" % number, number % 2, None) for number in range(4_000)])
    clock = system_clock()
    source = KafkaSource(
        KafkaSection(bootstrap_servers=[kafka.bootstrap], predictions=[name], group_id=name),
        IngestSection(max_poll_messages=100),
        environment={},
        monotonic=clock.monotonic,
        wait=clock.wait,
        log=SILENT,
    )
    source.start({})
    read = {Partition(name, 0): 0, Partition(name, 1): 0}
    paused: frozenset[Partition] = frozenset()
    for _ in range(600):
        for chunk in source.poll(0.1, paused).chunks:
            read[chunk.partition] += len(chunk.offsets)
            # Whoever is ahead waits, in the middle of what was fetched of it, until the other one has been read.
            ahead = max(read, key=lambda partition: read[partition])
            paused = frozenset() if max(read.values()) - min(read.values()) <= 50 else frozenset({ahead})
            if min(read.values()) == 2_000:
                break
        if 2_000 in read.values():
            paused = frozenset()
        if min(read.values()) == 2_000:
            break
    source.close()
    assert set(read.values()) == {2_000}


def test_poison_is_counted_by_reason_sent_on_whole_and_never_logged(
    kafka: KafkaBroker, topic: Callable[..., str], tmp_path: Path
) -> None:
    name, dead = topic(), topic("dead", config={"max.message.bytes": "4000000"})
    good = messages(census()[:1_000])
    secret = b"SECRETVALUE"
    poison: list[bytes | None] = [
        b'{"AGEP": "%s"' % secret,
        b"\xff\xfe" + secret,
        b"[" * 100_000,
        b'{"AGEP": 40, "x": "%s"}' % secret,
        b'{"AGEP": 40, "timestamp": "%s"}' % secret,
        b'{"AGEP": 40, "timestamp": 4102444800000}',
        b'{"x": "' + secret * 200_000 + b'"}',
        None,
    ]
    odd = [
        good[-1].replace(b'"AGEP":', b'"AGEP":NaN,"was":'),
        good[-1].replace(b'"AGEP":', b'"AGEP":1e999,"was":'),
        good[-1].replace(b'"AGEP":', b'"AGEP":"forty","was":'),
        b"[" + good[-1] + b"," + good[-2] + b"]",
    ]
    daemon = daemon_on(name, kafka, tmp_path)
    config = daemon.config.read_text()
    daemon.config.write_text(config.replace('refresh = "1s"', f'refresh = "1s"\ndead_letter = "{dead}"'))
    kafka.produce(name, [*keyless(good), *((b"k", value, 0, None) for value in poison), *keyless(odd)])
    daemon.start()
    daemon.wait_for("leeway_rows_total", len(good) + 5)
    assert daemon.metric("leeway_rows_total") == len(good) + 5
    rejected = {
        reason: daemon.metric("leeway_rows_rejected_total", reason=reason)
        for reason in ("malformed", "no_timestamp", "bad_timestamp", "future", "too_large", "empty")
    }
    assert rejected == {
        "malformed": 3, "no_timestamp": 1, "bad_timestamp": 1, "future": 1, "too_large": 1, "empty": 1
    }  # fmt: skip
    assert daemon.metric("leeway_invalid_values_total", feature="AGEP") == 2
    daemon.stop()
    assert secret.decode() not in daemon.log
    letters = [message.value for message in kafka.consume(dead)]
    assert sorted(letters) == sorted(value for value in poison if value is not None)


def test_retention_that_overtook_the_daemon_is_counted_and_told(
    kafka: KafkaBroker, topic: Callable[..., str], tmp_path: Path
) -> None:
    name = topic()
    values = messages(census()[:6_000])
    kafka.produce(name, keyless(values[:2_000]))
    daemon = daemon_on(name, kafka, tmp_path)
    daemon.start()
    daemon.wait_for("leeway_rows_total", 2_000)
    daemon.stop()
    kafka.produce(name, keyless(values[2_000:]))
    kafka.delete_records(name, {0: 3_500})
    daemon.start()
    daemon.wait_for("leeway_rows_total", 4_500)
    assert daemon.metric("leeway_rows_total") == 4_500
    assert daemon.metric("leeway_source_lost_messages_total", reason="retention") == 1_500
    # The windows in which they were lost say so, by the rule on data quality.
    told = f"the window is incomplete: 1,500 messages of {name} partition 0 were lost (deleted before they were read)"
    wait_until(lambda: told in daemon.log, 30, "the alert")
    daemon.stop()
    assert "kafka messages lost" in daemon.log


def test_a_topic_made_anew_is_read_from_its_beginning_and_told(
    kafka: KafkaBroker, topic: Callable[..., str], tmp_path: Path
) -> None:
    name = topic()
    values = messages(census()[:4_000])
    kafka.produce(name, keyless(values[:3_000]))
    daemon = daemon_on(name, kafka, tmp_path)
    daemon.start()
    daemon.wait_for("leeway_rows_total", 3_000)
    kafka.delete_topic(name)
    kafka.create_topic(name)
    kafka.produce(name, keyless(values[3_000:]))
    daemon.wait_for("leeway_rows_total", 4_000)
    assert daemon.metric("leeway_rows_total") == 4_000
    assert daemon.metric("leeway_source_lost_messages_total", reason="recreated") == 1
    daemon.stop()


def test_new_partitions_are_picked_up(kafka: KafkaBroker, topic: Callable[..., str], tmp_path: Path) -> None:
    name = topic()
    values = messages(census()[:2_000])
    kafka.produce(name, keyless(values[:1_000]))
    daemon = daemon_on(name, kafka, tmp_path)
    daemon.start()
    daemon.wait_for("leeway_rows_total", 1_000)
    kafka.add_partitions(name, 2)
    kafka.produce(name, keyless(values[1_000:], partition=1))
    daemon.wait_for("leeway_rows_total", 2_000)
    assert daemon.metric("leeway_rows_total") == 2_000
    daemon.stop()


def test_rows_of_new_partitions_are_not_late_however_seldom_partitions_are_looked_for(
    kafka: KafkaBroker, topic: Callable[..., str], tmp_path: Path
) -> None:
    name = topic()
    values = messages(census()[:4_000])
    kafka.produce(name, keyless(values[:1_000]))
    daemon = daemon_on(name, kafka, tmp_path)
    daemon.config.write_text(daemon.config.read_text().replace('refresh = "1s"', 'refresh = "1h"'))
    daemon.start()
    daemon.wait_for("leeway_rows_total", 1_000)
    kafka.add_partitions(name, 3)
    # Weeks of event time go by in a second, in all partitions side by side.
    for first in range(1_000, 4_000, 250):
        part = values[first : first + 250]
        kafka.produce(name, [(None, value, place % 3, None) for place, value in enumerate(part)])
    wait_until(
        lambda: daemon.metric("leeway_rows_total") + daemon.metric("leeway_rows_late_total") == len(values), 60, "rows"
    )
    assert daemon.metric("leeway_rows_late_total") == 0
    daemon.stop()


def test_a_topic_made_again_with_fewer_partitions_is_read_on_and_reported(
    kafka: KafkaBroker, topic: Callable[..., str], tmp_path: Path
) -> None:
    name = topic(partitions=3)
    values = messages(census()[:4_500])
    kafka.produce(name, [(None, value, place % 3, None) for place, value in enumerate(values[:3_000])])
    daemon = daemon_on(name, kafka, tmp_path)
    daemon.start()
    daemon.wait_for("leeway_rows_total", 3_000)
    kafka.delete_topic(name)
    missing = f"Kafka at {kafka.bootstrap} has no topic {name!r}\n"
    wait_until(lambda: daemon.get("/readyz") == (503, missing), 20, "the topic to be missed")
    kafka.create_topic(name)
    kafka.produce(name, keyless(values[3_000:4_000]))
    daemon.wait_for("leeway_rows_total", 4_000, seconds=60)
    assert daemon.metric("leeway_rows_total") == 4_000
    assert daemon.metric("leeway_source_lost_messages_total", reason="gone") == 2
    assert daemon.metric("leeway_source_lost_messages_total", reason="recreated") == 1
    assert daemon.get("/readyz")[0] == 200
    daemon.stop()
    # What is gone is not missed again.
    daemon.start()
    kafka.produce(name, keyless(values[4_000:]))
    daemon.wait_for("leeway_rows_total", len(values), seconds=60)
    assert daemon.metric("leeway_source_lost_messages_total", reason="gone") == 0
    daemon.stop()


def peak(daemon: DaemonProcess) -> int:
    """The most memory that the process has held, bytes."""
    (line,) = [line for line in Path(f"/proc/{daemon.pid}/status").read_text().splitlines() if "VmHWM" in line]
    return int(line.split()[1]) * 1024


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_a_batch_beyond_its_limit_is_passed_over_in_little_memory(
    codec: Codec, kafka: KafkaBroker, topic: Callable[..., str], tmp_path: Path
) -> None:
    name = topic(config={"max.message.bytes": "100000000"})
    values = messages(census()[:3_000])
    size = 60_000_000
    daemon = daemon_on(name, kafka, tmp_path)
    daemon.config.write_text(daemon.config.read_text().replace("[ingest]\n", "[ingest]\nmax_batch_bytes = 4194304\n"))
    kafka.produce(name, keyless(values[:2_900]), codec)
    daemon.start()
    daemon.wait_for("leeway_rows_total", 2_900)
    before = peak(daemon)
    kafka.produce(name, keyless([bytes(size)]), codec)
    kafka.produce(name, keyless(values[2_900:]), codec)
    daemon.wait_for("leeway_rows_total", len(values), seconds=60)
    assert daemon.metric("leeway_rows_total") == len(values)
    assert daemon.metric("leeway_source_lost_messages_total", reason="oversized") == 1
    # Uncompressed it must at least arrive.
    assert peak(daemon) - before < (4 * size if codec == "none" else size)
    daemon.stop()


def test_a_batch_damaged_on_disk_is_passed_and_its_messages_counted_as_lost(tmp_path: Path) -> None:
    values = messages(census()[:3_000])
    with KafkaBroker(tmp_path / "kafka") as broker:
        broker.create_topic("predictions")
        for part in range(3):
            broker.produce("predictions", keyless(values[part * 1_000 : (part + 1) * 1_000]), "none")
        broker.stop()
        (segment,) = (tmp_path / "kafka" / "data" / "predictions-0").glob("*.log")
        raw = bytearray(segment.read_bytes())
        place = raw.index(values[1_500])
        raw[place + 5] ^= 0xFF
        segment.write_bytes(raw)
        broker.start()
        daemon = daemon_on("predictions", broker, tmp_path)
        daemon.start()
        wait_until(lambda: daemon.metric("leeway_source_lost_messages_total", reason="corrupt") > 0, 60, "the loss")
        lost = daemon.metric("leeway_source_lost_messages_total", reason="corrupt")
        daemon.wait_for("leeway_rows_total", len(values) - lost)
        assert daemon.metric("leeway_rows_total") == len(values) - lost
        assert 0 < lost <= 1_000
        daemon.stop()


def test_a_second_daemon_on_the_same_state_exits_at_once(
    kafka: KafkaBroker, topic: Callable[..., str], tmp_path: Path
) -> None:
    name = topic()
    first = daemon_on(name, kafka, tmp_path)
    first.start()
    other = tmp_path / "other"
    other.mkdir()
    second = DaemonProcess(other, first.config.read_text().replace(f":{first.port}", f":{free_port()}"), first.port)
    code, output = second.run_to_its_end()
    assert code == 2
    assert "another leewayd is using this state directory" in output
    first.stop()
