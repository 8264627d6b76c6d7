"""Pools of neighbouring columns: nothing is lost, and each pool holds enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from detectors.layout import BINS, HIGH, LOW
from detectors.pooling import LADDER, VALUES, pool_columns, pooled_sums, value_order
from tests.support.counts import count, layout_of, reference_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


@st.composite
def distributions(draw: st.DrawFn) -> Array:
    """Shares of one to four subjects over the same columns, some of them empty."""
    width = draw(st.integers(1, 20))
    row = st.lists(st.integers(0, 50), min_size=width, max_size=width).filter(any)
    counts = np.array(draw(st.lists(row, min_size=1, max_size=4)), dtype=np.float64)
    shares: Array = counts / counts.sum(axis=1, keepdims=True)
    return shares


def test_neighbours_are_pooled_until_each_pool_holds_its_share() -> None:
    shares = np.array([[0.1, 0.2, 0.1, 0.3, 0.1, 0.2]])
    assert pool_columns(shares, np.array([0.25])).tolist() == [[0, 0, 1, 1, 2, 2]]


def test_what_is_left_over_joins_the_last_pool() -> None:
    shares = np.array([[0.4, 0.4, 0.1, 0.1]])
    assert pool_columns(shares, np.array([0.35])).tolist() == [[0, 1, 1, 1]]


def test_a_share_that_only_the_whole_can_hold_makes_one_pool() -> None:
    assert pool_columns(np.array([[0.5, 0.5]]), np.array([0.6])).tolist() == [[0, 0]]


def test_sums_over_pools_worked_by_hand() -> None:
    values, pools = np.array([[1.0, 2, 3, 4]]), np.array([[0, 0, 1, 1]])
    assert pooled_sums(values, pools).tolist() == [[3, 7, 0, 0]]


@given(distributions(), st.floats(0.001, 1))
def test_pools_are_runs_of_neighbours_numbered_from_0(shares: Array, least: float) -> None:
    pools = pool_columns(shares, np.full(len(shares), least))
    assert (pools[:, 0] == 0).all()
    assert np.isin(np.diff(pools, axis=1), [0, 1]).all()


@given(distributions(), st.floats(0.001, 0.999))
def test_every_pool_holds_at_least_the_share_asked_for(shares: Array, least: float) -> None:
    pools = pool_columns(shares, np.full(len(shares), least))
    held = pooled_sums(shares, pools)
    for subject in range(len(shares)):
        assert held[subject, : pools[subject].max() + 1].min() >= least - 1e-12


@given(distributions(), st.floats(0.001, 0.999))
def test_there_are_never_more_pools_than_the_share_leaves_room_for(shares: Array, least: float) -> None:
    assert (pool_columns(shares, np.full(len(shares), least)).max(axis=1) + 1 <= 1 / least + 1e-9).all()


@given(distributions(), st.floats(0.01, 1), st.integers(0, 2**32 - 1))
def test_pooling_loses_and_invents_nothing(shares: Array, least: float, seed: int) -> None:
    pools = pool_columns(shares, np.full(len(shares), least))
    values = np.random.default_rng(seed).integers(0, 1000, (3, *shares.shape)).astype(np.float64)
    sums = pooled_sums(values, pools)
    np.testing.assert_allclose(sums.sum(axis=-1), values.sum(axis=-1))
    for window in range(3):
        for subject in range(len(shares)):
            brute = [values[window, subject][pools[subject] == pool].sum() for pool in range(shares.shape[1])]
            np.testing.assert_allclose(sums[window, subject], brute)


@given(distributions())
def test_a_ladder_of_shares_is_pooled_as_each_of_its_steps(shares: Array) -> None:
    least = np.broadcast_to((1 / LADDER)[:, None], (len(LADDER), len(shares)))
    pools = pool_columns(shares, least)
    for step in range(len(LADDER)):
        np.testing.assert_array_equal(pools[step], pool_columns(shares, least[step]))


def test_a_reference_is_pooled_into_no_more_pools_than_each_step_aims_at_and_into_about_as_many() -> None:
    reference = reference_of({"feature:x": np.random.default_rng(5).normal(size=20_000)})
    found = reference.pools[:, 0].max(axis=1) + 1
    assert (found <= LADDER).all()
    assert (found >= LADDER / 2).all()
    assert (np.diff(found) >= 0).all()


def test_numeric_columns_stand_in_order_of_value_and_categories_in_order_of_frequency() -> None:
    columns = {
        "feature:x": np.arange(1000.0),
        "feature:c": np.repeat([0, 1, 2, LOW], [10, 500, 90, 400]),
    }
    layout = layout_of(columns)
    order = value_order(layout, count(layout, columns).bins)
    assert order.shape == (2, VALUES)
    assert order[0].tolist() == [LOW, *range(BINS), HIGH]
    # The rest and the never seen come last, however frequent.
    assert order[1, :3].tolist() == [1, 2, 0]
    assert order[1, -2:].tolist() == [LOW, HIGH]
    assert sorted(order[1].tolist()) == sorted(order[0].tolist())
