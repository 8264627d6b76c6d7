"""Compares stores for waiting predictions: `python -m benchmarks.label_stores [rows]`.

SQLite is always measured; LMDB and RocksDB if `lmdb` and `rocksdict` are installed, which the project does not need.
All stores get identical rows and batches with a durable commit for each, then find batches of random keys.
"""

from __future__ import annotations

import resource
import sqlite3
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from monitor.labels.keyed_files import KeyedFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

ROWS, COMMIT, LOOKED_UP = 2_000_000, 100_000, 10_000
PAYLOAD = np.dtype([("score", "<f8"), ("predicted", "i1"), ("version", "<i2"), ("country", "<i4"), ("age", "<i4")])
WHOLE = np.dtype([("time", "<i8"), *((name, PAYLOAD[name]) for name in PAYLOAD.names or ())])


class Store(Protocol):
    """Rows by key, durable at each commit."""

    def commit(self, keys: NDArray[np.uint64], rows: NDArray[np.void]) -> None: ...

    def find(self, keys: NDArray[np.uint64]) -> int: ...


class Files:
    """The files of leewayd."""

    def __init__(self, folder: Path) -> None:
        self._files = KeyedFiles(folder, "rows", PAYLOAD)

    def commit(self, keys: NDArray[np.uint64], rows: NDArray[np.void]) -> None:
        payload = np.zeros(len(rows), PAYLOAD)
        for name in PAYLOAD.names or ():
            payload[name] = rows[name]
        self._files.add(keys, rows["time"], payload)
        self._files.prepare()
        self._files.saved()

    def find(self, keys: NDArray[np.uint64]) -> int:
        return int(self._files.find(keys)[0].sum())


class Sqlite:
    """A table clustered by key."""

    def __init__(self, folder: Path) -> None:
        self._base = sqlite3.connect(folder / "rows.db")
        self._base.execute("PRAGMA journal_mode = WAL")
        self._base.execute("PRAGMA synchronous = FULL")
        self._base.execute("CREATE TABLE rows (key INTEGER PRIMARY KEY, row BLOB) WITHOUT ROWID")

    def commit(self, keys: NDArray[np.uint64], rows: NDArray[np.void]) -> None:
        pairs = zip(keys.view(np.int64).tolist(), map(bytes, rows), strict=True)
        with self._base:
            self._base.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?)", pairs)

    def find(self, keys: NDArray[np.uint64]) -> int:
        get = self._base.execute
        rows = [get("SELECT row FROM rows WHERE key = ?", (key,)).fetchone() for key in keys.view(np.int64).tolist()]
        return len(rows) - rows.count(None)


class Lmdb:
    """A memory-mapped B+ tree."""

    def __init__(self, folder: Path) -> None:
        import lmdb  # type: ignore[import-not-found, unused-ignore]

        self._base: Any = lmdb.open(str(folder), map_size=2**34)

    def commit(self, keys: NDArray[np.uint64], rows: NDArray[np.void]) -> None:
        order = np.argsort(keys)
        with self._base.begin(write=True) as step:
            step.cursor().putmulti([(keys[i].byteswap().tobytes(), rows[i].tobytes()) for i in order])

    def find(self, keys: NDArray[np.uint64]) -> int:
        with self._base.begin() as step:
            return sum(step.get(key.byteswap().tobytes()) is not None for key in keys)


class RocksDb:
    """A log-structured merge tree."""

    def __init__(self, folder: Path) -> None:
        import rocksdict  # type: ignore[import-not-found, unused-ignore]

        self._base: Any = rocksdict.Rdict(str(folder), rocksdict.Options(raw_mode=True))
        self._durable: Any = rocksdict.WriteOptions()
        self._durable.sync = True
        self._batch: Any = rocksdict.WriteBatch

    def commit(self, keys: NDArray[np.uint64], rows: NDArray[np.void]) -> None:
        batch = self._batch(raw_mode=True)
        for key, row in zip(keys, rows, strict=True):
            batch.put(key.tobytes(), row.tobytes())
        self._base.write(batch, self._durable)

    def find(self, keys: NDArray[np.uint64]) -> int:
        rows = self._base[[key.tobytes() for key in keys]]
        return len(rows) - rows.count(None)


def measure(rows: int = ROWS) -> Iterator[tuple[str, str]]:
    kinds: list[tuple[str, Callable[[Path], Store]]] = [("leewayd's files", Files), ("SQLite", Sqlite)]
    kinds += [("LMDB", Lmdb)] if find_spec("lmdb") else []
    kinds += [("RocksDB", RocksDb)] if find_spec("rocksdict") else []
    for name, kind in kinds:
        with tempfile.TemporaryDirectory() as folder:
            yield f"{rows:,} waiting predictions in {name}", _measure(kind(Path(folder)), Path(folder), rows)


def _measure(store: Store, folder: Path, rows: int) -> str:
    random = np.random.default_rng(1)
    keys = random.integers(0, 2**64, rows, dtype=np.uint64)
    began = _cpu()
    wall = time.perf_counter()
    for start in range(0, rows, COMMIT):
        chosen = keys[start : start + COMMIT]
        values = np.zeros(len(chosen), WHOLE)
        values["time"], values["score"] = start, random.random(len(chosen))
        store.commit(chosen, values)
    built, wall = _cpu() - began, time.perf_counter() - wall
    began = _cpu()
    for _ in range(10):
        assert store.find(random.choice(keys, LOOKED_UP)) == LOOKED_UP
    looked = (_cpu() - began) / 10
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return (
        f"{built:.1f} s CPU ({wall:.1f} s wall) to add, {looked * 1000:.0f} ms CPU to find {LOOKED_UP:,}, "
        f"{size / rows:.0f} bytes a row"
    )


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Prints a Markdown table."""
    print("| what | measured |\n|---|---|")
    for what, measured in measure(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS):
        print(f"| {what} | {measured} |", flush=True)


if __name__ == "__main__":
    main()
