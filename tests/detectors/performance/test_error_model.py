"""The error model: expected errors follow the rows that come, and stay constant where nothing explains them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.special import ndtr
from sklearn.linear_model import Ridge

from detectors.layout import COLUMNS, HIGH, MISSING
from detectors.performance import error_model
from detectors.performance.error_model import FLOOR, expected_errors, fit_error_model, uncertainty

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Codes = NDArray[np.int64]


def drawn(rows: int, shift: float, seed: int, kind: str = "group", subjects: int = 10) -> tuple[Codes, Array]:
    """Normal features in 64 quantile bins; the first two move by ``shift`` and decide how large errors are."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(rows, subjects))
    z[:, :2] += shift
    u = ndtr(z)
    scale = {
        "group": np.where(u[:, 0] < 0.8, 0.5, 3.0),
        "additive": 0.3 + 2 * u[:, 0] ** 2 + u[:, 1],
        "same": np.ones(rows),
    }[kind]
    return np.minimum((u * 64).astype(np.int64), 63), rng.normal(size=rows) * scale


def mae_and_rmse(error: Array) -> tuple[float, float]:
    return float(np.abs(error).mean()), float(np.sqrt((error**2).mean()))


@pytest.mark.parametrize("kind", ["group", "additive"])
def test_when_difficult_rows_become_many_the_estimate_rises_as_the_errors_do(kind: str) -> None:
    model = fit_error_model(*drawn(20_000, 0.0, 1, kind))
    codes, error = drawn(20_000, 0.7, 2, kind)
    absolute, square = expected_errors(model, codes)
    mae, rmse = mae_and_rmse(error)
    assert absolute.mean() == pytest.approx(mae, rel=0.06)
    assert np.sqrt(square.mean()) == pytest.approx(rmse, rel=0.06)
    # The constant misses a quarter and more.
    assert model.base_absolute < 0.75 * mae
    assert np.sqrt(model.base_square) < 0.75 * rmse


def test_when_difficult_rows_become_few_the_estimate_falls() -> None:
    model = fit_error_model(*drawn(20_000, 0.0, 3))
    codes, error = drawn(20_000, -1.0, 4)
    absolute, square = expected_errors(model, codes)
    mae, rmse = mae_and_rmse(error)
    assert absolute.mean() == pytest.approx(mae, rel=0.1)
    # Squared errors are noisy, and the floor under single rows lifts their mean: measured 15 % too high here.
    assert np.sqrt(square.mean()) == pytest.approx(rmse, rel=0.2)
    assert model.base_absolute > 1.5 * mae
    assert np.sqrt(model.base_square) > 1.8 * rmse


def test_a_small_reference_helps_too() -> None:
    ratios = []
    for seed in range(10):
        model = fit_error_model(*drawn(2000, 0.0, seed, "additive"))
        codes, error = drawn(5000, 0.7, 100 + seed, "additive")
        ratios.append(expected_errors(model, codes)[0].mean() / np.abs(error).mean())
    # The constant would stand at .70.
    assert 0.9 < np.mean(ratios) < 1.02


@pytest.mark.parametrize(("rows", "subjects"), [(500, 3), (2000, 10), (300, 30)])
def test_where_nothing_explains_the_errors_the_model_is_the_constant(rows: int, subjects: int) -> None:
    wrong = 0
    for seed in range(15):
        model = fit_error_model(*drawn(rows, 0.0, seed, "same", subjects))
        wrong += bool(model.absolute.any()) + bool(model.square.any())
    # Two standard errors: 2.3 % of 30 on one side, if the folds were independent and one ridge were tried.
    assert wrong <= 2


def test_on_the_reference_itself_the_estimate_is_the_error_that_was() -> None:
    codes, error = drawn(5000, 0.0, 5, "additive")
    model = fit_error_model(codes, error)
    absolute, square = expected_errors(model, codes)
    assert model.absolute.any()
    assert model.square.any()
    assert model.base_absolute == pytest.approx(np.abs(error).mean())
    assert model.base_square == pytest.approx((error**2).mean())
    # The floor under single rows can only lift the mean.
    assert 1 - 1e-9 < absolute.mean() / model.base_absolute < 1.005
    assert 1 - 1e-9 < square.mean() / model.base_square < 1.05


def test_an_unseen_column_is_an_average_one() -> None:
    model = fit_error_model(*drawn(5000, 0.0, 6))
    codes = np.array([[MISSING] * 10, [HIGH] * 10])
    absolute, square = expected_errors(model, codes)
    np.testing.assert_allclose(absolute, model.base_absolute)
    np.testing.assert_allclose(square, model.base_square)
    assert (model.absolute[:, MISSING:] == 0).all()


def test_a_missing_feature_that_means_large_errors_is_learned() -> None:
    codes, error = drawn(5000, 0.0, 7, "same")
    gone = np.random.default_rng(8).random(5000) < 0.2
    codes[gone, 4] = MISSING
    model = fit_error_model(codes, np.where(gone, 4 * error, error))
    more = np.full((1, 10), 20)
    more[0, 4] = MISSING
    absolute, square = expected_errors(model, more)
    # E|e| of a normal error of scale 4 is 4 · √(2/π).
    assert absolute[0] == pytest.approx(4 * np.sqrt(2 / np.pi), rel=0.15)
    assert square[0] == pytest.approx(16, rel=0.25)


