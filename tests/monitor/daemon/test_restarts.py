"""A source that fails at every possible step: the final state equals that of a run that nothing interrupted."""

from __future__ import annotations

import io
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import structlog

from alerts.delivery import Courier
from alerts.http import HttpRequest, HttpResponse, TransportError
from monitor.alerting.alerting import Alerting
from monitor.alerting.receivers import make_alerting_setup
from monitor.checks.load import parse_config
from monitor.common.clock import Clock
from monitor.common.durations import MINUTE
from monitor.config.schema import Config
from monitor.daemon.loop import Daemon
from monitor.daemon.schedule import Tick
from monitor.reference.build import load_reference
from monitor.reference.by_version import single
from monitor.rows.records import Messages, Partition, Poll, Position
from monitor.state.store import Store

if TYPE_CHECKING:
    from collections.abc import Mapping

    from monitor.reference.profile import Profile
    from monitor.state.checkpoint import LoadedState

START = 1_364_882_400_000
MINUTES, ROWS = 40, 60
PARTS = (Partition("predictions", 0), Partition("predictions", 1))
SILENT = structlog.wrap_logger(structlog.PrintLogger(io.StringIO()))


class AbortedError(Exception):
    """The machine lost power."""


@dataclass
class ScriptedSource:
    """Two partitions of JSON messages; fails at a chosen poll."""

    logs: Mapping[Partition, list[bytes]]
    fail_at: int | None = None
    polls: int = 0
    next: dict[Partition, int] = field(default_factory=dict)
    told: bool = False
    # Of batches; they differ by partition, so that they end anywhere in a pane.
    first_size: int = 97
    larger_by: int = 31

    def start(self, positions: Mapping[Partition, Position], *, everything: bool = False) -> None:
        self.next = {part: positions[part].offset if part in positions else 0 for part in self.logs}
        self.known = set(positions)

    def poll(self, timeout_seconds: float, paused: frozenset[Partition]) -> Poll:
        self.polls += 1
        if self.polls == self.fail_at:
            raise AbortedError
        chunks = []
        for number, (part, log) in enumerate(self.logs.items()):
            first = self.next[part]
            size = self.first_size + self.larger_by * number
            if part not in paused and first < len(log):
                values = log[first : first + size]
                chunks.append(Messages(part, np.arange(first, first + len(values)), values))
                self.next[part] = first + len(values)
        done = all(self.next[part] >= len(log) for part, log in self.logs.items())
        assigned = {} if self.told else {part: Position(0) for part in self.logs if part not in self.known}
        self.told = True
        idle = frozenset(part for part, log in self.logs.items() if self.next[part] >= len(log))
        return Poll(tuple(chunks), frozenset(self.logs), idle, assigned=assigned, finished=done, done=idle)

    def reject(self, partition: Partition, reason: str, value: bytes) -> None: ...

    def settle(self) -> None: ...

    def commit(self, positions: Mapping[Partition, Position]) -> None: ...

    def close(self) -> None: ...


@dataclass
class FakeTime:
    now: float = 1_700_000_000.0

    def clock(self) -> Clock:
        return Clock(lambda: self.now, lambda: self.now, lambda _: None)


@dataclass
class Network:
    """Takes every request and remembers it; answers with 503 every third time."""

    bodies: list[dict[str, object]] = field(default_factory=list)
    calls: int = 0

    def __call__(self, request: HttpRequest) -> HttpResponse:
        self.calls += 1
        if self.calls % 3 == 0:
            raise TransportError("ConnectTimeoutError")
        self.bodies.append(json.loads(request.body))
        return HttpResponse(200, {}, b"ok")


