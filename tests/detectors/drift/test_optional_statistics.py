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

from detectors.drift import effects
from detectors.drift.judge import STATISTICS, Judgement, Settings, judge
from detectors.drift.optional_statistics import OPTIONAL, quantile
from tests.support.counts import count, layout_of, own_edges, reference_of, stack

ALL = tuple(OPTIONAL)
RANKS = {"q05_shift": 0.05, "q25_shift": 0.25, "median_shift": 0.5, "q75_shift": 0.75, "q95_shift": 0.95}
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
    held, middles = np.array([[0.0, 0.5, 0.5]]), np.array([[-0.5, 0.5, 2.0]])
    for rank, expected in ((0.25, 0.5), (0.5, 1.0), (0.75, 2.0), (1.0, 3.0)):
        assert quantile(held, sides, middles, np.array([rank]))[0] == pytest.approx(expected)
    assert np.isnan(quantile(np.array([[np.nan] * 3]), sides, middles, np.array([0.5])))[0]


@given(st.floats(0.001, 0.999))
def test_quantiles_within_a_column_have_the_mean_of_its_rows(mean: float) -> None:
    ranks = (np.arange(20_000) + 0.5) / 20_000
    columns = np.broadcast_to(np.array([[0.0, 1.0]]), (len(ranks), 1, 2))
    found = quantile(np.ones((len(ranks), 1)), columns, np.full((len(ranks), 1), mean), ranks)
    assert found.mean() == pytest.approx(mean, abs=2e-3)
    assert (np.diff(found) >= 0).all()
    assert ((found >= 0) & (found <= 1)).all()


def test_equal_rows_in_a_column_are_their_value_and_rows_of_a_tail_lie_near_its_root() -> None:
    half = np.array([0.5])
    assert quantile(np.ones((1, 1)), np.array([[[2.0, 3.0]]]), np.array([[2.0]]), half)[0] == 2.0
    assert quantile(np.ones((1, 1)), np.array([[[2.0, 3.0]]]), np.array([[3.0]]), half)[0] == 3.0
    root = stats.norm.ppf(63 / 64)
    mean = stats.norm.expect(lambda x: x * 64, lb=root, ub=np.inf)
    median = quantile(np.ones((1, 1)), np.array([[[root, 4.0]]]), np.array([[mean]]), half)[0]
    assert median == pytest.approx(stats.norm.ppf(127 / 128), abs=0.05)


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


@pytest.mark.parametrize("name", RANKS)
@pytest.mark.parametrize(("rows", "alpha"), [(1_000, 0.05), (200, 0.05), (1_000, 0.005)])
def test_bounds_of_quantile_shifts_enclose_the_truth_as_often_as_they_say(name: str, rows: int, alpha: float) -> None:
    found = judged(0.4, 1.3, rows, 300, seed=17, alpha=alpha)
    place = len(STATISTICS) + ALL.index(name)
    truth = 0.4 + 0.3 * stats.norm.ppf(RANKS[name])
    most = stats.binom.ppf(0.999, 300, alpha)
    assert (found.lower[:, place, 0] > truth).sum() <= most
    assert (found.upper[:, place, 0] < truth).sum() <= most


def test_a_quantile_beyond_which_no_row_need_lie_has_no_bound_on_that_side() -> None:
    found = judged(0.0, 1.0, 100, 3, seed=19, alpha=1e-6)
    lower, upper = (dict(zip(ALL, part[:, len(STATISTICS) :, 0].T, strict=True)) for part in (found.lower, found.upper))
    assert np.isnan(lower["q05_shift"]).all()
    assert np.isfinite(upper["q05_shift"]).all()
    assert np.isnan(upper["q95_shift"]).all()
    assert np.isfinite(lower["q95_shift"]).all()
    assert np.isfinite([lower["median_shift"], upper["median_shift"]]).all()


def column_width(edges: np.ndarray, values: np.ndarray, value: float) -> float:
    """Of the bin that a value lies in; beyond the edges a column reaches to the farthest value seen."""
    if value < edges[0]:
        return float(edges[0] - values.min())
    if value > edges[-1]:
        return float(values.max() - edges[-1])
    place = min(int(np.searchsorted(edges, value, side="right")) - 1, len(edges) - 2)
    return float(edges[place + 1] - edges[place])


POPULATIONS = {
    "normal": lambda dice, rows, moved: dice.normal(moved, 1 + moved, rows),
    "lognormal": lambda dice, rows, moved: np.exp(dice.normal(moved, 1.2, rows)),
    "few whole numbers": lambda dice, rows, moved: dice.poisson(3 + moved, rows).astype(float),
    "mostly zero": lambda dice, rows, moved: np.where(dice.random(rows) < 0.6, 0.0, dice.exponential(1 + moved, rows)),
}


@pytest.mark.parametrize("kind", POPULATIONS)
@pytest.mark.parametrize("moved", [0.0, 0.3, 3.0])
@pytest.mark.parametrize("rows", [7, 5_000])
def test_binned_quantile_shifts_lie_within_a_bin_of_those_of_the_rows(kind: str, moved: float, rows: int) -> None:
    dice = np.random.default_rng([len(kind), rows])
    held, live = POPULATIONS[kind](dice, 4_000, 0.0), POPULATIONS[kind](dice, rows, moved)
    reference = reference_of({"feature:x": held})
    found = judge(reference, count(reference.layout, {"feature:x": live}), Settings(shown=tuple(RANKS)))
    edges = own_edges(reference.layout, 0)
    one, two = ((values - held.mean()) / held.std() for values in (live, held))
    for place, rank in enumerate(RANKS.values(), start=len(STATISTICS)):
        exact = [float(np.quantile(values, rank, method="inverted_cdf")) for values in (one, two)]
        room = sum(column_width(edges, values, value) for values, value in zip((one, two), exact, strict=True))
        assert found.value[place, 0] == pytest.approx(exact[0] - exact[1], abs=room + 1e-9)


def test_binned_shifts_are_near_those_of_the_rows() -> None:
    dice = np.random.default_rng(5)
    held, live = dice.normal(size=20_000), dice.normal(0.7, 1.2, 5_000)
    reference = reference_of({"feature:x": held})
    found = judge(reference, count(reference.layout, {"feature:x": live}), Settings(shown=ALL))
    by_name = dict(zip((*STATISTICS, *ALL), found.value[:, 0], strict=True))
    assert by_name["mean_shift"] == pytest.approx((live.mean() - held.mean()) / held.std(), abs=1e-9)
    assert by_name["median_shift"] == pytest.approx((np.median(live) - np.median(held)) / held.std(), abs=0.02)
    for name, rank in RANKS.items():
        exact = (np.quantile(live, rank) - np.quantile(held, rank)) / held.std()
        # The last column is two standard deviations wide, and a wider window fills it otherwise than the reference.
        assert by_name[name] == pytest.approx(exact, abs=0.2 if name == "q95_shift" else 0.05)
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
    for name in ("mean_shift", *RANKS, "energy"):
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
