"""The present holds when the wall clock does not: rows that are written now are not from the future."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from monitor.common.clock import Clock
from monitor.common.durations import DAY, HOUR, MINUTE
from monitor.daemon.present import Present
from monitor.rows.records import BrokerTime, Messages, Partition, Poll, Position
from tests.support.config import make_config
from tests.support.daemons import make_daemon
from tests.support.sources import ScriptedSource

TRUE = 1_700_000_000_000
SKEW = 5 * MINUTE


@dataclass
class Machine:
    """A machine whose wall clock is off by so many ms; its monotonic clock goes right."""

    true: int = TRUE
    off: int = 0

    def clock(self) -> Clock:
        return Clock(lambda: (self.true + self.off) / 1000, lambda: self.true / 1000, lambda _: None)

    def later(self, by: int) -> None:
        self.true += by


def future(present: Present, time: int) -> bool:
    return time > present.now() + SKEW


@pytest.mark.parametrize("by_broker", [False, True])
def test_a_step_back_rejects_no_row_that_is_written_now(by_broker: bool) -> None:
    machine = Machine()
    present = Present(machine.clock(), SKEW)
    machine.off = -2 * HOUR
    for _ in range(200):
        machine.later(MINUTE)
        present.written(BrokerTime(machine.true, by_broker))
        assert not future(present, machine.true)
        assert future(present, machine.true + 2 * SKEW)
    # The clock is set right again.
    machine.off = 0
    machine.later(MINUTE)
    assert present.now() == machine.true


@pytest.mark.parametrize("by_broker", [False, True])
def test_a_step_forward_that_was_wrong_is_taken_back_by_the_next_message(by_broker: bool) -> None:
    machine = Machine()
    present = Present(machine.clock(), SKEW)
    machine.off = 2 * HOUR
    machine.later(MINUTE)
    assert not future(present, machine.true + HOUR)
    machine.off = 0
    machine.later(MINUTE)
    assert not future(present, machine.true + HOUR)  # nothing has told which of the two is right
    present.written(BrokerTime(machine.true - 1_000, by_broker))
    assert present.now() == machine.true
    assert future(present, machine.true + HOUR)


def test_messages_of_a_backlog_do_not_choose_between_clocks() -> None:
    machine = Machine()
    present = Present(machine.clock(), SKEW)
    machine.off = -2 * HOUR
    machine.later(MINUTE)
    present.written(BrokerTime(machine.true - DAY, by_broker=True))
    assert present.now() == machine.true


def test_a_producer_ten_years_ahead_does_not_move_the_present_and_the_brokers_clock_does() -> None:
    machine = Machine()
    present = Present(machine.clock(), SKEW)
    present.written(BrokerTime(machine.true + 3_650 * DAY, by_broker=False))
    assert present.now() == machine.true
    # Started with a clock that is two hours late: only the broker knows.
    late = Machine(off=-2 * HOUR)
    present = Present(late.clock(), SKEW)
    assert future(present, late.true)
    present.written(BrokerTime(late.true, by_broker=True))
    assert not future(present, late.true)
    late.later(HOUR)
    assert not future(present, late.true)


def test_after_a_restart_what_was_counted_stands_in_for_the_clock() -> None:
    late = Machine(off=-2 * HOUR)
    present = Present(late.clock(), SKEW)
    present.counted(np.array([late.true - DAY, late.true - MINUTE]).tolist())
    assert not future(present, late.true - MINUTE)
    late.later(HOUR)
    assert not future(present, late.true - 2 * MINUTE)


@dataclass
class Live(ScriptedSource):
    """Brings one row a poll, written just now."""

    machine: Machine | None = None

    def poll(self, timeout_seconds: float, paused: frozenset[Partition]) -> Poll:
        assert self.machine is not None
        part, offset = Partition("p", 0), self.polls
        self.polls += 1
        value = json.dumps({"age": 30.0, "p": 1, "t": self.machine.true}).encode()
        written = BrokerTime(self.machine.true, by_broker=False)
        chunk = Messages(part, np.array([offset]), [value], written)
        assigned = {part: Position(0)} if offset == 0 else {}
        return Poll((chunk,), frozenset({part}), frozenset(), {part: 0}, assigned)


def test_the_daemon_rejects_no_row_while_its_wall_clock_is_wrong(tmp_path: Path) -> None:
    pd.DataFrame({"age": [20.0, 30.0, 40.0, 50.0] * 50, "p": [0, 1] * 100}).to_parquet(tmp_path / "reference.parquet")
    kafka = {"bootstrap_servers": ["never:9092"], "predictions": ["p"]}
    config = make_config(tmp_path, {"windows": ["5m"]}, kafka=kafka)
    machine = Machine()
    daemon = make_daemon(config, Live({}, machine=machine), clock=machine.clock())
    daemon.start()
    for off in (0, -2 * HOUR, 0, 2 * HOUR, 0):
        machine.off = off
        for _ in range(20):
            machine.later(10_000)
            daemon.turn(0.0)
    daemon.close()
    assert sum(daemon.snapshot.models[0].rows.values()) == 100
    assert daemon.snapshot.rejects["p", "future"] == 0
    assert daemon.snapshot.models[0].late == 0
