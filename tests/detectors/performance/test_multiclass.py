import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from detectors.fixed_point import UNIT
from detectors.performance.estimate import Estimate
from detectors.performance.multiclass import (
    Multiclass,
    class_bins,
    confusion,
    count_multiclass,
    multiclass_metrics,
    roc_auc_ovr_bound,
)

NAMES = ("ape", "bee", "cat", "dog", "eel")


def counted(task: Multiclass, scores, predicted, actual):
    return count_multiclass(task, scores, predicted, actual, np.zeros(len(scores), dtype=int), 1)


def one(task: Multiclass, scores, predicted, actual, alpha: float = 0.05, phi: float = 1.0) -> dict[str, Estimate]:
    return multiclass_metrics(task, counted(task, scores, predicted, actual)[0], alpha, phi)


def draw(seed: int, rows: int, classes: int = 3, sharpness: float = 1.5):
    """Calibrated scores, the most probable class, the true one, and the true one one-hot."""
    rng = np.random.default_rng(seed)
    odds = np.exp(sharpness * rng.normal(size=(rows, classes)) - 0.7 * np.arange(classes))
    scores = odds / odds.sum(axis=1, keepdims=True)
    true = np.minimum((rng.random((rows, 1)) > scores.cumsum(axis=1)).sum(axis=1), classes - 1)
    return scores, scores.argmax(axis=1), true, np.eye(classes)[true]


@st.composite
def samples(draw_from):
    classes, rows = draw_from(st.integers(2, 5)), draw_from(st.integers(1, 80))
    rng = np.random.default_rng(draw_from(st.integers(0, 2**31)))
    present = draw_from(st.integers(1, classes))
    others = draw_from(st.sampled_from([0, 1]))
    raw = rng.integers(1, 20, (rows, classes)).astype(float)
    return raw / raw.sum(axis=1, keepdims=True), rng.integers(0, classes + others, rows), rng.integers(0, present, rows)


def oracle(scores, predicted, true, classes) -> dict[str, float]:
    labels = list(range(classes))
    found: dict[str, float] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, score in (("precision", sk.precision_score), ("recall", sk.recall_score), ("f1", sk.f1_score)):
            for average in ("macro", "micro", "weighted"):
                found[f"{name}_{average}"] = score(true, predicted, labels=labels, average=average, zero_division=0)
            own = score(true, predicted, labels=labels, average=None, zero_division=np.nan)
            found |= {f"{name}:{NAMES[k]}": own[k] for k in labels}
        found["accuracy"] = found["recall_micro"]
        found["balanced_accuracy"] = sk.balanced_accuracy_score(true, predicted)
        found["log_loss"] = sk.log_loss(true, scores, labels=labels)
        single = len(set(true)) == 1 or len(set(predicted)) == 1
        found["matthews_corrcoef"] = np.nan if single else sk.matthews_corrcoef(true, predicted)
        areas = [
            sk.roc_auc_score(true == k, scores[:, k]) if 0 < (true == k).sum() < len(true) else np.nan for k in labels
        ]
        weight = np.bincount(true, minlength=classes)
        found["roc_auc_ovr_macro"] = np.mean(areas)
        found["roc_auc_ovr_weighted"] = np.average(np.where(weight > 0, areas, 0.0), weights=weight)
    return found


@pytest.mark.long
@settings(max_examples=50, deadline=None)
@given(samples())
def test_metrics_are_those_of_scikit_learn_when_every_score_has_a_bin(sample):
    scores, predicted, true = sample
    classes = scores.shape[1]
    task = Multiclass(NAMES[:classes], class_bins(scores, 1024))
    shown = one(task, scores, predicted, np.eye(classes)[true])
    assert tuple(shown) == task.names
    expected = oracle(scores, predicted, true, classes)
    # Predicting nothing that is known leaves scikit-learn a 0 where a share of no rows is undefined.
    if (predicted == classes).all():
        expected["precision_micro"] = np.nan
    for name in task.names:
        assert shown[name].value == pytest.approx(expected[name], abs=1e-9, nan_ok=True), name


def test_roc_auc_of_three_classes_is_scikit_learns_own_average():
    scores, predicted, true, actual = draw(1, 800)
    shown = one(Multiclass(NAMES[:3], class_bins(scores, 1024)), scores, predicted, actual)
    for average in ("macro", "weighted"):
        exact = sk.roc_auc_score(true, scores, multi_class="ovr", average=average)
        assert shown[f"roc_auc_ovr_{average}"].value == pytest.approx(exact, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 9))
