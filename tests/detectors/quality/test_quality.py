"""Data quality: exact bounds, each fault found and named, sound data left alone at the stated error probability."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from detectors.drift.judge import INSUFFICIENT, OK
from detectors.drift.reference import Dispersion
from detectors.layout import COLUMNS, HIGH, INVALID, MISSING, NONFINITE, Counts
from detectors.quality.rates import BREACHED, STATISTICS, Quality, QualitySettings, explain_quality, judge_quality
from tests.support.counts import count, reference_of
from tests.support.populations import KINDS, ZIPF, reference_rows

SETTINGS = QualitySettings(alpha=1e-4)
DICE = np.random.default_rng(11)
REFERENCE = reference_of({
    "feature:age": np.where(DICE.random(5_000) < 0.02, np.nan, DICE.normal(40, 10, 5_000)),
    "feature:job": np.where(DICE.random(5_000) < 0.02, MISSING, DICE.choice(6, 5_000)),
})  # fmt: skip
AGE, JOB = 0, 1


def window(age: np.ndarray, job: np.ndarray) -> Counts:
    return count(REFERENCE.layout, {"feature:age": age, "feature:job": job})


def sound(rows: int = 1_000, seed: int = 12) -> tuple[np.ndarray, np.ndarray]:
    dice = np.random.default_rng(seed)
    # Values of the reference itself, so that none lies beyond its range.
    return dice.uniform(20, 60, rows), dice.choice(6, rows).astype(np.int64)


def status(found: Quality, statistic: str, subject: int) -> int:
    return int(found.status[STATISTICS.index(statistic), subject])


def value(found: Quality, statistic: str, subject: int) -> float:
    return float(found.value[STATISTICS.index(statistic), subject])


def test_sound_data_are_sound() -> None:
    found = judge_quality(REFERENCE, window(*sound()), SETTINGS)
    applies = ~np.isnan(found.value)
    assert (found.status[applies] == OK).all()
    # A category is neither infinite nor out of range, a number is of no category.
    assert applies.sum(axis=1).tolist() == [2, 2, 1, 1, 1, 2]


def test_wrong_types_are_found() -> None:
    counts = window(*sound())
    counts.bins[:, INVALID] += 40
    counts.bins[:, 0] -= 40
    found = judge_quality(REFERENCE, counts, SETTINGS)
    assert status(found, "invalid_rate", AGE) == status(found, "invalid_rate", JOB) == BREACHED
    assert value(found, "invalid_rate", AGE) == pytest.approx(0.04)
    assert explain_quality(REFERENCE, counts, AGE, "invalid_rate") == (
        "age: 4.0% of values are of the wrong type; in the reference none"
    )


def test_infinite_values_are_found() -> None:
    age, job = sound()
    age[:40] = np.inf
    counts = window(age, job)
    found = judge_quality(REFERENCE, counts, SETTINGS)
    assert status(found, "nonfinite_rate", AGE) == BREACHED
    assert value(found, "nonfinite_rate", AGE) == 0.04
    assert "are infinite" in explain_quality(REFERENCE, counts, AGE, "nonfinite_rate")
    assert counts.bins[AGE, NONFINITE] == 40


def test_values_beyond_the_range_are_found_on_either_side() -> None:
    for far in (-1_000.0, 1_000.0):
        age, job = sound()
        age[:40] = far
        counts = window(age, job)
        found = judge_quality(REFERENCE, counts, SETTINGS)
        assert status(found, "out_of_range_rate", AGE) == BREACHED
        assert value(found, "out_of_range_rate", AGE) == 0.04
        assert "outside the reference's range" in explain_quality(REFERENCE, counts, AGE, "out_of_range_rate")


def test_categories_never_seen_are_found() -> None:
    age, job = sound()
    job[:40] = HIGH
    counts = window(age, job)
    found = judge_quality(REFERENCE, counts, SETTINGS)
    assert status(found, "unseen_rate", JOB) == BREACHED
    assert "unknown to the reference" in explain_quality(REFERENCE, counts, JOB, "unseen_rate")


def test_missing_values_are_shown_and_judged_as_drift() -> None:
    age, job = sound()
    age[:500] = np.nan
    found = judge_quality(REFERENCE, window(age, job), SETTINGS)
    assert value(found, "missing_rate", AGE) == 0.5
    assert status(found, "missing_rate", AGE) == OK
    assert np.isnan(found.threshold[0]).all()


def test_a_column_of_one_value_is_found() -> None:
    age, job = sound()
    age[:], job[:] = 33.0, 2
    counts = window(age, job)
    found = judge_quality(REFERENCE, counts, SETTINGS)
    assert status(found, "constant", AGE) == status(found, "constant", JOB) == BREACHED
    assert explain_quality(REFERENCE, counts, AGE, "constant") == (
        "age has a single value in all 1,000 rows; it varies in the reference"
    )


def test_many_values_of_one_bin_are_not_one_value() -> None:
    age, job = sound()
    own = REFERENCE.layout
    edge = own.edges[AGE, 10:12] * own.scale[AGE] + own.location[AGE]
    age = np.linspace(edge[0], edge[1], len(age) + 2)[1:-1]
    counts = window(age, job)
    assert (counts.bins[AGE] > 0).sum() == 1
    assert status(judge_quality(REFERENCE, counts, SETTINGS), "constant", AGE) == OK


def test_one_value_that_chance_explains_is_no_fault() -> None:
    rare = np.where(np.arange(5_000) < 5, 1, 0)
    reference = reference_of({"feature:flag": rare})
    alike = count(reference.layout, {"feature:flag": np.zeros(1_000, dtype=np.int64)})
    # A thousand rows lack a value of one in a thousand more often than once in ten thousand windows.
    assert status(judge_quality(reference, alike, SETTINGS), "constant", 0) == OK
    always = reference_of({"feature:flag": np.zeros(5_000, dtype=np.int64)})
    same = count(always.layout, {"feature:flag": np.zeros(1_000, dtype=np.int64)})
    assert status(judge_quality(always, same, SETTINGS), "constant", 0) == OK


def test_an_empty_window_and_an_empty_column_are_no_crash() -> None:
    empty = window(np.zeros(0), np.zeros(0, dtype=np.int64))
    found = judge_quality(REFERENCE, empty, SETTINGS)
    assert (found.status == INSUFFICIENT).all()
    nothing = window(np.full(1_000, np.nan), np.full(1_000, MISSING))
    found = judge_quality(REFERENCE, nothing, SETTINGS)
    assert value(found, "missing_rate", AGE) == value(found, "missing_rate", JOB) == 1.0
    assert value(found, "constant", AGE) == 0.0
    unknown = reference_of({"feature:age": np.full(500, np.nan)})
    found = judge_quality(unknown, count(unknown.layout, {"feature:age": np.full(500, np.nan)}), SETTINGS)
    assert (found.status != BREACHED).all()


def test_few_rows_are_not_judged() -> None:
    found = judge_quality(REFERENCE, window(np.full(99, np.inf), np.full(99, HIGH)), SETTINGS)
    assert (found.status == INSUFFICIENT).all()


@given(bad=st.integers(0, 300), alpha=st.sampled_from([0.05, 1e-3, 1e-6]))
def test_bounds_are_those_of_clopper_and_pearson(bad: int, alpha: float) -> None:
    age, job = sound(300)
    age[:bad] = np.inf
    found = judge_quality(REFERENCE, window(age, job), QualitySettings(alpha, min_change=0.0))
    place = STATISTICS.index("nonfinite_rate")
    exact = binomtest(bad, 300).proportion_ci(1 - alpha, method="exact")
    assert found.lower[place, AGE] == pytest.approx(exact.low, abs=1e-9)
    assert found.upper[place, AGE] == pytest.approx(exact.high, abs=1e-9)
    usual = binomtest(0, 5_000).proportion_ci(1 - alpha, method="exact")
    assert found.threshold[place, AGE] == pytest.approx(usual.high, abs=1e-9)
    assert (found.status[place, AGE] == BREACHED) == (exact.low > usual.high)


def test_rows_that_resemble_each_other_count_for_fewer() -> None:
    unknown = np.full(2, np.nan)
    bursts = Dispersion(np.full(2, 20.0), np.full(2, 20.0), unknown, unknown, 50)
    columns = {"feature:age": DICE.normal(size=5_000), "feature:job": DICE.choice(6, 5_000)}
    alone, together = reference_of(columns), reference_of(columns, bursts)
    counts = count(alone.layout, {"feature:age": np.r_[DICE.normal(size=970), np.full(30, np.inf)],
                                  "feature:job": DICE.choice(6, 1_000)})  # fmt: skip
    assert status(judge_quality(alone, counts, SETTINGS), "nonfinite_rate", AGE) == BREACHED
    assert status(judge_quality(together, counts, SETTINGS), "nonfinite_rate", AGE) == OK


@pytest.mark.long
@pytest.mark.parametrize("rows", [500, 5_000])
def test_sound_windows_are_flagged_no_more_often_than_stated(rows: int) -> None:
    """References anew for a number of windows each, without any allowance: the bounds alone must hold."""
    alpha, references, each = 0.02, 60, 20
    generator = np.random.default_rng(13)
    flagged = np.zeros(len(STATISTICS))
    decisions = np.zeros(len(STATISTICS))
    for _ in range(references):
        reference = reference_rows(2_000, generator)
        for _ in range(each):
            columns: dict[str, np.ndarray] = {}
            for place, kind in enumerate(KINDS):
                gone = generator.random(rows) < 0.01
                if kind == "zipf":
                    ranks = generator.choice(50, rows, p=ZIPF)
                    known = reference.counts.bins[place, ranks] > 0
                    columns[f"feature:{place}"] = np.where(gone, MISSING, np.where(known, ranks, HIGH))
                else:
                    values = generator.normal(size=rows) if kind == "normal" else generator.lognormal(0, 1, rows)
                    columns[f"feature:{place}"] = np.where(gone, np.nan, values)
            found = judge_quality(
                reference, count(reference.layout, columns), QualitySettings(alpha, min_change=0.0)
            )  # fmt: skip
            flagged += (found.status == BREACHED).sum(axis=1)
            decisions += (~np.isnan(found.value)).sum(axis=1)
    rates = flagged / decisions
    # Windows of one reference share its luck: some room for that.
    assert (rates <= 1.5 * alpha).all(), dict(zip(STATISTICS, rates, strict=True))


@pytest.mark.parametrize(("statistic", "column"), [("invalid_rate", INVALID), ("nonfinite_rate", NONFINITE)])
def test_faults_of_three_in_a_hundred_are_found(statistic: str, column: int) -> None:
    generator = np.random.default_rng(14)
    bins = np.zeros((500, 2, COLUMNS), dtype=np.int64)
    bad = generator.binomial(2_000, 0.03, 500)
    bins[:, AGE, 5], bins[:, AGE, column], bins[:, JOB, 0] = 2_000 - bad, bad, 2_000
    extremes = np.tile([0.0, 1.0], (500, 2, 1))
    counts = Counts(np.full(500, 2_000), bins, np.zeros((500, 2, 2)), extremes)
    found = judge_quality(REFERENCE, counts, SETTINGS)
    assert (found.status[:, STATISTICS.index(statistic), AGE] == BREACHED).mean() >= 0.95
