import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from detectors.performance.ranking import Ranking, count_ranking, counted, ranking_metrics


def counts_of(task, items, relevant, gains=None, groups=None, size=1):
    items, relevant = np.asarray(items, dtype=np.uint64), np.asarray(relevant, dtype=np.uint64)
    gains = np.ones(relevant.shape) if gains is None else np.asarray(gains, dtype=float)
    groups = np.zeros(len(items), dtype=np.int64) if groups is None else groups
    return count_ranking(task, items, relevant, gains, groups, size)


def values_of(task, items, relevant, gains=None):
    found = ranking_metrics(task, counts_of(task, items, relevant, gains))
    return {name: estimate.value[0] for name, estimate in found.items()}


def by_hand(k, items, relevant, gains):
    """The same metrics of one list, word by word; None without a relevant item."""
    wanted = {}
    for item, gain in zip(relevant, gains, strict=True):
        if item and np.isfinite(gain) and gain > 0:
            wanted[item] = max(wanted.get(item, 0.0), gain)
    if not wanted:
        return None
    seen, dcg, precisions, first = set(), 0.0, 0.0, 0.0
    for rank, item in enumerate(items[:k], start=1):
        if item in wanted and item not in seen:
            seen.add(item)
            dcg += wanted[item] / np.log2(rank + 1)
            precisions += len(seen) / rank
            first = first or 1 / rank
    best = sum(gain / np.log2(rank + 1) for rank, gain in enumerate(sorted(wanted.values(), reverse=True)[:k], start=1))
    return {
        "ndcg": dcg / best,
        "map": precisions / min(k, len(wanted)),
        "mrr": first,
        "hit_rate": float(bool(seen)),
        "precision_at_k": len(seen) / k,
        "recall_at_k": len(seen) / len(wanted),
    }


@pytest.mark.parametrize("k", [1, 3, 10])
def test_ndcg_is_that_of_scikit_learn(k):
    rng = np.random.default_rng(k)
    rows, items = 200, 12
    truth = rng.integers(0, 4, (rows, items)).astype(float)
    truth[:, 0] += 1
    scores = rng.permuted(np.tile(np.arange(items, dtype=float), (rows, 1)), axis=1)
    hashes = np.tile(rng.integers(1, 2**64, items, dtype=np.uint64), (rows, 1))
    ranked = np.take_along_axis(hashes, np.argsort(-scores, axis=1)[:, :k], axis=1)
    found = values_of(Ranking(k), ranked, hashes, truth)["ndcg"]
    assert found == pytest.approx(ndcg_score(truth, scores, k=k), abs=1e-10)


cells = st.integers(0, 6)
gain = st.sampled_from([0.0, 0.5, 1.0, 3.0, 1e300, -1.0, np.nan, np.inf])
lists = st.lists(
    st.tuples(st.tuples(*[cells] * 5), st.tuples(*[cells] * 4), st.tuples(*[gain] * 4)), min_size=1, max_size=12
)


@pytest.mark.long
@given(lists, st.integers(1, 7))
@settings(max_examples=300, deadline=None)
def test_metrics_are_those_worked_out_by_hand(rows, k):
    task = Ranking(k)
    counts = counts_of(task, *(np.array([row[place] for row in rows]) for place in range(3)))
    expected = [by_hand(k, *row) for row in rows]
    judged = [one for one in expected if one is not None]
    assert counted(counts)["lists"] == [len(judged)]
    assert counted(counts)["without_relevant"] == [len(rows) - len(judged)]
    for name, found in ranking_metrics(task, counts).items():
        if judged:
            assert found.value[0] == pytest.approx(np.mean([one[name] for one in judged]), abs=1e-9), name
            assert 0 <= found.lower[0] <= found.value[0] <= found.upper[0] <= 1, name
        else:
            assert np.isnan(np.stack(found)).all()


@given(lists, st.integers(0, 12))
@settings(max_examples=100, deadline=None)
def test_panes_merge_and_corrected_labels_leave_no_trace(rows, cut):
    task = Ranking(3)
    parts = [np.array([row[place] for row in rows]) for place in range(3)]
    groups = np.arange(len(rows)) % 2

    def count(part):
        return counts_of(task, *(held[part] for held in parts), groups[part], 2)

    whole = count(slice(None))
    assert whole.shape == (2, task.width)
    np.testing.assert_array_equal(whole - count(slice(cut)), count(slice(cut, None)))