def test_binned_areas_stay_within_their_bound_of_the_exact_ones(seed, bins):
    scores, predicted, true, actual = draw(seed, 60)
    if len(set(true)) < 3:
        return
    task = Multiclass(NAMES[:3], class_bins(scores[::2], bins))
    counts = counted(task, scores, predicted, actual)
    shown = multiclass_metrics(task, counts)["roc_auc_ovr_macro"].value[0]
    assert abs(shown - sk.roc_auc_score(true, scores, multi_class="ovr")) <= roc_auc_ovr_bound(task, counts)[0] + 1e-12


def test_64_bins_a_class_are_close_to_the_exact_areas():
    scores, predicted, true, actual = draw(2, 20_000)
    task = Multiclass(NAMES[:3], class_bins(draw(3, 20_000)[0]))
    counts = counted(task, scores, predicted, actual)
    exact = sk.roc_auc_score(true, scores, multi_class="ovr")
    assert abs(multiclass_metrics(task, counts)["roc_auc_ovr_macro"].value[0] - exact) < 5e-4
    assert roc_auc_ovr_bound(task, counts)[0] < 0.006


@settings(max_examples=60, deadline=None)
@given(samples(), st.sampled_from([1.0, 3.0]))
def test_intervals_hold_their_value_and_stay_in_range(sample, phi):
    scores, predicted, true = sample
    classes = scores.shape[1]
    task = Multiclass(NAMES[:classes], class_bins(scores, 8))
    for name, shown in one(task, scores, predicted, np.eye(classes)[true], phi=phi).items():
        low, high = {"matthews_corrcoef": (-1.0, 1.0), "log_loss": (0.0, np.inf)}.get(name, (0.0, 1.0))
        inside = low <= shown.lower <= shown.value + 1e-12 <= shown.upper + 2e-12 <= high + 3e-12
        assert np.isnan(shown.value) or inside, name
        assert np.isnan(shown.value) == np.isnan(shown.lower) == np.isnan(shown.upper), name


@settings(max_examples=30, deadline=None)
@given(samples(), st.integers(0, 2**31))
def test_parts_add_up_to_the_whole_and_take_away_again(sample, seed):
    scores, predicted, _ = sample
    rng = np.random.default_rng(seed)
    classes = scores.shape[1]
    chance = rng.dirichlet(np.ones(classes), len(scores))
    task = Multiclass(NAMES[:classes], class_bins(np.linspace(0, 1, 40)[:, np.newaxis].repeat(classes, 1), 6))
    scores = np.where(rng.random(scores.shape) < 0.05, np.nan, scores)
    groups = rng.integers(0, 3, len(scores))
    parts = count_multiclass(task, scores, predicted, chance, groups, 4)
    assert parts.shape == (4, task.width)
    assert parts.dtype == np.int64
    assert not parts[3].any()
    whole = counted(task, scores, predicted, chance)[0]
    np.testing.assert_array_equal(parts.sum(axis=0), whole)
    for k in range(3):
        rest = groups != k
        np.testing.assert_array_equal(whole - parts[k], counted(task, scores[rest], predicted[rest], chance[rest])[0])


def test_probabilities_of_the_classes_give_the_expected_confusion():
    scores, predicted, _, _ = draw(4, 300)
    chance = np.random.default_rng(5).dirichlet(np.ones(3), 300)
    task = Multiclass(NAMES[:3])
    table = confusion(task, counted(task, scores, predicted, chance))[0]
    assert table.shape == (3, 4)
    expected = np.stack([chance[predicted == k].sum(axis=0) for k in range(4)], axis=1)
    np.testing.assert_allclose(table, expected, atol=300 / UNIT)
    assert task.width == 12
    assert "log_loss" not in task.names


def test_metrics_of_many_windows_at_once_are_those_of_each():
    scores, predicted, _, actual = draw(6, 600)
    task = Multiclass(NAMES[:3], class_bins(scores, 20))
    counts = count_multiclass(task, scores, predicted, actual, np.arange(600) % 7, 8).reshape(2, 4, -1)
    together = multiclass_metrics(task, counts, 0.1, 2.0)
    for name in task.names:
        for at in np.ndindex(2, 4):
            alone = multiclass_metrics(task, counts[at], 0.1, 2.0)[name]
            for end, single in zip(together[name], alone, strict=True):
                assert end[at] == pytest.approx(float(single), nan_ok=True, abs=1e-12), name


