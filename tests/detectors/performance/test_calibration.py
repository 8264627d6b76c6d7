"""Calibration: scikit-learn's isotonic regression, and only where the scores promise the wrong thing."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from detectors.performance.calibration import (
    Calibration,
    calibrate,
    calibrate_multiclass,
    calibration_error,
    fit_calibration,
    fit_multiclass,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


def drawn(rows: int, power: float, seed: int, skew: tuple[float, float] = (2, 3)) -> tuple[Array, NDArray[np.bool_]]:
    """Scores z that come true with probability z ** power: 1 is calibrated."""
    rng = np.random.default_rng(seed)
    scores = rng.beta(*skew, rows)
    return scores, rng.random(rows) < scores**power


def peer(scores: Array, positive: NDArray[np.bool_], live: Array) -> Array:
    fitted = IsotonicRegression(out_of_bounds="clip").fit(scores, positive.astype(np.float64))
    found: Array = fitted.predict(live)
    return found


@pytest.mark.parametrize("digits", [1, 2, 15], ids=["many ties", "ties", "no ties"])
@pytest.mark.parametrize("power", [0.5, 2.0])
def test_the_fit_is_scikit_learns_isotonic_regression(digits: int, power: float) -> None:
    scores, positive = drawn(3000, power, seed=digits)
    scores = scores.round(digits)
    live = np.concatenate([np.linspace(-0.5, 1.5, 1001), scores])
    found = fit_calibration(scores, positive)
    assert found.points
    np.testing.assert_allclose(calibrate(found, live), peer(scores, positive, live), atol=1e-9)


# Scores beyond [0, 1] are always calibrated, so that any rows do for the comparison.
_rows = st.lists(st.tuples(st.integers(-50, 50), st.booleans()), min_size=1, max_size=60)


@given(_rows, st.lists(st.floats(-80, 80), max_size=20))
def test_any_rows_give_scikit_learns_fit(rows: list[tuple[int, bool]], live: list[float]) -> None:
    scores = np.array([score / 4 for score, _ in rows] + [-20.0])
    positive = np.array([label for _, label in rows] + [False])
    found = calibrate(fit_calibration(scores, positive), np.array(live))
    np.testing.assert_allclose(found, peer(scores, positive, np.array(live)) if live else [], atol=1e-9)


@given(
    st.lists(st.tuples(st.floats(allow_nan=True, allow_infinity=True), st.booleans()), max_size=60),
    st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=20),
)
def test_whatever_comes_in_probabilities_rise_from_0_to_1_and_only_nan_stays_nan(
    rows: list[tuple[float, bool]], live: list[float]
) -> None:
    scores, positive = np.array([row[0] for row in rows]), np.array([row[1] for row in rows], dtype=np.bool_)
    calibration = fit_calibration(scores, positive)
    assert (np.diff(calibration.points) > 0).all()
    assert (np.diff(calibration.values) >= 0).all()
    values = np.sort(np.array(live))
    found = calibrate(calibration, values)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(values))
    held = found[~np.isnan(found)]
    assert ((held >= 0) & (held <= 1)).all()
    assert (np.diff(held) >= -1e-12).all()


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_the_order_of_the_reference_does_not_matter(seed: int) -> None:
    scores, positive = drawn(200, 1.2, seed=3)
    order = np.random.default_rng(seed).permutation(200)
    assert fit_calibration(scores[order], positive[order]) == fit_calibration(scores, positive)


def test_two_labels_in_the_wrong_order_share_their_mean_and_between_levels_it_is_a_line() -> None:
    found = fit_calibration(np.array([-2.0, 0.0, 1.0, 3.0]), np.array([False, True, False, True]))
    assert found == Calibration((-2.0, 0.0, 1.0, 3.0), (0.0, 0.5, 0.5, 1.0))
    assert calibrate(found, np.array([-9, -1, 0.4, 2, 9])).tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_only_the_ends_of_each_level_are_kept() -> None:
    scores, positive = drawn(20_000, 2.0, seed=5)
    found = fit_calibration(scores, positive)
    assert len(found.points) < 300
    levels, counts = np.unique(found.values, return_counts=True)
    assert levels.size > 10
    assert counts.max() == 2


@pytest.mark.parametrize("power", [0.5, 2.0])
def test_scores_that_promise_too_much_or_too_little_are_corrected(power: float) -> None:
    scores, positive = drawn(5000, power, seed=7)
    live = np.random.default_rng(8).beta(4, 2, 5000)
    found = calibrate(fit_calibration(scores, positive), live)
    assert abs(found.mean() - (live**power).mean()) < 0.02
    assert abs(live.mean() - (live**power).mean()) > 0.1


def test_calibration_never_makes_the_promise_much_worse() -> None:
    # On calibrated scores the choice is a coin's: the identity is right, the fit is off by the reference's noise.
    left, gaps = 0, []
    live = np.linspace(0.05, 0.8, 200)
    for seed in range(30):
        found = fit_calibration(*drawn(2000, 1.0, seed))
        left += not found.points
        gaps.append(calibrate(found, live).mean() - live.mean())
    assert left >= 5
    # Within three standard errors of a mean of 2,000 labels.
    assert np.abs(gaps).max() < 3 * 0.5 / np.sqrt(2000)


def test_bad_scores_are_nearly_always_noticed() -> None:
    assert sum(bool(fit_calibration(*drawn(2000, 1.5, seed)).points) for seed in range(30)) >= 29


@pytest.mark.parametrize(
    ("scores", "positive"),
    [
        ([], []),
        ([np.nan, np.inf], [True, False]),
        (np.linspace(0, 1, 19), np.linspace(0, 1, 19) > 0.3),
        (np.linspace(0, 1, 100), np.ones(100)),
        (np.linspace(0, 1, 100), np.zeros(100)),
        (np.linspace(0.4, 0.6, 100), np.linspace(0.4, 0.6, 100) > 0.45),
    ],
    ids=["no rows", "no finite rows", "too few rows", "one class", "the other class", "separated"],
)
def test_where_nothing_can_be_learned_probabilities_stay_as_they_are(scores: list[float], positive: list[bool]) -> None:
    found = fit_calibration(np.array(scores, dtype=np.float64), np.array(positive, dtype=np.bool_))
    assert found == Calibration()
    live = np.array([0.0, 0.25, np.nan, 1.0])
    np.testing.assert_array_equal(calibrate(found, live), live)


def test_scores_that_are_no_probabilities_are_calibrated_in_any_case() -> None:
    # Separated: nothing that would be tried on probabilities.
    found = fit_calibration(np.arange(-5.0, 5.0), np.arange(10) > 4)
    assert calibrate(found, np.array([-9.0, -1.0, 0.0, 9.0])).tolist() == [0.0, 0.0, 1.0, 1.0]


def test_rows_without_a_finite_score_change_nothing() -> None:
    scores, positive = drawn(500, 2.0, seed=11)
    more = np.concatenate([[np.nan, np.inf, -np.inf], scores])
    labels = np.concatenate([[True, True, False], positive])
    assert fit_calibration(more, labels) == fit_calibration(scores, positive)


def test_a_label_that_occurs_once_breaks_nothing() -> None:
    scores = np.linspace(0, 1, 50)
    found = calibrate(fit_calibration(scores, scores == scores[20]), scores)
    assert ((found >= 0) & (found <= 1)).all()


def test_calibration_error_is_the_mean_distance_of_promise_and_truth_over_ten_bins() -> None:
    # Ten bins of two rows: each promises .5 on average; five come true in full, five not at all.
    probability = np.linspace(0.5, 0.5 + 1e-9, 20)
    assert calibration_error(probability, np.arange(20) < 10) == pytest.approx(0.5, abs=1e-8)
    assert calibration_error(probability, np.arange(20) % 2 == 0) == pytest.approx(0.0, abs=1e-8)
    assert np.isnan(calibration_error(np.array([]), np.array([], dtype=np.bool_)))


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=80))
def test_calibration_error_is_that_of_bins_cut_by_hand(rows: list[tuple[float, bool]]) -> None:
    probability, positive = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    order = np.argsort(probability, kind="stable")
    bins = min(10, max(len(rows) // 2, 1))
    cuts = [len(rows) * part // bins for part in range(bins + 1)]
    expected = sum(
        (end - start) / len(rows) * abs(probability[order][start:end].mean() - positive[order][start:end].mean())
        for start, end in itertools.pairwise(cuts)
    )
    assert calibration_error(probability, positive) == pytest.approx(expected, abs=1e-12)


def softmax(rows: int, seed: int) -> tuple[Array, NDArray[np.int64]]:
    """Overconfident scores of three classes, and labels drawn from the true probabilities."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(rows, 3))
    true, stated = (np.exp(part) / np.exp(part).sum(axis=1, keepdims=True) for part in (logits, 3 * logits))
    return stated, (true.cumsum(axis=1) < rng.random((rows, 1))).sum(axis=1)


