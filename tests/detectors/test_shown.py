"""Statistics shown on request: against independent implementations, and with bounds that hold what they say."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from scipy.stats.contingency import association

from detectors import effects
from detectors.judge import STATISTICS, Judgement, Settings, judge
from detectors.shown import OPTIONAL, quantile
from tests.detectors.samples import count, layout_of, reference_of, stack

ALL = tuple(OPTIONAL)
counts_strategy = arrays(np.int64, 8, elements=st.integers(0, 500)).filter(lambda found: found.sum() > 0)


def shares(found: np.ndarray) -> np.ndarray:
    return effects.shares(found.astype(np.float64))


@given(counts_strategy, counts_strategy)
def test_distances_of_shares_equal_their_definitions(one: np.ndarray, two: np.ndarray) -> None:
    p, q = shares(one), shares(two)
    assert effects.hellinger(p, q) == pytest.approx(np.linalg.norm(np.sqrt(p) - np.sqrt(q)) / np.sqrt(2), abs=1e-12)
    assert effects.total_variation(p, q) == pytest.approx(
        sum(max(a - b, 0) for a, b in zip(p, q, strict=True)), abs=1e-12
    )
    assert effects.l_infinity(p, q) == max(abs(a - b) for a, b in zip(p, q, strict=True))
    both = shares(one + 1), shares(two + 1)
    assert effects.kullback_leibler(*both) == pytest.approx(stats.entropy(*both), abs=1e-9)
    assert effects.kullback_leibler(*both) + effects.kullback_leibler(*both[::-1]) == pytest.approx(effects.psi(*both))
    points = np.arange(8) ** 1.5
    assert effects.energy(p, q, points) == pytest.approx(stats.energy_distance(points, points, p, q), abs=1e-9)
    table = np.stack([one, two])[:, (one + two) > 0]
    if table.shape[1] > 1:
        assert effects.cramers_v(one.astype(float), two.astype(float)) == pytest.approx(association(table), abs=1e-9)


@given(counts_strategy, counts_strategy)
def test_distances_keep_within_their_range_and_order(one: np.ndarray, two: np.ndarray) -> None:
    p, q = shares(one), shares(two)
    delta = effects.triangular(p, q)
    h, tv = effects.hellinger(p, q), effects.total_variation(p, q)
    assert delta / 8 - 1e-12 <= h**2 <= delta / 4 + 1e-12
    assert delta / 4 - 1e-12 <= tv <= np.sqrt(delta) / 2 + 1e-12
    assert effects.l_infinity(p, q) <= tv + 1e-12
    for effect in (effects.hellinger, effects.total_variation, effects.l_infinity):
        assert 0 <= effect(p, q) <= 1 + 1e-12
        assert effect(p, q) == pytest.approx(effect(q, p))
        assert effect(p, p) == 0


def test_known_answers() -> None:
    p, q = np.array([0.5, 0.5, 0.0]), np.array([0.0, 0.5, 0.5])
    assert effects.hellinger(p, q) == pytest.approx(np.sqrt(0.5))
    assert effects.total_variation(p, q) == 0.5
    assert effects.l_infinity(p, q) == 0.5
    assert effects.kullback_leibler(np.array([0.5, 0.5]), np.array([0.25, 0.75])) == pytest.approx(
        0.5 * np.log(2) + 0.5 * np.log(2 / 3)
    )
    assert effects.energy(np.array([1.0, 0.0]), np.array([0.0, 1.0]), np.array([0.0, 3.0])) == pytest.approx(np.sqrt(6))
    assert effects.cramers_v(np.array([10.0, 0.0]), np.array([0.0, 10.0])) == 1.0


def test_quantiles_spread_mass_within_a_column() -> None:
    sides = np.array([[[-1.0, 0.0], [0.0, 1.0], [1.0, 3.0]]])
    held = np.array([[0.0, 0.5, 0.5]])
    for rank, expected in ((0.25, 0.5), (0.5, 1.0), (0.75, 2.0), (1.0, 3.0)):
        assert quantile(held, sides, np.array([rank]))[0] == pytest.approx(expected)
    assert np.isnan(quantile(np.array([[np.nan] * 3]), sides, np.array([0.5])))[0]


def judged(shift: float, spread: float, rows: int, many: int, seed: int, alpha: float = 0.05) -> Judgement:
    """One normal feature, and one category of which some mass moves."""
    dice = np.random.default_rng(seed)
    columns = {"feature:x": dice.normal(size=20_000), "feature:c": dice.choice(6, 20_000)}
    reference = reference_of(columns)
    moved = np.full(6, 1 / 6) + np.array([shift, 0, 0, 0, 0, -shift]) / 10
    live = [
        count(
            reference.layout,
            {"feature:x": dice.normal(shift, spread, rows), "feature:c": dice.choice(6, rows, p=moved)},
        )
        for _ in range(many)
    ]
    return judge(reference, stack(live), Settings(alpha=alpha, shown=ALL))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    ("shift", "spread", "rows"), [(0.0, 1.0, 200), (0.4, 1.0, 2_000), (0.0, 1.4, 2_000), (1.5, 1.0, 500)]
)
def test_an_estimate_lies_between_its_bounds(name: str, shift: float, spread: float, rows: int) -> None:
    found = judged(shift, spread, rows, 5, seed=3)
    place = len(STATISTICS) + ALL.index(name)
    value, low, high, debiased = (part[:, place] for part in (found.value, found.lower, found.upper, found.debiased))
    shown = np.isfinite(value)
    assert shown[:, 0].all()
    assert (low[shown] <= value[shown] + 1e-9).all()
    known = shown & np.isfinite(high)
    assert (value[known] <= high[known] + 1e-9).all()
    assert (np.abs(debiased[shown]) <= np.abs(value[shown]) + 1e-9).all()
    assert np.isnan(found.threshold[place])


@pytest.mark.parametrize(
    ("name", "truth"),
    [
        ("mean_shift", 0.4), ("median_shift", 0.4),
        # Two normal distributions that are .4 apart: closed forms.
        ("hellinger", np.sqrt(1 - np.exp(-(0.4**2) / 8))),
        ("total_variation", 2 * stats.norm.cdf(0.2) - 1),
        ("kullback_leibler", 0.4**2 / 2),
    ],
)  # fmt: skip
def test_bounds_enclose_the_truth_as_often_as_they_say(name: str, truth: float) -> None:
    found = judged(0.4, 1.0, 1_000, 120, seed=11)
    place = len(STATISTICS) + ALL.index(name)
    # Each side errs in at most one of twenty windows, and by chance in a few more.
    assert (found.lower[:, place, 0] > truth).mean() <= 0.11
    assert (found.upper[:, place, 0] < truth).mean() <= 0.11


def test_binned_shifts_are_near_those_of_the_rows() -> None:
    dice = np.random.default_rng(5)
    held, live = dice.normal(size=20_000), dice.normal(0.7, 1.2, 5_000)
    reference = reference_of({"feature:x": held})
    found = judge(reference, count(reference.layout, {"feature:x": live}), Settings(shown=ALL))
    by_name = dict(zip((*STATISTICS, *ALL), found.value[:, 0], strict=True))
    assert by_name["mean_shift"] == pytest.approx((live.mean() - held.mean()) / held.std(), abs=1e-9)
    assert by_name["median_shift"] == pytest.approx((np.median(live) - np.median(held)) / held.std(), abs=0.02)
    assert by_name["energy"] == pytest.approx(stats.energy_distance(live / held.std(), held / held.std()), rel=0.05)


def test_categories_have_no_shift_and_odd_windows_no_noise() -> None:
    dice = np.random.default_rng(5)
    columns = {"feature:c": dice.choice(6, 5_000), "feature:k": np.ones(5_000), "feature:x": dice.normal(size=5_000)}
    reference = reference_of(columns)
    layout = layout_of(columns)
    empty = count(layout, {name: values[:0] for name, values in columns.items()})
    gone = count(
        layout, {"feature:c": columns["feature:c"], "feature:k": np.full(50, 7.0), "feature:x": np.full(50, np.nan)}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = judge(reference, stack([empty, gone]), Settings(shown=ALL))
    for name in ("mean_shift", "median_shift", "energy"):
        place = len(STATISTICS) + ALL.index(name)
        assert np.isnan(found.value[:, place, 0]).all()
        assert np.isnan(found.value[1, place, 2])


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 2_000), st.floats(-3, 3))
def test_many_windows_are_shown_as_each_by_itself(rows: int, shift: float) -> None:
    dice = np.random.default_rng(1)
    reference = reference_of({"feature:x": dice.normal(size=3_000)})
    live = [count(reference.layout, {"feature:x": dice.normal(shift, 1, size)}) for size in (rows, 7)]
    together = judge(reference, stack(live), Settings(shown=ALL))
    for place, window in enumerate(live):
        alone = judge(reference, window, Settings(shown=ALL))
        for one, other in ((together.value[place], alone.value), (together.upper[place], alone.upper)):
            assert np.allclose(one, other, equal_nan=True)
