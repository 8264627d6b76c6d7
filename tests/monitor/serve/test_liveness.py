"""Reports to a supervisor, over a real datagram socket, and the liveness of the loop, on a clock that a test moves."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from monitor.common.clock import Clock
from monitor.serve.liveness import Liveness
from monitor.serve.sd_notify import READY, WATCHDOG, notify, reloading, status, watchdog_interval
from tests.support.daemon_process import following
from tests.support.paths import ROOT


@dataclass
class Hands:
    """A clock that the test moves."""

    seconds: float = 1000.0

    def clock(self) -> Clock:
        return Clock(lambda: 1.8e9 + self.seconds, lambda: self.seconds, lambda _: None)


@pytest.fixture(params=["path", "abstract"])
def supervisor(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Callable[[], list[str]]]]:
    """NOTIFY_SOCKET of a supervisor, and the messages that it has got since the last call."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@leewayd-test-{tmp_path.name}-{time.time_ns()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(name.replace("@", "\0", 1) if name.startswith("@") else name)
        listener.setblocking(False)

        def messages() -> list[str]:
            found = []
            while True:
                try:
                    found.append(listener.recv(4096).decode())
                except BlockingIOError:
                    return found

        yield name, messages


def test_assignments_arrive_in_one_message(supervisor: tuple[str, Callable[[], list[str]]]) -> None:
    name, messages = supervisor
    environment = {"NOTIFY_SOCKET": name}
    assert notify(environment, READY, status("reads 3 topics,\nno fault"))
    assert notify(environment, *reloading(12.5))
    assert messages() == ["READY=1\nSTATUS=reads 3 topics, no fault", "RELOADING=1\nMONOTONIC_USEC=12500000"]


@pytest.mark.parametrize(
    "address", ["", "relative", "/nowhere/at/all", "@nobody-listens-here", "/bad\0name", "@" + "x" * 200]
)
def test_a_supervisor_that_is_away_is_no_fault(address: str) -> None:
    assert not notify({"NOTIFY_SOCKET": address}, READY)
    assert not notify({}, READY)


def test_a_supervisor_that_reads_nothing_does_not_stop_the_daemon(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        began, sent = time.monotonic(), 0
        while notify({"NOTIFY_SOCKET": str(tmp_path / "notify")}, "STATUS=" + "x" * 1000):
            sent += 1
            assert sent < 100_000
        assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    ("environment", "interval"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "²"}, None),
    ],
)
def test_the_watchdog_is_the_one_of_this_process(environment: dict[str, str], interval: float | None) -> None:
    assert watchdog_interval(environment, 7) == interval


def test_a_loop_without_progress_is_a_fault_until_it_goes_on() -> None:
    hands = Hands()
    liveness = Liveness(hands.clock(), 60.0, {}, 7)
    hands.seconds += 500  # loading a large state
    assert liveness.fault() == ""
    assert liveness.progress_timestamp is None
    liveness.progress()
    assert liveness.progress_timestamp == 1.8e9 + hands.seconds
    hands.seconds += 60
    assert liveness.fault() == ""
    hands.seconds += 15
    assert liveness.fault() == "the loop has made no progress for 75 s"
    liveness.progress()
    assert liveness.fault() == ""


def test_the_watchdog_is_fed_after_progress_only(supervisor: tuple[str, Callable[[], list[str]]]) -> None:
    name, messages = supervisor
    hands = Hands()
    environment = {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "120000000"}
    liveness = Liveness(hands.clock(), 60.0, environment, 7)
    assert messages() == []
    liveness.progress()
    assert messages() == ["WATCHDOG_USEC=60000000", WATCHDOG]
    for _ in range(300):  # a minute of short turns
        hands.seconds += 0.2
        liveness.progress()
    assert messages() == [WATCHDOG] * 4
    hands.seconds += 300
    liveness.fault()
    assert messages() == []
    liveness.progress()
    assert messages() == [WATCHDOG]


def test_without_a_watchdog_nothing_is_sent(supervisor: tuple[str, Callable[[], list[str]]]) -> None:
    name, messages = supervisor
    liveness = Liveness(Hands().clock(), 60.0, {"NOTIFY_SOCKET": name}, 7)
    liveness.progress()
    assert messages() == []


def test_the_daemon_reports_that_it_runs_feeds_the_watchdog_and_reports_that_it_stops(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(tmp_path / "notify"))
        supervisor.settimeout(60)
        environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "60000000"}
        command = [sys.executable, "-m", "monitor", "run", str(following(tmp_path))]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd=ROOT, env=environment)
        try:
            assert [supervisor.recv(4096).decode() for _ in range(3)] == [READY, "WATCHDOG_USEC=60000000", WATCHDOG]

            def told() -> str:
                while (message := supervisor.recv(4096).decode()) == WATCHDOG:
                    continue
                return message

            process.send_signal(signal.SIGHUP)
            assert told().startswith("RELOADING=1\nMONOTONIC_USEC=")
            assert told() == READY
            process.terminate()
            assert told() == "STOPPING=1"
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.wait()
