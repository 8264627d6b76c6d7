"""Which of the tests' servers this machine can start; ``install.sh`` installs them."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HERE = Path(__file__).resolve().parent
KAFKA_JARS = HERE.parent.parent / ".servers" / "kafka-libs"
_REMEDY = "run `sh tests/servers/install.sh`"
# Below the ports that Linux hands to outgoing connections: while a broker is down, a client that keeps trying
# to reach its port must not be given that very port as its own end.
_ALL_PORTS = range(21000, 31000)
_given: set[int] = set()


def ports_of(environment: Mapping[str, str]) -> range:
    """The ports of this test process: those of workers that run side by side are disjoint."""
    count = int(environment.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    number = int(environment.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    return _ALL_PORTS[number % count :: count]


def missing_for_kafka() -> str | None:
    """Why Apache Kafka cannot be started here; None when it can."""
    if shutil.which("java") is None:
        return f"java is not installed: {_REMEDY}"
    pom = hashlib.sha256((HERE / "pom.xml").read_bytes()).hexdigest()
    fetched = KAFKA_JARS / "pom.sha256"
    if not fetched.exists() or fetched.read_text().strip() != pom:
        return f"the jars of Apache Kafka are not fetched, or not those of pom.xml: {_REMEDY}"
    return None


def missing_for_prometheus() -> str | None:
    """Why Prometheus and promtool cannot be started here; None when they can."""
    lacking = [name for name in ("prometheus", "promtool") if shutil.which(name) is None]
    return f"{' and '.join(lacking)} not installed: {_REMEDY}" if lacking else None


def free_port() -> int:
    """A loopback port that nobody listens on, never given twice by this process."""
    return next(_free_ports())


def _free_ports() -> Iterator[int]:
    ports = ports_of(os.environ)
    start = int.from_bytes(hashlib.sha256(str(Path.cwd()).encode()).digest()[:2], "big") % len(ports)
    for step in range(len(ports)):
        port = ports[(start + step) % len(ports)]
        if port in _given:
            continue
        with socket.socket() as probe:
            # As the servers do: a port that only lingers in TIME_WAIT is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        yield port
    raise RuntimeError(f"no free port from {ports.start} to {ports.stop - 1}")


def bound_to_us(command: list[str]) -> list[str]:
    """The command, such that the server dies with the process that starts it, even if that one is killed."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", *command] if setpriv else command
