"""Samples the daemon's process during the soak, and checks that it does not grow."""

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
    """One sample of the process: ``at`` in monotonic seconds, sizes in bytes."""

    at: float
    memory: int
    descriptors: int
    threads: int
    state: int
    log: int


@dataclass(frozen=True, slots=True)
class Bound:
    """The allowed growth of a figure after the warm-up: a share of its first value, plus a fixed amount."""

    name: str
    number: Callable[[Sample], float]
    share: float
    amount: float
    unit: float = 1.0


BOUNDS = (
    # numpy's and SQLite's caches fill slowly; a leak of one kilobyte a message would be a hundred times this.
    Bound("resident memory, MiB", lambda sample: sample.memory, 0.05, 12 * MIB, MIB),
    Bound("open descriptors", lambda sample: sample.descriptors, 0.0, 8),
    Bound("threads", lambda sample: sample.threads, 0.0, 4),
    Bound("state directory, MiB", lambda sample: sample.state, 0.15, 3 * MIB, MIB),
)
# The daemon logs alerts and ends of series, but no event that is more frequent.
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
    """Compares the medians of the last and first third of the samples, which ignores saw-teeth and single peaks."""
    third = len(samples) // 3
    results = []
    for bound in BOUNDS:
        first = median(map(bound.number, samples[:third]))
        last = median(map(bound.number, samples[-third:]))
        allowed = first * bound.share + bound.amount
        results.append(Verdict(bound.name, first / bound.unit, last / bound.unit, allowed / bound.unit))
    middle = samples[len(samples) // 2]
    rates = [
        (end.log - begin.log) / (end.at - begin.at) * 60 / 1024
        for begin, end in ((samples[0], middle), (middle, samples[-1]))
    ]
    # Alerts come in bursts, so in a short run one half has more of them.
    allowed = min(MOST_LOG_BYTES_A_MINUTE / 1024 - rates[0], rates[0] * 0.5 + 16.0)
    return [*results, Verdict("log, KiB a minute", *rates, allowed)]