def test_known_answers():
    found = values_of(Ranking(4), [[7, 5, 9, 3]], [[5, 3, 8]], [[1.0, 2.0, 4.0]])
    assert found["ndcg"] == pytest.approx(
        (1 / np.log2(3) + 2 / np.log2(5)) / (4 + 2 / np.log2(3) + 1 / np.log2(4)), abs=1e-10
    )
    assert found["map"] == pytest.approx((1 / 2 + 2 / 4) / 3, abs=1e-10)
    assert found["mrr"] == 0.5
    assert found["hit_rate"] == 1.0
    assert found["precision_at_k"] == 0.5
    assert found["recall_at_k"] == pytest.approx(2 / 3, abs=1e-10)


def test_the_best_order_is_perfect():
    found = values_of(Ranking(2), [[1, 2]], [[2, 1, 3]], [[5.0, 9.0, 1.0]])
    assert found["ndcg"] == found["map"] == found["mrr"] == 1.0


def test_items_past_the_kth_do_not_count():
    assert values_of(Ranking(2), [[1, 2, 3]], [[3]])["hit_rate"] == 0.0
    assert values_of(Ranking(3), [[1, 2, 3]], [[3]])["hit_rate"] == 1.0


def test_an_item_that_comes_twice_is_one_hit():
    assert values_of(Ranking(3), [[4, 4, 4]], [[4, 4]]) == values_of(Ranking(3), [[4, 0, 0]], [[4, 0]])


def test_lists_without_relevant_items_are_not_part_of_the_means():
    task = Ranking(2)
    both = counts_of(task, [[1, 2], [1, 2]], [[2], [0]])
    alone = counts_of(task, [[1, 2]], [[2]])
    assert counted(both)["without_relevant"] == [1]
    for name, found in ranking_metrics(task, both).items():
        assert found == ranking_metrics(task, alone)[name]


def test_empty_lists_and_labels_are_counted():
    task = Ranking(2)
    nothing = np.zeros((1, 0))
    assert values_of(task, nothing, [[5]])["recall_at_k"] == 0.0
    assert counted(counts_of(task, [[5]], nothing))["without_relevant"] == [1]
    assert counts_of(task, np.zeros((0, 2)), np.zeros((0, 3))).sum() == 0
    assert counts_of(task, nothing, nothing).sum() == 1


def test_metrics_come_in_the_order_of_their_names():
    assert tuple(ranking_metrics(Ranking(), counts_of(Ranking(), [[1]], [[1]]))) == Ranking().names


def test_few_lists_that_are_alike_are_not_sure():
    found = ranking_metrics(Ranking(1), counts_of(Ranking(1), [[1]] * 3, [[1, 2]] * 3))
    assert found["ndcg"].lower[0] < 0.5
    assert found["recall_at_k"].upper[0] - found["recall_at_k"].lower[0] > 0.3


def test_a_design_effect_widens_intervals_by_its_root():
    rng = np.random.default_rng(0)
    task = Ranking(5)
    counts = counts_of(task, rng.integers(1, 30, (20000, 5)), rng.integers(1, 30, (20000, 4)))
    one, four = ranking_metrics(task, counts), ranking_metrics(task, counts, phi=4.0)
    for name in task.names:
        ratio = (four[name].upper - four[name].lower) / (one[name].upper - one[name].lower)
        assert ratio[0] == pytest.approx(2, rel=0.01), name


def sample(rng, n):
    items = np.argsort(rng.random((n, 40)), axis=1)[:, :10] + 1
    relevant = np.argsort(rng.random((n, 40)), axis=1)[:, :5] + 1
    good = rng.random(n) < 0.6
    relevant[good, 0] = items[good, rng.integers(0, 3, good.sum())]
    return items, relevant, rng.integers(1, 4, (n, 5)).astype(float)


@pytest.mark.parametrize(("rows", "repeats"), [(10, 2000), (100, 1000)])
def test_intervals_cover_the_truth(rows, repeats):
    task = Ranking(10)
    truth = ranking_metrics(task, counts_of(task, *sample(np.random.default_rng(1), 100_000)))
    groups = np.repeat(np.arange(repeats), rows)
    counts = counts_of(task, *sample(np.random.default_rng(2), rows * repeats), groups, repeats)
    for name, found in ranking_metrics(task, counts).items():
        covered = np.mean((found.lower <= truth[name].value) & (truth[name].value <= found.upper))
        # Four standard errors of 1,000 repeats.
        assert covered >= 0.922, name
        assert covered <= (1.0 if rows < 100 else 0.985), name


def test_a_k_below_one_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        Ranking(0)
