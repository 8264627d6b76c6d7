"""Where the edges of bins lie, and which column a value is counted in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from detectors.binning import bin_numbers, quantile_edges
from detectors.layout import BINS, HIGH, INVALID, LOW, MISSING, NONFINITE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

# Few distinct values make ties, many make real quantiles.
tied = st.integers(-20, 20).map(float)
finite = st.one_of(tied, st.floats(allow_nan=False, allow_infinity=False))
samples = st.lists(finite, min_size=1, max_size=300).map(np.array)
anything = st.lists(st.one_of(tied, st.floats()), max_size=100).map(lambda values: np.array(values, dtype=np.float64))
bin_limits = st.integers(1, 12)


def held(values: Array, edges: Array) -> NDArray[np.int64]:
    return np.bincount(bin_numbers(values, None, edges), minlength=edges.size - 1)


@given(samples, bin_limits)
def test_edges_rise_from_the_least_value_to_the_greatest_in_no_more_bins_than_asked_for(
    values: Array, bins: int
) -> None:
    edges = quantile_edges(values, bins)
    assert 1 <= edges.size - 1 <= bins
    assert edges[0] == values.min()
    assert edges[-1] == values.max()
    # Only the last bin may be a single value.
    assert (np.diff(edges[:-1]) > 0).all()
    assert edges[-1] >= edges[-2]


@given(samples, bin_limits)
def test_every_reference_value_has_a_regular_bin_and_no_bin_is_empty(values: Array, bins: int) -> None:
    edges = quantile_edges(values, bins)
    found = held(values, edges)
    assert found.size == edges.size - 1
    assert (found > 0).all()


@given(st.lists(tied, min_size=1, max_size=60).map(np.array))
def test_few_distinct_values_have_a_bin_each(values: Array) -> None:
    distinct, counts = np.unique(values, return_counts=True)
    np.testing.assert_array_equal(held(values, quantile_edges(values)), counts)
    assert distinct.size <= BINS


@pytest.mark.parametrize("rows", [1000, 1024, 50_000])
def test_bins_of_distinct_values_hold_equally_many_to_within_one(rows: int) -> None:
    values = np.random.default_rng(3).normal(size=rows)
    found = held(values, quantile_edges(values))
    assert found.size == BINS
    assert found.max() - found.min() <= 1


def test_a_value_that_fills_a_bins_share_has_a_bin_of_its_own() -> None:
    generator = np.random.default_rng(4)
    values = np.where(generator.random(20_000) < 0.3, 0.0, generator.normal(size=20_000))
    edges = quantile_edges(values)
    own = int(np.searchsorted(edges, 0.0, side="right")) - 1
    assert edges[own] == 0.0
    assert held(values, edges)[own] == (values == 0).sum()


def test_a_greatest_value_that_is_frequent_has_a_closed_bin_of_its_own() -> None:
    values = np.concatenate([np.linspace(0, 1, 5000, endpoint=False), np.ones(2000)])  # clipped at 1
    edges = quantile_edges(values)
    assert edges[-2:].tolist() == [1.0, 1.0]
    assert held(values, edges)[-1] == 2000


def test_a_constant_has_one_bin_and_everything_else_lies_below_or_above_it() -> None:
    edges = quantile_edges(np.full(10, 7.0))
    assert edges.tolist() == [7.0, 7.0]
    assert bin_numbers(np.array([6.9, 7.0, 7.1]), None, edges).tolist() == [LOW, 0, HIGH]


@pytest.mark.parametrize("values", [[], [1.0, np.nan], [1.0, np.inf], [-np.inf]])
def test_edges_of_no_values_or_of_values_that_are_not_finite_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="at least one value, all finite"):
        quantile_edges(np.array(values))


@given(samples)
def test_the_order_of_values_does_not_matter(values: Array) -> None:
    np.testing.assert_array_equal(quantile_edges(values), quantile_edges(values[::-1].copy()))


@given(samples, anything)
def test_regular_values_are_counted_as_numpys_histogram_counts_them(reference: Array, live: Array) -> None:
    edges = quantile_edges(reference)
    inside = live[(live >= edges[0]) & (live <= edges[-1])]
    # NumPy widens a histogram without width.
    expected = np.array([inside.size]) if edges[0] == edges[-1] else np.histogram(inside, edges)[0]
    found = bin_numbers(live, None, edges)
    np.testing.assert_array_equal(np.bincount(found[found < BINS], minlength=edges.size - 1), expected)


@given(samples, anything, bin_limits)
def test_each_value_goes_to_the_column_that_its_definition_names(reference: Array, live: Array, bins: int) -> None:
    edges = quantile_edges(reference, bins)

    def column(value: float) -> int:
        if np.isnan(value):
            return MISSING
        if np.isinf(value):
            return NONFINITE
        if value < edges[0]:
            return LOW
        if value > edges[-1]:
            return HIGH
        closed = [i for i in range(edges.size - 1) if edges[i] <= value < edges[i + 1]]
        return closed[0] if closed else edges.size - 2

    assert bin_numbers(live, None, edges).tolist() == [column(value) for value in live.tolist()]


def test_an_edge_belongs_to_the_bin_above_it_and_the_last_edge_to_the_last_bin() -> None:
    edges = np.array([0.0, 1.0, 2.0])
    assert bin_numbers(np.array([0.0, 0.5, 1.0, 2.0]), None, edges).tolist() == [0, 0, 1, 1]


def test_what_was_no_number_at_all_is_invalid_whatever_stands_in_its_place() -> None:
    values = np.array([0.5, np.nan, np.inf, 9.0, -9.0])
    edges = np.array([0.0, 1.0])
    assert bin_numbers(values, None, edges).tolist() == [0, MISSING, NONFINITE, HIGH, LOW]
    assert bin_numbers(values, np.ones(5, dtype=bool), edges).tolist() == [INVALID] * 5
    assert bin_numbers(values, np.arange(5) == 1, edges).tolist() == [0, INVALID, NONFINITE, HIGH, LOW]


def test_no_values_have_no_columns() -> None:
    found = bin_numbers(np.array([]), None, np.array([0.0, 1.0]))
    assert found.size == 0
    assert found.dtype == np.int64


@given(samples, samples)
def test_columns_rise_with_values(reference: Array, live: Array) -> None:
    assume(live.size > 1)
    found = bin_numbers(np.sort(live), None, quantile_edges(reference))
    place = np.where(found == LOW, -1, found)
    assert (np.diff(place) >= 0).all()
