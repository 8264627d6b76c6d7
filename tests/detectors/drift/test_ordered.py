"""KS and Wasserstein of counts against scipy on rows, and bounds that hold what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ks_2samp, wasserstein_distance

from detectors.drift.ordered import ordered_statistics, points, sides
from detectors.layout import HIGH, LOW
from detectors.pooling import VALUES, value_order
from tests.support.counts import count, layout_of, reference_of, stack

VALUE, DEBIASED, LOWER, UPPER = range(4)
ALPHA = 0.01


def seen(counts: object, reference: object) -> np.ndarray:
    order = value_order(reference.layout, reference.counts.bins)  # type: ignore[attr-defined]
    bins = counts.bins.astype(np.float64)  # type: ignore[attr-defined]
    return np.take_along_axis(bins, np.broadcast_to(order, (*bins.shape[:-1], VALUES)), axis=-1)


@pytest.mark.parametrize("shift", [0.0, 0.3, 1.5])
def test_binned_statistics_are_close_to_those_of_the_rows(shift: float) -> None:
    dice = np.random.default_rng(1)
    old, new = dice.normal(size=20_000), dice.normal(shift, 1, size=5_000)
    reference = reference_of({"x": old})
    window = count(reference.layout, {"x": new})
    found = ordered_statistics(reference, window, seen(window, reference), np.array([5_000.0]), ALPHA)
    exact = ks_2samp(old, new).statistic, wasserstein_distance(old, new) / old.std()
    for statistic, value, tolerance in zip(found, exact, (0.02, 0.06), strict=True):
        assert statistic[VALUE, 0] == pytest.approx(value, abs=tolerance)
        assert statistic[LOWER, 0] <= statistic[DEBIASED, 0] <= statistic[VALUE, 0] <= statistic[UPPER, 0]
        assert (statistic[LOWER, 0] > 0) == (shift > 0)


def test_noise_alone_passes_the_lower_bound_no_more_often_than_stated() -> None:
    dice = np.random.default_rng(2)
    reference = reference_of({"x": dice.normal(size=50_000)})
    windows = stack([count(reference.layout, {"x": dice.normal(size=400)}) for _ in range(500)])
    found = ordered_statistics(reference, windows, seen(windows, reference), np.full((500, 1), 400.0), 0.05)
    for statistic in found:
        assert (statistic[LOWER] > 0).mean() <= 0.08
        # What noise adds on average is taken off.
        assert statistic[DEBIASED].mean() < 0.5 * statistic[VALUE].mean()


def test_categories_have_no_order() -> None:
    reference = reference_of({"c": np.array([0, 1, 1]), "x": np.array([1.0, 2.0, 3.0])})
    window = count(reference.layout, {"c": np.array([0, 0]), "x": np.array([2.0, 3.0])})
    found = ordered_statistics(reference, window, seen(window, reference), np.array([2.0, 2.0]), ALPHA)
    for statistic in found:
        assert np.isnan(statistic[:, 0]).all()
        assert np.isfinite(statistic[:, 1]).all()


def test_values_out_of_range_stand_half_way_to_the_extreme() -> None:
    layout = layout_of({"x": np.linspace(0.0, 1.0, 101)})
    reference = reference_of({"x": np.linspace(0.0, 1.0, 101)})
    window = count(layout, {"x": np.array([-1.0, 0.5, 3.0])})
    assert window.bins[0, [LOW, HIGH]].tolist() == [1, 1]
    at = points(reference, window)[0] * layout.scale[0] + layout.location[0]
    assert at[0] == pytest.approx(-0.5)
    assert at[-1] == pytest.approx(2.0)
    width = int(layout.width[0])
    assert (np.diff(at[: width + 1]) > 0).all()
    ends = sides(reference, window)[0] * layout.scale[0] + layout.location[0]
    assert ends[0].tolist() == pytest.approx([-1.0, 0.0])
    assert ends[-1].tolist() == pytest.approx([1.0, 3.0])
    assert np.isnan(ends[width + 1 : -1]).any(axis=-1).all()
