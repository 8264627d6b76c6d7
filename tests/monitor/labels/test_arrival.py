"""Labels that come later than they used to, or no longer, are told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.bounds import binomial_bounds
from monitor.common.durations import DAY, HOUR
from monitor.labels.arrival import BINS, LEAST_DAYS, Delays, counted, in_words, median_seconds, share_finding
from monitor.labels.maturity import MatureWindow
from monitor.windows.geometry import Window
from tests.support.replays import Row, replay

if TYPE_CHECKING:
    from pathlib import Path

BEGIN = 20_000 * DAY
ALPHA = 1e-4


def due(day: int, at: int) -> MatureWindow:
    return MatureWindow(Window("1d", DAY, DAY), BEGIN + day * DAY, BEGIN + (day + 1) * DAY, BEGIN + at * DAY)


def panes(*labelled: int, rows: int = 1_000) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    starts = BEGIN + np.arange(len(labelled), dtype=np.int64) * DAY
    return starts, starts + DAY, np.full(len(labelled), rows, dtype=np.int64), np.array(labelled, dtype=np.int64)


def test_a_share_of_labels_is_held_against_what_was_settled_before() -> None:
    found = share_finding(1_000, 300, panes(900, 900, 900, 300), due(3, 9), 5 * DAY, 100, ALPHA)
    lower, upper = binomial_bounds(np.array(300.0), np.array(1_000.0), ALPHA)
    assert (found.value, found.lower, found.upper) == pytest.approx((0.3, float(lower), float(upper)))
    assert found.status == "breached"
    assert found.reference == pytest.approx(0.9)
    assert found.threshold == pytest.approx(0.45)
    assert found.detail == "30.0% of the predictions have a label; 90.0% is usual"


def test_a_share_that_chance_can_explain_is_no_breach() -> None:
    found = share_finding(100, 40, panes(900, 900, 900), due(3, 9), 5 * DAY, 100, ALPHA)
    assert found.upper > found.threshold
    assert found.status == "ok"


def test_what_is_not_settled_does_not_tell_what_is_usual() -> None:
    # Of the three days before the window, labels of the last two may still come.
    found = share_finding(1_000, 300, panes(900, 10, 10), due(3, 6), 5 * DAY, 100, ALPHA)
    assert found.reference == pytest.approx(0.9)
    assert share_finding(1_000, 300, panes(900), due(3, 5), 5 * DAY, 100, ALPHA).status == "insufficient"


def test_without_history_or_rows_nothing_is_said() -> None:
    assert share_finding(1_000, 0, panes(), due(3, 9), DAY, 100, ALPHA).status == "insufficient"
    assert share_finding(50, 0, panes(900, 900), due(3, 9), DAY, 100, ALPHA).status == "insufficient"


def test_labels_that_never_came_are_no_news() -> None:
    assert share_finding(1_000, 0, panes(0, 0, 0), due(3, 9), DAY, 100, ALPHA).status == "ok"


def delays(*hours: float, rows: int = 200) -> Delays:
    """Labels of so many hours' delay, one number a day."""
    found = Delays()
    for day, taken in enumerate(hours):
        times = BEGIN + np.full(rows, day, dtype=np.int64) * DAY
        found.take(times, np.full(rows, int(taken * HOUR), dtype=np.int64))
    return found


def test_labels_twice_as_late_as_on_any_day_before_are_told() -> None:
    usual = [1.0, 6.0] * 5
    found = delays(*usual, 24.0).finding(BEGIN + 11 * DAY, 100)
    assert found.status == "breached"
    assert found.value == pytest.approx(24 * 3600, rel=0.42)
    assert "was the longest of the days before" in found.detail
    assert delays(*usual, 7.0).finding(BEGIN + 11 * DAY, 100).status == "ok"


def test_a_day_speaks_once_it_is_over() -> None:
    found = delays(*[1.0] * 10, 24.0)
    assert found.finding(BEGIN + 10 * DAY + HOUR, 100).status == "ok"
    assert found.finding(BEGIN + 11 * DAY, 100).status == "breached"


