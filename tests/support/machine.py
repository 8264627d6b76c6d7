"""A machine on which the daemon runs, loses power and starts again, and the log of two partitions that it reads."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from monitor.common.durations import MINUTE
from monitor.daemon.schedule import Tick
from monitor.reference.by_version import single
from monitor.rows.records import Partition
from monitor.state.store import Store
from tests.support.clock import FakeTime
from tests.support.config import make_config
from tests.support.daemons import make_daemon
from tests.support.logs import SILENT
from tests.support.network import Network
from tests.support.sources import AbortedError, ScriptedSource

if TYPE_CHECKING:
    from pathlib import Path

    from monitor.config.schema import Config
    from monitor.reference.profile import Profile
    from monitor.state.checkpoint import LoadedState

START = 1_364_882_400_000
MINUTES, ROWS = 40, 60
PARTS = (Partition("predictions", 0), Partition("predictions", 1))


def machine_config(folder: Path) -> Config:
    """One model with a segment, a rule and a receiver; the reference lies beside the folder."""
    return make_config(
        folder,
        {
            "reference": str(folder.parent / "reference.parquet"),
            "pane": "1m",
            "windows": ["5m", "10m"],
            "lateness": "2m",
            "segments": ["colour"],
            "columns": {"timestamp": "at", "prediction": "prediction", "version": "version"},
        },
        rules=[{"name": "drift", "when": "drifted", "for": "2m", "notify": ["hook"], "segment": "all"}],
        receivers=[{"name": "hook", "type": "webhook", "url": "http://receiver.test/hook"}],
    )


def table(rows: int, shift: float, seed: int) -> pd.DataFrame:
    dice = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": dice.normal(40 + shift, 10, rows).round(3),
            "colour": dice.choice(["red", "green"], rows, p=[0.3, 0.7]),
            "prediction": dice.integers(0, 2, rows),
        }
    )


def make_logs() -> dict[Partition, list[bytes]]:
    """Forty minutes; from the fifteenth to the twenty-fifth, everybody is older."""
    logs: dict[Partition, list[bytes]] = {part: [] for part in PARTS}
    for minute in range(MINUTES):
        frame = table(ROWS, 15.0 if 15 <= minute < 25 else 0.0, seed=100 + minute)
        for index, row in enumerate(frame.to_dict("records")):
            row["at"] = START + minute * MINUTE + index * (MINUTE // ROWS)
            row["version"] = "2" if minute > 30 else "1"
            value = b"broken" if index == 7 else json.dumps(row).encode()
            logs[PARTS[index % 2]].append(value)
    return logs


class Machine:
    """Its disk outlives its processes."""

    def __init__(self, folder: Path, profile: Profile, logs: dict[Partition, list[bytes]], name: str) -> None:
        self.home = folder / name
        self.home.mkdir()
        self.config, self.profile, self.logs = machine_config(self.home), profile, logs
        self.time, self.network = FakeTime(), Network()
        self.polls = self.crashes = 0

    def run(self, fail_at: int | None) -> bool:
        """Runs to the end of the log, or to the given poll; whether the end was reached."""
        store = Store(self.config.state.dir, SILENT)
        source = ScriptedSource(self.logs, fail_at)
        references = {"m": single(self.profile)}
        daemon = make_daemon(
            self.config, source, clock=self.time.clock(), references=references, store=store, transport=self.network
        )
        try:
            daemon.start()
            turns = 0
            while not (daemon.finished and daemon.settled):
                turns += 1
                assert turns < 10_000
                self.time.now += 1.0
                daemon.turn(0.0, frozenset({Tick.CHECKPOINT} if turns % 4 == 0 else ()))
                if daemon.finished:
                    daemon.deliver()
        except AbortedError:
            self.lose_power(store)
            return False
        finally:
            self.polls = source.polls
        daemon.close()
        return True

    def lose_power(self, store: Store) -> None:
        """Goes on with the files as they are now; nothing is saved or closed in an orderly way before."""
        self.crashes += 1
        disk = self.home / f"state-{self.crashes}"
        shutil.copytree(store.folder, disk)
        store.close()
        self.config = self.config.model_copy(update={"state": self.config.state.model_copy(update={"dir": disk})})

    def saved(self) -> LoadedState:
        store = Store(self.config.state.dir, SILENT)
        try:
            return store.load("test")
        finally:
            store.close()


def comparable(saved: LoadedState) -> object:
    """The state as plain values, panes as bytes."""
    (model,) = saved.models.values()
    panes = {
        (series.version, series.segment, step, pane.start): (
            pane.rows,
            pane.bins.tobytes(),
            pane.moments.tobytes(),
            pane.extremes.tobytes(),
        )
        for series in model.series
        for step, kept in series.panes.items()
        for pane in kept
    }
    spans = sorted((series.version, series.segment, series.started, series.latest) for series in model.series)
    # When a receiver last answered is a time of the wall clock.
    documents = {name: document for name, document in saved.documents.items() if name != "receivers"}
    return (
        dict(saved.positions), model.watermark, dict(model.evaluated), dict(model.rows), model.late, spans, panes,
        {step: dict(ledger) for step, ledger in model.offsets.items()}, documents, saved.outbox,
    )  # fmt: skip
