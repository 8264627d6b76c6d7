"""Made ``state.zip`` beside it: a state directory as leewayd wrote it at commit af0f601 (state format 2).

Run by hand in a checkout of that commit, never by the tests, which use its logs and its configuration:

    git worktree add old af0f601 && cd old
    PYTHONPATH=$PWD python ../tests/data/state_v2/make.py ../tests/data/state_v2/state.zip

Model ``m`` has labels, a segment, a burn-in that is over, a firing alert whose notification nobody has taken, and label
files; ``learned`` has learned its reference, ``learning`` is half way through.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import structlog

from alerts.delivery import Courier
from alerts.http import HttpRequest, HttpResponse, TransportError
from monitor.alerting.alerting import Alerting
from monitor.alerting.receivers import make_alerting_setup
from monitor.checks.load import parse_config
from monitor.checks.references import load_all_references
from monitor.common.clock import Clock
from monitor.daemon.loop import Daemon
from monitor.daemon.schedule import Tick
from monitor.rows.records import Messages, Partition, Poll, Position
from monitor.state.store import Store

if TYPE_CHECKING:
    from collections.abc import Mapping

    from monitor.config.schema import Config

MINUTE, HOUR = 60_000, 3_600_000
BEGIN = 480_000 * HOUR
HOURS, AN_HOUR = 14, 120
STOPPED_AT = 10 * HOUR
"""How far the logs had been read when the state was packed, from their beginning."""
SECRETS = {"learned": 777_123_456.0, "learning": 888_123_456.0}
"""A raw value that only the log of this model holds."""
QUIET = structlog.wrap_logger(structlog.PrintLogger(io.StringIO()))
Rows = list[dict[str, Any]]


def logs() -> dict[Partition, Rows]:
    """Fourteen hours; from the eighth on ``x`` has moved. Labels come one to three hours late."""
    dice = np.random.default_rng(8)
    found: dict[Partition, Rows] = {}
    size = HOURS * AN_HOUR
    times = BEGIN + np.arange(size) * (HOUR // AN_HOUR)
    moved = np.arange(size) >= 7 * AN_HOUR
    score = dice.random(size).round(3)
    truth = (dice.random(size) < score).astype(int)
    numbers = (dice.normal(0, 1, size) + 3 * moved).round(3)
    found[Partition("predictions", 0)] = [
        {"t": int(t), "id": f"p{row}", "x": float(x), "sex": str(sex), "p": int(s > 0.5), "s": float(s)}
        for row, (t, x, sex, s) in enumerate(zip(times, numbers, dice.choice(["f", "m"], size), score, strict=True))
    ]
    labels = [
        {"id": f"p{row}", "t": int(t) + int(dice.integers(60, 180)) * MINUTE, "y": int(y)}
        for row, (t, y) in enumerate(zip(times, truth, strict=True))
        if dice.random() < 0.9
    ]
    found[Partition("labels", 0)] = sorted(labels, key=lambda row: row["t"])
    for topic, every in (("learned", 1), ("learning", 2)):
        raw = dice.normal(0, 1, size).round(3)
        raw[5:50:5] = SECRETS[topic]
        found[Partition(topic, 0)] = [
            {"t": int(t), "v": float(v), "p": int(p)}
            for t, v, p in zip(times[::every], raw[::every], dice.integers(0, 2, size)[::every], strict=True)
        ]
    return found


def raw_config(folder: Path) -> dict[str, Any]:
    """Of a daemon whose state is in ``folder/state``; writes the reference, which knows no times."""
    dice = np.random.default_rng(9)
    score = dice.random(3_000).round(3)
    rows = [
        {"x": float(x), "sex": str(sex), "p": int(s > 0.5), "s": float(s), "y": int(y)}
        for x, sex, s, y in zip(
            dice.normal(0, 1, 3_000).round(3), dice.choice(["f", "m"], 3_000), score,
            (dice.random(3_000) < score).astype(int), strict=True,
        )
    ]  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "reference.jsonl").write_text("\n".join(map(json.dumps, rows)))
    shape = {"windows": ["1h"], "pane": "10m", "lateness": "10m"}
    learned = {"timestamp": "t", "prediction": "p", "features": ["v"]}
    return {
        "state": {"dir": str(folder / "state")},
        "kafka": {
            "bootstrap_servers": ["never:9092"], "predictions": ["predictions", "learned", "learning"],
            "labels": ["labels"],
        },
        "models": [
            {
                "name": "m", "task": "binary", "reference": "reference.jsonl", "topics": ["predictions"],
                "segments": ["sex"], "drift": {"burn_in": "6h"}, "labels": {"max_delay": "4h", "maturity": 0.7},
                "columns": {"timestamp": "t", "id": "id", "prediction": "p", "score": "s", "label": "y"}, **shape,
            },
            {
                "name": "learned", "task": "binary", "learn_rows": 1000, "topics": ["learned"], "columns": learned,
                **shape,
            },
            {
                "name": "learning", "task": "binary", "learn_rows": 1000, "topics": ["learning"], "columns": learned,
                **shape,
            },
        ],
        "rules": [{"name": "drift", "when": "drifted", "notify": ["hook"]}],
        "receivers": [{"name": "hook", "type": "webhook", "url": "http://receiver.test/hook"}],
    }  # fmt: skip


def config(folder: Path) -> Config:
    """`raw_config`, parsed."""
    return parse_config(raw_config(folder), folder)


@dataclass
class Source:
    """The logs up to an event time, all partitions side by side.

    Args:
        rows: by partition.
        until: from the beginning, ms.
    """

    rows: Mapping[Partition, Rows]
    until: int = HOURS * HOUR
    at: dict[Partition, int] = field(default_factory=dict)
    known: set[Partition] = field(default_factory=set)
    everything: bool = False

    def start(self, positions: Mapping[Partition, Position], *, everything: bool = False) -> None:
        self.everything = everything
        self.known = set(positions)
        self.at = {part: positions[part].offset if part in positions else 0 for part in self.rows}

    def poll(self, timeout_seconds: float, paused: frozenset[Partition]) -> Poll:
        chunks = []
        for part, rows in self.rows.items():
            first = self.at[part]
            batch = [row for row in rows[first : first + 50] if row["t"] < BEGIN + self.until]
            if batch and part not in paused:
                offsets = np.arange(first, first + len(batch))
                chunks.append(Messages(part, offsets, [json.dumps(row).encode() for row in batch]))
                self.at[part] = first + len(batch)
        assigned = {part: Position(0) for part in self.rows if part not in self.known}
        self.known = set(self.rows)
        return Poll(tuple(chunks), frozenset(self.rows), frozenset(), assigned=assigned)

    @property
    def read(self) -> bool:
        """Whether nothing is left."""
        return all(
            self.at[part] == len(rows) or rows[self.at[part]]["t"] >= BEGIN + self.until
            for part, rows in self.rows.items()
        )

    def reject(self, partition: Partition, reason: str, value: bytes) -> None: ...

    def settle(self) -> None: ...

    def commit(self, positions: Mapping[Partition, Position]) -> None: ...

    def close(self) -> None: ...


def unreachable(request: HttpRequest) -> HttpResponse:
    """A receiver that is away."""
    raise TransportError("ConnectTimeoutError")


def main(target: Path) -> None:
    """Runs the daemon until the logs' tenth hour, and packs what it has saved."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = config(folder)
        clock = Clock(lambda: 2e9, lambda: 0.0, lambda _: None)
        routing = make_alerting_setup(settings, {}, QUIET)
        courier = Courier(routing.sinks, unreachable, clock.wall)
        source = Source(logs(), STOPPED_AT)
        options: Any = {"learned": settings.state.dir}  # an argument of that commit
        daemon = Daemon(
            settings, load_all_references(settings), source=source, store=Store(settings.state.dir, QUIET),
            alerting=Alerting(routing, courier, QUIET, lambda: 0.0), clock=clock, log=QUIET,
            **options,
        )  # fmt: skip
        daemon.start()
        turns = 0
        while not source.read or turns % 10:
            daemon.turn(0.0, frozenset({Tick.CHECKPOINT} if turns % 5 == 0 else ()))
            turns += 1
            if turns == 15:
                daemon._back_up()
        courier.close(5.0)
        daemon.deliver()
        daemon.close()
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(settings.state.dir.rglob("*")):
                if path.is_file():
                    archive.write(path, path.relative_to(settings.state.dir))
                    print(path.relative_to(settings.state.dir), path.stat().st_size)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
