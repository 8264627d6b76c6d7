import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from sklearn import metrics as sk

from detectors.fixed_point import UNIT
from detectors.performance.binary import (
    MAX_BINS,
    Binary,
    average_precision_bounds,
    binary_metrics,
    count_binary,
    roc_auc_bound,
    score_bins,
)
from detectors.performance.estimate import Estimate, clopper_pearson, delta_variance, logit, normal, wilson

COSTS = (10.0, -5.0, -50.0, 0.0)


def one(task: Binary, scores, predicted, positive, alpha: float = 0.05, phi: float = 1.0) -> dict[str, Estimate]:
    counts = counted(task, scores, predicted, positive)
    return {
        name: Estimate(*(end[0] for end in shown)) for name, shown in binary_metrics(task, counts, alpha, phi).items()
    }


def counted(task: Binary, scores, predicted, positive) -> NDArray[np.int64]:
    scores, predicted = np.asarray(scores, dtype=float), np.asarray(predicted, dtype=bool)
    return count_binary(task, scores, predicted, np.asarray(positive, dtype=float), np.zeros(len(scores), dtype=int), 1)


def draw(seed: int, rows: int, slope: float = 1.5, base: float = -1.0, stretch: float = 1.0):
    rng = np.random.default_rng(seed)
    log_odds = base + slope * rng.normal(size=rows)
    true = rng.random(rows) < 1 / (1 + np.exp(-log_odds))
    return 1 / (1 + np.exp(-stretch * log_odds)), true


@st.composite
def samples(draw_from):
    rows = draw_from(st.integers(2, 80))
    rng = np.random.default_rng(draw_from(st.integers(0, 2**31)))
    distinct = draw_from(st.sampled_from([1, 2, 5, 1000]))
    scores = rng.integers(0, distinct + 1, rows) / distinct
    return scores, scores > 0.4, rng.random(rows) < draw_from(st.sampled_from([0.02, 0.3, 0.5, 0.97]))


def oracle(scores, predicted, true) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        empty = {"zero_division": np.nan}
        found = {
            "accuracy": sk.accuracy_score(true, predicted),
            "precision": sk.precision_score(true, predicted, **empty),
            "recall": sk.recall_score(true, predicted, **empty),
            "specificity": sk.recall_score(~true, ~predicted, **empty),
            "f1": sk.f1_score(true, predicted, **empty),
            "f_beta": sk.fbeta_score(true, predicted, beta=2.0, **empty),
            "positive_rate": predicted.mean(),
            "prevalence": true.mean(),
            "log_loss": sk.log_loss(true, scores, labels=[False, True]),
            "brier": sk.brier_score_loss(true, scores, pos_label=True),
            "value_per_row": np.mean(np.where(predicted, np.where(true, 10.0, -5.0), np.where(true, -50.0, 0.0))),
        }
        if true.any():
            found["average_precision"] = sk.average_precision_score(true, scores)
        if 0 < true.sum() < len(true):
            found |= {
                "balanced_accuracy": sk.balanced_accuracy_score(true, predicted),
                "roc_auc": sk.roc_auc_score(true, scores),
                "ks": stats.ks_2samp(scores[true], scores[~true]).statistic,
            }
            if 0 < predicted.sum() < len(true):
                found["matthews_corrcoef"] = sk.matthews_corrcoef(true, predicted)
    return found


@pytest.mark.long
@settings(max_examples=80, deadline=None)
@given(samples())
def test_metrics_are_those_of_scikit_learn_when_every_score_has_a_bin(sample):
    scores, predicted, true = sample
    task = Binary(score_bins(scores), costs=COSTS)
    shown = one(task, scores, predicted, true)
    assert tuple(shown) == task.names
    expected = oracle(scores, predicted, true)
    for name in set(task.names) - {"ece", "lift"}:
        assert shown[name].value == pytest.approx(expected.get(name, np.nan), abs=1e-9, nan_ok=True), name


