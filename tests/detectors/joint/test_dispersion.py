"""The spread of correlations: Fisher's transformation, and the design effect of rows that come in clusters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.drift.dispersion import MIN_BLOCKS
from detectors.joint.dispersion import STEEPEST, Spread, fisher_z, measure_spread
from detectors.joint.sums import Sums

BLOCKS, SIZE = 60, 200


def sums(points: np.ndarray, features: np.ndarray, errors: np.ndarray, blocks: int | None = None) -> Sums:
    """Of two coordinates, by definition; of consecutive blocks, or of all rows."""
    parts = [slice(None)] if blocks is None else [slice(at * SIZE, (at + 1) * SIZE) for at in range(blocks)]
    fields = [
        (
            float(len(points[part])),
            0.0,
            np.array([errors[part].sum(), (errors[part] ** 2).sum()]),
            features[part].mean(axis=0),
            np.array([float(len(points[part]))]),
            np.array([np.corrcoef(points[part], rowvar=False)[0, 1]]),
            np.full(2, float(len(points[part]))),
            points[part].mean(axis=0),
        )
        for part in parts
    ]
    stacked = [np.array(field) for field in zip(*fields, strict=True)]
    return Sums(*(stacked if blocks is not None else [field[0] for field in stacked]))


def spread(points: np.ndarray, *, by_block: bool, skipped: bool = False) -> tuple[Spread, int]:
    angle = points @ np.array([[1.0, 0.3], [0.2, -0.7]])
    features = np.concatenate([np.cos(angle), np.sin(angle)], axis=1) / np.sqrt(2)
    errors = points[:, 0] ** 2
    whole = sums(points, features, errors)
    blocks = sums(points, features, errors, BLOCKS) if by_block else None
    return measure_spread(whole, whole, blocks, blocks, features, errors, points, np.array([skipped]))


def related(rho: float, rows: int, seed: int) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(rows, 2))
    x[:, 1] = rho * x[:, 0] + np.sqrt(1 - rho**2) * x[:, 1]
    return x


@given(st.floats(-1, 1))
def test_fishers_transformation_is_odd_and_bounded(rho: float) -> None:
    z = fisher_z(np.array([rho, -rho]))
    assert z[0] == -z[1]
    assert abs(z[0]) <= np.arctanh(STEEPEST)
    if abs(rho) < STEEPEST:
        assert np.tanh(z[0]) == pytest.approx(rho, abs=1e-12)


@pytest.mark.parametrize("rho", [0.0, 0.6, -0.8])
def test_the_variance_for_normal_rows_is_one(rho: float) -> None:
    # n times the variance of Fisher's z of normal data is 1 (Fisher 1921).
    found, blocks = spread(related(rho, BLOCKS * SIZE, 1), by_block=False)
    assert blocks == 0
    assert found.pair_variance[0] == pytest.approx(1.0, rel=0.12)
    assert found.pair_effect[0] == 1.0
    assert found.error_effect == 1.0


def test_independent_blocks_show_hardly_any_design_effect_and_clusters_a_large_one() -> None:
    alone, blocks = spread(related(0.5, BLOCKS * SIZE, 2), by_block=True)
    assert blocks == BLOCKS >= MIN_BLOCKS
    assert 1.0 <= alone.pair_effect[0] < 2.0
    # Every row comes twenty times: blocks of 200 hold the knowledge of ten.
    cluster = np.repeat(related(0.5, BLOCKS * SIZE // 20, 3), 20, axis=0)
    clustered, _ = spread(cluster, by_block=True)
    assert clustered.pair_effect[0] > 8.0
    assert clustered.error_effect > 8.0
    assert (clustered.waves > 5 * alone.waves).all()
    assert clustered.spectrum.sum() > 5 * alone.spectrum.sum()


def test_pairs_that_are_not_watched_vary_without_bound() -> None:
    found, _ = spread(related(0.5, BLOCKS * SIZE, 4), by_block=True, skipped=True)
    assert found.pair_variance.tolist() == [np.inf]
    assert np.isfinite(found.pair_effect).all()
