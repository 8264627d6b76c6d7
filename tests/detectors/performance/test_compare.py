import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.performance.binary import Binary
from detectors.performance.compare import HIGHER_IS_BETTER, difference, higher_is_better, quotient, worst
from detectors.performance.estimate import Estimate, normal, wilson
from detectors.performance.fairness import fairness
from detectors.performance.multiclass import Multiclass
from detectors.performance.ranking import Ranking
from detectors.performance.regression import Regression


def estimate(value, lower, upper):
    return Estimate(*(np.asarray(part, dtype=float) for part in (value, lower, upper)))


def shares(rng, rows, rate, repeats):
    return wilson(rng.binomial(rows, rate, repeats).astype(float), np.full(repeats, float(rows)), 0.05)


def test_differences_of_shares_are_newcombes():
    # Newcombe (1998), table II, method 10: 56/70 − 48/80 and 9/10 − 3/10.
    a = wilson(np.array([56.0, 9.0]), np.array([70.0, 10.0]), 0.05)
    b = wilson(np.array([48.0, 3.0]), np.array([80.0, 10.0]), 0.05)
    found = difference(a, b)
    np.testing.assert_allclose(found.value, [0.2, 0.6])
    np.testing.assert_allclose(found.lower, [0.0524, 0.1705], atol=5e-5)
    np.testing.assert_allclose(found.upper, [0.3339, 0.8090], atol=5e-5)


def test_differences_of_normal_means_have_the_normal_interval():
    a, b = (normal(np.array(value), np.array(variance), 0.05) for value, variance in ((3.0, 0.04), (1.0, 0.09)))
    found = difference(a, b)
    half = 1.959963984540054 * math.sqrt(0.13)
    assert (found.lower, found.upper) == (pytest.approx(2 - half), pytest.approx(2 + half))


limits = st.floats(-1e6, 1e6) | st.just(math.nan)


@given(*[st.tuples(limits, st.floats(0, 1e6) | st.just(math.inf), st.floats(0, 1e6) | st.just(math.nan))] * 2)
@settings(max_examples=200, deadline=None)
def test_differences_turn_with_their_sides(first, second):
    a, b = (estimate(value, value - below, value + above) for value, below, above in (first, second))
    there, back = difference(a, b), difference(b, a)
    np.testing.assert_array_equal(there.value, -back.value)
    np.testing.assert_array_equal(there.lower, -back.upper)
    for end, parts in ((there.lower, (a.lower, b.upper)), (there.upper, (a.upper, b.lower))):
        assert np.isnan(end) == any(np.isnan(part) for part in (a.value, b.value, *parts))
    if not np.isnan(there.lower):
        assert there.lower <= there.value


def test_an_infinite_end_beside_nan_is_nan():
    assert np.isnan(difference(estimate(1, -np.inf, 2), estimate(1, np.nan, np.nan)).lower)
    assert difference(estimate(1, -np.inf, 2), estimate(1, 0, 2)).lower == -np.inf


def test_shapes_broadcast():
    found = difference(estimate(np.ones((3, 1)), np.zeros((3, 1)), np.ones((3, 1))), estimate([1, 2], [0, 1], [2, 3]))
    assert found.value.shape == found.lower.shape == found.upper.shape == (3, 2)


CASES = [(50, 0.3, 80, 0.1), (200, 0.9, 100, 0.85), (30, 0.5, 30, 0.5), (1000, 0.2, 300, 0.3), (2000, 0.02, 500, 0.03)]


@pytest.mark.parametrize(("n", "p", "m", "q"), CASES)
def test_intervals_of_differences_of_shares_cover_the_truth(n, p, m, q):
    rng = np.random.default_rng(29)
    found = difference(shares(rng, n, p, 20_000), shares(rng, m, q, 20_000))
    missed = np.mean(found.lower > p - q), np.mean(found.upper < p - q)
    assert 0.94 <= 1 - sum(missed) <= 0.965
    assert max(missed) <= 0.032


@pytest.mark.parametrize(("n", "p", "m", "q"), CASES)
def test_intervals_of_quotients_of_shares_cover_the_truth(n, p, m, q):
    rng = np.random.default_rng(31)
    found = quotient(shares(rng, n, p, 20_000), shares(rng, m, q, 20_000))
    held = ~np.isnan(found.value)
    assert held.mean() > 0.99
    assert 0.94 <= np.mean((found.lower <= p / q) & (p / q <= found.upper), where=held) <= 0.965


def test_quotients_are_undefined_over_nothing_and_open_above_next_to_it():
    a, b = (
        wilson(np.array([5.0, 0.0, 5.0]), np.array([10.0] * 3), 0.05),
        wilson(np.array([0.0, 5.0, 5.0]), np.array([10.0] * 3), 0.05),
    )
    found = quotient(a, b)
    assert np.isnan(np.stack(found)[:, 0]).all()
    assert found.value[1] == found.lower[1] == 0
    assert 0 < found.upper[1] < 1
    assert found.lower[2] == pytest.approx(1 / found.upper[2])
    assert quotient(estimate(1, 0.5, 2), estimate(1, 0, 2)).upper == np.inf


