"""How much less correlated rows are worth, found again where it is known beforehand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import chi2, norm

from detectors.drift.dispersion import MIN_BLOCKS, measure_dispersion
from detectors.layout import COLUMNS, INVALID, MISSING

Array = NDArray[np.float64]
Numbers = NDArray[np.int64]

BLOCKS = 2000
"""So many that the allowance for few blocks is small."""
ROWS = 200
SHARES = np.array([0.3, 0.25, 0.2, 0.15, 0.1])


def measured(bins: Numbers, moments: Array | None = None) -> tuple[float, float]:
    """The design effects of values and of missing ones, of blocks [P, columns] of one subject."""
    padded = np.zeros((len(bins), 1, COLUMNS), dtype=np.int64)
    padded[:, 0, : bins.shape[1]] = bins
    found = measure_dispersion(
        bins.sum(axis=1), padded, np.zeros((len(bins), 1, 2)) if moments is None else moments[:, None]
    )
    return float(found.values[0]), float(found.missing[0])


def with_missing(gone: Numbers) -> Numbers:
    bins = np.zeros((len(gone), COLUMNS), dtype=np.int64)
    bins[:, 0], bins[:, MISSING] = ROWS - gone, gone
    return bins


def test_independent_rows_are_worth_what_they_count() -> None:
    generator = np.random.default_rng(1)
    values, missing = measured(generator.multinomial(ROWS, SHARES, BLOCKS))
    # The worst of four directions is always somewhat above the mean.
    assert 1.0 <= values <= 1.25
    assert 1.0 <= missing <= 1.1


def test_independent_missing_values_are_worth_what_they_count() -> None:
    gone = np.random.default_rng(2).binomial(ROWS, 0.1, BLOCKS)
    assert 1.0 <= measured(with_missing(gone))[1] <= 1.15


@pytest.mark.parametrize("correlation", [0.01, 0.05, 0.2])
def test_rows_correlated_within_blocks_have_the_design_effect_of_their_correlation(correlation: float) -> None:
    # Dirichlet-multinomial: every bin varies by 1 + (n - 1) rho (Kish 1965).
    generator = np.random.default_rng(3)
    own = generator.dirichlet(SHARES * (1 / correlation - 1), BLOCKS)
    known = 1 + (ROWS - 1) * correlation
    assert known <= measured(generator.multinomial(ROWS, own))[0] <= 1.3 * known


@pytest.mark.parametrize("correlation", [0.01, 0.05, 0.2])
def test_missing_values_correlated_within_blocks_have_the_design_effect_of_their_correlation(
    correlation: float,
) -> None:
    generator = np.random.default_rng(4)
    weight = 1 / correlation - 1
    gone = generator.binomial(ROWS, generator.beta(0.1 * weight, 0.9 * weight, BLOCKS))
    assert measured(with_missing(gone))[1] == pytest.approx(1 + (ROWS - 1) * correlation, rel=0.15)


def test_rows_that_come_k_at_a_time_are_worth_a_kth() -> None:
    generator = np.random.default_rng(5)
    assert measured(10 * generator.multinomial(ROWS // 10, SHARES, BLOCKS))[0] == pytest.approx(10, rel=0.2)


def test_a_correlation_along_one_direction_is_not_averaged_away_by_all_others() -> None:
    # Whole blocks move up and down by 0.2 standard deviations: 1 + n tau^2 along that way, and little more than 1 on
    # average over 50 bins.
    generator = np.random.default_rng(6)
    edges = norm.ppf(np.linspace(0, 1, 51))
    moved = generator.normal(0, 0.2, BLOCKS)
    own = np.diff(norm.cdf(edges[None] - moved[:, None]), axis=1)
    bins = generator.multinomial(1000, own)
    spread = ((bins - 20) ** 2 / 20).sum() / (49 * BLOCKS)
    assert spread < 5
    # Ranks see nearly all of a shift.
    assert measured(bins)[0] == pytest.approx(1 + 1000 * 0.2**2, rel=0.2)


@pytest.mark.parametrize("blocks", [5, 10, 50])
def test_few_blocks_are_read_with_caution(blocks: int) -> None:
    # At least the truth in nearly all draws, since too little would mean false alarms.
    generator = np.random.default_rng(7)
    weight, known = 1 / 0.05 - 1, 1 + (ROWS - 1) * 0.05
    trials = 200
    reached = sum(
        measured(generator.multinomial(ROWS, generator.dirichlet(SHARES * weight, blocks)))[0] >= known
        for _ in range(trials)
    )
    assert reached >= 0.9 * trials


@pytest.mark.parametrize("blocks", range(MIN_BLOCKS))
def test_with_next_to_no_blocks_rows_are_taken_for_independent(blocks: int) -> None:
    bins = np.zeros((blocks, 2, COLUMNS), dtype=np.int64)
    bins[..., 0] = 100
    found = measure_dispersion(np.full(blocks, 100), bins, np.zeros((blocks, 2, 2)))
    assert found.blocks == 0
    assert found.values.tolist() == [1, 1]
    assert found.missing.tolist() == [1, 1]
    assert np.isnan(found.location_sd).all()


def test_blocks_with_hardly_any_rows_are_left_out() -> None:
    generator = np.random.default_rng(8)
    full = generator.multinomial(ROWS, SHARES, 50)
    sparse = np.array([[3, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 9]])
    assert measured(np.concatenate([full, sparse])) == measured(full)


def test_the_means_of_blocks_scatter_as_they_were_made_to() -> None:
    generator = np.random.default_rng(9)
    means = generator.normal(0, 0.3, BLOCKS)
    bins = np.zeros((BLOCKS, 1, COLUMNS), dtype=np.int64)
    bins[..., 0] = ROWS
    moments = np.stack([means * ROWS, np.ones(BLOCKS)], axis=1)[:, None]
    found = measure_dispersion(np.full(BLOCKS, ROWS), bins, moments)
    assert found.location_sd[0] == pytest.approx(0.3, rel=0.1)
    assert found.location_reach[0] == pytest.approx(np.abs(means - means.mean()).max() / means.std(), rel=0.01)
    assert found.blocks == BLOCKS


def test_empty_constant_and_missing_subjects_tell_nothing_and_warn_of_nothing() -> None:
    bins = np.zeros((10, 4, COLUMNS), dtype=np.int64)
    bins[:, 1, 0] = 100
    bins[:, 2, MISSING] = 100
    bins[:, 3, INVALID] = 100
    found = measure_dispersion(np.full(10, 100), bins, np.zeros((10, 4, 2)))
    assert found.values.tolist() == [1] * 4
    # Only the allowance for ten blocks is left of a share that never varied.
    assert found.missing.tolist() == [pytest.approx(9 / chi2(9).ppf(0.05))] * 4
    assert np.isnan(found.location_sd).all()


def test_each_subject_is_measured_by_its_own_blocks() -> None:
    generator = np.random.default_rng(10)
    bins = np.zeros((BLOCKS, 2, COLUMNS), dtype=np.int64)
    bins[:, 0, :5] = generator.multinomial(ROWS, SHARES, BLOCKS)
    bins[:, 1, :5] = generator.multinomial(ROWS, generator.dirichlet(SHARES * 19, BLOCKS))
    found = measure_dispersion(np.full(BLOCKS, ROWS), bins, np.zeros((BLOCKS, 2, 2)))
    assert found.values[0] == pytest.approx(measured(bins[:, 0])[0])
    assert found.values[1] == pytest.approx(measured(bins[:, 1])[0])