@settings(max_examples=60, deadline=None)
@given(samples(), st.sampled_from([1.0, 3.0]), st.sampled_from([0.05, 0.3]))
def test_intervals_hold_their_value_and_stay_in_range(sample, phi, alpha):
    scores, predicted, true = sample
    task = Binary(score_bins(scores, 16), costs=COSTS)
    for name, shown in one(task, scores, predicted, true, alpha, phi).items():
        low, high = {
            "matthews_corrcoef": (-1.0, 1.0),
            "log_loss": (0.0, np.inf),
            "lift": (0.0, 10.0 + 1e-9),
            "value_per_row": (-50.0, 10.0),
        }.get(name, (0.0, 1.0))
        assert np.isnan(shown.value) or low <= shown.lower <= shown.value <= shown.upper <= high, name
        assert np.isnan(shown.value) == np.isnan(shown.lower) == np.isnan(shown.upper), name


@settings(max_examples=60, deadline=None)
@given(samples(), st.integers(2, 12))
def test_binned_curves_stay_within_their_bounds_of_the_exact_ones(sample, bins):
    scores, predicted, true = sample
    if not 0 < true.sum() < len(true):
        return
    task = Binary(score_bins(scores[::2], bins))
    counts = counted(task, scores, predicted, true)
    shown = binary_metrics(task, counts)
    exact = sk.roc_auc_score(true, scores)
    assert abs(shown["roc_auc"].value[0] - exact) <= roc_auc_bound(task, counts)[0] + 1e-12
    low, high = average_precision_bounds(task, counts)
    assert low[0] - 1e-12 <= sk.average_precision_score(true, scores) <= high[0] + 1e-12
    assert low[0] - 1e-9 <= shown["average_precision"].value[0] <= high[0] + 1e-9
    assert shown["ks"].value[0] <= stats.ks_2samp(scores[true], scores[~true]).statistic + 1e-12


def test_bounds_are_reached_when_a_bin_is_ranked_perfectly_inside():
    task = Binary((0.0, 1.0))
    true = np.arange(10) >= 5
    counts = counted(task, np.arange(10) / 10, true, true)
    assert binary_metrics(task, counts)["roc_auc"].value[0] == pytest.approx(0.5)
    assert roc_auc_bound(task, counts)[0] == pytest.approx(0.5)  # exact: 1
    assert average_precision_bounds(task, counts)[1][0] == pytest.approx(1.0)


def test_256_bins_are_close_to_the_exact_curves():
    scores, true = draw(1, 50_000, base=-3.0)
    task = Binary(score_bins(draw(2, 50_000, base=-3.0)[0]))
    counts = counted(task, scores, scores > 0.5, true)
    shown = binary_metrics(task, counts)
    assert roc_auc_bound(task, counts)[0] < 0.002
    assert abs(shown["roc_auc"].value[0] - sk.roc_auc_score(true, scores)) < 1e-4
    assert abs(shown["average_precision"].value[0] - sk.average_precision_score(true, scores)) < 1e-3
    top = np.argsort(-scores)[:5000]
    assert shown["lift"].value[0] == pytest.approx(true[top].mean() / true.mean(), abs=0.02)


def test_the_highest_scores_have_finer_bins_and_heavy_scores_one_of_their_own():
    scores = np.concatenate([np.zeros(3000), np.full(2000, 0.5), draw(9, 5000)[0], np.ones(1000)])
    edges = np.array(score_bins(scores))
    assert len(edges) - 1 <= 256
    assert (np.diff(edges) >= 0).all()
    assert {0.0, 0.5, 1.0} <= set(edges)
    assert edges[-2] == edges[-1] == 1.0
    plain = draw(9, 5000)[0]
    high = np.array(score_bins(plain))
    assert len(high) - 1 <= 256
    assert (plain >= high[-4]).sum() < 5  # under equal shares it would be 60


def test_ece_is_that_of_ten_groups_of_equal_size():
    scores, true = draw(3, 20_000, stretch=2.0)
    task = Binary(score_bins(scores, MAX_BINS))
    order = np.array_split(np.argsort(scores), 10)
    exact = sum(abs(scores[part].sum() - true[part].sum()) for part in order) / len(scores)
    assert one(task, scores, true, true)["ece"].value == pytest.approx(exact, abs=5e-4)
    assert exact > 0.05


