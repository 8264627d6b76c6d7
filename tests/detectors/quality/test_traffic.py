"""Traffic against its own week: false alarms, power, what an outage teaches, and silence."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.quality.traffic import KEEP, TrafficState, judge_traffic, learn, start

ALPHA = 1e-5
WEEK = 168


def usual(hour: np.ndarray) -> np.ndarray:
    """A daily cycle, weekends at half."""
    day = hour // 24 % 7
    return (1_000 + 800 * np.sin(2 * np.pi * hour / 24)) * np.where(day >= 5, 0.5, 1.0)


def drawn(weeks: int, generator: np.random.Generator, spread: float = 1.0) -> np.ndarray:
    """Rows of each hour; ``spread`` is variance over mean."""
    mean = usual(np.arange(weeks * WEEK))
    if spread == 1.0:
        return generator.poisson(mean)
    return generator.negative_binomial(mean / (spread - 1), 1 / spread)


def learned(rows: np.ndarray, alpha: float = ALPHA) -> TrafficState:
    state = start(WEEK, 24)
    for hour, count in enumerate(rows.tolist()):
        state = learn(state, hour % WEEK, count, alpha)
    return state


def follow(state: TrafficState, rows: np.ndarray, alpha: float, least: float) -> list[str]:
    found = []
    for hour, count in enumerate(rows.tolist()):
        found.append(judge_traffic(state, hour % WEEK, count, alpha, least).status)
        state = learn(state, hour % WEEK, count, alpha)
    return found


@pytest.mark.long
@pytest.mark.parametrize("spread", [1.0, 6.0])
def test_usual_weeks_raise_no_more_alarms_than_stated(spread: float) -> None:
    """Without the demand for a halving (``min_change`` 1): the interval alone, at an α that twenty weeks can show."""
    alpha, generator = 0.005, np.random.default_rng(1)
    flagged = total = 0
    for _ in range(6):
        rows = drawn(26, generator, spread)
        found = follow(learned(rows[: 8 * WEEK], alpha), rows[8 * WEEK :], alpha, 1.0)
        flagged, total = flagged + found.count("breached"), total + len(found)
    # Both sides; the past that it rests on is shared by many hours.
    assert flagged / total <= 2 * alpha * 1.3
    # Between an hour's neighbours it is wider than it need be, but an interval that never fires proves nothing.
    assert flagged > 0


def test_defaults_stay_silent_for_half_a_year() -> None:
    rows = drawn(34, np.random.default_rng(2), 6.0)
    assert "breached" not in follow(learned(rows[: 8 * WEEK]), rows[8 * WEEK :], ALPHA, 0.5)


def test_a_drop_to_a_third_a_flood_and_silence_are_found_at_once() -> None:
    state = learned(drawn(8, np.random.default_rng(3), 6.0))
    for hour in range(WEEK):
        near = usual(np.array([hour - 1, hour, hour + 1]) % WEEK)
        if near.min() < 800:
            continue
        assert judge_traffic(state, hour, round(near.min() / 3), ALPHA).status == "breached"
        assert judge_traffic(state, hour, round(near.max() * 3), ALPHA).status == "breached"
        silent = judge_traffic(state, hour, 0, ALPHA)
        assert silent.status == "breached"
        assert silent.detail.startswith("no predictions arrived; ")


def test_weekends_are_no_drop() -> None:
    state = learned(drawn(8, np.random.default_rng(4)))
    quiet = judge_traffic(state, 6 * 24 + 6, 900, ALPHA)
    assert quiet.status == "ok"
    assert quiet.expected == pytest.approx(900, rel=0.1)
    busy = judge_traffic(state, 2 * 24 + 6, 500, ALPHA)
    assert busy.status == "breached"
    assert busy.expected == pytest.approx(1_800, rel=0.1)


@pytest.mark.parametrize("shift", [-1, 1])
def test_people_whose_clocks_go_forward_or_back_alarm_nobody(shift: int) -> None:
    """Office hours: nothing at night, all of it within an hour of eight in the morning."""
    generator = np.random.default_rng(9)

    def office(hours: np.ndarray) -> np.ndarray:
        at = hours % 24
        return generator.poisson(np.where((at >= 8) & (at < 18), 2_000.0, 20.0))

    state = learned(office(np.arange(8 * WEEK)))
    assert "breached" not in follow(state, office(np.arange(6 * WEEK) + shift), ALPHA, 0.5)
    assert judge_traffic(state, 24 + 10, 0, ALPHA).status == "breached"
    assert judge_traffic(state, 24 + 2, 2_000, ALPHA).status == "breached"


def test_the_first_days_are_learned_by_the_hour_of_the_day() -> None:
    rows = drawn(1, np.random.default_rng(5))
    assert judge_traffic(learned(rows[: 2 * 24]), 2 * 24 + 6, 0, ALPHA).status == "insufficient"
    assert judge_traffic(learned(rows[: 5 * 24]), 4 * 24 + 6, 0, ALPHA).status == "breached"


def test_an_outage_does_not_become_the_norm() -> None:
    rows = drawn(10, np.random.default_rng(6), 6.0)
    state = learned(rows[: 8 * WEEK])
    before = judge_traffic(state, 30, 0, ALPHA)
    for hour in range(WEEK):
        state = learn(state, hour, 0, ALPHA)
    after = judge_traffic(state, 30, 0, ALPHA)
    assert before.status == after.status == "breached"
    assert after.expected > 0.8 * before.expected


def test_growth_is_learned() -> None:
    generator = np.random.default_rng(7)
    state = learned(drawn(8, generator, 6.0))
    for week in range(16):
        for hour, count in enumerate(drawn(1, generator, 6.0).tolist()):
            state = learn(state, hour, round(count * min(1 + 0.1 * week, 2)), ALPHA)
    doubled = judge_traffic(state, 30, 2 * float(usual(np.array([30]))[0]), ALPHA)
    assert doubled.status == "ok"
    assert doubled.ratio == pytest.approx(1, abs=0.25)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=30))
def test_what_is_expected_is_the_weighted_mean_of_the_slot(rows: list[int]) -> None:
    state, taken = start(1, 1), []
    for count in rows:
        judged = judge_traffic(state, 0, count, 1e-12)
        state = learn(state, 0, count, 1e-12)
        # At such an α everything is usual, and nothing is trimmed.
        assert judged.status in ("ok", "insufficient")
        taken.append(count)
    weights = KEEP ** np.arange(len(taken))[::-1]
    found = judge_traffic(state, 0, 1, ALPHA).expected
    if weights.sum() >= 2.4:
        assert found == pytest.approx(np.average(taken, weights=weights), rel=1e-9)


def test_traffic_that_has_become_restless_alarms_for_some_days_at_most() -> None:
    generator = np.random.default_rng(8)
    state = learned(drawn(8, generator))
    alarms = []
    for _ in range(3):
        rows = (drawn(1, generator) * np.where(generator.random(WEEK) < 0.5, 0.2, 1.8)).astype(int)
        alarms.append(follow(state, rows, ALPHA, 0.5).count("breached"))
        for hour, count in enumerate(rows.tolist()):
            state = learn(state, hour, count, ALPHA)
    assert 0 < alarms[0] <= 24
    assert alarms[1:] == [0, 0]
