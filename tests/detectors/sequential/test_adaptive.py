"""Windows that shrink on a change: their statistic by brute force, their false alarms, and how soon they see."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import norm

from detectors.sequential.adaptive import (
    ROWS,
    SQUARES,
    TOTAL,
    Adaptive,
    AdaptiveState,
    Changes,
    adaptive_for,
    adaptive_step,
    run_length,
    start,
)
from detectors.sequential.cusum import NEVER, PRIOR_ROWS, Spread, plain_spread

Array = NDArray[np.float64]
Rows = Callable[[np.random.Generator, tuple[int, ...]], Array]


def normal(generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return generator.standard_normal(shape)


def lognormal(generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return (np.exp(generator.standard_normal(shape)) - np.exp(0.5)) / np.sqrt((np.e - 1) * np.e)


def student(generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return generator.standard_t(3, shape) / np.sqrt(3)


def share(q: float) -> Rows:
    def drawn(generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
        return ((generator.random(shape) < q) - q) / np.sqrt(q * (1 - q))

    return drawn


def fed(
    state: AdaptiveState, z: Array, moment: int, params: Adaptive, spread: Spread | None = None
) -> tuple[AdaptiveState, Changes]:
    """One more pane, from its rows z[n, S]."""
    n = np.full(z.shape[1], float(len(z)))
    return adaptive_step(state, n, z.sum(axis=0), (z**2).sum(axis=0), moment, params, spread)


def same(one: AdaptiveState, other: AdaptiveState) -> None:
    for field in fields(one):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


def brute_force(panes: list[Array]) -> float:
    """The statistic of one stream of panes of rows, split by split, with the definition written out."""
    means = np.array([rows.mean() for rows in panes])
    weight = np.array([float(len(rows)) for rows in panes])
    between, splits = [], range(1, len(panes))
    for split in splits:
        sides = (slice(None, split), slice(split, None))
        centers = [np.average(means[side], weights=weight[side]) for side in sides]
        scatter = sum(
            (weight[side] * (means[side] - center) ** 2).sum() for side, center in zip(sides, centers, strict=True)
        )
        between.append(max(scatter / max(len(panes) - 2, 1), 1.0))
    middle, reach = np.sort(means)[(len(means) - 1) // 2], 4.0 * np.sqrt(min(between) / weight)
    clipped, best = np.clip(means, middle - reach, middle + reach), 0.0
    for split, factor in zip(splits, between, strict=True):
        variance, gap = 0.0, 0.0
        for sign, side in ((-1, slice(None, split)), (1, slice(split, None))):
            rows = np.concatenate(panes[side])
            own = rows.var(ddof=1) if len(rows) > 1 else 1.0
            own = 1 + max(own - 1, 0) * len(rows) / (len(rows) + PRIOR_ROWS)
            gap += sign * np.average(clipped[side], weights=weight[side])
            variance += max(own, factor) / weight[side].sum()
        best = max(best, abs(gap) / np.sqrt(variance))
    return float(best)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 20), st.integers(0, 2**32 - 1), st.floats(-3, 3))
def test_the_statistic_is_the_greatest_over_all_splits(panes: int, seed: int, shift: float) -> None:
    generator, params = np.random.default_rng(seed), Adaptive(limit=1e9)
    rows = [generator.normal(shift * (place > panes // 2), 1.3, generator.integers(1, 9)) for place in range(panes)]
    state = start(1)
    for moment, z in enumerate(rows):
        state, changes = fed(state, z[:, None], moment, params, plain_spread(1, 0.0))
    assert changes.statistic[0] == pytest.approx(brute_force(rows), rel=1e-9)
    assert changes.p_value[0] == pytest.approx(2 * norm.sf(changes.statistic[0]))


def test_limits_follow_from_the_run_length() -> None:
    for arl in (50.0, 1000.0, 1e6, 1e12):
        assert run_length(adaptive_for(arl).limit) == pytest.approx(arl)
    # Far below the union bound over 64 splits that ADWIN would take: 5.5 here.
    assert adaptive_for(1e5).limit == pytest.approx(4.878, abs=0.001)


def test_impossible_wishes_are_refused() -> None:
    for arl, effect in ((1.0, 0.0), (np.inf, 0.0), (1000.0, -1.0), (np.nan, 0.0)):
        with pytest.raises(ValueError, match="arl_panes"):
            adaptive_for(arl, effect)


@pytest.mark.parametrize(
    ("rows", "n", "skew", "arl", "most"),
    [
        (normal, 1, 0.0, 200, 2.0),
        (normal, 20, np.nan, 200, 2.0),
        (share(0.5), 20, 0.0, 200, 2.0),
        (share(0.05), 1, 0.9 / np.sqrt(0.0475), 1000, np.inf),
        (share(0.05), 20, 0.9 / np.sqrt(0.0475), 200, np.inf),
        (lognormal, 1, np.nan, 1000, np.inf),
        (lognormal, 20, np.nan, 200, np.inf),
        (student, 5, np.nan, 200, np.inf),
    ],
)
def test_changes_are_found_in_quiet_streams_no_more_often_than_stated(
    rows: Rows, n: int, skew: float, arl: float, most: float
) -> None:
    generator, params, size, panes = np.random.default_rng(3), adaptive_for(arl), 200, 250
    state, found, spread = start(size, 24), 0, plain_spread(size, skew)
    for moment in range(panes):
        state, changes = fed(state, rows(generator, (n, size)), moment, params, spread)
        found += int(changes.fired.sum())
    # 250 changes at an ARL of 200, 50 at 1000: two standard errors are 15 % and 30 %.
    assert (0.85 if arl == 200 else 0.7) * arl < size * panes / max(found, 1) < most * arl


def test_a_change_is_found_dated_and_the_past_forgotten() -> None:
    generator, params, state = np.random.default_rng(5), adaptive_for(1e5), start(100)
    delay, dated, after = np.full(100, np.nan), np.full(100, np.nan), np.full(100, np.nan)
    for pane in range(120):
        state, changes = fed(state, normal(generator, (100, 100)) + 0.25 * (pane >= 80), pane * 60_000, params)
        assert pane >= 80 or changes.fired.sum() <= 1
        new = changes.fired & np.isnan(delay) & (pane >= 80)
        delay[new], dated[new], after[new] = pane - 79, changes.change_at[new] / 60_000 - 80, changes.after[new]
        np.testing.assert_allclose(changes.before[new], 0.0, atol=0.08)
    assert np.isfinite(delay).all()
    assert delay.mean() < 7
    assert np.median(np.abs(dated)) <= 1
    assert after.mean() == pytest.approx(0.27, abs=0.05)
    kept = state.sums[TOTAL].sum(axis=1) / state.sums[ROWS].sum(axis=1)
    np.testing.assert_allclose(kept, 0.25, atol=0.08)
    assert (state.change_at >= 70 * 60_000).all()
    assert (state.used <= 50).all()


def adwin_delay(old: Array, new: list[Array], delta: float) -> float:
    """Panes until ADWIN, on every row and with the bound of its paper for values from 0 to 1, finds a change."""
    values = old
    for pane, rows in enumerate(new, 1):
        values = np.concatenate([values, rows])
        size = np.arange(1, len(values))
        total = np.cumsum(values)
        harmonic = 1 / (1 / size + 1 / (len(values) - size))
        gap = np.abs(total[:-1] / size - (total[-1] - total[:-1]) / (len(values) - size))
        logarithm = np.log(2 * np.log(len(values)) / delta)
        if (gap > np.sqrt(2 / harmonic * values.var() * logarithm) + 2 / (3 * harmonic) * logarithm).any():
            return pane
    return np.inf


@pytest.mark.parametrize("shift", [0.1, 0.25, 0.5])
def test_changes_are_found_no_later_than_by_adwin_on_every_row(shift: float) -> None:
    """Shares around one half move by so many standard deviations, after 40 panes of 100 rows."""
    generator, streams, arl = np.random.default_rng(7), 40, 1e4
    before = generator.random((40, 100, streams)) < 0.5
    after = generator.random((60, 100, streams)) < 0.5 + shift / 2
    x = np.concatenate([before, after]).astype(np.float64)
    state, delay = start(streams), np.full(streams, np.inf)
    for pane in range(100):
        state, changes = fed(state, 2 * x[pane] - 1, pane, adaptive_for(arl))
        delay = np.where(changes.fired & (pane >= 40), np.minimum(delay, pane - 39), delay)
    theirs = [adwin_delay(x[:40, :, stream].ravel(), list(x[40:, :, stream]), 1 / arl) for stream in range(streams)]
    assert np.median(delay) <= np.median(theirs)
    assert np.isfinite(delay).mean() >= np.isfinite(theirs).mean()


def test_merged_buckets_keep_every_sum_and_their_order() -> None:
    generator, state, total = np.random.default_rng(11), start(3, 16), np.zeros((3, 3))
    for moment in range(700):
        z = normal(generator, (4, 3))
        state, changes = fed(state, z, moment, Adaptive(limit=1e9))
        total += [np.full(3, 4.0), z.sum(axis=0), (z**2).sum(axis=0)]
    np.testing.assert_allclose(state.sums[[ROWS, TOTAL, SQUARES]].sum(axis=2), total)
    assert (state.used == 16).all()
    assert (state.panes.sum(axis=1) == 700).all()
    # A bucket begins where the one before it ends, and is no larger than a part of its age.
    np.testing.assert_array_equal(np.diff(state.starts, axis=1), state.panes[:, :-1])
    age = 700 - state.starts
    assert (state.panes[:, :-1] <= np.maximum(0.5 * age[:, :-1], 1)).all()
    assert np.isfinite(changes.statistic).all()


def test_a_change_after_a_long_quiet_time_is_dated_to_the_pane() -> None:
    generator, state, dated = np.random.default_rng(13), start(50, 24), np.full(50, -1)
    for moment in range(520):
        state, changes = fed(state, normal(generator, (25, 50)) + (moment >= 500), moment, adaptive_for(1e6))
        dated = np.where(changes.fired & (dated < 0), changes.change_at, dated)
    assert np.median(dated) == 500
    assert (np.abs(dated - 500) <= 2).all()


def test_a_second_change_is_found_too() -> None:
    generator, state, moments = np.random.default_rng(17), start(1), []
    for moment in range(90):
        z = normal(generator, (100, 1)) + (30 <= moment < 60)
        state, changes = fed(state, z, moment, adaptive_for(1e5))
        moments += changes.change_at[changes.fired].tolist()
    assert moments == [30, 60]
    assert state.before[0] == pytest.approx(1.0, abs=0.1)
    assert state.after[0] == pytest.approx(0.0, abs=0.3)


@pytest.mark.parametrize("wild", [0, 1, 10, 29])
def test_one_wild_pane_is_no_change(wild: int) -> None:
    generator, state = np.random.default_rng(19), start(20)
    for moment in range(40):
        z = normal(generator, (10, 20)) + 1000.0 * (moment == wild)
        state, changes = fed(state, z, moment, adaptive_for(1e5))
        assert not changes.fired.any()


def test_panes_that_vary_by_themselves_are_no_change() -> None:
    generator, size, found = np.random.default_rng(23), 200, {}
    spread = replace(
        plain_spread(size), location_sd=np.full(size, np.sqrt(0.09 + 0.01)), location_rows=np.full(size, 100.0)
    )
    for name, known in (("told", spread), ("learned", None)):
        state, found[name] = start(size, 24), 0
        for moment in range(150):
            z = normal(generator, (100, size)) + 0.3 * normal(generator, (1, size))
            state, changes = fed(state, z, moment, adaptive_for(1000), known)
            found[name] += int(changes.fired.sum())
    # 30 changes at the stated rate; who has to learn it from the panes pays in the first few of them.
    assert found["told"] <= 40
    assert found["learned"] <= 200


def test_rows_that_begin_to_scatter_are_no_change_of_the_mean() -> None:
    generator, state, found = np.random.default_rng(29), start(200, 24), 0
    for moment in range(100):
        z = normal(generator, (200, 200)) * (1 + 3 * (moment >= 50))
        state, changes = fed(state, z, moment, adaptive_for(1000))
        found += int(changes.fired.sum())
    assert found <= 40


def test_changes_that_nobody_cares_about_are_left_alone() -> None:
    generator, state, found = np.random.default_rng(31), start(50), np.zeros(50, dtype=bool)
    params = adaptive_for(1e5, min_effect=0.1)
    for moment in range(60):
        mean = generator.standard_normal(50) / 100 + 0.08 * (moment >= 20) + 0.2 * (moment >= 40)
        rows = np.full(50, 1e4)
        state, changes = adaptive_step(state, rows, mean * rows, rows * (1 + mean**2), moment, params)
        assert moment >= 40 or not changes.fired.any()
        found |= changes.fired
    assert found.all()


def test_panes_without_rows_are_passed_over() -> None:
    generator, params = np.random.default_rng(37), adaptive_for(1e4)
    dense, sparse, nothing = start(3), start(3), np.zeros(3)
    for moment in range(30):
        z = normal(generator, (5, 3))
        dense, _ = fed(dense, z, 2 * moment, params)
        sparse, _ = fed(sparse, z, 2 * moment, params)
        sparse, changes = adaptive_step(sparse, nothing, nothing, nothing, 2 * moment + 1, params)
        assert not changes.fired.any()
    same(dense, sparse)
    empty, changes = adaptive_step(start(3), nothing, nothing, nothing, 0, params)
    assert np.isnan(changes.statistic).all()
    assert (changes.change_at == NEVER).all()
    assert (empty.used == 0).all()


def test_streams_do_not_meet() -> None:
    generator, params = np.random.default_rng(41), adaptive_for(100)
    both, alone = start(2, 8), start(1, 8)
    for moment in range(120):
        z = normal(generator, (5, 2)) + np.array([0.0, moment // 30])
        both, _ = fed(both, z, moment, params)
        n = np.array([5.0 * (moment % 3 > 0)])
        one = z[:, 1:] * (n > 0)
        alone, _ = adaptive_step(alone, n, one.sum(axis=0), (one**2).sum(axis=0), moment, params)
    again = start(2, 8)
    generator = np.random.default_rng(41)
    for moment in range(120):
        z = normal(generator, (5, 2)) + np.array([0.0, moment // 30])
        n = np.array([5.0, 5.0 * (moment % 3 > 0)])
        z = z * (n > 0)
        again, _ = adaptive_step(again, n, z.sum(axis=0), (z**2).sum(axis=0), moment, params)
    for field in ("used", "starts", "change_at", "before"):
        np.testing.assert_array_equal(getattr(again, field)[:1], getattr(both, field)[:1])
        np.testing.assert_array_equal(getattr(again, field)[1:], getattr(alone, field))


def test_saved_windows_go_on_as_if_never_stopped() -> None:
    generator, params = np.random.default_rng(43), adaptive_for(100)
    whole = stopped = start(4, 12)
    for moment in range(150):
        if moment % 40 == 39:
            file = io.BytesIO()
            np.savez(file, **{field.name: getattr(stopped, field.name) for field in fields(stopped)})
            file.seek(0)
            stopped = AdaptiveState(**np.load(file))
        z = normal(generator, (3, 4)) + (moment > 70)
        whole, _ = fed(whole, z, moment, params)
        stopped, _ = fed(stopped, z, moment, params)
    same(whole, stopped)
    assert (whole.change_at > 0).all()