@settings(max_examples=40, deadline=None)
@given(samples(), st.integers(0, 2**31))
def test_parts_add_up_to_the_whole_and_take_away_again(sample, seed):
    scores, predicted, true = sample
    rng = np.random.default_rng(seed)
    scores = np.where(rng.random(len(scores)) < 0.1, np.nan, scores)
    weight = np.where(rng.random(len(scores)) < 0.5, true, rng.random(len(scores)))
    task = Binary(score_bins(np.linspace(0.1, 0.8, 30), 7))
    groups = rng.integers(0, 4, len(scores))
    parts = count_binary(task, scores, predicted, weight, groups, 5)
    assert parts.shape == (5, task.width)
    assert parts.dtype == np.int64
    assert not parts[4].any()
    whole = counted(task, scores, predicted, weight)[0]
    np.testing.assert_array_equal(parts.sum(axis=0), whole)
    for k in range(4):
        mine = groups == k
        np.testing.assert_array_equal(parts[k], counted(task, scores[mine], predicted[mine], weight[mine])[0])
        rest = counted(task, scores[~mine], predicted[~mine], weight[~mine])[0]
        np.testing.assert_array_equal(whole - parts[k], rest)


def test_a_corrected_label_is_the_difference_of_two_counts():
    scores, true = draw(4, 200)
    task = Binary(score_bins(scores, 20))
    flipped = true.copy()
    flipped[17] = ~flipped[17]
    row = slice(17, 18)
    change = counted(task, scores[row], scores[row] > 0.5, flipped[row]) - counted(
        task, scores[row], scores[row] > 0.5, true[row]
    )
    before = counted(task, scores, scores > 0.5, true)
    np.testing.assert_array_equal(before + change, counted(task, scores, scores > 0.5, flipped))


def test_metrics_of_many_windows_at_once_are_those_of_each():
    scores, true = draw(5, 600)
    task = Binary(score_bins(scores, 30), costs=COSTS)
    counts = count_binary(task, scores, scores > 0.4, true.astype(float), np.arange(600) % 7, 6 + 2).reshape(2, 4, -1)
    together = binary_metrics(task, counts, 0.1, 2.0)
    for name in task.names:
        for at in np.ndindex(2, 4):
            alone = binary_metrics(task, counts[at], 0.1, 2.0)[name]
            for end, single in zip(together[name], alone, strict=True):
                assert end[at] == pytest.approx(float(single), nan_ok=True, abs=1e-12), name


def test_probabilities_of_being_positive_give_the_expected_confusion_and_losses():
    rng = np.random.default_rng(6)
    scores, chance = rng.random(400), rng.random(400)
    predicted = scores > 0.5
    task = Binary(score_bins(scores, 1024))
    cells = counted(task, scores, predicted, chance)[0, :4] / UNIT
    expected = [(w * p).sum() for p in (predicted, ~predicted) for w in (chance, 1 - chance)]
    np.testing.assert_allclose(cells, expected, atol=400 / UNIT)
    shown = one(task, scores, predicted, chance)
    # scikit-learn with each row twice: as a positive with weight p, as a negative with 1 − p.
    twice = np.repeat([True, False], 400), np.tile(scores, 2), np.concatenate([chance, 1 - chance])
    assert shown["roc_auc"].value == pytest.approx(sk.roc_auc_score(*twice[:2], sample_weight=twice[2]), abs=1e-6)
    assert shown["average_precision"].value == pytest.approx(
        sk.average_precision_score(*twice[:2], sample_weight=twice[2]), abs=1e-6
    )
    assert shown["log_loss"].value == pytest.approx(sk.log_loss(*twice[:2], sample_weight=twice[2]), abs=1e-9)
    assert shown["brier"].value == pytest.approx(sk.brier_score_loss(*twice[:2], sample_weight=twice[2]), abs=1e-9)


