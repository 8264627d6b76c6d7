"""Curves from binned scores against scikit-learn and scipy on scores that stand for their bins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp
from sklearn.metrics import average_precision_score, roc_auc_score

from detectors.performance.binary_curves import (
    average_precision_bounds,
    ece_estimate,
    ks_estimate,
    lift_estimate,
    roc_auc,
    roc_auc_bound,
    roc_auc_estimate,
)

ALPHA = 0.05
counts = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=2, max_size=8).filter(
    lambda bins: sum(hits for hits, _ in bins) > 0 and sum(misses for _, misses in bins) > 0
)


def rows(bins: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and the number of the bin as score."""
    labels = [label for hits, misses in bins for label in [1] * hits + [0] * misses]
    scores = [place for place, (hits, misses) in enumerate(bins) for _ in range(hits + misses)]
    return np.array(labels), np.array(scores, dtype=np.float64)


def split(bins: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    positives, negatives = np.array(bins, dtype=np.float64).T
    return positives, negatives


@given(counts)
def test_the_area_is_scikit_learns_with_ties_counted_half(bins: list[tuple[int, int]]) -> None:
    area, _ = roc_auc(*split(bins))
    assert area == pytest.approx(roc_auc_score(*rows(bins)), abs=1e-12)
    found = roc_auc_estimate(*split(bins), ALPHA)
    assert np.isnan(found.lower) or found.lower <= area + 1e-12


@given(counts, st.randoms(use_true_random=False))
def test_however_rows_lie_inside_their_bins_the_area_is_within_its_bound(
    bins: list[tuple[int, int]], dice: object
) -> None:
    labels, scores = rows(bins)
    inside = scores + np.array([dice.random() for _ in scores])  # type: ignore[attr-defined]
    gap = abs(roc_auc_score(labels, inside) - roc_auc(*split(bins))[0])
    assert gap <= roc_auc_bound(*split(bins)) + 1e-12
    low, high = average_precision_bounds(*split(bins))
    assert low - 1e-9 <= average_precision_score(labels, inside) <= high + 1e-9


@given(counts)
def test_the_greatest_gap_of_the_classes_is_scipys(bins: list[tuple[int, int]]) -> None:
    labels, scores = rows(bins)
    found = ks_estimate(*split(bins), ALPHA)
    assert found.value == pytest.approx(ks_2samp(scores[labels == 1], scores[labels == 0]).statistic, abs=1e-12)
    assert 0 <= found.lower <= found.value <= found.upper <= 1


def test_lift_is_recall_in_the_top_over_its_share() -> None:
    positives, negatives = np.array([10.0, 20.0, 30.0]), np.array([40.0, 30.0, 20.0])
    # The top third of 150 rows is the last bin: half of the 60 positives.
    found = lift_estimate(positives, negatives, 1 / 3, ALPHA)
    assert found.value == pytest.approx(30 / 60 * 3)
    assert found.lower < found.value < found.upper
    # A sixth is half of that bin, in which positives are spread evenly.
    assert lift_estimate(positives, negatives, 1 / 6, ALPHA).value == pytest.approx(15 / 60 * 6)
    assert lift_estimate(positives, negatives, 1.0, ALPHA).value == pytest.approx(1.0)


def test_the_calibration_error_is_the_mean_gap_of_equal_groups() -> None:
    rows_a_bin, share = 1_000.0, np.linspace(0.05, 0.95, 10)
    positives = rows_a_bin * share
    exact = ece_estimate(positives, rows_a_bin - positives, rows_a_bin * share, ALPHA)
    assert exact.value == pytest.approx(0.0, abs=1e-12)
    off = ece_estimate(positives, rows_a_bin - positives, rows_a_bin * (share + 0.04), ALPHA)
    assert off.value == pytest.approx(0.04)
    assert 0 <= off.lower < off.value < off.upper


@settings(max_examples=20)
@given(st.integers(0, 1_000))
def test_intervals_of_the_area_cover_the_truth(seed: int) -> None:
    """Loosely: one window in a hundred may miss an interval of 99.99 %."""
    dice = np.random.default_rng(seed)
    edges = np.linspace(-4, 4, 65)
    positives = np.histogram(dice.normal(0.5, 1, 500), edges)[0].astype(np.float64)
    negatives = np.histogram(dice.normal(-0.5, 1, 500), edges)[0].astype(np.float64)
    found = roc_auc_estimate(positives, negatives, 1e-4)
    assert found.lower <= 0.7602 <= found.upper  # Φ(1/√2)


def test_without_a_class_there_is_no_curve() -> None:
    none, some = np.zeros(4), np.ones(4)
    for found in (roc_auc_estimate(none, some, ALPHA), ks_estimate(some, none, ALPHA)):
        assert np.isnan(found.value)
