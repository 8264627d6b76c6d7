"""Several features together: a correlation that breaks while every feature by itself looks as ever."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, norm
from sklearn.decomposition import PCA
from sklearn.metrics.pairwise import rbf_kernel

from detectors.drift.judge import DRIFTED, INSUFFICIENT
from detectors.joint.judge import STATISTICS, explain_multivariate, judge_multivariate
from detectors.joint.kernel_mean import draw_frequencies, normal_reach, unpacked, waves, weighted_chi2_quantile
from detectors.joint.statistics import Multivariate, _components, _errors, _whole, count_multivariate, fit, sums
from detectors.joint.vectors import embedded, fit_embedder, fit_vectoriser, names, vectors
from detectors.layout import HIGH, INVALID, LOW, MISSING
from tests.support.counts import count, layout_of

Array = np.ndarray
PCA_ERROR, MMD, CORRELATION = range(3)


def normal(rows: int, features: int, rho: float, generator: np.random.Generator) -> Array:
    """Independent normal features but for the first two, whose correlation is ``rho``."""
    found = generator.normal(size=(rows, features))
    found[:, 1] = rho * found[:, 0] + np.sqrt(1 - rho**2) * found[:, 1]
    return found


def windows(model: Multivariate, points: Array, many: int) -> Array:
    return count_multivariate(model, points, np.repeat(np.arange(many), len(points) // many), many)


def drifted(model: Multivariate, counts: Array, alpha: float) -> Array:
    return judge_multivariate(model, counts, alpha, 0.0).status == DRIFTED


@pytest.fixture(scope="module")
def ten() -> Multivariate:
    return fit(normal(20_000, 10, 0.8, np.random.default_rng(1)))


# ---- oracles


def test_reconstruction_error_is_that_of_scikit_learn() -> None:
    points = _whole(normal(3000, 12, 0.8, np.random.default_rng(2))) / 4096
    oracle = PCA(n_components=0.65).fit(points)
    projection = _components(points)
    assert projection.shape[1] - 1 == oracle.n_components_
    expected = np.linalg.norm(points - oracle.inverse_transform(oracle.transform(points)), axis=1)
    assert _errors(projection, points * 4096) == pytest.approx(expected, abs=1e-9)


def test_counted_errors_add_up_to_those_of_rows(ten: Multivariate) -> None:
    points = normal(500, 10, 0.0, np.random.default_rng(3))
    errors = _errors(ten.projection, _whole(points))
    found = sums(ten, windows(ten, points, 1)[0])
    assert found.error == pytest.approx([errors.sum(), (errors**2).sum()], abs=1e-6)


def test_kernel_means_approach_the_exact_kernel_as_frequencies_grow() -> None:
    generator = np.random.default_rng(4)
    one, two = generator.normal(size=(300, 2)), generator.normal(0.7, 1.3, size=(200, 2))
    frequencies = np.rint(draw_frequencies(one, np.arange(2), 4000, 1) / (2 * np.pi) * 2**16)
    distances = np.sqrt(((one[:, None] - one[None]) ** 2).sum(-1))[np.triu_indices(300, 1)]
    gamma = 1 / (2 * np.median(distances) ** 2)
    exact = rbf_kernel(one, gamma=gamma).mean() + rbf_kernel(two, gamma=gamma).mean()
    exact -= 2 * rbf_kernel(one, two, gamma=gamma).mean()
    means = [unpacked(waves(_whole(part), frequencies)).mean(axis=0) / 2**16 for part in (one, two)]
    squares = ((means[0] - means[1]) ** 2).reshape(2, -1).sum(axis=0)
    error = squares.std() / np.sqrt(squares.size)
    assert squares.mean() == pytest.approx(exact, abs=4 * error + 1e-4)
    assert 4 * error < 0.2 * exact  # or the comparison would say nothing


def test_mmd_is_the_mean_of_the_kernel_over_pairs_of_rows(ten: Multivariate) -> None:
    """The plain estimate, from sums, equals the one with the kernel of each pair of rows."""
    generator = np.random.default_rng(5)
    one, two = normal(80, 10, 0.8, generator), normal(60, 10, 0.0, generator)
    model = fit(one)
    value = judge_multivariate(model, windows(model, two, 1)[0], 0.01, 0.0).value[MMD]
    angles = [_whole(part) @ model.frequencies / 2**28 * 2 * np.pi for part in (one, two)]

    def kernel(a: Array, b: Array) -> float:
        return float(np.cos(a[:, None] - b[None]).mean())

    exact = kernel(angles[0], angles[0]) + kernel(angles[1], angles[1]) - 2 * kernel(angles[0], angles[1])
    assert value**2 == pytest.approx(exact, abs=2e-3)


def test_correlations_equal_those_of_numpy_where_rows_miss_values() -> None:
    generator = np.random.default_rng(6)
    points = normal(5000, 6, 0.8, generator)
    points[:, 2] += points[:, 3]
    found = sums(model := fit(points), model.reference).correlation
    assert found == pytest.approx(np.corrcoef(points, rowvar=False)[np.triu_indices(6, 1)], abs=2e-3)
    points[generator.random(points.shape) < 0.3] = np.nan
    gappy = sums(model := fit(points), model.reference).correlation
    assert gappy == pytest.approx(found, abs=0.05)


@pytest.mark.parametrize("freedom", [1, 2, 7, 100])
@pytest.mark.parametrize("alpha", [1e-2, 1e-6, 1e-9])
def test_quantiles_of_equal_weights_are_those_of_chi_squared(freedom: int, alpha: float) -> None:
    assert weighted_chi2_quantile(np.full(freedom, 3.0), alpha) == pytest.approx(
        3 * chi2.isf(alpha, freedom), rel=0.006
    )


def test_quantiles_of_unequal_weights_are_those_of_a_simulation() -> None:
    weights = 0.8 ** np.arange(30)
    drawn = np.random.default_rng(7).chisquare(1, (200_000, 30)) @ weights
    assert (drawn > weighted_chi2_quantile(weights, 1e-3)).mean() == pytest.approx(1e-3, rel=0.25)
    assert weighted_chi2_quantile(np.zeros(3), 1e-3) == 0


def test_reach_grows_with_skewness_and_kurtosis_until_it_cannot_be_trusted() -> None:
    zero, rows = np.zeros(1), np.array([1000.0])
    assert normal_reach(1e-6, zero, zero, rows) == pytest.approx(norm.isf(1e-6))
    assert normal_reach(1e-6, zero + 1, zero, rows) > norm.isf(1e-6)
    assert normal_reach(1e-6, zero, zero + 300, np.array([100.0])) == np.inf


def test_reach_holds_for_means_of_skewed_values() -> None:
    # The mean of exponential values is a gamma variable: its tail is known.
    rows = np.array([400.0])
    reach = normal_reach(1e-5, np.array([2.0]), np.array([6.0]), rows)[0]
    far = rows[0] + reach * np.sqrt(rows[0])
    assert chi2.sf(2 * far, 2 * rows[0]) <= 1e-5
    assert chi2.sf(2 * (rows[0] + norm.isf(1e-5) * np.sqrt(rows[0])), 2 * rows[0]) > 2e-5


# ---- counters


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 4))
def test_counters_of_parts_add_up_to_those_of_the_whole_in_any_order(seed: int, rows: int, size: int) -> None:
    generator = np.random.default_rng(seed)
    points = generator.normal(0, 3, size=(rows, 10))
    points[generator.random(points.shape) < 0.2] = np.nan
    points[generator.random(rows) < 0.1] = np.nan
    groups = generator.integers(0, size, rows)
    whole = count_multivariate(_TEN, points, groups, size)
    cut, order = int(generator.integers(0, rows + 1)), generator.permutation(rows)
    parts = [count_multivariate(_TEN, points[part], groups[part], size) for part in (order[:cut], order[cut:])]
    assert (parts[0] + parts[1] == whole).all()
    one_by_one = sum(count_multivariate(_TEN, points[i : i + 1], groups[i : i + 1], size) for i in range(rows))
    assert (one_by_one == whole).all()
    assert whole[:, 0].sum() + whole[:, 1].sum() == rows


_TEN = fit(normal(500, 10, 0.8, np.random.default_rng(8)))


def test_sums_over_many_rows_do_not_overflow(ten: Multivariate) -> None:
    points = np.full((60_000, 10), 7.5)
    found = sums(ten, windows(ten, points, 1)[0])
    one = sums(ten, windows(ten, points[:1], 1)[0])
    assert found.features == pytest.approx(one.features, abs=1e-12)
    assert found.error[0] / 60_000 == pytest.approx(one.error[0])


def test_windows_without_rows_are_insufficient_and_undefined(ten: Multivariate) -> None:
    judged = judge_multivariate(ten, np.zeros(ten.width, dtype=np.int64), 1e-5, 0.0)
    assert (judged.status == INSUFFICIENT).all()
    assert np.isnan(judged.value).all()
    assert judge_multivariate(ten, windows(ten, np.zeros((99, 10)), 1), 1e-5, 0.0).status.tolist() == [
        [INSUFFICIENT] * 3
    ]


def test_a_reference_without_coordinates_is_refused() -> None:
    with pytest.raises(ValueError, match="at least two rows"):
        fit(np.full((5, 3), np.nan))
    with pytest.raises(ValueError, match="at least two rows"):
        fit(np.zeros((5, 0)))


def test_constant_and_equal_features_are_no_obstacle() -> None:
    generator = np.random.default_rng(9)
    points = generator.normal(size=(3000, 3))
    points[:, 1], points[:, 2] = points[:, 0], 0.0
    model = fit(points)
    same, broken = points[:1000].copy(), points[:1000].copy()
    broken[:, 1] = generator.permutation(broken[:, 1])
    assert not drifted(model, windows(model, same, 1), 1e-3).any()
    assert drifted(model, windows(model, broken, 1), 1e-5)[0, CORRELATION]


# ---- decisions


def test_windows_like_the_reference_raise_no_alarm_in_two_thousand(ten: Multivariate) -> None:
    generator = np.random.default_rng(10)
    counts = np.concatenate([windows(ten, normal(200 * 500, 10, 0.8, generator), 500) for _ in range(4)])
    larger = counts.reshape(500, 4, -1).sum(axis=1)  # windows of 800 rows
    assert not drifted(ten, counts, 1e-5).any()
    assert not drifted(ten, larger, 1e-5).any()
    # The rate at larger error probabilities keeps to them, too: four standard errors above at most.
    for alpha in (0.01, 0.001):
        rate = drifted(ten, counts, alpha).mean(axis=0)
        assert (rate <= alpha + 4 * np.sqrt(alpha / 2000)).all(), (alpha, rate)


def test_a_small_reference_raises_no_more_alarms_than_a_large_one() -> None:
    generator = np.random.default_rng(11)
    found = []
    for _ in range(10):
        model = fit(normal(2000, 10, 0.8, generator))
        found.append(drifted(model, windows(model, normal(20 * 1000, 10, 0.8, generator), 20), 0.01))
    # Windows share a reference: at most a few references may be unlucky.
    assert (np.mean(found, axis=(0, 1)) <= 0.04).all()


@pytest.mark.parametrize("features", [10, 20, 50])
def test_a_broken_correlation_is_found(features: int) -> None:
    generator = np.random.default_rng(features)
    model = fit(normal(10_000, features, 0.8, generator))
    broken = windows(model, normal(20 * 1000, features, 0.0, generator), 20)
    found = drifted(model, broken, 1e-5)
    assert found[:, CORRELATION].mean() >= 0.95
    assert (judge_multivariate(model, broken, 1e-5, 0.3).status[:, CORRELATION] == DRIFTED).mean() >= 0.95
    assert not (judge_multivariate(model, broken, 1e-5, 0.85).status == DRIFTED).any()


def test_a_shuffled_column_is_found_and_so_is_one_that_starts_to_depend() -> None:
    generator = np.random.default_rng(12)

    def rows(many: int) -> Array:
        common = generator.normal(size=(many, 1))
        return np.concatenate(
            [0.7 * common + 0.71 * generator.normal(size=(many, 5)), generator.normal(size=(many, 5))], 1
        )

    model = fit(rows(10_000))
    shuffled, tied = rows(20_000), rows(20_000)
    shuffled[:, 2] = generator.permutation(shuffled[:, 2])
    tied[:, 9] = 0.6 * tied[:, 8] + 0.8 * tied[:, 9]
    for part in (shuffled, tied):
        assert drifted(model, windows(model, part, 20), 1e-5).any(axis=-1).mean() >= 0.95


def test_an_association_that_no_correlation_sees_is_found_by_mmd() -> None:
    generator = np.random.default_rng(13)

    def rows(many: int, tied: bool) -> Array:
        found = generator.normal(size=(many, 8))
        other = found[:, 0] if tied else generator.normal(size=many)
        found[:, 1] = 0.9 * (other**2 - 1) / np.sqrt(2) + 0.44 * found[:, 1]
        return found

    model = fit(rows(10_000, True))
    found = drifted(model, windows(model, rows(20 * 2000, False), 20), 1e-5)
    assert found[:, MMD].mean() >= 0.95
    assert found[:, CORRELATION].mean() <= 0.05
    assert not drifted(model, windows(model, rows(20 * 2000, True), 20), 1e-5).any()


def test_bounds_hold_the_true_change_of_a_correlation(ten: Multivariate) -> None:
    counts = windows(ten, normal(300 * 300, 10, 0.5, np.random.default_rng(14)), 300)
    judged = judge_multivariate(ten, counts, 0.01, 0.0)
    assert (judged.lower[:, CORRELATION] > 0.3).mean() <= 0.01 + 4 * np.sqrt(0.01 / 300)
    assert (judged.upper[:, CORRELATION] < 0.3).mean() <= 0.01 + 4 * np.sqrt(0.01 / 300)
    assert (judged.lower <= judged.debiased + 1e-12)[:, CORRELATION].mean() > 0.9


def test_correlated_traffic_raises_no_alarm_when_the_reference_has_times() -> None:
    generator = np.random.default_rng(15)

    def day(rows: int) -> Array:
        """Features that drift together within each block of 500 rows, and correlations that change with it."""
        level = np.repeat(generator.normal(0, 0.5, (rows // 500, 8)), 500, axis=0)
        strength = np.repeat(generator.uniform(0.2, 0.8, rows // 500), 500)
        found = generator.normal(size=(rows, 8))
        found[:, 1] = strength * found[:, 0] + np.sqrt(1 - strength**2) * found[:, 1]
        return found + level

    reference, live = day(40 * 500), day(200 * 500)
    blocks = np.repeat(np.arange(40), 500)
    timed, untimed = fit(reference, blocks), fit(reference)
    assert timed.blocks == 40
    assert drifted(timed, windows(timed, live, 200), 1e-4).sum() <= 1
    assert drifted(untimed, windows(untimed, live, 200), 1e-4)[:, MMD].mean() > 0.5


# ---- rows as points


def table(rows: int, generator: np.random.Generator, tied: bool = True) -> dict[str, Array]:
    """A number and two categories that depend on it; 2 % missing."""
    size = generator.lognormal(0, 1, rows)
    other = np.log(size) if tied else generator.normal(size=rows)
    plan = np.digitize(other + generator.normal(0, 0.7, rows), [-0.5, 0.8])
    region = np.where(generator.random(rows) < 0.8, plan, generator.integers(0, 3, rows))
    gone = generator.random((3, rows)) < 0.02
    return {
        "feature:size": np.where(gone[0], np.nan, size),
        "feature:plan": np.where(gone[1], MISSING, plan),
        "feature:region": np.where(gone[2], MISSING, region),
        "feature:noise": generator.normal(size=rows),
    }


def codes_of(layout: object, columns: dict[str, Array]) -> Array:
    rows = len(next(iter(columns.values())))
    single = [
        count(layout, {name: values[place : place + 1] for name, values in columns.items()}).bins.argmax(axis=1)
        for place in range(rows)
    ]
    return np.array(single)


def test_coordinates_are_standardised_and_missing_values_are_none() -> None:
    columns = table(1500, np.random.default_rng(16))
    layout = layout_of(columns)
    made = fit_vectoriser(layout, count(layout, columns).bins, range(4))
    assert names(made, layout.subjects, lambda _, column: "abc"[column])[0] == "size"
    assert (
        sum("plan = " in name for name in names(made, layout.subjects, lambda _, c: str(c))) == 2
    )  # the third is the rest
    found = vectors(made, codes_of(layout, columns))
    assert np.nanmean(found, axis=0) == pytest.approx(0, abs=1e-9)
    assert np.nanvar(found, axis=0) == pytest.approx(1, abs=1e-9)
    assert (np.isnan(found[:, 0]) == np.isnan(columns["feature:size"])).all()
    ends = vectors(made, np.array([[LOW, LOW, HIGH, HIGH], [INVALID] * 4]))
    assert np.isfinite(ends[0]).all()
    assert np.isnan(ends[1]).all()
    assert ends[0, 0] < np.nanmin(found[:, 0]) + 1e-9


def test_a_broken_association_of_a_number_and_a_category_is_found_and_named() -> None:
    generator = np.random.default_rng(17)
    columns = table(3000, generator)
    layout = layout_of(columns)
    made = fit_vectoriser(layout, count(layout, columns).bins, range(4))
    model = fit(vectors(made, codes_of(layout, columns)), sources=made.sources)
    same, broken = (vectors(made, codes_of(layout, table(1000, generator, tied))) for tied in (True, False))
    assert not drifted(model, windows(model, same, 1), 1e-5).any()
    counts = windows(model, broken, 1)
    assert drifted(model, counts, 1e-5)[0, CORRELATION]
    text = explain_multivariate(model, counts[0], names(made, layout.subjects, lambda _, column: f"p{column}"))
    assert text.startswith("size and ")
    assert ": correlation " in text


def test_the_pair_that_changed_most_is_named(ten: Multivariate) -> None:
    counts = windows(ten, normal(2000, 10, 0.0, np.random.default_rng(18)), 1)[0]
    text = explain_multivariate(ten, counts, ("temp", "humid", *"cdefghij"))
    assert text.startswith("temp and humid: correlation fell from .80 to ")
    shifted = normal(2000, 10, 0.8, np.random.default_rng(19))
    shifted[:, 4] += 0.5
    assert "e moved up by 0." in explain_multivariate(ten, windows(ten, shifted, 1)[0], tuple("abcdefghij"))


def test_embeddings_with_gaps_are_counted_apart_and_a_shift_is_found() -> None:
    generator = np.random.default_rng(20)
    mixing = generator.normal(size=(8, 96))

    def rows(many: int, shift: float = 0.0) -> Array:
        return generator.normal(shift, 1, size=(many, 8)) @ mixing + generator.normal(size=(many, 96))

    reference = rows(4000)
    made = fit_embedder(reference)
    model = fit(embedded(made, reference), correlations=False)
    live = rows(1000)
    live[:5, 3] = np.inf
    live[5:9] = np.nan
    counts = windows(model, embedded(made, live), 1)
    assert counts[0, :2].tolist() == [991, 9]
    judged = judge_multivariate(model, counts, 1e-5, 0.0)
    assert not (judged.status == DRIFTED).any()
    assert judged.status[0, CORRELATION] == INSUFFICIENT
    moved = windows(model, embedded(made, rows(1000, 0.5)), 1)
    assert drifted(model, moved, 1e-5)[0, MMD]
    assert "the joint distribution of embeddings changed" in explain_multivariate(
        model, moved[0], tuple(map(str, range(96)))
    )


def test_statistics_keep_their_order() -> None:
    assert STATISTICS == ("pca_reconstruction", "mmd", "correlation")