@pytest.mark.parametrize("of", ["no rows", "only positives", "only negatives", "no scores", "one score", "one row"])
def test_what_is_undefined_is_nan_and_nothing_else_is(of):
    scores, true = draw(7, 60)
    task = Binary(score_bins(scores, 10), costs=COSTS)
    if of == "no rows":
        scores, true = scores[:0], true[:0]
    elif of.startswith("only"):
        true = np.full(60, of == "only positives")
    elif of == "no scores":
        scores = np.full(60, np.nan)
    elif of == "one score":
        scores = np.full(60, 0.3)
        task = Binary(score_bins(scores), costs=COSTS)
    else:
        scores, true = scores[:1], np.array([True])
    predicted = np.arange(len(true)) % 2 == 0
    undefined = {name for name, shown in one(task, scores, predicted, true).items() if np.isnan(shown.value)}
    single = {"balanced_accuracy", "roc_auc", "ks", "matthews_corrcoef"}
    assert (
        undefined
        == {
            "no rows": set(task.names),
            "only positives": single | {"specificity"},
            "only negatives": single | {"recall", "average_precision", "lift"},
            "no scores": {"roc_auc", "average_precision", "log_loss", "brier", "ece", "ks", "lift"},
            "one score": set(),
            "one row": single | {"specificity"},
        }[of]
    )


def test_one_score_for_all_ranks_nothing():
    true = np.arange(40) < 10
    shown = one(Binary(score_bins(np.full(40, 0.3))), np.full(40, 0.3), true, true)
    assert [shown[name].value for name in ("roc_auc", "average_precision", "ks", "lift")] == pytest.approx(
        [0.5, 0.25, 0, 1]
    )
    assert shown["ece"].value == pytest.approx(0.05, abs=1e-8)


def test_perfect_results_on_few_rows_are_not_taken_for_certain():
    true = np.arange(20) < 10
    shown = one(Binary(score_bins(np.linspace(0, 1, 20))), true.astype(float), true, true)
    for name in ("roc_auc", "average_precision", "f1", "f_beta", "matthews_corrcoef", "balanced_accuracy"):
        assert shown[name].value == pytest.approx(1.0), name
        assert 0.1 < shown[name].lower < 0.9, name


def test_scores_that_are_no_probabilities_still_rank():
    scores, true = draw(8, 500)
    margins = 20 * np.log(scores / (1 - scores))
    margins[:2] = -np.inf, np.inf
    shown = one(Binary(score_bins(margins)), margins, margins > 0, true)
    assert all(np.isnan(shown[name].value) for name in ("log_loss", "brier", "ece"))
    assert shown["roc_auc"].value == pytest.approx(sk.roc_auc_score(true, np.nan_to_num(margins)), abs=0.01)


def test_without_scores_there_are_four_counters_and_no_curves():
    task = Binary(())
    assert task.width == 4
    assert "roc_auc" not in task.names
    assert "value_per_row" not in task.names
    shown = one(task, [np.nan] * 4, [1, 1, 0, 0], [1, 0, 1, 0])
    assert shown["accuracy"].value == 0.5
    assert score_bins(np.array([np.nan, np.inf])) == ()


@pytest.mark.parametrize(
    "wrong",
    [
        {"edges": (0.5,)},
        {"edges": (1.0, 0.0)},
        {"edges": tuple(np.arange(MAX_BINS + 2.0))},
        {"edges": (), "beta": 0.0},
        {"edges": (), "lift_share": 0.0},
    ],
)
def test_tasks_that_cannot_be_counted_are_refused(wrong):
    with pytest.raises(ValueError, match=r"edges|beta"):
        Binary(**wrong)


def test_intervals_cover_the_truth_as_often_as_they_say():
    rows, repeats = 500, 400
    task = Binary(score_bins(draw(10, 20_000)[0]), costs=COSTS)
    for base, stretch in ((-0.5, 1.0), (-2.5, 1.5)):
        many = draw(11, 400_000, base=base, stretch=stretch)
        truth = one(task, many[0], many[0] > 0.3, many[1])
        scores, true = draw(12, rows * repeats, base=base, stretch=stretch)
        groups = np.repeat(np.arange(repeats), rows)
        counts = count_binary(task, scores, scores > 0.3, true.astype(float), groups, repeats)
        for name, shown in binary_metrics(task, counts).items():
            covered = (shown.lower <= truth[name].value) & (truth[name].value <= shown.upper)
            assert covered.mean() >= 0.92, name
            # Neither are they so wide that they say nothing; those for a greatest or absolute value are wider.
            assert covered.mean() <= 0.985 or name in {"ks", "ece"}, name


