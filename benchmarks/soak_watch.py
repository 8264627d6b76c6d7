"""What the soak samples of the daemon's process, and whether it is flat."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Sample:
    """One look from outside: ``at`` in monotonic seconds, sizes in bytes."""

    at: float
    memory: int
    descriptors: int
    threads: int
    state: int
    log: int


@dataclass(frozen=True, slots=True)
class Bound:
    """How much a figure may grow over the samples after the warm-up: a share of its first value, and a fixed amount."""

    name: str
    number: Callable[[Sample], float]
    share: float
    amount: float
    unit: float = 1.0


BOUNDS = (
    # numpy's and SQLite's caches fill up slowly; a leak of one kilobyte a message would show a hundred times this.
    Bound("resident memory, MiB", lambda sample: sample.memory, 0.05, 12 * MIB, MIB),
    Bound("open descriptors", lambda sample: sample.descriptors, 0.0, 8),
    Bound("threads", lambda sample: sample.threads, 0.0, 4),
    Bound("state directory, MiB", lambda sample: sample.state, 0.15, 3 * MIB, MIB),
)
# Lines are written for alerts and for series that end, and for nothing that happens more often.
MOST_LOG_BYTES_A_MINUTE = 32_768


@dataclass(frozen=True, slots=True)
class Verdict:
    """One line of the table."""

    name: str
    first: float
    last: float
    allowed: float

    @property
    def flat(self) -> bool:
        """Whether the growth is within its bound."""
        return self.last - self.first <= self.allowed


def look(pid: int, state: Path, log: Path) -> Sample:
    """One sample.

    Raises:
        OSError: if the process is gone.
    """
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    return Sample(
        time.monotonic(),
        int(status["VmRSS"].split()[0]) * 1024,
        len(list(Path(f"/proc/{pid}/fd").iterdir())),
        int(status["Threads"]),
        sum(_size(path) for path in state.rglob("*")),
        _size(log),
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_blocks * 512 if path.is_file() else 0
    except FileNotFoundError:
        return 0  # replaced meanwhile


def verdicts(samples: Sequence[Sample]) -> list[Verdict]:
    """Compares the last third of the samples with the first, by medians: saw-teeth and single peaks do not count."""
    third = len(samples) // 3
    found = []
    for bound in BOUNDS:
        first = median(map(bound.number, samples[:third]))
        last = median(map(bound.number, samples[-third:]))
        allowed = first * bound.share + bound.amount
        found.append(Verdict(bound.name, first / bound.unit, last / bound.unit, allowed / bound.unit))
    middle = samples[len(samples) // 2]
    rates = [
        (end.log - begin.log) / (end.at - begin.at) * 60 / 1024
        for begin, end in ((samples[0], middle), (middle, samples[-1]))
    ]
    # Alerts come in bursts, so a short run sees more of them in one of its halves.
    allowed = min(MOST_LOG_BYTES_A_MINUTE / 1024 - rates[0], rates[0] * 0.5 + 16.0)
    return [*found, Verdict("log, KiB a minute", *rates, allowed)]
