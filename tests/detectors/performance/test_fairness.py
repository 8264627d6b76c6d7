import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.performance.fairness import fairness

NAMES = (
    "demographic_parity_difference",
    "disparate_impact_ratio",
    "equal_opportunity_difference",
    "equalized_odds_difference",
)


def drawn(rng, rows, rate, positive=0.4):
    """Confusion counts of groups whose members are selected at ``rate`` whether positive or not."""
    positives = rng.binomial(rows, positive)
    negatives = rows - positives
    hits, false = rng.binomial(positives, rate), rng.binomial(negatives, rate)
    return np.stack([hits, false, positives - hits, negatives - false], axis=-1).astype(float)


def by_hand(confusion):
    """The four measures group by group, without intervals."""
    selection = [(tp + fp) / (tp + fp + fn + tn) for tp, fp, fn, tn in confusion]
    hits = [tp / (tp + fn) for tp, fp, fn, tn in confusion]
    false = [fp / (fp + tn) for tp, fp, fn, tn in confusion]
    ratio = min(selection) / max(selection) if max(selection) else np.nan
    chance = max(hits) - min(hits)
    return max(selection) - min(selection), ratio, chance, max(chance, max(false) - min(false))


cells = st.floats(30, 1000)


@given(st.lists(st.tuples(cells, cells, cells, cells), min_size=2, max_size=6))
@settings(max_examples=100, deadline=None)
def test_values_are_those_worked_out_by_hand(rows):
    found = fairness(np.array(rows))
    assert tuple(found) == NAMES
    for name, value in zip(NAMES, by_hand(rows), strict=True):
        estimate = found[name].estimate
        assert estimate.value == pytest.approx(value, abs=1e-12), name
        assert 0 <= estimate.lower <= estimate.value + 1e-12, name
        assert estimate.value - 1e-12 <= estimate.upper <= 1, name


def test_known_answers():
    # Selection .5, .28, .36; true positive rates .8, .4, .6; false positive rates .2, .2, .3.
    confusion = np.array([[400.0, 100, 100, 400], [100, 75, 150, 300], [120, 240, 80, 560]])
    found = fairness(confusion)
    parity, impact, chance, odds = (found[name] for name in NAMES)
    assert parity.estimate.value == pytest.approx(0.5 - 0.28)
    assert (parity.lowest, parity.highest) == (1, 0)
    assert impact.estimate.value == pytest.approx(0.28 / 0.5)
    assert chance.estimate.value == pytest.approx(0.4)
    assert (chance.lowest, chance.highest) == (1, 0)
    assert odds.estimate.value == pytest.approx(0.4)
    assert (odds.lowest, odds.highest) == (1, 0)


def test_equalized_odds_name_the_groups_of_the_greater_gap():
    confusion = np.array([[50.0, 10, 50, 90], [50, 60, 50, 40], [60, 20, 40, 80]])
    found = fairness(confusion)["equalized_odds_difference"]
    assert found.estimate.value == pytest.approx(0.5)
    assert (found.lowest, found.highest) == (0, 1)


def test_equalized_odds_pay_for_looking_at_two_rates():
    confusion = np.array([[400.0, 300, 100, 700], [250, 300, 250, 700]])
    odds = fairness(confusion, 0.05)["equalized_odds_difference"].estimate
    chance = fairness(confusion, 0.025)["equal_opportunity_difference"].estimate
    assert odds == chance


def test_groups_with_too_few_effective_rows_are_left_out_and_reported():
    big, small = [300.0, 100, 200, 400], [0.0, 20, 0, 9]
    confusion = np.array([big, small, big, [np.nan] * 4])
    found = fairness(confusion)
    assert found["demographic_parity_difference"].left_out == (1, 3)
    assert found["demographic_parity_difference"].estimate.value == 0
    # Enough rows, but hardly any positives: the group counts for selection only.
    confusion[1] = [2.0, 100, 1, 100]
    found = fairness(confusion)
    assert found["demographic_parity_difference"].left_out == (3,)
    assert found["equal_opportunity_difference"].left_out == (1, 3)
    assert found["equalized_odds_difference"].left_out == (1, 3)
    assert fairness(np.array([big, big, small]) * 2, phi=20.0)["demographic_parity_difference"].left_out == (2,)
    assert fairness(confusion[:3], phi=40.0)["demographic_parity_difference"].left_out == (0, 1, 2)


@pytest.mark.parametrize("confusion", [np.zeros((0, 4)), np.zeros((3, 4)), np.array([[50.0, 50, 50, 50]])])
def test_fewer_than_two_groups_have_no_measure(confusion):
    for found in fairness(confusion).values():
        assert np.isnan(np.stack(found.estimate)).all()
        assert (found.lowest, found.highest) == (-1, -1)


def test_where_nobody_is_selected_there_is_no_ratio():
    confusion = np.array([[0.0, 0, 50, 50], [0, 0, 60, 60]])
    assert np.isnan(fairness(confusion)["disparate_impact_ratio"].estimate.value)
    confusion[0] = [5, 5, 45, 45]
    impact = fairness(confusion)["disparate_impact_ratio"]
    assert impact.estimate.value == impact.estimate.lower == 0
    assert 0 < impact.estimate.upper < 1
    assert (impact.lowest, impact.highest) == (1, 0)


def test_a_design_effect_widens_intervals():
    confusion = np.array([[400.0, 100, 100, 400], [300, 100, 200, 400]])
    one, four = fairness(confusion), fairness(confusion, phi=4.0)
    for name in NAMES:
        near, far = one[name].estimate, four[name].estimate
        assert far.upper - far.lower > 1.5 * (near.upper - near.lower), name
        assert fairness(confusion / 4)[name].estimate.lower == pytest.approx(far.lower), name


@pytest.mark.parametrize(
    ("rows", "rate"),
    [([500] * 2, 0.3), ([300] * 5, 0.5), ([100] * 20, 0.1), ([100] * 19 + [100_000], 0.004)],
)
def test_equal_groups_are_rarely_called_different(rows, rate):
    rng = np.random.default_rng(17)
    alpha, repeats = 0.05, 500
    wrong = dict.fromkeys(NAMES, 0)
    gaps = 0.0
    for _ in range(repeats):
        found = fairness(drawn(rng, np.array(rows), rate), alpha)
        gaps += found["demographic_parity_difference"].estimate.value / repeats
        for name in NAMES:
            estimate = found[name].estimate
            wrong[name] += bool(estimate.upper < 1 if name.endswith("ratio") else estimate.lower > 0)
    assert gaps > 0.01  # the extremes do differ by chance
    for name, count in wrong.items():
        # Three standard errors of the simulation above alpha.
        assert count / repeats <= alpha + 3 * np.sqrt(alpha * (1 - alpha) / repeats), name


def test_unequal_groups_are_found_and_their_gap_is_covered():
    rng = np.random.default_rng(23)
    rates = np.array([0.3, 0.3, 0.22, 0.3])
    sure, covered, named = 0, 0, 0
    for _ in range(300):
        found = fairness(drawn(rng, np.full(4, 1500), rates))["demographic_parity_difference"]
        sure += found.estimate.lower > 0
        covered += found.estimate.lower <= 0.08 <= found.estimate.upper
        named += found.lowest == 2
    assert sure > 0.95 * 300
    assert covered > 0.95 * 300
    assert named > 0.99 * 300
