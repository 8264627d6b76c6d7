"""Seasonal references: slots by the calendar, mixtures by their definition, and a daily cycle that is no drift."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.drift.judge import DRIFTED, Settings, judge
from detectors.drift.reference import Reference, independent_rows, prepare
from detectors.drift.seasons import MOST_UNKNOWN, mixed, slot_rows, slots_of
from detectors.layout import Counts, Layout
from tests.support.counts import count, layout_of, stack

HOUR = 3_600_000
Columns = dict[str, np.ndarray]


@given(st.integers(0, 2**41))
def test_slots_are_hours_of_the_calendar(time: int) -> None:
    when = datetime.fromtimestamp(time / 1000, UTC)
    assert slots_of(np.array([time]), "hour_of_day")[0] == when.hour
    assert slots_of(np.array([time]), "hour_of_week")[0] == when.weekday() * 24 + when.hour


def test_panes_of_several_hours_are_spread_over_them() -> None:
    monday = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp() * 1000)
    day = slot_rows(np.array([monday]), np.array([240]), 24 * HOUR, "hour_of_week")
    np.testing.assert_allclose(day[:24], 10)
    assert day.sum() == 240
    minutes = slot_rows(monday + np.arange(120) * 60_000, np.ones(120, dtype=np.int64), 60_000, "hour_of_day")
    assert minutes[:3].tolist() == [60, 60, 0]
    late = slot_rows(np.array([monday + 22 * HOUR]), np.array([40]), 4 * HOUR, "hour_of_day")
    assert late.nonzero()[0].tolist() == [0, 1, 22, 23]


def by_hour(rows: int, generator: np.random.Generator, hours: np.ndarray) -> tuple[Columns, np.ndarray]:
    """A feature that runs with the hour of the day."""
    at = generator.choice(hours, rows)
    return {"feature:x": generator.normal(3 * np.sin(2 * np.pi * at / 24), 1, rows)}, at


def slots_and_layout(generator: np.random.Generator, rows: int = 48_000) -> tuple[Counts, Layout]:
    columns, at = by_hour(rows, generator, np.arange(24))
    layout = layout_of(columns)
    slots = stack([count(layout, {"feature:x": columns["feature:x"][at == hour]}) for hour in range(24)])
    return slots, layout


def test_a_mixture_is_the_weighted_sum_of_its_slots() -> None:
    slots, _ = slots_and_layout(np.random.default_rng(1))
    weights = np.random.default_rng(2).integers(0, 100, 24).astype(float)
    found = mixed(slots, weights)
    assert found is not None
    shares = slots.bins / slots.rows[:, None, None]
    expected = np.tensordot(weights / weights.sum(), shares, axes=1)
    np.testing.assert_allclose(found.bins / found.rows, expected, atol=1 / int(found.rows))
    means = slots.moments[:, 0, 0] / slots.rows
    assert found.moments[0, 0] / found.rows == pytest.approx(np.average(means, weights=weights), abs=1e-4)


def test_as_many_rows_as_tell_as_much() -> None:
    slots, _ = slots_and_layout(np.random.default_rng(3))
    # All slots in their own proportions: nothing is lost. One slot: only its own rows count.
    whole = mixed(slots, slots.rows.astype(float))
    assert whole is not None
    assert int(whole.rows) == int(slots.rows.sum())
    np.testing.assert_array_equal(whole.bins, slots.bins.sum(axis=0))
    one = np.zeros(24)
    one[5] = 77
    alone = mixed(slots, one)
    assert alone is not None
    np.testing.assert_array_equal(alone.bins, slots.bins[5])


def test_hours_that_the_reference_never_saw_are_not_judged() -> None:
    slots, _ = slots_and_layout(np.random.default_rng(4))
    slots.rows[3] = 0
    rows = np.zeros(24)
    rows[3], rows[4] = 100 * MOST_UNKNOWN * 0.99, 100 * (1 - MOST_UNKNOWN * 0.99)
    assert mixed(slots, rows) is not None
    rows[3], rows[4] = 6, 94
    assert mixed(slots, rows) is None
    assert mixed(slots, np.zeros(24)) is None


def judged(reference: Reference, columns: dict[str, np.ndarray]) -> bool:
    found = judge(reference, count(reference.layout, columns), Settings(alpha=0.01, min_effect=0.0))
    return bool((found.status == DRIFTED).any())


@pytest.mark.long
def test_a_daily_cycle_is_drift_to_a_static_reference_and_none_to_a_seasonal_one() -> None:
    generator = np.random.default_rng(5)
    static = seasonal = moved = 0
    runs = 150
    for _ in range(runs):
        slots, layout = slots_and_layout(generator, 24_000)
        hours = (generator.integers(24) + np.arange(6)) % 24
        window, at = by_hour(2_000, generator, hours)
        whole = mixed(slots, slots.rows.astype(float))
        own = mixed(slots, np.bincount(at, minlength=24).astype(float))
        assert whole is not None
        assert own is not None
        static += judged(prepare(layout, whole, independent_rows(1)), window)
        reference = prepare(layout, own, independent_rows(1))
        seasonal += judged(reference, window)
        moved += judged(reference, {"feature:x": window["feature:x"] + 0.3})
    assert static == runs
    # α is .01; a binomial count above six has probability .001.
    assert seasonal <= 6
    assert moved >= 0.95 * runs