def make_config(folder: Path) -> Config:
    return parse_config(
        {
            "state": {"dir": str(folder / "state")},
            "kafka": {"bootstrap_servers": ["never:9092"], "predictions": ["predictions"]},
            "models": [
                {
                    "name": "m",
                    "task": "binary",
                    "reference": str(folder.parent / "reference.parquet"),
                    "pane": "1m",
                    "windows": ["5m", "10m"],
                    "lateness": "2m",
                    "segments": ["colour"],
                    "columns": {"timestamp": "at", "prediction": "prediction", "version": "version"},
                }
            ],
            "rules": [{"name": "drift", "when": "drifted", "for": "2m", "notify": ["hook"], "segment": "all"}],
            "receivers": [{"name": "hook", "type": "webhook", "url": "http://receiver.test/hook"}],
        },
        folder,
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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("restarts")
    table(5_000, 0.0, seed=1).to_parquet(home / "reference.parquet")
    return home


@pytest.fixture(scope="module")
def profile(folder: Path) -> Profile:
    (folder / "any").mkdir()
    return load_reference(make_config(folder / "any").models[0])


@pytest.fixture(scope="module")
def logs() -> dict[Partition, list[bytes]]:
    """Forty minutes; from the fifteenth to the twenty-fifth, everybody is older."""
    found: dict[Partition, list[bytes]] = {part: [] for part in PARTS}
    for minute in range(MINUTES):
        frame = table(ROWS, 15.0 if 15 <= minute < 25 else 0.0, seed=100 + minute)
        for place, row in enumerate(frame.to_dict("records")):
            row["at"] = START + minute * MINUTE + place * (MINUTE // ROWS)
            row["version"] = "2" if minute > 30 else "1"
            value = b"broken" if place == 7 else json.dumps(row).encode()
            found[PARTS[place % 2]].append(value)
    return found


class Machine:
    """Where the daemon runs, loses power and starts again."""

    def __init__(self, folder: Path, profile: Profile, logs: dict[Partition, list[bytes]], name: str) -> None:
        self.home = folder / name
        self.home.mkdir()
        self.config, self.profile, self.logs = make_config(self.home), profile, logs
        self.time, self.network = FakeTime(), Network()
        self.polls = 0

    def run(self, fail_at: int | None) -> bool:
        """Runs to the end of the log, or to the given poll; whether the end was reached."""
        clock = self.time.clock()
        routing = make_alerting_setup(self.config, {}, SILENT)
        store = Store(self.config.state.dir, SILENT)
        source = ScriptedSource(self.logs, fail_at)
        courier = Courier(routing.sinks, self.network, clock.wall)
        daemon = Daemon(
            self.config,
            {"m": single(self.profile)},
            source=source,
            store=store,
            alerting=Alerting(routing, courier, SILENT, lambda: 0.0),
            clock=clock,
            log=SILENT,
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
                    courier.close(5.0)  # what is under way comes to its end, as it would with time
                    courier = self._another(daemon, courier)
        except AbortedError:
            # Nothing is saved or closed in an orderly way; the kernel takes the lock back.
            os.close(store._lock)
            return False
        finally:
            self.polls = source.polls
            courier.close(5.0)
        daemon.close()
        return True

    def _another(self, daemon: Daemon, courier: Courier) -> Courier:
        daemon.deliver()
        fresh = Courier(courier._sinks, self.network, lambda: self.time.now)
        daemon._alerting._outgoing._courier = fresh
        return fresh

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


@pytest.fixture(scope="module")
def undisturbed(folder: Path, profile: Profile, logs: dict[Partition, list[bytes]]) -> Machine:
    machine = Machine(folder, profile, logs, "undisturbed")
    assert machine.run(None)
    return machine


def test_the_undisturbed_run_tells_the_story(undisturbed: Machine) -> None:
    events = [(body["event"], body["window"]["name"]) for body in undisturbed.network.bodies]  # type: ignore[index]
    assert events == [("alert.firing", "5m"), ("alert.resolved", "10m")]
    saved = undisturbed.saved()
    (model,) = saved.models.values()
    assert sum(model.rows.values()) == MINUTES * (ROWS - 1)
    assert model.late == 0


@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.slow)])
def test_a_crash_at_any_poll_changes_nothing(
    folder: Path, profile: Profile, logs: dict[Partition, list[bytes]], undisturbed: Machine, every: int
) -> None:
    wanted = comparable(undisturbed.saved())
    keys = {body["idempotency_key"] for body in undisturbed.network.bodies}
    for fail_at in range(1, undisturbed.polls + 1, every):
        machine = Machine(folder, profile, logs, f"crash-{every}-{fail_at}")
        assert not machine.run(fail_at)
        assert machine.run(None)
        assert comparable(machine.saved()) == wanted, fail_at
        # At least once, under the same keys: a receiver can tell a repetition from news.
        assert {body["idempotency_key"] for body in machine.network.bodies} == keys, fail_at


def test_a_machine_that_crashes_again_and_again_comes_through(
    folder: Path, profile: Profile, logs: dict[Partition, list[bytes]], undisturbed: Machine
) -> None:
    machine = Machine(folder, profile, logs, "again-and-again")
    for attempt in range(200):
        if machine.run(6 + attempt % 5):
            break
    assert comparable(machine.saved()) == comparable(undisturbed.saved())
