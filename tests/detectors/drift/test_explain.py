"""The sentence a person reads when something has drifted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.stats import norm

from detectors.drift.explain import explain
from detectors.layout import HIGH, INVALID, LOW, MISSING
from tests.support.counts import count, gaps, reference_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

ROWS = 10_000
# Years of age, as evenly as a normal distribution can be laid out: what is expected follows from arithmetic.
AGE = 40 + 10 * norm.ppf((np.arange(ROWS) + 0.5) / ROWS)
COLOURS = {0: "red", 1: "green", 2: "blue"}


def of_age(values: Array, statistic: str = "psi", reference: Array = AGE) -> str:
    known = reference_of({"feature:age": reference})
    return explain(known, count(known.layout, {"feature:age": values}), 0, statistic, lambda _: None)


def of_colour(now: dict[int, int], before: dict[int, int], statistic: str = "psi") -> str:
    known = reference_of({"feature:colour": np.repeat(list(before), list(before.values()))})
    window = count(known.layout, {"feature:colour": np.repeat(list(now), list(now.values()))})
    return explain(known, window, 0, statistic, COLOURS.get)


def test_a_shift_up() -> None:
    assert of_age(AGE + 5) == "age moved up by 0.50 reference standard deviations"


def test_a_shift_down() -> None:
    assert of_age(AGE - 2.5) == "age moved down by 0.25 reference standard deviations"


def test_a_wider_spread() -> None:
    assert of_age(40 + 1.25 * (AGE - 40)) == "age widened to 1.25 times its spread"


def test_a_narrower_spread() -> None:
    assert of_age(40 + 0.5 * (AGE - 40)) == "age narrowed to 0.50 times its spread"


def test_values_beyond_the_references_range_and_on_which_side() -> None:
    above = np.concatenate([AGE[: ROWS - 200], np.full(200, 1000.0)])
    below = np.concatenate([AGE[200:], np.full(200, -1000.0)])
    assert of_age(above).endswith("and has 2.0% of its values above the reference's range")
    assert of_age(below).endswith("and has 2.0% of its values below the reference's range")


def test_several_changes_are_told_as_one_sentence() -> None:
    assert of_age(40 + 1.5 * (AGE - 40) + 20) == (
        "age moved up by 2.00 reference standard deviations, widened to 1.50 times its spread"
        " and has 10% of its values above the reference's range"
    )


def test_another_shape_at_the_same_mean_and_spread() -> None:
    two_peaks = 40 + np.where(np.arange(ROWS) % 2, 10.0, -10.0)
    assert of_age(two_peaks) == "age changed its shape with mean and spread nearly unchanged"


def test_gaps_do_not_disturb_what_is_said_of_the_values() -> None:
    half = np.repeat(AGE[::2], 2) + 5
    assert of_age(np.where(np.arange(ROWS) % 2, np.nan, half)) == ("age moved up by 0.50 reference standard deviations")


def test_a_constant_that_starts_to_vary_says_where_its_values_lie() -> None:
    said = of_age(np.where(np.arange(100) % 4, 7.0, 9.0), reference=np.full(100, 7.0))
    assert said.endswith("has 25% of its values above the reference's range")


@pytest.mark.parametrize(
    ("now", "before", "said"),
    [
        (0.03, 0.0, "age: the share of missing values rose from 0% to 3.0%"),
        (0.5, 0.01, "age: the share of missing values rose from 1.0% to 50%"),
        (0.0, 0.2, "age: the share of missing values fell from 20% to 0%"),
        (1.0, 0.0005, "age: the share of missing values rose from 0.05% to 100%"),
    ],
)
def test_missing_values_that_rise_and_fall(now: float, before: float, said: str) -> None:
    assert of_age(gaps(ROWS, now, AGE), "missing", gaps(ROWS, before, AGE)) == said


def test_values_that_are_no_numbers_are_named_when_there_are_enough_of_them() -> None:
    window = gaps(ROWS, 0.02, AGE)
    window[-100:] = np.inf
    assert of_age(window, "missing") == "age: the share of missing or invalid values rose from 0% to 3.0%"


def test_a_category_that_rose_and_one_that_fell() -> None:
    assert of_colour({0: 50, 1: 30, 2: 20}, {0: 300, 1: 500, 2: 200}) == (
        "colour: 'red' rose from 30% to 50% and 'green' fell from 50% to 30%"
    )


def test_the_category_that_changed_most_is_named_first_and_no_more_than_two_are() -> None:
    assert of_colour({0: 100, 1: 450, 2: 450}, {0: 600, 1: 250, 2: 150}) == (
        "colour: 'red' fell from 60% to 10% and 'blue' rose from 15% to 45%"
    )


def test_categories_never_seen_before() -> None:
    assert of_colour({0: 80, HIGH: 20}, {0: 1000}) == (
        "colour: categories unknown to the reference rose from 0% to 20% and 'red' fell from 100% to 80%"
    )


def test_rare_categories_are_told_together() -> None:
    assert of_colour({0: 70, LOW: 30}, {0: 950, LOW: 50}).startswith("colour: rare categories rose from 5.0% to 30%")


def test_missing_categories() -> None:
    assert of_colour({0: 90, MISSING: 10}, {0: 1000}, "missing") == (
        "colour: the share of missing values rose from 0% to 10%"
    )
    assert of_colour({0: 90, INVALID: 10}, {0: 1000}, "missing") == (
        "colour: the share of missing or invalid values rose from 0% to 10%"
    )


def test_a_change_spread_evenly_over_many_categories_still_names_some() -> None:
    before = dict.fromkeys(range(60), 100)
    now = {column: 20 + 10 * (column % 2) for column in range(60)}
    assert of_colour(now, before).startswith("colour: 'red' fell from 1.7% to 1.3%")


@pytest.mark.parametrize("subject", ["prediction", "score"])
def test_what_is_no_feature_keeps_its_own_name(subject: str) -> None:
    known = reference_of({subject: AGE})
    said = explain(known, count(known.layout, {subject: AGE + 5}), 0, "psi", lambda _: None)
    assert said == f"{subject} moved up by 0.50 reference standard deviations"


def test_each_subject_of_a_layout_is_told_by_its_own_counts() -> None:
    colours = np.arange(ROWS) % 2
    known = reference_of({"feature:age": AGE, "feature:colour": colours})
    window = count(known.layout, {"feature:age": AGE + 5, "feature:colour": np.zeros(ROWS, dtype=np.int64)})
    assert explain(known, window, 0, "psi", COLOURS.get).startswith("age moved up")
    assert explain(known, window, 1, "psi", COLOURS.get).startswith("colour: 'green' fell from 50% to 0%")
