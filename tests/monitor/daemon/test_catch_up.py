"""The rate of the last minute says when a backlog ends, and the log says so seldom."""

from __future__ import annotations

import io

import pytest

from monitor.daemon.catch_up import CatchUp
from tests.support.clock import FakeTime
from tests.support.logs import log_into


def test_the_remaining_time_follows_from_the_rate_of_the_last_minute() -> None:
    time, catch_up = FakeTime(now=0.0), CatchUp(log_into(io.StringIO()))

    def observe(counted: int, waiting: int) -> float | None:
        return catch_up.observe(time.clock(), busy=True, counted=counted, waiting=waiting, behind_ms=5).seconds

    assert observe(0, 1_000) is None  # no rate yet
    time.now = 10.0
    assert observe(500, 1_000) == pytest.approx(20.0)
    # An hour later the old samples are gone: nothing has been counted since.
    time.now = 3_600.0
    assert observe(500, 1_000) is None
    time.now = 3_610.0
    assert observe(600, 1_000) == pytest.approx(100.0)
    assert observe(600, 0) == 0.0


def test_a_backlog_is_reported_after_ten_seconds_then_each_minute_and_once_at_its_end() -> None:
    text = io.StringIO()
    time, catch_up = FakeTime(now=0.0), CatchUp(log_into(text))
    for second in range(130):
        time.now = float(second)
        progress = catch_up.observe(time.clock(), busy=True, counted=second, waiting=99, behind_ms=7_000)
        assert (progress.busy, progress.behind_ms, progress.waiting) == (True, 7_000, 99)
    assert text.getvalue().count("judging is behind") == 2  # at 10 and 70 seconds
    assert "messages=99" in text.getvalue()
    for _ in range(3):
        assert catch_up.observe(time.clock(), busy=False, counted=130, waiting=0, behind_ms=0).seconds == 0.0
    assert text.getvalue().count("judging has caught up") == 1


def test_a_short_backlog_is_not_reported() -> None:
    text = io.StringIO()
    time, catch_up = FakeTime(now=0.0), CatchUp(log_into(text))
    for second in range(40):
        time.now = float(second)
        catch_up.observe(time.clock(), busy=second % 9 != 0, counted=second, waiting=1, behind_ms=0)
    assert text.getvalue() == ""
