"""Every effect against an oracle of its own, its known answers, and the laws it obeys."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2_contingency, wasserstein_distance

from detectors.drift import effects

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Effect = Callable[[Array, Array], Array]

EXACT = 1e-9


def _wasserstein(p: Array, q: Array) -> Array:
    return effects.wasserstein(p, q, np.arange(p.shape[-1]) ** 1.5)


def _chi2(p: Array, q: Array) -> Array:
    return effects.chi2(p * 300, q * 700)


ALL: dict[str, Effect] = {
    "psi": effects.psi,
    "jensen_shannon": effects.jensen_shannon,
    "triangular": effects.triangular,
    "ks": effects.ks,
    "wasserstein": _wasserstein,
    "chi2": _chi2,
}
every_effect = pytest.mark.parametrize("effect", ALL.values(), ids=ALL)


@st.composite
def two_counts(draw: st.DrawFn, least: int = 0) -> tuple[Array, Array]:
    """Two count vectors over the same bins, neither of them empty."""
    width = draw(st.integers(1, 12))
    row = st.lists(st.integers(least, 500), min_size=width, max_size=width)
    c, r = np.array(draw(row), dtype=np.float64), np.array(draw(row), dtype=np.float64)
    assume(c.sum() > 0 and r.sum() > 0)
    return c, r


def two_shares(least: int = 0) -> st.SearchStrategy[tuple[Array, Array]]:
    return two_counts(least).map(lambda both: (both[0] / both[0].sum(), both[1] / both[1].sum()))


def array(*values: float) -> Array:
    return np.array(values, dtype=np.float64)


# Worked by hand.


def test_the_psi_of_a_half_against_a_quarter_is_a_quarter_of_ln_3() -> None:
    # (1/2 - 1/4) ln 2 + (1/2 - 3/4) ln(2/3) = 1/4 (ln 2 + ln 3 - ln 2)
    assert effects.psi(array(0.5, 0.5), array(0.25, 0.75)) == pytest.approx(math.log(3) / 4, abs=EXACT)


def test_the_jensen_shannon_distance_of_a_certainty_and_a_fair_coin() -> None:
    # The middle is (3/4, 1/4): [log2(4/3) + 1/2 log2(2/3) + 1/2 log2 2] / 2 = 3/4 log2(4/3) bits.
    expected = math.sqrt(0.75 * math.log2(4 / 3))
    assert effects.jensen_shannon(array(1, 0), array(0.5, 0.5)) == pytest.approx(expected, abs=EXACT)


def test_the_jensen_shannon_distance_of_distributions_that_share_nothing_is_1() -> None:
    assert effects.jensen_shannon(array(0.3, 0.7, 0), array(0, 0, 1)) == pytest.approx(1, abs=EXACT)


def test_the_triangular_discrimination_of_a_half_against_a_quarter_is_4_fifteenths() -> None:
    # 2/16 / (3/4) + 2/16 / (5/4) = 1/6 + 1/10
    assert effects.triangular(array(0.5, 0.5), array(0.25, 0.75)) == pytest.approx(4 / 15, abs=EXACT)


def test_the_triangular_discrimination_of_distributions_that_share_nothing_is_4() -> None:
    assert effects.triangular(array(1, 0), array(0, 1)) == pytest.approx(4, abs=EXACT)


def test_the_chi2_of_a_two_by_two_table() -> None:
    # N (ad - bc)^2 / (row and column sums) = 60 (100 - 400)^2 / 30^4
    assert effects.chi2(array(10, 20), array(20, 10)) == pytest.approx(20 / 3, abs=EXACT)


def test_the_ks_of_three_bins_is_the_gap_where_it_is_widest() -> None:
    # Cumulated: (0.5, 0.6, 1) against (0.2, 0.5, 1).
    assert effects.ks(array(0.5, 0.1, 0.4), array(0.2, 0.3, 0.5)) == pytest.approx(0.3, abs=EXACT)


def test_the_wasserstein_distance_weighs_each_gap_by_its_length() -> None:
    # A gap of 0.3 over the unit from 0 to 1, and of 0.1 over the three from 1 to 4.
    found = effects.wasserstein(array(0.5, 0.1, 0.4), array(0.2, 0.3, 0.5), array(0, 1, 4))
    assert found == pytest.approx(0.6, abs=EXACT)


def test_a_point_mass_that_moves_is_as_far_as_it_moved() -> None:
    assert effects.wasserstein(array(1, 0, 0), array(0, 0, 1), array(-2, 1, 5)) == pytest.approx(7, abs=EXACT)


def test_shares_are_counts_over_their_sum_and_nan_without_any() -> None:
    np.testing.assert_allclose(effects.shares(np.array([[1.0, 3.0], [0.0, 0.0]])), [[0.25, 0.75], [np.nan, np.nan]])


def test_smoothing_adds_half_a_count_to_bins_in_use_only() -> None:
    found = effects.smoothed_shares(array(0, 3, 7), np.array([True, True, False]))
    np.testing.assert_allclose(found, [0.5 / 4, 3.5 / 4, 0], atol=EXACT)


# Against oracles.


@given(two_shares(least=1))
def test_psi_is_its_definition_bin_by_bin(both: tuple[Array, Array]) -> None:
    p, q = both
    brute = sum((a - b) * math.log(a / b) for a, b in zip(p.tolist(), q.tolist(), strict=True))
    assert effects.psi(p, q) == pytest.approx(brute, abs=EXACT)


@given(two_shares())
def test_psi_is_infinite_exactly_where_a_bin_is_empty_on_one_side(both: tuple[Array, Array]) -> None:
    p, q = both
    assert np.isinf(effects.psi(p, q)) == bool(((p == 0) != (q == 0)).any())


@given(two_shares())
def test_the_jensen_shannon_distance_is_scipys_in_bits(both: tuple[Array, Array]) -> None:
    # Near 0 a square root turns rounding of 1e-16 into 1e-8, in SciPy as here: so the divergences are compared.
    p, q = both
    theirs = float(np.nan_to_num(jensenshannon(p, q, base=2)))
    assert float(effects.jensen_shannon(p, q)) ** 2 == pytest.approx(theirs**2, abs=EXACT)
    if theirs > 1e-3:
        assert effects.jensen_shannon(p, q) == pytest.approx(theirs, abs=EXACT)


@given(two_shares())
def test_the_triangular_discrimination_is_its_definition_bin_by_bin(both: tuple[Array, Array]) -> None:
    p, q = both
    pairs = zip(p.tolist(), q.tolist(), strict=True)
    brute = sum(2 * (a - b) ** 2 / (a + b) for a, b in pairs if a + b > 0)
    assert effects.triangular(p, q) == pytest.approx(brute, abs=EXACT)


@given(two_counts())
def test_chi2_is_scipys_for_a_table_without_correction(both: tuple[Array, Array]) -> None:
    c, r = both
    table = np.array([c, r])[:, c + r > 0]
    assert effects.chi2(c, r) == pytest.approx(
        chi2_contingency(table, correction=False).statistic, rel=EXACT, abs=EXACT
    )


@given(two_counts(), st.randoms(use_true_random=False))
def test_between_equal_sizes_chi2_is_the_triangular_discrimination_times_half_the_rows(
    both: tuple[Array, Array], shuffler: random.Random
) -> None:
    c = both[0]
    r = array(*shuffler.sample(c.tolist(), c.size))
    whole = effects.triangular(effects.shares(c), effects.shares(r)) * c.sum() / 2
    assert effects.chi2(c, r) == pytest.approx(whole, abs=EXACT)


@given(two_counts())
def test_ks_is_the_widest_gap_between_the_shares_of_rows_up_to_any_value(both: tuple[Array, Array]) -> None:
    c, r = both
    rows = [np.repeat(np.arange(counts.size), counts.astype(int)) for counts in both]
    expected = max(abs(np.mean(rows[0] <= x) - np.mean(rows[1] <= x)) for x in range(c.size))
    assert effects.ks(effects.shares(c), effects.shares(r)) == pytest.approx(expected, abs=EXACT)


@given(two_shares(), st.data())
def test_the_wasserstein_distance_is_scipys_with_weights(both: tuple[Array, Array], data: st.DataObject) -> None:
    p, q = both
    steps = data.draw(st.lists(st.floats(0, 10), min_size=p.size, max_size=p.size))
    points = np.cumsum(steps) - 20
    expected = wasserstein_distance(points, points, p, q)
    assert effects.wasserstein(p, q, points) == pytest.approx(expected, abs=EXACT)


# Laws.


@every_effect
@given(both=two_shares(least=1))
def test_no_effect_is_negative_and_none_has_a_direction(effect: Effect, both: tuple[Array, Array]) -> None:
    p, q = both
    assert effect(p, q) >= -1e-12
    if effect is not _chi2:  # its sizes are given by place
        assert effect(p, q) == pytest.approx(float(effect(q, p)), abs=EXACT)


@given(two_counts())
def test_chi2_does_not_tell_the_window_from_the_reference(both: tuple[Array, Array]) -> None:
    c, r = both
    assert effects.chi2(c, r) == pytest.approx(float(effects.chi2(r, c)), rel=EXACT, abs=EXACT)


@every_effect
@given(both=two_shares())
def test_equal_distributions_have_no_effect(effect: Effect, both: tuple[Array, Array]) -> None:
    # A square root of rounding, for the Jensen-Shannon distance.
    assert effect(both[0], both[0]) == pytest.approx(0, abs=1e-7 if effect is effects.jensen_shannon else EXACT)


@given(two_shares(least=1))
def test_different_distributions_have_an_effect_of_every_kind(both: tuple[Array, Array]) -> None:
    p, q = both
    assume(np.abs(p - q).max() > 1e-6)
    assert all(effect(p, q) > 0 for effect in ALL.values())


@given(two_shares())
def test_bounded_effects_keep_their_bounds(both: tuple[Array, Array]) -> None:
    p, q = both
    assert effects.jensen_shannon(p, q) <= 1 + EXACT
    assert effects.ks(p, q) <= 1 + EXACT
    assert effects.triangular(p, q) <= 4 + EXACT
    assert _wasserstein(p, q) <= (p.size - 1) ** 1.5 + EXACT


@given(two_shares())
def test_the_triangular_discrimination_bounds_the_psi_and_encloses_the_divergence(both: tuple[Array, Array]) -> None:
    # The bounds of the judgement rest on these three inequalities (Topsoe 2000).
    p, q = both
    whole = float(effects.triangular(p, q))
    divergence = float(effects.jensen_shannon(p, q)) ** 2 * math.log(2)
    assert whole <= effects.psi(p, q) + EXACT
    assert whole / 8 - EXACT <= divergence <= whole * math.log(2) / 4 + EXACT


@given(two_shares(least=1), st.integers(0, 10))
def test_merging_two_neighbours_never_adds_to_an_effect(both: tuple[Array, Array], place: int) -> None:
    # Pooling bins may hide a change, but it cannot make one up.
    p, q = both
    assume(p.size > 1)
    starts = np.delete(np.arange(p.size), place % (p.size - 1) + 1)
    p_merged, q_merged = np.add.reduceat(p, starts), np.add.reduceat(q, starts)
    for effect in (effects.psi, effects.jensen_shannon, effects.triangular, effects.ks, _chi2):
        assert effect(p_merged, q_merged) <= effect(p, q) + 1e-7


@every_effect
def test_many_at_once_are_the_same_as_one_by_one(effect: Effect) -> None:
    generator = np.random.default_rng(1)
    p, q = generator.dirichlet(np.ones(7), (3, 5)), generator.dirichlet(np.ones(7), 5)
    found = effect(p, q)
    assert found.shape == (3, 5)
    for i in range(3):
        for j in range(5):
            assert found[i, j] == pytest.approx(float(effect(p[i, j], q[j])), abs=EXACT)


@every_effect
def test_every_effect_of_a_distribution_without_rows_is_nan_and_warns_of_nothing(effect: Effect) -> None:
    nothing, something = np.full((2, 3), np.nan), np.full((2, 3), 1 / 3)
    assert np.isnan(effect(nothing, something)).all()
    assert np.isnan(effect(something, nothing)).all()


def test_chi2_of_no_counts_is_nan_and_of_bins_empty_on_both_sides_is_that_of_the_others() -> None:
    assert np.isnan(effects.chi2(array(0, 0), array(3, 4)))
    assert np.isnan(effects.chi2(array(3, 4), array(0, 0)))
    assert effects.chi2(array(10, 0, 20), array(20, 0, 10)) == pytest.approx(20 / 3, abs=EXACT)
