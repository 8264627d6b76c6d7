"""A broker that cannot be read: the daemon says why at once, with the address, and goes on when it can."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.servers.found import free_port
from tests.servers.kafka import PASSWORD, USER, KafkaBroker, make_certificate
from tests.support.census import census, config_text, keyless, messages
from tests.support.daemon_process import DaemonProcess, wait_until

pytestmark = pytest.mark.kafka

ROWS = 500
TLS = 'security_protocol = "SSL"\nssl_cafile = "{}"'


class Secured(NamedTuple):
    broker: KafkaBroker
    authority: Path
    other_authority: Path


@pytest.fixture(scope="module")
def secured(kafka: KafkaBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A broker with SASL and TLS; the session's own broker stands for "Kafka can be started here"."""
    folder = tmp_path_factory.mktemp("secured")
    store, certificate = make_certificate(folder, "broker")
    _, other = make_certificate(folder, "stranger")
    with KafkaBroker(folder / "kafka", store) as broker:
        broker.create_topic("predictions")
        broker.produce("predictions", keyless(messages(census()[:ROWS])))
        yield Secured(broker, certificate, other)


def daemon_at(address: str, folder: Path, client: str = "", topic: str = "predictions") -> DaemonProcess:
    port = free_port()
    text = config_text(topic, address, folder / "state", port, windows='["7d"]')
    return DaemonProcess(folder, text.replace("[[models]]", f"[kafka.client]\n{client}\n[[models]]", 1), port)


def sasl(folder: Path, password: str) -> str:
    (folder / "password").write_text(password)
    return f"""
security_protocol = "SASL_PLAINTEXT"
sasl_mechanism = "PLAIN"
sasl_plain_username = "{USER}"
sasl_plain_password_file = "{folder / "password"}"
"""


def failures(daemon: DaemonProcess) -> list[dict[str, str]]:
    lines = [json.loads(line) for line in daemon.log.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == "source failed"]


def expect(daemon: DaemonProcess, reason: str, *words: str) -> None:
    """The log, the metrics and /readyz give the reason, with the address, within ten seconds."""
    wait_until(lambda: daemon.metric("leeway_source_fault", reason=reason) == 1, 10, f"the fault {reason}")
    status, body = daemon.get("/readyz")
    assert status == 503
    (line,) = [failure for failure in failures(daemon) if failure["reason"] == reason]
    for word in words:
        assert word in str(body)
        assert word in line["error"]


def test_a_wrong_password_is_reported_and_a_right_one_is_read_when_it_comes(secured: Secured, tmp_path: Path) -> None:
    daemon = daemon_at(secured.broker.sasl, tmp_path, sasl(tmp_path, "wrong"))
    daemon.start()
    expect(daemon, "authentication", secured.broker.sasl, "refused the login")
    assert daemon.metric("leeway_source_up") == 0
    (tmp_path / "password").write_text(PASSWORD)
    daemon.wait_for("leeway_rows_total", ROWS, seconds=30)
    assert daemon.get("/readyz")[0] == 200
    assert daemon.metric("leeway_source_fault", reason="authentication") == 0
    daemon.stop()
    assert "source recovered" in daemon.log
    assert PASSWORD not in daemon.log
    assert daemon.log.count("\n") < 20


def test_a_wrong_authority_is_reported_and_the_right_one_reads_everything(secured: Secured, tmp_path: Path) -> None:
    (tmp_path / "wrong").mkdir()
    wrong = daemon_at(secured.broker.tls, tmp_path / "wrong", TLS.format(secured.other_authority))
    wrong.start()
    expect(wrong, "tls", secured.broker.tls, "certificate verify failed")
    wrong.stop()
    right = daemon_at(secured.broker.tls, tmp_path, TLS.format(secured.authority))
    right.start()
    right.wait_for("leeway_rows_total", ROWS, seconds=30)
    right.stop()


def test_a_file_of_authorities_that_is_not_there_is_reported(secured: Secured, tmp_path: Path) -> None:
    daemon = daemon_at(secured.broker.tls, tmp_path, 'security_protocol = "SSL"\nssl_cafile = "missing.pem"')
    daemon.start()
    expect(daemon, "tls", "No such file")
    daemon.stop()


@pytest.mark.parametrize("protocol", ["SASL for plain text", "TLS for plain text", "plain text for TLS"])
def test_the_wrong_protocol_is_reported(protocol: str, secured: Secured, tmp_path: Path) -> None:
    address, client = {
        "SASL for plain text": (secured.broker.bootstrap, sasl(tmp_path, PASSWORD)),
        "TLS for plain text": (secured.broker.bootstrap, TLS.format(secured.authority)),
        "plain text for TLS": (secured.broker.tls, ""),
    }[protocol]  # fmt: skip
    daemon = daemon_at(address, tmp_path, client)
    daemon.start()
    wait_until(lambda: bool(failures(daemon)), 15, "a fault")
    assert address in failures(daemon)[0]["error"]
    assert daemon.get("/readyz")[0] == 503
    daemon.stop()


def test_a_broker_that_is_away_is_reported_and_found_when_it_comes(tmp_path: Path, kafka: KafkaBroker) -> None:
    broker = KafkaBroker(tmp_path / "kafka")
    daemon = daemon_at(broker.bootstrap, tmp_path)
    daemon.start()
    expect(daemon, "unreachable", broker.bootstrap, "cannot be reached", "ECONNREFUSED")
    with broker:
        expect(daemon, "unknown_topic", broker.bootstrap, "has no topic 'predictions'")
        assert daemon.metric("leeway_source_up") == 1
        broker.create_topic("predictions")
        broker.produce("predictions", keyless(messages(census()[:ROWS])))
        daemon.wait_for("leeway_rows_total", ROWS, seconds=30)
        assert daemon.get("/readyz")[0] == 200
        daemon.stop()


def test_an_unknown_option_and_a_missing_secret_end_the_start(tmp_path: Path) -> None:
    misspelt = daemon_at("127.0.0.1:9", tmp_path, 'sasl_mechanisms = "PLAIN"')
    code, output = misspelt.run_to_its_end()
    assert code == 2
    assert "did you mean 'sasl_mechanism'?" in output
    client = sasl(tmp_path, "").replace(f'password_file = "{tmp_path / "password"}"', 'password_env = "NOT_SET"')
    (tmp_path / "other").mkdir()
    missing = daemon_at("127.0.0.1:9", tmp_path / "other", client)
    code, output = missing.run_to_its_end()
    assert code == 2
    assert "NOT_SET" in output
