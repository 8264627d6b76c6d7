"""From a budget of false alarms to the error probability of one decision."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.budget import alpha

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR

budgets = st.floats(0.01, 100)
few = st.integers(1, 200)
steps = st.lists(st.sampled_from([MINUTE, 5 * MINUTE, HOUR, DAY]), min_size=1, max_size=3).map(tuple)


def test_one_alarm_a_month_over_twenty_features_looked_at_hourly() -> None:
    # 720 hours, 20 features, 2 statistics judged of each.
    assert alpha(1, subjects=20, segments=1, steps_ms=(HOUR,)) == pytest.approx(1 / (720 * 20 * 2))


def test_a_single_feature_looked_at_daily() -> None:
    assert alpha(1, subjects=1, segments=1, steps_ms=(DAY,)) == pytest.approx(1 / 60)


def test_windows_of_several_lengths_add_their_looks() -> None:
    assert alpha(2, subjects=10, segments=3, steps_ms=(HOUR, DAY)) == pytest.approx(2 / (750 * 10 * 3 * 2))


def test_a_generous_budget_never_makes_a_decision_less_sure_than_1_in_20() -> None:
    assert alpha(1000, subjects=1, segments=1, steps_ms=(DAY,)) == 0.05


def test_a_step_of_a_year_still_counts_as_one_decision() -> None:
    assert alpha(0.01, subjects=1, segments=1, steps_ms=(365 * DAY,)) == pytest.approx(0.01)


@given(budgets, few, few, steps)
def test_all_decisions_together_never_spend_more_than_the_budget(
    budget: float, subjects: int, segments: int, every: tuple[int, ...]
) -> None:
    one = alpha(budget, subjects=subjects, segments=segments, steps_ms=every)
    decisions = sum(30 * DAY / step for step in every) * subjects * segments * 2
    assert 0 < one <= 0.05
    assert one * decisions <= budget * (1 + 1e-9)


@given(budgets, few, few, steps)
def test_more_subjects_segments_or_looks_ask_for_more_and_a_larger_budget_for_less(
    budget: float, subjects: int, segments: int, every: tuple[int, ...]
) -> None:
    one = alpha(budget, subjects=subjects, segments=segments, steps_ms=every)
    assert alpha(budget, subjects=subjects + 1, segments=segments, steps_ms=every) <= one
    assert alpha(budget, subjects=subjects, segments=segments + 1, steps_ms=every) <= one
    assert alpha(budget, subjects=subjects, segments=segments, steps_ms=(*every, HOUR)) <= one
    assert alpha(2 * budget, subjects=subjects, segments=segments, steps_ms=every) >= one
