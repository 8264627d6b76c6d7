"""A turn has an end, a reload takes over what is new and refuses what cannot be used, a stop is quick."""

from __future__ import annotations

import socket
import time
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from monitor.common.clock import Clock, system_clock
from monitor.common.errors import ConfigError
from monitor.config.difference import changed_options
from monitor.daemon.schedule import Schedule, Tick
from monitor.daemon.service import set_up
from tests.support.file_logs import file_config, plain_rows
from tests.support.logs import SILENT

if TYPE_CHECKING:
    from pathlib import Path

    from alerts.evaluation import Evaluation
    from monitor.config.schema import Config
    from monitor.daemon.service import Service


@dataclass
class Time:
    now: float = 0.0
    wall: float = 2e9
    ticking: float = 0.0
    waits: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        self.now += self.ticking
        return self.now

    def clock(self) -> Clock:
        return Clock(lambda: self.wall, self.monotonic, self.waits.append)


def test_intervals_go_by_the_monotonic_clock_whatever_the_wall_clock_does() -> None:
    time = Time()
    schedule = Schedule({Tick.CHECKPOINT: 5.0, Tick.BACKUP: 60.0}, time.monotonic)
    assert schedule.due() == frozenset()
    time.wall -= 7_200
    time.now += 5.0
    assert schedule.due() == {Tick.CHECKPOINT}
    assert schedule.due() == frozenset()
    time.now += 300.0
    # What was missed comes once.
    assert schedule.due() == {Tick.CHECKPOINT, Tick.BACKUP}
    assert schedule.due() == frozenset()


def test_a_turn_leaves_off_when_its_time_is_up_and_the_next_ones_go_on(tmp_path: Path) -> None:
    config = file_config(tmp_path, plain_rows(2_000))
    wanted = evaluations_of(config.model_copy(update={"state": config.state.model_copy(
        update={"dir": tmp_path / "other"})}), Time())  # fmt: skip
    # Every look at the clock takes a fifth of a second: five windows a turn.
    slow = Time(ticking=0.2)
    judged: list[Evaluation | None] = []
    turns = longest = 0
    running = set_up(
        config, clock=slow.clock(), environment={}, log=SILENT, observer=lambda evaluation, _: judged.append(evaluation)
    )
    try:
        while not running.daemon.finished:
            before = len(judged)
            running.turn()
            turns += 1
            longest = max(longest, len(judged) - before)
            if running.daemon.snapshot.progress.busy:
                assert running.daemon.snapshot.progress.waiting + running.daemon.snapshot.progress.behind_ms > 0
    finally:
        running.close()
    assert longest <= 5
    assert turns > len(wanted) / 5
    assert [evaluation.end for evaluation in judged if evaluation] == wanted


def evaluations_of(config: Config, clock: Time) -> list[int]:
    judged: list[int] = []
    running = set_up(
        config, clock=clock.clock(), environment={}, log=SILENT,
        observer=lambda evaluation, _: judged.append(evaluation.end) if evaluation else None,
    )  # fmt: skip
    try:
        while not running.daemon.finished:
            running.turn()
    finally:
        running.close()
    return judged


def test_a_stop_in_the_middle_of_a_backlog_is_saved_and_gone_on_with(tmp_path: Path) -> None:
    config = file_config(tmp_path, plain_rows(2_000))
    wanted = evaluations_of(config.model_copy(update={"state": config.state.model_copy(
        update={"dir": tmp_path / "other"})}), Time())  # fmt: skip
    judged: list[int] = []
    stops = 0
    finished = False
    while not finished:
        slow = Time(ticking=0.2)
        running = set_up(
            config, clock=slow.clock(), environment={}, log=SILENT,
            observer=lambda evaluation, _: judged.append(evaluation.end) if evaluation else None,
        )  # fmt: skip
        for _ in range(3):
            running.turn()
        finished = running.daemon.finished
        running.close()
        stops += 1
    assert stops > 2
    assert judged == wanted


@pytest.fixture
def running(tmp_path: Path) -> Any:
    config = file_config(tmp_path, plain_rows(400))
    service = set_up(config, clock=system_clock(), environment={}, log=SILENT)
    yield service, config
    service.close()


def turn_until_reloaded(service: Service) -> None:
    deadline = time.monotonic() + 30
    while service.reloading:
        assert time.monotonic() < deadline
        service.turn()
    service.turn()


def test_a_reload_takes_over_options_and_forgets_no_row(running: tuple[Service, Config]) -> None:
    service, config = running
    while not service.daemon.finished:
        service.turn()
    model = config.models[0]
    changed = config.model_copy(
        update={"models": [model.model_copy(update={"drift": model.drift.model_copy(update={"min_effect": 0.5})})]}
    )
    before = service.daemon
    service.reload(lambda: changed)
    turn_until_reloaded(service)
    assert service.daemon is not before
    assert not service.daemon.snapshot.process.reload_failed
    assert sum(service.daemon.snapshot.models[0].rows.values()) == 400
    assert changed_options(config, changed) == ["models.m.drift.min_effect"]


@pytest.mark.parametrize("fault", ["configuration", "reference", "anything"])
def test_what_cannot_be_used_leaves_the_old_configuration_in_force(
    running: tuple[Service, Config], fault: str, tmp_path: Path
) -> None:
    service, config = running
    before = service.daemon
    model = config.models[0]
    lost = config.model_copy(update={"models": [model.model_copy(update={"reference": tmp_path / "gone.parquet"})]})

    def read() -> Config:
        if fault == "configuration":
            raise ConfigError(["windows: not a duration"])
        if fault == "anything":
            raise ZeroDivisionError
        return lost

    service.reload(read)
    turn_until_reloaded(service)
    assert service.daemon is before
    assert service.daemon.display.process.reload_failed


def test_a_configuration_that_cannot_be_started_with_gives_way_to_the_old_one(
    running: tuple[Service, Config], tmp_path: Path
) -> None:
    service, config = running
    assert config.file is not None
    gone = config.file.model_copy(update={"predictions": [tmp_path / "gone.jsonl"]})
    service.reload(lambda: config.model_copy(update={"file": gone}))
    turn_until_reloaded(service)
    assert service.daemon.display.process.reload_failed
    while not service.daemon.finished:
        service.turn()
    assert sum(service.daemon.snapshot.models[0].rows.values()) == 400


def test_an_address_that_is_taken_leaves_the_old_server_and_its_health_in_place(
    running: tuple[Service, Config],
) -> None:
    service, config = running
    before = service.server
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        service.reload(lambda: config.model_copy(update={"http": config.http.model_copy(update={"listen": listen})}))
        turn_until_reloaded(service)
    assert service.daemon.display.process.reload_failed
    assert service.server is before
    service.turn()
    # The server that answers is the one whose progress the loop marks.
    assert urllib.request.urlopen(f"http://127.0.0.1:{before.port}/healthz", timeout=5).status == 200
    page = urllib.request.urlopen(f"http://127.0.0.1:{before.port}/metrics", timeout=5).read().decode()
    assert "leeway_progress_timestamp_seconds " in page