def test_the_ridge_is_scikit_learns() -> None:
    codes, error = drawn(400, 0.0, 9, subjects=3)
    design = error_model.one_hot(codes)
    values = np.abs(error)[:, None]
    effects, constant = error_model.fit_ridges(design, values, np.ones((400, 1)), np.array([20.0]))
    peer = Ridge(alpha=20.0).fit(design.toarray(), values[:, 0])
    found = (design @ effects + constant)[:, 0]
    # Conjugate gradients stop when the residual is a thousandth of the aim.
    np.testing.assert_allclose(found, peer.predict(design.toarray()), atol=5e-3 * values.std())


def test_rows_left_out_of_a_fold_have_no_influence_on_it() -> None:
    codes, error = drawn(400, 0.0, 10, subjects=3)
    design = error_model.one_hot(codes)
    weights = np.ones((400, 2))
    weights[100:, 1] = 0
    values = np.repeat(np.abs(error)[:, None], 2, axis=1)
    both, constants = error_model.fit_ridges(design, values, weights, np.array([20.0, 5.0]))
    part = error_model.one_hot(codes[:100])
    alone, constant = error_model.fit_ridges(part, values[:100, 1:], np.ones((100, 1)), np.array([5.0]))
    np.testing.assert_allclose(design @ both[:, 1] + constants[1], design @ alone[:, 0] + constant[0], atol=1e-2)


@settings(max_examples=40, deadline=None)
@given(
    codes=arrays.arrays(np.int64, st.tuples(st.integers(0, 40), st.integers(0, 3)), elements=st.integers(0, 68)),
    data=st.data(),
)
def test_whatever_comes_in_expected_errors_are_finite_and_above_the_floor(codes: Codes, data: st.DataObject) -> None:
    error = data.draw(arrays.arrays(np.float64, len(codes), elements=st.floats(-1e150, 1e150)))
    model = fit_error_model(codes, error)
    assert model.absolute.shape == (codes.shape[1], COLUMNS)
    absolute, square = expected_errors(model, codes)
    assert absolute.shape == square.shape == (len(codes),)
    assert (absolute >= FLOOR * model.base_absolute).all()
    assert (square >= FLOOR * model.base_square).all()
    assert np.isfinite(square).all()


@pytest.mark.parametrize("size", [1e-140, 1e-5, 1e5, 1e140])
def test_the_unit_of_the_label_does_not_matter(size: float) -> None:
    codes, error = drawn(2000, 0.0, 11)
    plain, scaled = (expected_errors(fit_error_model(codes, error * unit), codes) for unit in (1.0, size))
    np.testing.assert_allclose(scaled[0], plain[0] * size, rtol=1e-6)
    np.testing.assert_allclose(scaled[1], plain[1] * size**2, rtol=1e-6)


def test_rows_without_a_label_are_left_out() -> None:
    codes, error = drawn(1000, 0.0, 12)
    some = error.copy()
    some[:300] = np.nan
    some[300] = np.inf
    some[301] = 1e200
    left, right = fit_error_model(codes, some), fit_error_model(codes[302:], error[302:])
    assert left.rows == right.rows == 698
    np.testing.assert_array_equal(left.absolute, right.absolute)
    assert left.base_square == right.base_square


def test_a_reference_without_labels_expects_nothing() -> None:
    model = fit_error_model(np.zeros((5, 2), dtype=np.int64), np.full(5, np.nan))
    absolute, square = expected_errors(model, np.zeros((3, 2), dtype=np.int64))
    assert np.isnan(absolute).all()
    assert np.isnan(square).all()
    assert np.isnan(uncertainty(model, np.array([10.0]))).all()


def test_a_model_without_errors_expects_none() -> None:
    codes, _ = drawn(500, 0.0, 13)
    absolute, square = expected_errors(fit_error_model(codes, np.zeros(500)), codes)
    assert (absolute == 0).all()
    assert (square == 0).all()


def test_without_a_shift_the_true_error_lies_within_the_uncertainty() -> None:
    inside = []
    for seed in range(40):
        model = fit_error_model(*drawn(2000, 0.0, seed, "additive", 4))
        codes, error = drawn(500, 0.0, 1000 + seed, "additive", 4)
        absolute, square = expected_errors(model, codes)
        near, far = uncertainty(model, np.array(500.0))
        inside.append(abs(absolute.mean() - np.abs(error).mean()) < 1.96 * near)
        inside.append(abs(square.mean() - (error**2).mean()) < 1.96 * far)
    # 95 % of 80; three standard errors below it.
    assert np.mean(inside) > 0.87


def test_uncertainty_shrinks_with_the_window_down_to_that_of_the_reference() -> None:
    model = fit_error_model(*drawn(400, 0.0, 14, "same", 2))
    near, far = uncertainty(model, np.array([0.0, 100.0, 400.0, 1e12]))
    assert np.isnan([near[0], far[0]]).all()
    np.testing.assert_allclose(near[1:] / near[3], [np.sqrt(5), np.sqrt(2), 1.0], rtol=1e-6)
    assert near[3] == pytest.approx(model.spread_absolute / 20)
