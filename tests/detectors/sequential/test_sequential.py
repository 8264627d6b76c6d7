"""Cumulative sums: their path by hand, their false alarms on rows of many kinds, their speed and their way back."""

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

from detectors.sequential.cusum import (
    NEVER,
    Alarms,
    Cusum,
    CusumState,
    Spread,
    cusum_for,
    pane_scores,
    pane_variance,
    plain_spread,
    run_length,
    skew_allowance,
    start,
    step,
)

Array = NDArray[np.float64]
Rows = Callable[[np.random.Generator, tuple[int, ...]], Array]


def lognormal(generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return (np.exp(generator.standard_normal(shape)) - np.exp(0.5)) / np.sqrt((np.e - 1) * np.e)


def student(generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return generator.standard_t(3, shape) / np.sqrt(3)


def normal(generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return generator.standard_normal(shape)


def share(q: float) -> Rows:
    def drawn(generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
        return ((generator.random(shape) < q) - q) / np.sqrt(q * (1 - q))

    return drawn


def skew_of(q: float) -> float:
    return (1 - 2 * q) / np.sqrt(q * (1 - q))


def first_alarms(panes: list[Array] | Array, spread: Spread, params: Cusum) -> Array:
    """float64[S]: in which pane each stream fired first, counted from 1; inf for never. Panes are z[n, S]."""
    size = panes[0].shape[1]
    state, first = start(size), np.full(size, np.inf)
    for number, z in enumerate(panes, 1):
        scores = pane_scores(np.full(size, float(len(z))), z.sum(axis=0), (z**2).sum(axis=0), spread)
        state, alarms = step(state, scores.u, number, params, scores.reference_error, None, scores.skew)
        first = np.where(alarms.fired, np.minimum(first, number), first)
    return first


def realised(first: Array, panes: int) -> float:
    """The ARL of runs that end after so many panes (exponential, censored)."""
    return float(np.minimum(first, panes).sum() / max(np.isfinite(first).sum(), 1))


def chain_run_length(drift: float, limit: float, parts: int = 200) -> float:
    """The ARL of a two-sided sum of normal scores, by the Markov chain of Brook & Evans (1972)."""
    width = 2 * limit / (2 * parts - 1)
    middle = np.arange(parts) * width
    upper = norm.cdf(middle[None, :] + width / 2 - middle[:, None] + drift)
    moves = np.diff(upper, axis=1, prepend=0.0)
    return float(np.linalg.solve(np.eye(parts) - moves, np.ones(parts))[0]) / 2


def fed(scores: Array, params: Cusum, starts: NDArray[np.int64] | None = None) -> list[tuple[CusumState, Alarms]]:
    state, seen = start(scores.shape[1]), []
    for number, u in enumerate(scores):
        state, alarms = step(state, u, number if starts is None else int(starts[number]), params)
        seen.append((state, alarms))
    return seen


def test_sums_follow_the_path_worked_out_by_hand() -> None:
    scores = np.array([[1.0], [2.0], [-0.5], [-4.0], [3.0], [0.0], [-9.0]])
    starts = np.arange(7) * 60_000
    seen = fed(scores, Cusum(drift=0.5, limit=3.0, cut=4.0), starts)
    assert [float(state.up[0]) for state, _ in seen] == [0.5, 2.0, 1.0, 0.0, 2.5, 2.0, 0.0]
    assert [float(state.down[0]) for state, _ in seen] == [0.0, 0.0, 0.0, 3.5, 0.0, 0.0, 3.5]
    assert [bool(alarms.fired[0]) for _, alarms in seen] == [False, False, False, True, False, False, True]
    assert [int(alarms.direction[0]) for _, alarms in seen] == [1, 1, 1, -1, 1, 1, -1]
    assert [int(alarms.change_at[0]) for _, alarms in seen] == [0, 0, 0, 180_000, 240_000, 240_000, 360_000]


def test_page_hinkley_is_the_same_statistic() -> None:
    u = np.random.default_rng(3).normal(0.1, 1, 200)
    seen = fed(u[:, None], Cusum(drift=0.25, limit=1e9, cut=1e9))
    total = np.concatenate([[0.0], np.cumsum(u - 0.25)])
    lowest = np.minimum.accumulate(total)
    np.testing.assert_allclose([state.up[0] for state, _ in seen], (total - lowest)[1:], atol=1e-9)


@pytest.mark.parametrize("arl", [100.0, 1000.0, 1e4, 1e6])
@pytest.mark.parametrize("drift", [0.1, 0.25, 0.5, 1.0])
def test_limits_keep_the_run_length_that_a_markov_chain_finds(arl: float, drift: float) -> None:
    params = cusum_for(arl, drift)
    assert run_length(drift, params.limit) == pytest.approx(arl, rel=1e-6)
    # Siegmund's approximation is for small allowances; 2k = 2 is far for it.
    assert chain_run_length(drift, params.limit) == pytest.approx(arl, rel=0.05 if drift < 1 else 0.12)


def test_a_sum_without_allowance_has_the_run_length_of_a_random_walk() -> None:
    assert run_length(0.0, 10.0) == pytest.approx(11.166**2 / 2)
    assert run_length(1e-7, 10.0) == pytest.approx(run_length(1e-4, 10.0), rel=1e-2)


def test_impossible_wishes_are_refused() -> None:
    for arl, drift in ((1.0, 0.25), (np.inf, 0.25), (100.0, -0.1), (np.nan, 0.25)):
        with pytest.raises(ValueError, match="arl_panes"):
            cusum_for(arl, drift)


@pytest.mark.parametrize(
    ("rows", "n", "skew", "most"),
    [
        (normal, 1, 0.0, 2.0),
        (normal, 20, np.nan, 2.0),
        (share(0.5), 1, 0.0, 2.0),
        (share(0.05), 1, skew_of(0.05), 3.0),
        (share(0.05), 5, skew_of(0.05), np.inf),
        (share(0.005), 20, skew_of(0.005), np.inf),
        (lognormal, 1, np.nan, np.inf),
        (lognormal, 20, np.nan, np.inf),
        (student, 1, np.nan, np.inf),
        (student, 20, np.nan, np.inf),
    ],
)
def test_false_alarms_are_no_more_frequent_than_stated(rows: Rows, n: int, skew: float, most: float) -> None:
    generator, arl, panes = np.random.default_rng(11), 300.0, 500
    first = first_alarms([rows(generator, (n, 500)) for _ in range(panes)], plain_spread(500, skew), cusum_for(arl))
    # About 400 alarms at the stated rate: 10 % is two standard errors.
    assert 0.9 * arl < realised(first, panes) < most * arl


@pytest.mark.parametrize(("rows", "skew"), [(share(0.05), skew_of(0.05)), (lognormal, 6.18), (student, 0.0)])
@pytest.mark.parametrize("n", [1, 10])
def test_long_run_lengths_survive_skewed_rows(rows: Rows, skew: float, n: int) -> None:
    """By Wald's identity the ARL grows like exp(2k·limit) as long as E exp(2k·increment) ≤ 1."""
    params = cusum_for(1e6)
    z = rows(np.random.default_rng(5), (n, 200_000))
    scores = pane_scores(np.full(200_000, float(n)), z.sum(axis=0), (z**2).sum(axis=0), plain_spread(200_000, skew))
    slack = skew_allowance(scores.skew, params)
    for sign, side in ((1, 0), (-1, 1)):
        moved = np.clip(sign * scores.u - slack[side], -params.cut, params.cut) - params.drift
        assert np.exp(2 * params.drift * moved).mean() < 1.01


def test_rare_rows_would_fire_too_often_without_the_allowance_for_skew() -> None:
    z = share(0.05)(np.random.default_rng(5), (200_000,))
    assert np.exp(0.5 * (np.clip(z, -4, 4) - 0.25)).mean() > 1.05


def wrong_reference(aware: bool) -> Array:
    """First alarms of 400 streams whose references have 2,000 rows each, in 300 panes of 1,000 rows."""
    generator, size = np.random.default_rng(7), 400
    bias = generator.standard_normal(size) / np.sqrt(2000)
    spread = plain_spread(size, 0.0)
    spread = replace(spread, reference_error=np.full(size, aware / np.sqrt(2000)))
    state, first, params = start(size), np.full(size, np.inf), cusum_for(1e4)
    for number in range(300):
        mean = generator.standard_normal(size) / np.sqrt(1000) - bias
        scores = pane_scores(np.full(size, 1000.0), mean * 1000, 1000 * (1 + mean**2), spread)
        state, alarms = step(state, scores.u, number, params, scores.reference_error)
        first = np.where(alarms.fired, np.minimum(first, number), first)
    return first


def test_an_uncertain_reference_does_not_fire_in_the_end() -> None:
    assert np.isfinite(wrong_reference(aware=False)).mean() > 0.4
    # 400 streams × 300 panes allow 12 alarms at the stated rate.
    assert np.isfinite(wrong_reference(aware=True)).sum() <= 12


def test_a_large_shift_gets_past_the_allowance_for_the_reference() -> None:
    u = np.full((5, 1), 30.0)
    state = start(1)
    for number, score in enumerate(u):
        state, alarms = step(state, score, number, cusum_for(1000), np.array([5.0]), np.array([5.0]))
    assert alarms.fired[0]
    assert alarms.change_at[0] == 0


def test_tolerated_shifts_never_fire() -> None:
    generator, state, fired = np.random.default_rng(2), start(200), np.zeros(200, dtype=bool)
    for number in range(500):
        u = generator.normal(1.0, 1.0, 200)
        state, alarms = step(state, u, number, cusum_for(1e5), None, np.full(200, 1.0))
        fired |= alarms.fired
    assert fired.sum() <= 3


@pytest.mark.parametrize(("shift", "most"), [(0.5, 50.0), (1.0, 16.0), (2.0, 8.0)])
def test_shifts_are_found_in_few_panes_and_dated_well(shift: float, most: float) -> None:
    generator, quiet = np.random.default_rng(13), 30
    u = generator.standard_normal((150, 300))
    u[quiet:] += shift
    params = cusum_for(1000)
    found, dated, right = np.full(300, np.nan), np.full(300, np.nan), 0
    for number, (_, alarms) in enumerate(fed(u, params)):
        new = alarms.fired & np.isnan(found) & (number >= quiet)
        found[new], dated[new] = number - quiet + 1, alarms.change_at[new] - quiet
        right += int((alarms.direction[new] == 1).sum())
    assert np.isfinite(found).mean() > 0.98
    assert right > 0.98 * np.isfinite(found).sum()
    assert np.nanmean(found) < most
    assert abs(np.nanmedian(dated)) <= 4


def test_one_wild_pane_cannot_fire_alone() -> None:
    u = np.zeros((3, 2))
    u[1] = [1e9, -np.inf]
    assert not any(alarms.fired.any() for _, alarms in fed(u, cusum_for(200)))


def test_an_alarm_lasts_with_the_change_and_ends_soon_after_it() -> None:
    params = cusum_for(1000)
    generator = np.random.default_rng(17)
    u = generator.standard_normal((1200, 100))
    u[:1000] += 1.0
    seen = fed(u, params)
    assert np.mean([alarms.fired.mean() for _, alarms in seen[50:1000]]) > 0.999
    back = int(np.ceil((params.cap - 1) * params.limit / params.drift))
    assert seen[999 + back][1].fired.mean() < 0.6
    assert seen[999 + 4 * back][1].fired.mean() < 0.05


def test_panes_without_rows_leave_the_sums_alone() -> None:
    generator = np.random.default_rng(19)
    u = generator.normal(0.3, 1, (50, 4))
    holes = np.full((100, 4), np.nan)
    holes[::2] = u
    dense, sparse = fed(u, cusum_for(100))[-1], fed(holes, cusum_for(100))[-1]
    np.testing.assert_array_equal(dense[0].up, sparse[0].up)
    np.testing.assert_array_equal(dense[0].since_up * 2, np.where(dense[0].up > 0, sparse[0].since_up, 2 * NEVER))
    scores = pane_scores(np.zeros(2), np.zeros(2), np.zeros(2), plain_spread(2))
    assert np.isnan(scores.u).all()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.floats(-6, 6) | st.just(float("nan")), min_size=3, max_size=3), min_size=1, max_size=30))
def test_mirrored_scores_swap_the_sums_and_streams_do_not_meet(scores: list[list[float]]) -> None:
    u, params = np.array(scores), Cusum(0.25, 5.0)
    (there, alarms), (mirrored, _) = fed(u, params)[-1], fed(-u, params)[-1]
    np.testing.assert_array_equal(there.up, mirrored.down)
    np.testing.assert_array_equal(there.since_down, mirrored.since_up)
    np.testing.assert_array_equal(there.up[1:2], fed(u[:, 1:2], params)[-1][0].up)
    assert (there.up >= 0).all()
    assert (alarms.value <= params.cap * params.limit).all()
    np.testing.assert_array_equal(alarms.change_at == NEVER, alarms.value == 0)


def test_saved_sums_go_on_as_if_never_stopped() -> None:
    u, params = np.random.default_rng(23).normal(0.2, 1, (60, 5)), cusum_for(200)
    state = start(5)
    for number in range(60):
        if number == 31:
            file = io.BytesIO()
            np.savez(file, **{field.name: getattr(state, field.name) for field in fields(state)})
            file.seek(0)
            state = CusumState(**np.load(file))
        state, _ = step(state, u[number], number, params)
    for field in fields(state):
        np.testing.assert_array_equal(getattr(state, field.name), getattr(fed(u, params)[-1][0], field.name))


def spread_of(location_sd: float, rows: float, effect: float = 1.0, persistence: float = 0.0) -> Spread:
    one = np.ones(1)
    return Spread(one * effect, one * location_sd, one * rows, one * persistence, 0 * one, 0 * one)


@pytest.mark.parametrize(
    ("n", "spread", "variance"),
    [
        (100.0, spread_of(np.nan, np.nan, 3.0), 0.03),
        (100.0, spread_of(0.1, 100.0, 3.0), 0.01),
        (100.0, spread_of(0.2, 100.0, 9.0), 0.04),
        (10_000.0, spread_of(0.2, 100.0), 0.0301),
        (10.0, spread_of(0.2, 100.0), 0.4),
        (100.0, spread_of(0.2, np.nan), 0.05),
        (10.0, spread_of(0.2, np.nan, 9.0), 0.9),
        (100.0, spread_of(np.nan, np.nan, 1.0, 0.5), 0.03),
    ],
)
def test_the_variance_of_pane_means_is_that_of_rows_and_of_panes(n: float, spread: Spread, variance: float) -> None:
    assert pane_variance(np.array([n]), spread)[0] == pytest.approx(variance)


def test_panes_that_resemble_their_neighbours_do_not_fire_more_often() -> None:
    generator, size, rho = np.random.default_rng(29), 300, 0.5
    spread = replace(plain_spread(size, 0.0), persistence=np.full(size, rho))
    location, panes = generator.standard_normal(size), []
    for _ in range(400):
        panes.append(location[None, :])
        location = rho * location + np.sqrt(1 - rho**2) * generator.standard_normal(size)
    assert realised(first_alarms(panes, spread, cusum_for(300)), 400) > 300
    assert realised(first_alarms(panes, plain_spread(size, 0.0), cusum_for(300)), 400) < 100


def test_rows_that_scatter_more_do_not_pass_for_a_shift() -> None:
    generator = np.random.default_rng(31)
    panes = [3 * generator.standard_normal((200, 200)) for _ in range(150)]
    assert realised(first_alarms(panes, plain_spread(200, 0.0), cusum_for(300)), 150) > 150


def test_infinite_errors_and_skews_stay_silent_without_a_warning() -> None:
    params = Cusum(0.25, 10.0)
    endless = np.array([np.inf])
    after, alarms = step(
        start(1), np.array([5.0]), 0, params, reference_error=endless, tolerance=endless, skew=np.full((2, 1), np.inf)
    )
    assert after.up.tolist() == [0.0]
    assert not alarms.fired.any()