def test_without_rows_everything_is_nan():
    task = Multiclass(NAMES[:3], class_bins(draw(7, 50)[0]))
    found = multiclass_metrics(task, np.zeros((2, task.width), dtype=np.int64))
    assert all(np.isnan(end).all() and end.shape == (2,) for shown in found.values() for end in shown)


def test_a_class_without_rows_counts_as_zero_in_averages_and_is_nan_by_itself():
    scores, predicted, true, actual = draw(8, 200)
    task = Multiclass(NAMES[:3], class_bins(scores))
    kept = true < 2
    shown = one(task, scores[kept], np.minimum(predicted[kept], 1), actual[kept])
    assert np.isnan(shown["recall:cat"].value)
    assert shown["recall_macro"].value == pytest.approx((shown["recall:ape"].value + shown["recall:bee"].value) / 3)
    assert shown["balanced_accuracy"].value == pytest.approx(1.5 * shown["recall_macro"].value)
    assert np.isnan(shown["roc_auc_ovr_macro"].value)
    assert shown["roc_auc_ovr_weighted"].value > 0.5
    # What is not known of the third class may be anything.
    assert shown["recall_macro"].upper > shown["recall_macro"].value + 0.3


def test_perfect_results_on_few_rows_are_not_taken_for_certain():
    true = np.repeat(np.arange(3), 10)
    actual = np.eye(3)[true]
    shown = one(Multiclass(NAMES[:3], class_bins(actual)), actual, true, actual)
    for name in set(shown) - {"log_loss"}:
        assert shown[name].value == pytest.approx(1.0), name
        assert 0.2 < shown[name].lower < 0.95, name


def test_scores_that_are_no_probabilities_have_no_log_loss():
    scores, predicted, _, actual = draw(9, 200)
    shown = one(Multiclass(NAMES[:3], class_bins(5 * scores)), 5 * scores, predicted, actual)
    assert np.isnan(shown["log_loss"].value)
    assert shown["roc_auc_ovr_macro"].value > 0.6


@pytest.mark.parametrize(
    "wrong",
    [
        {"classes": ("a",)},
        {"classes": ("a", "a")},
        {"classes": ("a", "b"), "edges": ((0.0, 1.0),)},
        {"classes": ("a", "b"), "edges": ((0.0, 1.0), (1.0, 0.0))},
        {"classes": ("a", "b"), "edges": ((0.0, 1.0), ())},
    ],
)
def test_tasks_that_cannot_be_counted_are_refused(wrong):
    with pytest.raises(ValueError, match=r"class|edges"):
        Multiclass(**wrong)


def test_intervals_cover_the_truth_as_often_as_they_say():
    rows, repeats = 500, 400
    task = Multiclass(NAMES[:4], class_bins(draw(10, 5000, 4)[0]))
    truth = one(task, *(lambda seen: (seen[0], seen[1], seen[3]))(draw(11, 400_000, 4)))
    scores, predicted, _, actual = draw(12, rows * repeats, 4)
    counts = count_multiclass(task, scores, predicted, actual, np.repeat(np.arange(repeats), rows), repeats)
    for name, shown in multiclass_metrics(task, counts).items():
        covered = (shown.lower <= truth[name].value) & (truth[name].value <= shown.upper)
        assert covered.mean() >= 0.92, name
        # The area's interval adds up what the classes err, as if they all erred together.
        assert covered.mean() <= 0.985 or name.startswith("roc_auc"), name


@pytest.mark.parametrize("metric", ["precision_weighted", "f1_macro", "f1_micro", "f1_weighted", "matthews_corrcoef"])
def test_intervals_have_the_length_that_numerical_derivatives_give(metric):
    task = Multiclass(NAMES[:3])
    table = np.array([[900, 10, 3, 40], [200, 150, 30, 5], [60, 80, 20, 5]]).ravel() * 100 * UNIT
    rows = table.sum()
    step = rows // 10_000
    either = multiclass_metrics(
        task, np.stack([table + step * np.eye(12, dtype=int), table - step * np.eye(12, dtype=int)])
    )
    gradient = (either[metric].value[0] - either[metric].value[1]) / 2 / step * rows
    variance = np.sum(gradient**2 * table / rows) * UNIT / rows
    low = -1.0 if metric == "matthews_corrcoef" else 0.0
    shown = [(end - low) / (1 - low) for end in multiclass_metrics(task, table)[metric]]
    slope = shown[0] * (1 - shown[0]) * (1 - low)
    length = np.log(shown[2] / (1 - shown[2])) - np.log(shown[1] / (1 - shown[1]))
    assert length == pytest.approx(2 * 1.959964 * np.sqrt(variance) / slope, rel=1e-3)
