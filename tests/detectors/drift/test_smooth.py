"""The smooth directions: orthonormal under the reference, and named after what they find."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from detectors.drift.smooth import COMPONENTS, smooth_basis

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


@st.composite
def shares(draw: st.DrawFn) -> Array:
    """Skewed and gappy distributions over up to 66 columns, with five values at least."""
    width = draw(st.integers(5, 66))
    row = st.lists(st.integers(0, 1000), min_size=width, max_size=width)
    counts = np.array(draw(st.lists(row.filter(any), min_size=1, max_size=3)), dtype=np.float64)
    found: Array = counts / counts.sum(axis=1, keepdims=True)
    return found


@given(shares())
def test_the_directions_are_orthonormal_under_the_shares_and_orthogonal_to_no_change(q: Array) -> None:
    basis = smooth_basis(q)
    assert basis.shape == (*q.shape, COMPONENTS)
    gram = np.einsum("sv,svi,svj->sij", q, basis, basis)
    alive = (basis != 0).any(axis=1)
    for subject in range(len(q)):
        # A direction that the distribution has too few values for is 0, and so is its norm.
        np.testing.assert_allclose(gram[subject], np.diag(alive[subject].astype(float)), atol=1e-6)
    np.testing.assert_allclose(np.einsum("sv,svi->si", q, basis), 0, atol=1e-6)


@pytest.mark.parametrize("values", [1, 2, 3, 4, 5, 6])
def test_so_many_values_have_one_direction_less_and_never_more_than_four(values: int) -> None:
    q = np.zeros((1, 66))
    q[0, :values] = 1 / values
    assert (smooth_basis(q)[0] != 0).any(axis=0).sum() == min(values - 1, COMPONENTS)


def test_a_subject_without_values_has_no_directions_and_warns_of_nothing() -> None:
    assert (smooth_basis(np.zeros((2, 10))) == 0).all()


def test_two_equal_values_are_told_apart_by_their_sign() -> None:
    np.testing.assert_allclose(np.abs(smooth_basis(np.array([[0.5, 0.5]]))[0, :, 0]), [1, 1])


def test_on_many_equal_bins_the_directions_are_legendres_polynomials() -> None:
    bins = 2000
    x = (np.arange(bins) + 0.5) / bins * 2 - 1
    basis = smooth_basis(np.full((1, bins), 1 / bins))[0]
    for degree in range(1, COMPONENTS + 1):
        legendre = np.polynomial.Legendre.basis(degree)(x) * np.sqrt(2 * degree + 1)
        np.testing.assert_allclose(basis[:, degree - 1], legendre, atol=1e-4)


@pytest.mark.parametrize(
    ("changed", "strongest"),
    [(norm(0.1, 1), 0), (norm(-0.1, 1), 0), (norm(0, 1.1), 1), (norm(0, 0.9), 1)],
    ids=["up", "down", "wider", "narrower"],
)
def test_a_shift_lies_in_the_first_direction_and_a_spread_in_the_second(changed: object, strongest: int) -> None:
    edges = norm.ppf(np.linspace(0, 1, 65))
    p, q = np.diff(changed.cdf(edges)), np.full(64, 1 / 64)  # type: ignore[attr-defined]
    parts = (p - q) @ smooth_basis(q[None])[0]
    assert np.argmax(np.abs(parts)) == strongest
    # Most of the change is in it: chi-squared of the whole against that of the direction.
    assert parts[strongest] ** 2 > 2 / 3 * ((p - q) ** 2 / q).sum()
