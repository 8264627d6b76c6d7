"""`leewayd run` as a process, seen from outside: its metrics, its exit code, its state."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from tests.servers.process import ServerProcess
from tests.support.census import REFERENCE
from tests.support.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable


def wait_until(done: Callable[[], object], seconds: float, what: str) -> None:
    """Waits for something that happens in another process; fails after a generous time."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.1)


def following(folder: Path) -> Path:
    """A configuration that follows an empty log file, for tests that need a whole daemon and no rows."""
    (folder / "predictions.jsonl").touch()
    path = folder / "config.toml"
    path.write_text(f"""
[state]
dir = "{folder / "state"}"
checkpoint = "1s"
[http]
listen = "127.0.0.1:0"
[file]
predictions = ["{folder / "predictions.jsonl"}"]
follow = true
[[models]]
name = "income"
task = "binary"
reference = "{REFERENCE}"
pane = "1d"
windows = ["7d"]
[models.columns]
timestamp = "timestamp"
prediction = "prediction"
label = "employed"
""")
    return path


class DaemonProcess:
    def __init__(self, folder: Path, config: str, port: int, environment: dict[str, str] | None = None) -> None:
        self.folder, self.port = folder, port
        self.config = folder / "config.toml"
        self.config.write_text(config)
        self._environment = environment or {}
        self.process: ServerProcess | None = None

    def start(self) -> None:
        # `env` sets the secrets of this process only; python -m runs the checkout under test.
        variables = [f"{name}={value}" for name, value in self._environment.items()]
        command = ["env", *variables, sys.executable, "-m", "monitor", "run", str(self.config)]
        self.process = ServerProcess(command, self.folder / "leewayd.log", ROOT)
        self.process.wait_until(lambda: self.get("/healthz")[0] == 200, "/healthz answered", 60)

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def metric(self, name: str, **labels: str) -> float:
        """Sum of the samples that carry these labels; 0 when there is none."""
        total = 0.0
        for family in text_string_to_metric_families(self.get("/metrics")[1]):
            for sample in family.samples:
                if sample.name == name and all(sample.labels.get(key) == value for key, value in labels.items()):
                    total += sample.value
        return total

    def wait_for(self, name: str, at_least: float, seconds: float = 120, every: float = 0.02, **labels: str) -> None:
        """Waits until a metric has reached a value; fails with the daemon's last lines if it ends first."""
        assert self.process is not None
        what = f"{name} {labels} >= {at_least:g}"
        self.process.wait_until(lambda: self.metric(name, **labels) >= at_least, what, seconds, every)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()

    def stop(self) -> None:
        assert self.process is not None
        self.process.terminate()
        assert "daemon stopped" in self.process.output(), self.process.output()[-2000:]

    @property
    def log(self) -> str:
        assert self.process is not None
        return self.process.output()

    def run_to_its_end(self) -> tuple[int, str]:
        """For a daemon that is expected not to start: exit code and what it said."""
        command = [sys.executable, "-m", "monitor", "run", str(self.config)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout + done.stderr