def test_a_quotient_end_is_where_the_difference_touches_zero():
    a, b = wilson(np.array(30.0), np.array(100.0), 0.05), wilson(np.array(50.0), np.array(90.0), 0.05)
    found = quotient(a, b)
    for ratio, end in ((found.lower, "upper"), (found.upper, "lower")):
        touched = difference(a, Estimate(*(part * ratio for part in b)))
        # At the lower ratio a − r·b is as high as it can be: its lower end touches 0, and the other way round.
        assert getattr(touched, "lower" if end == "upper" else "upper") == pytest.approx(0, abs=1e-12)


def test_segments_surely_worse_come_worst_first():
    segments = estimate([0.9, 0.5, 0.7, 0.2, 0.7], [0.88, 0.45, 0.68, 0.0, 0.68], [0.92, 0.55, 0.72, 0.95, 0.72])
    overall = estimate(0.85, 0.84, 0.86)
    rows = np.array([900.0, 100, 300, 3, 400])
    assert worst(segments, rows, overall, 2000.0, higher_is_better=True).tolist() == [1, 4, 2]
    assert worst(segments, rows, overall, 2000.0, higher_is_better=False).tolist() == [0]


def test_segments_without_evidence_are_never_worst():
    segments = estimate([np.nan, 0.1, 0.1, 0.1], [np.nan, 0, 0, 0], [np.nan, 0.2, np.inf, np.nan])
    overall = estimate(0.9, 0.8, 1.0)
    assert worst(segments, np.array([9.0, 0, 9, 9]), overall, 50.0, higher_is_better=True).size == 0
    nothing = estimate(np.nan, np.nan, np.nan)
    assert worst(segments, np.full(4, 9.0), nothing, 50.0, higher_is_better=True).size == 0
    assert worst(segments, np.full(4, 9.0), overall, 0.0, higher_is_better=True).dtype == np.int64


def test_the_whole_is_not_worse_than_itself():
    whole = wilson(np.array([30.0]), np.array([100.0]), 0.05)
    overall = Estimate(*(part[0] for part in whole))
    assert worst(whole, np.array([100.0]), overall, 100.0, higher_is_better=True).size == 0


@pytest.mark.parametrize("share", [0.02, 0.3, 0.8])
def test_equal_segments_are_called_worse_as_often_as_the_level_says(share):
    rng = np.random.default_rng(37)
    total, repeats = 5000, 4000
    rows = int(total * share)
    inside = rng.binomial(rows, 0.8, repeats).astype(float)
    outside = rng.binomial(total - rows, 0.8, repeats)
    segments = wilson(inside, np.full(repeats, float(rows)), 0.1)
    wholes = wilson(inside + outside, np.full(repeats, float(total)), 0.1)
    wrong = worst(segments, np.full(repeats, float(rows)), wholes, float(total), higher_is_better=True).size / repeats
    assert 0.03 <= wrong <= 0.065


def test_worse_segments_are_found():
    rng = np.random.default_rng(41)
    rows = np.array([2000, 300, 700, 2000])
    found = 0
    for _ in range(200):
        hits = rng.binomial(rows, [0.9, 0.8, 0.9, 0.9]).astype(float)
        segments = wilson(hits, rows.astype(float), 0.05 / 4)
        overall = wilson(hits.sum(), np.array(5000.0), 0.05 / 4)
        found += worst(segments, rows.astype(float), overall, 5000.0, higher_is_better=True).tolist()[:1] == [1]
    assert found > 0.95 * 200


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("accuracy", True),
        ("log_loss", False),
        ("precision:a_macro: b", True),
        ("f1_macro", True),
        ("roc_auc_ovr_weighted", True),
        ("pinball_0.1", False),
        ("pinball_1e-05", False),
        ("precision_at_k", True),
        ("precision_of_its_own", None),
        ("positive_rate", None),
        ("prevalence", None),
        ("bias", None),
        ("error_quantile_0.5", None),
        ("interval_coverage", None),
        ("of_its_own", None),
        ("", None),
        ("_0.1", None),
    ],
)
def test_directions_are_known_by_name(name, expected):
    assert higher_is_better(name) is expected


UNDIRECTED = {"positive_rate", "prevalence", "bias", "interval_coverage"}
NAMES = (
    *Binary(edges=(0.0, 0.5, 1.0), costs=(0.0, 1.0, 1.0, 0.0)).names,
    *Multiclass(classes=("a", "b"), edges=((0.0, 1.0), (0.0, 1.0))).names,
    *Ranking().names,
    *Regression(1.0, interval=True).names,
    *fairness(np.ones((2, 4))),
)


@pytest.mark.parametrize("name", sorted(set(NAMES)))
def test_every_metric_has_a_direction_unless_it_cannot(name):
    free = name in UNDIRECTED or name.startswith("error_quantile_")
    assert (higher_is_better(name) is None) == free


def test_every_direction_is_that_of_a_metric():
    assert set(HIGHER_IS_BETTER) - set(NAMES) == {"pinball", "roc_auc"} - set(NAMES)


def test_the_registry_cannot_be_changed():
    with pytest.raises(TypeError):
        HIGHER_IS_BETTER["accuracy"] = False
