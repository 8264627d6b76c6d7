"""A server process whose output goes to a file, and waiting for what it says there."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING

from tests.servers.found import bound_to_us

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


class ServerFailedError(RuntimeError):
    """A server did not start, or did not do what was asked of it in time."""


class ServerProcess:
    """One run of a server.

    Args:
        command: the program and its arguments.
        log: the file that gets its output, appended.
        cwd: its working directory.
    """

    def __init__(self, command: Sequence[str], log: Path, cwd: Path) -> None:
        self._name, self._log = command[0], log
        self._start = log.stat().st_size if log.exists() else 0
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                bound_to_us(list(command)),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def output(self) -> str:
        """What this run has written so far."""
        with self._log.open("rb") as log:
            log.seek(self._start)
            return log.read().decode(errors="replace")

    def wait_until(self, condition: Callable[[], bool], what: str, timeout: float, every: float = 0.02) -> None:
        """Waits for a condition, and looks for it every ``every`` seconds.

        Raises:
            ServerFailedError: the process ended or ``timeout`` seconds passed first; the message ends with
                the last lines of the server's output.
        """
        deadline = time.monotonic() + timeout
        while not condition():
            if not self.running:
                raise self._failed(f"ended with status {self._process.returncode} before {what}")
            if time.monotonic() > deadline:
                raise self._failed(f"{what}: not within {timeout:g} s")
            time.sleep(every)

    def terminate(self, timeout: float = 20.0) -> None:
        """SIGTERM, then waits; SIGKILL when it has not ended in ``timeout`` seconds."""
        if self.running:
            self._process.terminate()
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """SIGKILL, then waits."""
        self._process.kill()
        self._process.wait()

    def _failed(self, problem: str) -> ServerFailedError:
        tail = "\n".join(self.output().splitlines()[-40:])
        return ServerFailedError(f"{self._name} {problem}; its last lines:\n{tail}")
