"""After a turn that failed: nothing of it is saved, rows that are at fault are set aside, others are counted once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.common.clock import system_clock
from monitor.common.errors import RetryableError
from monitor.daemon.recovery import Attempt, Recovery, RowPlace
from monitor.daemon.service import Service, set_up
from monitor.evaluate.drift import Evaluator
from monitor.rows.records import Partition
from monitor.state.store import Store
from monitor.windows.windows import ModelWindows
from tests.support.file_logs import BEGIN, file_config, plain_rows
from tests.support.logs import SILENT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from monitor.config.schema import Config

PART = Partition("t", 0)


@settings(max_examples=200)
@given(size=st.integers(1, 300), poison=st.sets(st.integers(0, 299), max_size=4), batch=st.integers(1, 300))
def test_exactly_the_rows_at_fault_are_set_aside(size: int, poison: set[int], batch: int) -> None:
    recovery, saved, counted = Recovery(), 0, []
    for _ in range(5_000):
        caution = recovery.caution
        stop = min(size, saved + (batch if caution.limit is None else caution.limit))
        left_out = {place.offset for place in (*caution.aside, caution.trial) if place is not None}
        rows = [row for row in range(saved, stop) if row not in left_out]
        attempt = Attempt(stop - saved, RowPlace(PART, stop - 1, 0) if stop > saved else None)
        if poison & set(rows):
            assert recovery.failed(attempt)
            continue
        if caution.trial is None:
            saved, counted = stop, counted + rows
        recovery.succeeded(attempt)
        if saved == size:
            break
    assert counted == [row for row in range(size) if row not in poison]


def test_a_failure_without_any_row_stops_the_process() -> None:
    recovery = Recovery()
    assert recovery.failed(Attempt(0, None))
    assert not recovery.failed(Attempt(0, None))


def test_a_failure_that_comes_with_time_and_not_with_the_row_sets_nothing_aside() -> None:
    recovery = Recovery()
    row = Attempt(1, RowPlace(PART, 7, 0))
    assert recovery.failed(row)
    assert recovery.failed(row)
    assert recovery.caution.trial == row.last
    assert not recovery.failed(row)
    assert not recovery.caution.aside


def service(config: Config) -> Service:
    return set_up(config, clock=system_clock(), environment={}, log=SILENT)


def run_to_the_end(running: Service) -> None:
    for _ in range(3_000):
        running.turn()
        if running.daemon.finished:
            return
    raise AssertionError("the replay does not end")


def fail_on(values: set[float]) -> Callable[..., None]:
    """Counts rows as ever, but fails on some; they are told by their value in reference standard deviations."""
    count = ModelWindows.add

    def add(self: ModelWindows, rows: Any, *others: Any) -> None:
        scale = (1_000.0 + np.array(sorted(values))) if values else np.zeros(0)
        if len(rows.times) and np.isin(rows.times, BEGIN + scale * 10_000 - 1_000 * 10_000).any():
            raise ZeroDivisionError
        count(self, rows, *others)

    return add


@pytest.mark.parametrize("poison", [{0.0}, {250.0}, {17.0, 18.0, 399.0}])
def test_rows_that_fail_are_rejected_and_all_others_count_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, poison: set[float]
) -> None:
    config = file_config(tmp_path, plain_rows(400))
    monkeypatch.setattr(ModelWindows, "add", fail_on(poison))
    running = service(config)
    try:
        run_to_the_end(running)
        assert sum(running.daemon.snapshot.models[0].rows.values()) == 400 - len(poison)
        assert running.daemon.snapshot.process.failures >= 2
    finally:
        running.close()


def test_one_record_of_a_message_is_set_aside_and_not_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = plain_rows(120)
    config = file_config(tmp_path, [records[:40], records[40:80], records[80:]])
    monkeypatch.setattr(ModelWindows, "add", fail_on({63.0}))
    running = service(config)
    try:
        run_to_the_end(running)
        assert sum(running.daemon.snapshot.models[0].rows.values()) == 119
    finally:
        running.close()


def test_a_fault_of_judging_stops_with_a_retryable_error_and_changes_nothing_that_was_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = file_config(tmp_path, plain_rows(400))
    judge, calls = Evaluator.judge, []

    def fails_later(self: Any, *arguments: Any) -> Any:
        calls.append(1)
        if len(calls) > 3:
            raise ZeroDivisionError
        return judge(self, *arguments)

    monkeypatch.setattr("monitor.evaluate.drift.Evaluator.judge", fails_later)
    running = service(config)
    with pytest.raises(RetryableError, match="without any row: ZeroDivisionError"):
        run_to_the_end(running)
    running.abandon()
    monkeypatch.undo()
    running = service(config)
    try:
        run_to_the_end(running)
        # Nothing was set aside.
        assert sum(running.daemon.snapshot.models[0].rows.values()) == 400
        assert not any(running.daemon.snapshot.rejects.values())
    finally:
        running.close()


def test_half_a_step_is_never_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An alert fires, and its notification cannot be rendered: it must not be saved as firing."""
    config = file_config(tmp_path, plain_rows(400))
    monkeypatch.setattr("monitor.alerting.alerting.plan", lambda *_: (_ for _ in ()).throw(ZeroDivisionError()))
    running = service(config)
    with pytest.raises(RetryableError):
        run_to_the_end(running)
    running.abandon()
    store = Store(config.state.dir, SILENT)
    try:
        documents = store.load("test").documents
    finally:
        store.close()
    assert msgspec.msgpack.decode(documents["alerts"]) == []
    monkeypatch.undo()
    running = service(config)
    try:
        run_to_the_end(running)
        assert sum(running.daemon.snapshot.alerts.values()) > 0
        assert sum(running.daemon.snapshot.notifications.values()) > 0
    finally:
        running.close()