def test_intervals_cover_the_truth_when_positives_are_a_handful():
    rows, repeats = 100, 400
    task = Binary(score_bins(draw(10, 20_000, base=-4.0)[0]))
    many = draw(11, 400_000, base=-4.0)
    truth = one(task, many[0], many[0] > 0.2, many[1])
    scores, true = draw(12, rows * repeats, base=-4.0)
    counts = count_binary(task, scores, scores > 0.2, true.astype(float), np.repeat(np.arange(repeats), rows), repeats)
    shown = binary_metrics(task, counts)
    for name in ("recall", "precision", "f1", "f_beta", "matthews_corrcoef", "roc_auc", "average_precision", "lift"):
        known = ~np.isnan(shown[name].value)
        covered = (shown[name].lower <= truth[name].value) & (truth[name].value <= shown[name].upper)
        assert covered[known].mean() >= (0.87 if name == "matthews_corrcoef" else 0.92), name


def test_a_design_effect_widens_intervals_as_fewer_rows_would():
    scores, true = draw(13, 400)
    task = Binary(score_bins(scores, 20), costs=COSTS)
    counts = counted(task, scores, scores > 0.3, true)
    plain, fourfold = binary_metrics(task, counts), binary_metrics(task, 4 * counts, phi=4.0)
    for name in task.names:
        np.testing.assert_allclose(fourfold[name].value, plain[name].value, rtol=0.02)
        np.testing.assert_allclose(
            fourfold[name].upper - fourfold[name].lower, plain[name].upper - plain[name].lower, rtol=0.05
        )


@given(st.integers(0, 50), st.integers(1, 50), st.sampled_from([0.01, 0.05, 0.2]))
def test_intervals_of_shares_are_those_of_scipy(hits, more, alpha):
    total = hits + more
    for method, ours in (("wilson", wilson), ("exact", clopper_pearson)):
        expected = stats.binomtest(hits, total).proportion_ci(1 - alpha, method)
        shown = ours(np.array(4.0 * hits), np.array(4.0 * total), alpha, 4.0)
        assert [shown.lower, shown.upper] == pytest.approx([expected.low, expected.high], abs=1e-9)


def test_the_delta_method_gives_the_known_variance_of_a_share_and_of_a_ratio():
    shares = np.array([0.2, 0.3, 0.5])
    of_first = delta_variance(np.array([1.0, 0, 0]), shares, np.array(100.0), 2.0)
    assert of_first == pytest.approx(2 * 0.2 * 0.8 / 100)
    # a/(a + b) among 50 rows on average has the variance of a share of them.
    of_ratio = delta_variance(np.array([0.3, -0.2, 0.0]) / 0.25, shares, np.array(100.0))
    assert of_ratio == pytest.approx(0.4 * 0.6 / 50)


@pytest.mark.parametrize(("metric", "low"), [("f_beta", 0.0), ("matthews_corrcoef", -1.0)])
def test_intervals_have_the_length_that_numerical_derivatives_give(metric, low):
    cells = np.array([30_000, 70_000, 5_000, 400_000]) * UNIT
    rows = cells.sum()
    step = rows // 10_000
    either = binary_metrics(
        Binary(()), np.stack([cells + step * np.eye(4, dtype=int), cells - step * np.eye(4, dtype=int)])
    )
    gradient = (either[metric].value[0] - either[metric].value[1]) / 2 / step * rows
    variance = np.sum(gradient**2 * cells / rows) * UNIT / rows
    shown = [(end - low) / (1 - low) for end in binary_metrics(Binary(()), cells)[metric]]
    slope = shown[0] * (1 - shown[0]) * (1 - low)
    length = np.log(shown[2] / (1 - shown[2])) - np.log(shown[1] / (1 - shown[1]))
    assert length == pytest.approx(2 * 1.959964 * np.sqrt(variance) / slope, rel=1e-3)


def test_an_unknown_variance_gives_the_whole_range():
    value, unknown = np.array([0.7, np.nan]), np.array([np.nan, np.nan])
    for shown in (logit(value, unknown, 0.05, np.ones(2)), normal(value, unknown, 0.05, 0.0, 1.0)):
        assert (shown.lower[0], shown.upper[0]) == (0.0, 1.0)
        assert np.isnan(shown.lower[1])
