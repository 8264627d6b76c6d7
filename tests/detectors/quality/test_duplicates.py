"""Repeated ids from counts by hash: no cry without them, found where they are; against counting the ids themselves."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from detectors.quality.duplicates import BUCKETS, bucket_counts, counted_rate, sketched_rate
from monitor.rows.ids import hash_ids


def counts_of(hashes: np.ndarray) -> np.ndarray:
    return bucket_counts(hashes, np.zeros(len(hashes), dtype=np.int64), 1)[0]


def windows(rows: int, repeated: int, many: int, seed: int) -> np.ndarray:
    """int64[many, BUCKETS]: rows of different ids, the last ``repeated`` of them those of the first ones again."""
    dice = np.random.default_rng(seed)
    hashes = dice.integers(0, 2**64, size=(many, rows - repeated), dtype=np.uint64)
    hashes = np.concatenate([hashes, hashes[:, :repeated]], axis=1)
    groups = np.repeat(np.arange(many), rows)
    return bucket_counts(hashes.ravel(), groups, many)


@pytest.mark.parametrize("rows", [100, 300, 1_000, 5_000, 50_000])
def test_different_ids_hardly_ever_look_repeated(rows: int) -> None:
    alpha, many = 1e-3, 4_000 if rows <= 5_000 else 400
    surely = sum(sketched_rate(counts, alpha)[1] > 0 for counts in windows(rows, 0, many, rows))
    # Three standard errors above what was asked for.
    assert surely <= many * alpha + 3 * np.sqrt(many * alpha)


@pytest.mark.parametrize(("rows", "share", "least"), [(1_000, 0.3, 0.95), (5_000, 0.2, 0.9), (50_000, 0.2, 0.95)])
def test_repeated_ids_are_found_at_an_error_probability_of_a_millionth(rows: int, share: float, least: float) -> None:
    found = [sketched_rate(counts, 1e-6) for counts in windows(rows, int(share * rows), 200, rows)]
    assert np.mean([lower > 0.01 for _, lower, _ in found]) >= least
    # Half of the rows in pairs: as many repeat another one as the share says.
    assert np.mean([value for value, _, _ in found]) == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize("rows", [300, 5_000, 50_000])
def test_bounds_hold_the_true_share(rows: int) -> None:
    alpha, share, many = 0.01, 0.2, 400
    found = np.array([sketched_rate(counts, alpha) for counts in windows(rows, int(share * rows), many, 7 * rows)])
    allowed = alpha * many + 3 * np.sqrt(alpha * many)
    assert (found[:, 1] > share).sum() <= allowed
    assert (found[:, 2] < share).sum() <= allowed


@given(st.lists(st.integers(0, 30), min_size=2, max_size=300))
def test_pairs_that_met_are_those_with_one_id_and_those_with_one_bucket(ids: list[int]) -> None:
    hashes, usable = hash_ids([f"id-{number}" for number in ids])
    assert usable.all()
    counts = counts_of(hashes)
    assert counts.sum() == len(ids)
    places = {number: int(np.flatnonzero(counts_of(hash_ids([f"id-{number}"])[0]))[0]) for number in set(ids)}
    expected = Counter(places[number] for number in ids)
    assert {place: int(counts[place]) for place in np.flatnonzero(counts)} == expected


@given(st.lists(st.integers(0, 2**64 - 1), max_size=100), st.integers(1, 99))
def test_panes_add_up(values: list[int], cut: int) -> None:
    hashes = np.array(values, dtype=np.uint64)
    assert (counts_of(hashes) == counts_of(hashes[:cut]) + counts_of(hashes[cut:])).all()


def test_everything_sent_twice_is_half_of_all_rows() -> None:
    (counts,) = windows(20_000, 10_000, 1, 3)
    value, lower, upper = sketched_rate(counts, 1e-6)
    assert value == pytest.approx(0.5, abs=0.1)
    assert 0.2 < lower < value < upper


def test_one_id_over_and_over_is_all_rows() -> None:
    counts = np.zeros(BUCKETS, dtype=np.int64)
    counts[5] = 1_000
    assert sketched_rate(counts, 1e-6)[0] == 1.0


def test_without_rows_nothing_is_known() -> None:
    assert np.isnan(sketched_rate(np.zeros(BUCKETS, dtype=np.int64), 0.01)).all()
    assert np.isnan(counted_rate(0, 0, 0.01)).all()


def test_known_repeats_have_the_bounds_of_a_share() -> None:
    value, lower, upper = counted_rate(30, 970, 0.01)
    exact = binomtest(30, 1_000).proportion_ci(confidence_level=0.98, method="exact")
    assert (value, lower, upper) == pytest.approx((0.03, exact.low, exact.high), rel=1e-9)
