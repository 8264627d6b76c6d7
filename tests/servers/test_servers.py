"""The servers that other tests rely on do what those tests take for granted."""

from __future__ import annotations

import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import TYPE_CHECKING, get_args

import pytest

from benchmarks import road
from tests.servers.found import HERE, free_port, ports_of
from tests.servers.kafka import Codec, KafkaBroker, Message
from tests.servers.process import ServerFailedError, ServerProcess
from tests.servers.prometheus import PrometheusServer, promtool
from tests.support.daemon_process import DaemonProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.mark.kafka
@pytest.mark.parametrize("codec", get_args(Codec))
def test_messages_come_back_as_produced_with_every_codec(
    kafka: KafkaBroker, topic: Callable[..., str], codec: Codec
) -> None:
    name = topic(partitions=2)
    messages = [Message(f"k{i}".encode(), b"value %d " % i * 20, i % 2, 1_700_000_000_000 + i) for i in range(200)]
    assert kafka.produce(name, messages, codec) == 200
    assert kafka.consume(name) == messages[0::2] + messages[1::2]


@pytest.mark.kafka
def test_a_topic_made_anew_is_empty_and_partitions_can_be_added(kafka: KafkaBroker, topic: Callable[..., str]) -> None:
    name = topic()
    kafka.produce(name, [Message(None, b"old")])
    kafka.delete_topic(name)
    kafka.create_topic(name)
    assert kafka.end_offsets(name) == {0: 0}
    kafka.add_partitions(name, 3)
    assert kafka.end_offsets(name) == {0: 0, 1: 0, 2: 0}


@pytest.mark.kafka
def test_deleted_records_are_gone_while_offsets_go_on(kafka: KafkaBroker, topic: Callable[..., str]) -> None:
    name = topic()
    kafka.produce(name, [Message(None, b"%d" % i) for i in range(10)])
    kafka.delete_records(name, {0: 7})
    assert [message.value for message in kafka.consume(name)] == [b"7", b"8", b"9"]
    assert kafka.end_offsets(name) == {0: 10}


@pytest.mark.kafka
def test_a_broker_keeps_address_and_data_over_stop_and_crash(tmp_path: Path) -> None:
    with KafkaBroker(tmp_path / "broker") as broker:
        address = broker.bootstrap
        name = broker.create_topic("kept")
        broker.produce(name, [Message(None, b"before the stop", 0, 1)])
        broker.restart()
        broker.produce(name, [Message(None, b"before the crash", 0, 2)])
        broker.kill()
        assert not broker.running
        broker.start()
        assert [message.value for message in broker.consume(name)] == [
            b"before the stop",
            b"before the crash",
        ]
        assert broker.bootstrap == address
    assert not broker.running


@pytest.mark.kafka
def test_a_broker_that_cannot_start_tells_its_last_log_lines(tmp_path: Path) -> None:
    broker = KafkaBroker(tmp_path)
    broker.start()
    broker.stop()
    properties = tmp_path / "server.properties"
    properties.write_text(properties.read_text().replace("node.id=1", "node.id=2"))
    with pytest.raises(ServerFailedError, match=r"(?s)ended with status.*node id 2"):
        broker.start()


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(b'depth{place="x"} 3\n')

    def log_message(self, *_: object) -> None:
        """Silent."""


@pytest.fixture
def page() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/metrics"
        server.shutdown()


@pytest.mark.prometheus
def test_prometheus_scrapes_answers_and_loads_rules(page: str, tmp_path: Path) -> None:
    rules = tmp_path / "rules.yml"
    rules.write_text(
        "groups: [{name: g, rules: [{record: 'place:depth:double', expr: depth * 2},"
        " {alert: Deep, expr: depth > 2}]}]\n"
    )
    assert promtool("check", "rules", rules).returncode == 0
    with PrometheusServer(page, tmp_path / "prometheus", rules) as prometheus:
        prometheus.wait_for_target_up()
        (depth,) = prometheus.query("depth")
        assert depth.value == 3
        assert (depth.labels["place"], depth.labels["job"]) == ("x", "leewayd")
        (doubled,) = prometheus.wait_for("place:depth:double")
        assert doubled.value == 6
        assert prometheus.label_values("place", "depth") == ["x"]
        assert [rule["name"] for rule in prometheus.rules()] == ["place:depth:double", "Deep"]
        at = depth.points[0][0]
        (series,) = prometheus.query_range("depth", at, at + 1)
        assert [value for _, value in series.points] == [3, 3]
        with pytest.raises(ServerFailedError, match="parse error"):
            prometheus.query("depth{")


@pytest.mark.prometheus
def test_promtool_refuses_a_broken_rule(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yml"
    rules.write_text("groups: [{name: g, rules: [{record: x, expr: 'sum('}]}]\n")
    assert promtool("check", "rules", rules).returncode != 0


def test_ports_are_given_once() -> None:
    ports = [free_port() for _ in range(50)]
    assert len(set(ports)) == 50


def test_workers_that_run_side_by_side_have_ports_of_their_own() -> None:
    workers = [
        set(ports_of({"PYTEST_XDIST_WORKER": f"gw{number}", "PYTEST_XDIST_WORKER_COUNT": "3"})) for number in range(3)
    ]
    assert len(set.union(*workers)) == sum(map(len, workers)) == len(ports_of({}))


def test_a_server_that_ends_early_is_told_with_its_output(tmp_path: Path) -> None:
    process = ServerProcess(["sh", "-c", "echo no disk; exit 3"], tmp_path / "log", tmp_path)
    with pytest.raises(ServerFailedError, match=r"(?s)status 3.*no disk"):
        process.wait_until(lambda: False, "ready", timeout=30)


def test_a_server_that_does_not_come_up_in_time_is_told(tmp_path: Path) -> None:
    process = ServerProcess(["cat", "/dev/zero"], tmp_path / "log", tmp_path)
    try:
        with pytest.raises(ServerFailedError, match="not within 0 s"):
            process.wait_until(lambda: False, "ready", timeout=0)
    finally:
        process.kill()
    assert not process.running


def test_a_benchmark_ends_when_its_daemon_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(daemon: DaemonProcess) -> None:
        daemon.process = ServerProcess(["sh", "-c", "echo no such option; exit 2"], tmp_path / "log", tmp_path)

    monkeypatch.setattr(DaemonProcess, "start", start)
    broker = SimpleNamespace(bootstrap="127.0.0.1:9")
    with pytest.raises(ServerFailedError, match=r"(?s)status 2.*no such option"):
        list(road.measure_road(broker, tmp_path / "road", 1_000, '["364d"]'))  # type: ignore[arg-type]


@pytest.fixture
def bare_path(tmp_path: Path) -> Path:
    """A PATH on which there are the shell's own tools but neither servers nor a package manager."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("sh", "dirname", "sha256sum", "cut", "cat", "id"):
        (tools / tool).symlink_to(f"/usr/bin/{tool}")
    return tools


@pytest.mark.parametrize(("ci", "status"), [("", 0), ("true", 1)])
def test_what_cannot_be_installed_is_told_and_fails_only_in_ci(bare_path: Path, ci: str, status: int) -> None:
    done = subprocess.run(
        ["/bin/sh", HERE / "install.sh"],
        env={**os.environ, "PATH": str(bare_path), "CI": ci},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status
    for lacking in (
        "java is not installed",
        "prometheus is not installed",
        "promtool is not installed",
        "may not",
    ):
        assert lacking in done.stderr
