"""Late labels: disk, memory and time with millions of predictions waiting. `python -m benchmarks.labels [rows]`."""

from __future__ import annotations

import os
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.timing import best
from monitor.labels.join import LabelJoin
from monitor.labels.outcomes import Outcome
from monitor.rows.ids import hash_ids

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

ROWS = 20_000_000
_PREDICTION = np.dtype([("score", "<f8"), ("predicted", "i1"), ("version", "<i2"), ("country", "<i4"), ("age", "<i4")])
_LABEL = np.dtype([("value", "i1")])
_CHECKPOINT = 100_000  # rows between two checkpoints: 5 s at 20,000 rows/s
_BATCH = 10_000
_BATCHES = 150
_DAY = 86_400_000


def measure(rows: int = ROWS) -> Iterator[tuple[str, str]]:
    with tempfile.TemporaryDirectory() as folder:
        yield from _measure(Path(folder), rows)


def _measure(folder: Path, rows: int) -> Iterator[tuple[str, str]]:
    random = np.random.default_rng(1)
    join = LabelJoin(folder, _PREDICTION, _LABEL, retention_ms=30 * _DAY)
    join.load(None)
    resident = _status("VmHWM")
    prepares: list[float] = []
    began = time.perf_counter()
    for start in range(0, rows, _CHECKPOINT):
        count = min(_CHECKPOINT, rows - start)
        numbers = np.arange(start, start + count)
        payload = np.zeros(count, _PREDICTION)
        payload["score"] = random.random(count)
        payload["predicted"] = payload["score"] > 0.5
        for first in range(0, count, _BATCH):
            chosen = slice(first, first + _BATCH)
            join.add_predictions(_ids(numbers[chosen]), numbers[chosen] * 30 * _DAY // rows, payload[chosen])
        manifest = _checkpoint(join, prepares)
    seconds = time.perf_counter() - began
    what = f"{rows:,} waiting predictions"
    disk = _disk(folder)
    yield (f"{what}: built", f"{rows / seconds:,.0f} rows/s, checkpoints included")
    yield (f"{what}: disk", f"{disk:,} bytes, {disk / rows:.1f} a prediction, {len(list(folder.iterdir()))} files")
    yield (f"{what}: checkpoint", f"median {_ms(statistics.median(prepares))}, worst {_ms(max(prepares))}")
    began = time.perf_counter()
    join = LabelJoin(folder, _PREDICTION, _LABEL, retention_ms=30 * _DAY)
    lost = join.load(manifest)
    yield (f"{what}: loaded and checked", f"{time.perf_counter() - began:.2f} s, {lost} rows lost")
    yield from _labels(join, rows, random)
    cold = []
    for _ in range(5):
        _forget(folder)
        cold.append(_batch(join, random.integers(0, rows, _BATCH), random))
    yield (
        "a batch with files not in the system's cache",
        f"median {_ms(statistics.median(cold))}, worst {_ms(max(cold))}",
    )
    peak = max(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, _status("VmHWM"))
    yield (f"{what}: peak memory", f"{peak / 2**20:.0f} MiB resident, {resident / 2**20:.0f} MiB before the first row")


def _labels(join: LabelJoin, rows: int, random: np.random.Generator) -> Iterator[tuple[str, str]]:
    seconds, prepares = [], []
    for number in range(_BATCHES):
        seconds.append(_batch(join, random.integers(0, rows, _BATCH), random))
        if number % 5 == 4:
            _checkpoint(join, prepares)
    total = _BATCHES * _BATCH
    rate, middle = total / (sum(seconds) + sum(prepares)), statistics.median(seconds)
    what = f"{total:,} labels at random in batches of {_BATCH:,}"
    yield (what, f"{rate:,.0f} rows/s; a batch: median {_ms(middle)}, worst {_ms(max(seconds))}")
    yield (f"{what}: checkpoint", f"median {_ms(statistics.median(prepares))}, worst {_ms(max(prepares))}")
    ids = _ids(np.arange(200_000))
    yield ("of it, hashing ids", f"{len(ids) / best(lambda: hash_ids(ids)):,.0f} ids/s")


def _batch(join: LabelJoin, numbers: NDArray[np.int64], random: np.random.Generator) -> float:
    ids, values = _ids(numbers), np.zeros(len(numbers), _LABEL)
    values["value"] = random.random(len(numbers)) > 0.5
    began = time.perf_counter()
    done = join.add_labels(ids, np.full(len(numbers), 30 * _DAY), values)
    seconds = time.perf_counter() - began
    assert Outcome.EARLY not in done.outcomes
    return seconds


def _checkpoint(join: LabelJoin, seconds: list[float]) -> bytes:
    began = time.perf_counter()
    manifest = join.prepare()
    join.saved()
    seconds.append(time.perf_counter() - began)
    return manifest


def _ids(numbers: NDArray[np.int64]) -> list[object]:
    return [f"order-{number:012d}" for number in numbers.tolist()]


def _forget(folder: Path) -> None:
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _disk(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.iterdir())


def _status(name: str) -> int:
    """Bytes of memory, from the kernel."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def main() -> None:
    """Prints a Markdown table."""
    print("| what | measured |\n|---|---|")
    for what, measured in measure(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS):
        print(f"| {what} | {measured} |", flush=True)


if __name__ == "__main__":
    main()
