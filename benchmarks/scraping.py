"""The HTTP server under hostile clients: how long a scrape and a liveness probe take, with a full metrics page."""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import socket
import threading
import time
import urllib.request
from dataclasses import replace
from typing import TYPE_CHECKING

from alerts.evaluation import Evaluation, Finding
from detectors.drift.judge import STATISTICS
from monitor.common.clock import system_clock
from monitor.serve.http_server import HttpServer
from monitor.serve.liveness import Liveness
from monitor.serve.metrics import Telemetry
from monitor.serve.snapshot import EvaluationKey, ModelStatus, Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

MODELS, FEATURES, WINDOWS = 10, 50, ("15m", "1h", "24h")
_SECONDS = 10.0
_GET = b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n"


def full_snapshot() -> Snapshot:
    """Ten models with the default windows and one segment column of two values."""
    evaluations = {}
    for model in range(MODELS):
        for segment in ("all", "SEX=1", "SEX=2"):
            for window in WINDOWS:
                key = EvaluationKey(f"model {model}", "1", segment, window)
                evaluations[key] = Evaluation(*key, 0, 3_600_000, 3_720_000, 1000, 0, _findings())
    models = tuple(
        ModelStatus(f"model {model}", {"1": 1000}, 0, 0, 3_720_000, 3, {}, {}, 9, 0.1, 0.1, 0)
        for model in range(MODELS)
    )
    return Snapshot(evaluations=evaluations, models=models, source_up=True, not_ready="")


def _findings() -> tuple[Finding, ...]:
    thresholds = {"psi": 0.02, "missing": 0.01}
    return tuple(
        Finding(f"feature:f{number}", statistic, 0.01, 0.0, 0.02, thresholds.get(statistic, math.nan), "ok")
        for number in range(FEATURES)
        for statistic in STATISTICS
    )


def serve(pipe: Connection, cap: int) -> None:
    """Runs in a separate process: the server, and a loop that publishes a snapshot twice a second, like the daemon."""
    current = [full_snapshot()]
    clock = system_clock()
    telemetry = Telemetry(
        "1",
        lambda: current[0],
        cap,
        monotonic=clock.monotonic,
        liveness=Liveness(clock, 60.0, {}, 0),
        log_lines_dropped=lambda: 0,
    )
    routes = {"/metrics": telemetry.page, "/healthz": telemetry.healthy, "/readyz": telemetry.ready}
    server = HttpServer("127.0.0.1", 0, routes, max_connections=64, head_seconds=5.0)
    pipe.send(server.port)
    while not pipe.poll(0.5):
        current[0] = replace(current[0])
    server.close()


def fetch(port: int, path: str) -> float:
    """Seconds of one well-behaved request."""
    began = time.perf_counter()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
        answer.read()
    return time.perf_counter() - began


@contextlib.contextmanager
def served(cap: int = 20_000) -> Iterator[int]:
    """The port of a server in a separate process."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, cap), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        ours.send("stop")
        process.join()


@contextlib.contextmanager
def never_reading(port: int, per_second: float) -> Iterator[None]:
    """Clients that send a whole GET /metrics and never read the answer."""
    done, clients = threading.Event(), []

    def attack() -> None:
        while not done.wait(1 / per_second):
            with contextlib.suppress(OSError):
                client = socket.socket()
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                client.connect(("127.0.0.1", port))
                client.sendall(_GET % b"/metrics")
                clients.append(client)

    thread = threading.Thread(target=attack, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        for client in clients:
            client.close()


@contextlib.contextmanager
def half_open(port: int, count: int) -> Iterator[None]:
    """Clients that connect and send nothing."""
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
    try:
        yield
    finally:
        for client in clients:
            client.close()


def slowest(port: int, seconds: float = _SECONDS) -> tuple[str, str]:
    """The slowest scrape and liveness probe within ``seconds``, one of each at a time; and the number of failures."""
    times: dict[str, list[float]] = {"/metrics": [], "/healthz": []}
    failed: dict[str, int] = {"/metrics": 0, "/healthz": 0}

    def probe(path: str) -> None:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            try:
                times[path].append(fetch(port, path))
            except OSError:
                failed[path] += 1
            time.sleep(0.5)

    threads = [threading.Thread(target=probe, args=(path,)) for path in times]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    def shown(path: str) -> str:
        worst = f"{max(times[path]) * 1000:,.0f} ms" if times[path] else "no answer"
        return f"{worst}, {failed[path]} failed" if failed[path] else worst

    return shown("/metrics"), shown("/healthz")


def measure() -> Iterator[tuple[str, str]]:
    what = "the slowest scrape and liveness probe of 10 s, 20,000 series"
    with served() as port:
        fetch(port, "/metrics")
        yield (f"{what}: undisturbed", " and ".join(slowest(port)))
        with never_reading(port, 50):
            yield (f"{what}, 50 GET/s that are never read", " and ".join(slowest(port)))
    with served() as port, half_open(port, 300):
        yield (f"{what}, 300 half-open connections", " and ".join(slowest(port)))


if __name__ == "__main__":
    for line in measure():
        print(*line, sep=" | ")
