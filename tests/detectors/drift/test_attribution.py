"""Who is responsible: against scipy's false discovery control, and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from detectors.drift.attribution import adjusted, attribute, contributions
from detectors.drift.effects import psi, smoothed_shares
from detectors.drift.judge import STATISTICS, Settings, judge
from tests.support.counts import count, reference_of
from tests.support.populations import KINDS, population, reference_rows, windows


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_q_values_are_those_of_scipy(p_values: list[float]) -> None:
    np.testing.assert_allclose(adjusted(np.array(p_values)), false_discovery_control(p_values), atol=1e-12)


def test_what_is_not_known_takes_no_part() -> None:
    found = adjusted(np.array([0.01, np.nan, 0.04]))
    np.testing.assert_allclose(found, [0.02, np.nan, 0.04])
    assert np.isnan(adjusted(np.array([np.nan]))).all()
    assert adjusted(np.zeros(0)).size == 0


def test_shares_add_up_and_nothing_negative_takes_part() -> None:
    found = attribute(np.array([0.3, -0.2, np.nan, 0.1]), np.array([0.0, 0.0, np.nan, 0.9]))
    np.testing.assert_allclose(found.shares, [0.75, 0, 0, 0.25])
    assert found.responsible.tolist() == [True, False, False, False]
    assert found.order[:2].tolist() == [0, 3]
    assert attribute(np.zeros(2), np.ones(2)).shares.tolist() == [0, 0]


def test_parts_of_a_change_add_up_to_its_psi() -> None:
    dice = np.random.default_rng(3)
    reference = reference_of({"feature:x": dice.normal(size=4_000)})
    counts = count(reference.layout, {"feature:x": dice.normal(0.5, 1, 3_000)})
    parts = contributions(reference, counts, 0, most=200)
    held, seen = reference.counts.bins[0].astype(float), counts.bins[0].astype(float)
    used = (held + seen) > 0
    whole = psi(smoothed_shares(seen, used), smoothed_shares(held, used))
    assert sum(abs(part) for _, part in parts) == pytest.approx(float(whole), rel=1e-9)
    # All moved to the right: bins on the left hold less, bins on the right more.
    signs = {column: np.sign(part) for column, part in parts if column < 64 and abs(part) > 0.003}
    assert {signs[column] for column in signs if column < 20} == {-1.0}
    assert {signs[column] for column in signs if column > 55} == {1.0}


@pytest.mark.long
def test_the_features_that_changed_are_named_and_few_others() -> None:
    generator = np.random.default_rng(4)
    wrong, named, right = 0, 0, 0
    for _ in range(40):
        reference = reference_rows(20_000, generator)
        shares, moved = population(reference), population(reference, shift=0.5)
        changed = np.array([place in (0, 9) for place in range(len(KINDS))])
        shares[changed] = moved[changed]
        found = judge(reference, windows(shares, 2_000, 1, generator), Settings(alpha=1e-5))
        who = attribute(found.debiased[0, STATISTICS.index("psi")], found.p_value[0])
        named += int(who.responsible.sum())
        wrong += int((who.responsible & ~changed).sum())
        right += int((who.responsible & changed).sum())
        assert set(who.order[:2].tolist()) == {0, 9}
    assert right == 80
    # At most one name in twenty is wrong on average; forty windows leave room for luck.
    assert wrong / named <= 0.1
