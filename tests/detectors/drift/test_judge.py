"""The decision: false alarms within the budget, power beside it, and every odd window survived.

Every simulation has a fixed seed; limits on counts are what binomial chance allows, not what was seen.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.stats import binom

from detectors.budget import alpha as alpha_of
from detectors.drift.judge import DRIFTED, INSUFFICIENT, OK, STATISTICS, Judgement, Settings, judge
from detectors.drift.reference import Dispersion
from detectors.layout import BINS, COLUMNS, HIGH, LOW, MISSING
from tests.support.counts import count, counts_of, gaps, reference_of, stack
from tests.support.populations import KINDS, ZIPF, population, reference_rows, windows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Array = NDArray[np.float64]

PSI, JS, KS, WASSERSTEIN, CHI2, GONE = range(6)
HOUR = 3_600_000
ALPHA = alpha_of(1, subjects=20, segments=1, steps_ms=(HOUR,))


@pytest.fixture(autouse=True)
def _warnings_are_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def most_by_chance(decisions: int, probability: float) -> int:
    """How many errors a rule of just this error probability stays within in 999 of 1000 simulations."""
    return int(binom.ppf(0.999, decisions, probability))


def found_drifted(judgement: Judgement, statistic: int) -> NDArray[np.bool_]:
    return np.asarray(judgement.status[..., statistic, :] == DRIFTED)


# False alarms.


@pytest.mark.long
@pytest.mark.parametrize("kept", [50_000, 2_000])
@pytest.mark.parametrize("rows", [100, 500, 1_000, 5_000, 50_000])
def test_without_drift_alarms_stay_within_the_budget(kept: int, rows: int) -> None:
    # At thresholds of 0, where the confidence bound alone stands between noise and an alarm.
    generator = np.random.default_rng([kept, rows])
    settings = Settings(min_effect=0, min_missing=0, alpha=ALPHA, min_rows=50)
    alarms, many, references = np.zeros(2, dtype=int), 100, 3
    for _ in range(references):
        reference = reference_rows(kept, generator)
        judgement = judge(reference, windows(population(reference), rows, many, generator), settings)
        assert (judgement.status[:, [PSI, GONE]] != INSUFFICIENT).all()
        alarms += [found_drifted(judgement, PSI).sum(), found_drifted(judgement, GONE).sum()]
    decisions = references * many * len(KINDS)
    assert (alarms <= most_by_chance(decisions, ALPHA)).all()


@pytest.mark.long
@pytest.mark.parametrize("rows", [100, 1_000, 10_000])
def test_a_less_sure_decision_errs_no_more_often_than_it_says(rows: int) -> None:
    # At an alpha as large as this, a simulation as small as this would see a rule that is too eager. Each reference
    # is judged by a few windows only, as all windows share the chance that made their reference.
    generator = np.random.default_rng(rows)
    settings = Settings(min_effect=0, min_missing=0, alpha=0.05, min_rows=50)
    alarms, many, references = np.zeros(2, dtype=int), 3, 40
    for _ in range(references):
        reference = reference_rows(5_000, generator)
        judgement = judge(reference, windows(population(reference), rows, many, generator), settings)
        alarms += [found_drifted(judgement, PSI).sum(), found_drifted(judgement, GONE).sum()]
    assert (alarms <= most_by_chance(references * many * len(KINDS), 0.05)).all()


@pytest.mark.long
def test_categories_ranked_by_a_small_reference_raise_no_alarm_for_having_been_lucky() -> None:
    # Which of two equally frequent categories comes first is the luck of the reference; another sample has other luck.
    # The share of each reference's luck is common to its windows, so many references are needed to see it.
    generator = np.random.default_rng(21)
    settings = Settings(min_effect=0, alpha=ALPHA, min_rows=50)
    alarms, many, references, subjects = 0, 1_000, 20, 6
    for _ in range(references):
        columns = {f"feature:{place}": generator.choice(50, 2_000, p=ZIPF) for place in range(subjects)}
        reference = reference_of(columns)
        shares = np.zeros((subjects, COLUMNS))
        shares[:, :50] = ZIPF
        held = reference.counts.bins[:, :50] > 0
        shares[:, HIGH] = np.where(held, 0.0, ZIPF).sum(axis=1)
        shares[:, :50] *= held
        judgement = judge(reference, windows(shares, 1_000, many, generator), settings)
        alarms += int(found_drifted(judgement, PSI).sum())
    assert alarms <= most_by_chance(references * many * subjects, ALPHA)


def test_real_rows_without_drift_raise_no_alarm() -> None:
    generator = np.random.default_rng(11)
    columns = {"feature:x": generator.normal(size=20_000), "feature:c": generator.choice(50, 20_000, p=ZIPF)}
    reference = reference_of(columns)
    live = stack(
        [
            count(
                reference.layout,
                {"feature:x": generator.normal(size=1000), "feature:c": generator.choice(50, 1000, p=ZIPF)},
            )
            for _ in range(200)
        ]
    )
    judgement = judge(reference, live, Settings(min_effect=0, min_missing=0, alpha=ALPHA))
    assert (judgement.status == OK).all()


def test_correlated_rows_raise_no_alarm_once_their_dispersion_is_known() -> None:
    # Rows that come ten at a time: ten times as much scatter as independent rows have.
    generator = np.random.default_rng(12)
    reference = reference_rows(50_000, generator)
    shares = population(reference)
    clumped = counts_of(10 * generator.multinomial(100, shares, (200, len(shares))))
    settings = Settings(min_effect=0, min_missing=0, alpha=ALPHA)
    naive = judge(reference, clumped, settings)
    assert found_drifted(naive, PSI).mean() > 0.5  # the danger is real
    unknown = np.full(len(shares), np.nan)
    tens = np.full(len(shares), 10.0)
    aware = type(reference)(
        reference.layout,
        reference.counts,
        Dispersion(tens, tens, unknown, unknown, 10),
        reference.order,
        reference.held,
        reference.q,
        reference.pools,
        reference.basis,
    )
    judgement = judge(aware, clumped, settings)
    assert found_drifted(judgement, PSI).sum() <= most_by_chance(200 * len(shares), ALPHA)
    assert found_drifted(judgement, GONE).sum() <= most_by_chance(200 * len(shares), ALPHA)


def test_a_change_too_small_to_matter_is_no_drift_however_sure() -> None:
    # PSI 0.0025 in a million rows: there beyond doubt, and below the 0.02 that matters.
    generator = np.random.default_rng(13)
    reference = reference_rows(50_000, generator)
    live = windows(population(reference, shift=0.05), 1_000_000, 20, generator)
    sure = judge(reference, live, Settings(min_effect=0, alpha=ALPHA))
    numeric = reference.layout.numeric
    assert found_drifted(sure, PSI)[:, numeric].all()
    assert not found_drifted(judge(reference, live, Settings(min_effect=0.02, alpha=ALPHA)), PSI).any()


# Power.


@pytest.mark.long
@pytest.mark.parametrize(
    ("shift", "spread", "rows", "min_effect"),
    [
        (0.25, 1.0, 1_000, 0.0),
        (-0.25, 1.0, 1_000, 0.0),
        (0.0, 1.5**0.5, 1_000, 0.0),
        (0.5, 1.0, 1_000, 0.02),
        (0.25, 1.0, 5_000, 0.02),
        (0.0, 1.5**0.5, 5_000, 0.02),
    ],
)
def test_a_change_that_matters_is_found_in_95_of_100_windows(
    shift: float, spread: float, rows: int, min_effect: float
) -> None:
    generator = np.random.default_rng(21)
    found = []
    for _ in range(3):
        reference = reference_rows(50_000, generator)
        live = windows(population(reference, shift, spread), rows, 50, generator)
        judgement = judge(reference, live, Settings(min_effect=min_effect, alpha=ALPHA))
        found.append(found_drifted(judgement, PSI)[:, reference.layout.numeric])
    assert np.mean(found) >= 0.95


def test_three_in_a_hundred_missing_where_none_were_are_found() -> None:
    generator = np.random.default_rng(22)
    reference = reference_rows(50_000, generator, missing=0)
    live = windows(population(reference, missing=0.03), 5_000, 100, generator)
    found = found_drifted(judge(reference, live, Settings(min_missing=0.01, alpha=ALPHA)), GONE)
    assert found.mean() >= 0.95
    still = windows(population(reference, missing=0.005), 5_000, 100, generator)
    assert not found_drifted(judge(reference, still, Settings(min_missing=0.01, alpha=ALPHA)), GONE).any()


def test_a_category_never_seen_is_found() -> None:
    generator = np.random.default_rng(23)
    reference = reference_of({"feature:c": generator.choice(50, 50_000, p=ZIPF)})
    shares = np.zeros((1, COLUMNS))
    shares[0, :50], shares[0, HIGH] = ZIPF * 0.9, 0.1
    found = found_drifted(judge(reference, windows(shares, 1_000, 200, generator), Settings(alpha=ALPHA)), PSI)
    assert found.mean() >= 0.95


def test_a_category_that_is_replaced_by_one_never_seen_is_found_though_its_neighbour_in_rank_is_gone() -> None:
    # What was never seen stands next to the rarest category: taken together, they would look as ever.
    generator = np.random.default_rng(25)
    before, now = np.zeros((1, COLUMNS)), np.zeros((1, COLUMNS))
    before[0, :3], now[0, [0, 1, HIGH]] = (0.5, 0.3, 0.2), (0.5, 0.3, 0.2)
    reference = reference_of({"feature:c": generator.choice(COLUMNS, 20_000, p=before[0])})
    judgement = judge(reference, windows(now, 1_000, 200, generator), Settings(alpha=ALPHA))
    assert found_drifted(judgement, PSI).all()
    assert (judgement.value[:, PSI] > 1).all()


def test_many_ids_seen_once_each_do_not_make_the_next_ids_a_drift() -> None:
    # Nearly every live id is new, as was nearly every id of the reference: rare ones are counted together.
    reference = reference_of({"feature:id": np.concatenate([np.arange(BINS), np.full(5_000, LOW)])})
    live = count(reference.layout, {"feature:id": np.full(1_000, HIGH, dtype=np.int64)})
    assert judge(reference, live, Settings(alpha=ALPHA)).status[PSI, 0] == OK


@pytest.mark.parametrize("rows", [1_000, 20_000])
def test_users_of_whom_every_twelfth_is_new_are_no_drift_as_long_as_no_more_are(rows: int) -> None:
    generator = np.random.default_rng(26)
    users = generator.integers(0, 20_000, 50_000)
    known, times = np.unique(users, return_counts=True)
    column = np.full(20_000, HIGH)  # of each user: the most frequent have columns of their own
    column[known] = LOW
    column[known[np.argsort(-times)[:BINS]]] = np.arange(BINS)
    reference = reference_of({"feature:user": column[users]})
    live = stack(
        [count(reference.layout, {"feature:user": column[generator.integers(0, 20_000, rows)]}) for _ in range(50)]
    )
    assert (live.bins[:, 0, HIGH] > 0.06 * rows).all()
    assert (judge(reference, live, Settings(alpha=ALPHA)).status == OK).all()


def test_where_windows_scatter_by_themselves_a_far_mean_is_still_found() -> None:
    # Rows worth next to nothing, but 30 windows of the reference tell how far a mean may lie.
    generator = np.random.default_rng(24)
    scatter = Dispersion(np.array([500.0]), np.ones(1), np.array([0.1]), np.array([2.5]), 30)
    reference = reference_of({"feature:x": generator.normal(size=50_000)}, scatter)

    def status(shift: float) -> int:
        live = count(reference.layout, {"feature:x": generator.normal(shift, 1, 1_000)})
        return int(judge(reference, live, Settings(alpha=ALPHA)).status[PSI, 0])

    assert status(0.0) == OK
    assert status(0.3) == OK
    assert status(2.0) == DRIFTED
    assert status(-2.0) == DRIFTED


# Bounds.


@pytest.mark.long
@pytest.mark.parametrize(("shift", "spread"), [(0.3, 1.0), (0.0, 1.3), (1.0, 0.7)])
@pytest.mark.parametrize("rows", [200, 2_000, 20_000])
def test_the_lower_bound_lies_below_the_true_psi_as_often_as_it_says(shift: float, spread: float, rows: int) -> None:
    generator = np.random.default_rng([rows, int(10 * shift)])
    # J between N(0, 1) and N(shift, spread): both Kullback-Leibler divergences, the same on any monotone scale.
    true = (spread**2 + shift**2) / 2 + (1 + shift**2) / (2 * spread**2) - 1
    above, runs = 0, 0
    for _ in range(30):
        reference = reference_rows(5_000, generator)
        live = windows(population(reference, shift, spread), rows, 2, generator)
        lower = judge(reference, live, Settings(alpha=0.05)).lower[:, PSI, reference.layout.numeric]
        above, runs = above + int((lower > true).sum()), runs + lower.size
    assert above <= most_by_chance(runs, 0.05)


@pytest.mark.long
def test_on_few_categories_the_bounds_enclose_the_true_effect_as_often_as_they_say() -> None:
    # Four frequent categories are never pooled, so both bounds are held against the whole truth.
    generator = np.random.default_rng(31)
    q, p = np.zeros((1, COLUMNS)), np.zeros((1, COLUMNS))
    q[0, :4], p[0, :4] = (0.4, 0.3, 0.2, 0.1), (0.3, 0.3, 0.25, 0.15)
    psi = ((p - q) * np.log(np.where(q > 0, p, 1) / np.where(q > 0, q, 1))).sum()
    outside, runs = np.zeros(2, dtype=int), 600
    for _ in range(runs):
        reference = reference_of({"feature:c": generator.choice(COLUMNS, 3_000, p=q[0])})
        judgement = judge(reference, windows(p, 1_000, 1, generator), Settings(alpha=0.05))
        outside += [judgement.lower[0, PSI, 0] > psi, judgement.upper[0, PSI, 0] < psi]
    assert (outside <= most_by_chance(runs, 0.05)).all()


@pytest.mark.parametrize("statistic", [PSI, JS, KS, WASSERSTEIN, CHI2, GONE], ids=STATISTICS)
@pytest.mark.parametrize("rows", [100, 3_000, 100_000])
def test_an_estimate_lies_between_its_bounds(statistic: int, rows: int) -> None:
    generator = np.random.default_rng(32)
    reference = reference_rows(5_000, generator)
    for shift in (0.0, 0.1, 1.0, 4.0):
        judgement = judge(reference, windows(population(reference, shift), rows, 20, generator), Settings())
        value, low, high = (a[:, statistic] for a in (judgement.value, judgement.lower, judgement.upper))
        given = np.isfinite(value) & np.isfinite(low) & np.isfinite(high)
        assert given.any()
        assert (low[given] <= value[given] + 1e-9).all()
        assert (value[given] <= high[given] + 1e-9).all()
        assert (low[given] >= 0).all()
        less = judgement.debiased[:, statistic][given]
        assert (less >= 0).all()
        assert (less <= value[given] + 1e-9).all()


def test_more_confidence_widens_the_bounds() -> None:
    generator = np.random.default_rng(33)
    reference = reference_rows(5_000, generator)
    live = windows(population(reference, 0.4, missing=0.1), 2_000, 10, generator)
    loose, tight = judge(reference, live, Settings(alpha=0.05)), judge(reference, live, Settings(alpha=1e-6))
    given = np.isfinite(loose.lower)
    assert (tight.lower[given] <= loose.lower[given] + 1e-9).all()
    assert (tight.upper[given] >= loose.upper[given] - 1e-9).all()


def test_many_windows_are_judged_as_each_by_itself() -> None:
    generator = np.random.default_rng(34)
    reference = reference_rows(5_000, generator)
    live = windows(population(reference, 0.2), 800, 6, generator)
    together = judge(reference, live, Settings())
    for place in range(6):
        alone = judge(reference, counts_of(live.bins[place]), Settings())
        for name in ("value", "debiased", "lower", "upper", "status"):
            np.testing.assert_allclose(getattr(together, name)[place], getattr(alone, name), rtol=1e-9, atol=1e-12)


# What is judged, and what is not.


def test_only_psi_and_missing_have_a_threshold_and_can_drift() -> None:
    generator = np.random.default_rng(41)
    reference = reference_rows(5_000, generator)
    judgement = judge(reference, windows(population(reference, 3), 5_000, 5, generator), Settings(0.03, 0.04))
    np.testing.assert_array_equal(judgement.threshold, [0.03, np.nan, np.nan, np.nan, np.nan, 0.04])
    assert found_drifted(judgement, PSI)[:, reference.layout.numeric].all()
    assert not (judgement.status[:, [JS, KS, WASSERSTEIN, CHI2]] == DRIFTED).any()


@pytest.mark.parametrize("rows", [0, 1, 2, 5, 99])
def test_a_window_below_min_rows_is_insufficient_and_never_drifted(rows: int) -> None:
    generator = np.random.default_rng(42)
    reference = reference_rows(5_000, generator)
    live = windows(population(reference, 5, missing=0.5), rows, 20, generator)
    assert (judge(reference, live, Settings(0, 0, 0.05, min_rows=100)).status == INSUFFICIENT).all()


def test_rows_worth_too_few_independent_ones_are_insufficient_and_not_ok() -> None:
    generator = np.random.default_rng(43)
    bursts = Dispersion(np.array([500.0]), np.ones(1), np.array([np.nan]), np.array([np.nan]), 6)
    reference = reference_of({"feature:x": generator.normal(size=50_000)}, bursts)
    live = count(reference.layout, {"feature:x": generator.normal(size=1_000)})
    status = judge(reference, live, Settings()).status[:, 0]
    assert (status[:GONE] == INSUFFICIENT).all()
    assert status[GONE] == OK


def test_a_column_that_went_missing_altogether_drifts_by_that_alone() -> None:
    generator = np.random.default_rng(44)
    reference = reference_of({"feature:x": generator.normal(size=5_000)})
    judgement = judge(reference, count(reference.layout, {"feature:x": np.full(1_000, np.nan)}), Settings())
    assert judgement.status[GONE, 0] == DRIFTED
    assert judgement.value[GONE, 0] == 1
    assert (judgement.status[:GONE, 0] == INSUFFICIENT).all()
    assert np.isnan(judgement.value[:GONE, 0]).all()


def test_a_column_that_was_missing_and_came_back_drifts_by_that_alone() -> None:
    reference = reference_of({"feature:x": np.full(5_000, np.nan)})
    live = count(reference.layout, {"feature:x": np.random.default_rng(45).normal(size=1_000)})
    judgement = judge(reference, live, Settings())
    assert judgement.status[GONE, 0] == DRIFTED
    assert not (judgement.status[:GONE, 0] == DRIFTED).any()


def test_an_empty_window_has_no_values_and_is_insufficient() -> None:
    reference = reference_rows(2_000, np.random.default_rng(46))
    judgement = judge(reference, windows(population(reference), 0, 2, np.random.default_rng(46)), Settings(min_rows=1))
    assert np.isnan(judgement.value).all()
    assert (judgement.status == INSUFFICIENT).all()


def test_a_constant_feature_is_judged_without_noise() -> None:
    reference = reference_of({"feature:x": np.full(5_000, 7.0)})
    same = judge(reference, count(reference.layout, {"feature:x": np.full(1_000, 7.0)}), Settings(0, 0, 0.05))
    assert (same.status == OK).all()
    np.testing.assert_allclose(same.value[:, 0], 0, atol=1e-9)
    other = judge(reference, count(reference.layout, {"feature:x": np.full(1_000, 7.5)}), Settings(alpha=ALPHA))
    assert other.status[PSI, 0] == DRIFTED
    assert other.value[KS, 0] == 1


def test_a_constant_category_is_judged_without_noise() -> None:
    reference = reference_of({"feature:c": np.zeros(5_000, dtype=np.int64)})
    same = judge(reference, count(reference.layout, {"feature:c": np.zeros(500, dtype=np.int64)}), Settings(0, 0, 0.05))
    assert (same.status == OK).all()
    unseen = judge(
        reference, count(reference.layout, {"feature:c": np.full(500, HIGH, dtype=np.int64)}), Settings(alpha=ALPHA)
    )
    assert unseen.status[PSI, 0] == DRIFTED


def test_categories_have_no_order_and_so_no_distance() -> None:
    generator = np.random.default_rng(47)
    reference = reference_of({"feature:c": generator.choice(50, 5_000, p=ZIPF)})
    judgement = judge(reference, count(reference.layout, {"feature:c": generator.choice(50, 500, p=ZIPF)}), Settings())
    assert np.isnan(judgement.value[[KS, WASSERSTEIN], 0]).all()
    assert np.isfinite(judgement.value[[PSI, JS, CHI2, GONE], 0]).all()


def test_odd_features_side_by_side_are_each_judged_by_themselves() -> None:
    generator = np.random.default_rng(48)
    rows = 2_000
    columns = {
        "feature:plain": generator.normal(size=rows),
        "feature:constant": np.full(rows, 3.0),
        "feature:gone": np.full(rows, np.nan),
        "feature:two": generator.integers(0, 2, rows).astype(float),
        "feature:one_value": gaps(rows, 1 - 1 / rows, np.ones(rows)),
        "feature:huge": generator.normal(size=rows) * 1e150,
        "feature:single": np.zeros(rows, dtype=np.int64),
        "feature:all_rare": np.full(rows, LOW, dtype=np.int64),
        "feature:absent": np.full(rows, MISSING, dtype=np.int64),
    }
    reference = reference_of(columns)
    itself = judge(reference, count(reference.layout, columns), Settings(0, 0, 0.05, 1))
    assert not (itself.status == DRIFTED).any()
    turned = dict(zip(columns, [generator.permutation(v) for v in reversed(columns.values())], strict=True))
    mixed = {
        name: np.asarray(turned[name], dtype=float)
        if columns[name].dtype.kind == "f"
        else np.full(rows, HIGH, dtype=np.int64)
        for name in columns
    }
    judged = judge(reference, count(reference.layout, mixed), Settings(alpha=ALPHA))
    assert judged.status[PSI, 0] == DRIFTED
    assert judged.status[PSI, 6] == DRIFTED
    assert judged.status[GONE, 2] == DRIFTED
    assert set(np.unique(judged.status).tolist()) <= {OK, DRIFTED, INSUFFICIENT}


def test_values_on_wasserstein_are_in_reference_standard_deviations() -> None:
    generator = np.random.default_rng(49)
    reference = reference_of({"feature:x": generator.normal(100, 20, 50_000)})
    live = count(reference.layout, {"feature:x": generator.normal(120, 20, 20_000)})
    assert judge(reference, live, Settings()).value[WASSERSTEIN, 0] == pytest.approx(1, abs=0.05)


def test_regular_columns_beyond_those_in_use_are_never_counted() -> None:
    reference = reference_of({"feature:x": np.repeat([1.0, 2.0, 3.0], 100)})
    assert reference.layout.width[0] == 3
    assert reference.q[0].sum() == pytest.approx(1)
    assert (reference.counts.bins[0, 3:BINS] == 0).all()