def test_each_class_is_calibrated_against_the_rest_and_rows_sum_to_one() -> None:
    scores, labels = softmax(4000, seed=13)
    found = calibrate_multiclass(fit_multiclass(scores, labels), scores)
    each = np.stack([peer(scores[:, number], labels == number, scores[:, number]) for number in range(3)], axis=1)
    np.testing.assert_allclose(found, each / each.sum(axis=1, keepdims=True), atol=1e-9)
    right = np.arange(3) == labels[:, None]
    top = np.argmax(scores, axis=1)[:, None]
    truth = np.take_along_axis(right, top, axis=1).mean()
    assert abs(np.take_along_axis(found, top, axis=1).mean() - truth) < 0.02
    assert abs(np.take_along_axis(scores, top, axis=1).mean() - truth) > 0.15


def test_a_row_that_no_class_claims_is_shared_and_a_missing_score_makes_it_nan() -> None:
    scores = np.array([[0.0, 0.0, 0.0, 0.0], [0.1, 0.2, np.nan, 0.3], [1.0, 1.0, 2.0, 0.0]])
    found = calibrate_multiclass((Calibration(),) * 4, scores)
    np.testing.assert_allclose(found[0], 0.25)
    assert np.isnan(found[1]).all()
    np.testing.assert_allclose(found[2], [1 / 3, 1 / 3, 1 / 3, 0.0])


def test_a_label_without_a_score_of_its_own_counts_against_all_classes() -> None:
    scores = np.array([[2.0, -1.0], [2.0, -1.0]])
    assert [item.values for item in fit_multiclass(scores, np.array([0, 5]))] == [(0.5,), (0.0,)]