def test_days_with_few_labels_and_short_histories_say_nothing() -> None:
    assert delays(*[1.0] * LEAST_DAYS).finding(BEGIN + 99 * DAY, 100).status == "insufficient"
    assert delays(*[1.0] * 20, rows=99).finding(BEGIN + 99 * DAY, 100).status == "insufficient"
    assert Delays().finding(BEGIN, 100).status == "insufficient"


def test_what_is_known_of_delays_survives_a_restart_and_is_forgotten_after_sixty_days() -> None:
    before = delays(*[1.0] * 70, 24.0)
    after = Delays()
    after.restore(before.document())
    assert after.finding(BEGIN + 71 * DAY, 100) == before.finding(BEGIN + 71 * DAY, 100)
    assert min(before.document()) == BEGIN // DAY + 70 - 60


@given(st.lists(st.integers(1, 6 * 10**10), min_size=1, max_size=200))
def test_a_median_is_off_by_no_more_than_half_an_octave(values: list[int]) -> None:
    exact = np.sort(values)[(len(values) - 1) // 2] / 1000
    assert exact / 1.42 <= median_seconds(counted(np.array(values, dtype=np.int64))) <= exact * 1.42


def test_delays_of_disagreeing_clocks_count_as_none() -> None:
    assert counted(np.array([-5, 0, 1])).tolist() == [3, *[0] * (BINS - 1)]


def test_delays_read_well() -> None:
    assert [in_words(seconds) for seconds in (45, 720, 19_800, 2_592_000)] == ["45 s", "12 min", "5.5 h", "30 d"]


def arrivals(folder: Path, share_of_day: list[float], hours_of_day: list[float]) -> list[Row]:
    """Findings on labels of every judged day; so large a share of each day's predictions gets a label, so late."""
    dice = np.random.default_rng(1)
    predictions, labels, reference = [], [], []
    for day, (share, hours) in enumerate(zip(share_of_day, hours_of_day, strict=True)):
        for row in range(400):
            time, truth = BEGIN + day * DAY + row * DAY // 400, int(dice.random() < 0.5)
            score = float(np.clip(dice.normal(0.35 + 0.3 * truth, 0.2), 0, 1))
            record = {"id": f"{day}-{row}", "t": time, "x": float(dice.normal()), "p": int(score > 0.5)}
            predictions.append((time, record))
            reference.append({**record, "y": truth})
            if dice.random() < share:
                known = time + int(hours * HOUR)
                labels.append((known, {"id": record["id"], "t": known, "y": truth}))
    log, truths = ([row for _, row in sorted(rows, key=lambda timed: timed[0])] for rows in (predictions, labels))
    columns = {"timestamp": "t", "id": "id", "prediction": "p", "label": "y", "features": ["x"]}
    options = {"windows": ["1d"], "pane": "1h", "columns": columns, "labels": {"max_delay": "3d"}}
    return replay(folder, log, reference, truths, **options)


def test_labels_that_stop_alert_when_their_window_is_judged(tmp_path: Path) -> None:
    lines = arrivals(tmp_path, [0.9] * 10 + [0.1] * 4, [2.0] * 14)
    fired = [line for line in lines if line["type"] == "alert" and line["rule"] == "labels"]
    told = next(line for line in fired if line["state"] == "firing")
    assert "of the predictions have a label" in str(told["summary"])
    # Judged when labels are waited for no longer, not before.
    assert str(told["at"]) >= "2024-10-17"


def test_labels_that_come_later_than_ever_alert(tmp_path: Path) -> None:
    lines = arrivals(tmp_path, [0.9] * 16, [2.0] * 12 + [20.0] * 4)
    fired = [line for line in lines if line["type"] == "alert" and line["rule"] == "labels"]
    told = next(line for line in fired if line["state"] == "firing")
    assert "labels took" in str(told["summary"])


def test_labels_that_come_as_ever_alert_nobody(tmp_path: Path) -> None:
    lines = arrivals(tmp_path, [0.9, 0.8] * 7, [2.0, 3.0] * 7)
    told = [
        finding
        for line in lines
        if line["type"] == "evaluation"
        for finding in line["findings"]
        if finding["subject"] == "labels"
    ]
    assert {finding["statistic"] for finding in told} == {"share", "median_delay_seconds"}
    assert any(finding["status"] == "ok" for finding in told)
    assert not any(finding["status"] == "breached" for finding in told)
