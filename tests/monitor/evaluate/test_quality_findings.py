"""Rates of bad data as findings: which is breached, what it says, and what holds a verdict back."""

from __future__ import annotations

import numpy as np
import pytest

from alerts.evaluation import Finding
from detectors.drift.reference import Reference
from detectors.layout import HIGH, INVALID, MISSING, Counts
from detectors.quality.rates import QualitySettings, judge_quality
from monitor.evaluate.extra_counts import Duplicates
from monitor.evaluate.quality import duplicates_finding, gone_finding, quality_findings
from tests.support.counts import count, reference_of

SETTINGS = QualitySettings(alpha=1e-4)
ROWS = 2_000


def columns(seed: int, rows: int = ROWS) -> dict[str, np.ndarray]:
    dice = np.random.default_rng(seed)
    return {"feature:age": dice.normal(size=rows), "feature:job": dice.choice(3, rows)}


@pytest.fixture(scope="module")
def reference() -> Reference:
    return reference_of(columns(1, 20_000))


def spoiled(reference: Reference, column: int, rows: int = 200) -> Counts:
    """A window in which some ages are bad."""
    window = count(reference.layout, columns(2))
    taken = np.flatnonzero(window.bins[0, :60] > 40)[:5]
    window.bins[0, taken] -= rows // 5
    window.bins[0, column] += rows
    return window


def findings(reference: Reference, window: Counts, held_back: str = "") -> dict[tuple[str, str], Finding]:
    made = quality_findings(reference, window, judge_quality(reference, window, SETTINGS), held_back)
    return {(part.subject, part.statistic): part for part in made}


def test_a_sound_window_has_shown_rates_and_no_breach(reference: Reference) -> None:
    found = findings(reference, count(reference.layout, columns(3)))
    assert {part.status for part in found.values()} == {"ok"}
    assert ("quality:age", "invalid_rate") in found
    assert ("quality:job", "unseen_rate") in found
    assert ("quality:job", "out_of_range_rate") not in found


@pytest.mark.parametrize(("column", "statistic"), [(INVALID, "invalid_rate"), (HIGH, "out_of_range_rate")])
def test_the_rate_that_rose_is_breached_with_its_words(reference: Reference, column: int, statistic: str) -> None:
    found = findings(reference, spoiled(reference, column))
    bad = [part for part in found.values() if part.status == "breached"]
    assert [(part.subject, part.statistic) for part in bad] == [("quality:age", statistic)]
    assert bad[0].value == pytest.approx(0.1)
    assert bad[0].detail.startswith("age")
    held = findings(reference, spoiled(reference, column), "burn-in")
    assert {(part.status, part.detail) for part in held.values()} == {("insufficient", "burn-in")}


def test_a_feature_without_a_value_is_gone_unless_chance_explains_it(reference: Reference) -> None:
    window = count(reference.layout, columns(4))
    window.bins[0] = 0
    window.bins[0, MISSING] = ROWS
    (found,) = gone_finding(reference, window, SETTINGS, "")
    assert (found.status, found.value, found.detail) == ("breached", 1.0, "no record holds a value of age")
    assert gone_finding(reference, window, SETTINGS, "x")[0].status == "insufficient"
    few = Counts(np.array(50), window.bins // 40, window.moments, window.extremes)
    assert gone_finding(reference, few, SETTINGS, "")[0].status == "insufficient"
    # A reference whose feature is missing in nearly every row lacks it by chance.
    ages = np.where(np.arange(20_000) < 19_990, np.nan, 1.0)
    sparse = reference_of({"feature:age": ages, "feature:job": np.zeros(20_000, dtype=np.int64)})
    assert gone_finding(sparse, window, SETTINGS, "")[0].status == "ok"


@pytest.mark.parametrize(("again", "status"), [(0, "ok"), (20, "ok"), (200, "breached")])
def test_repeated_records_are_breached_beyond_the_share_that_matters(again: int, status: str) -> None:
    (found,) = duplicates_finding(Duplicates(known=True), np.array([again]), ROWS, SETTINGS, "")
    assert found.status == status
    assert found.lower <= found.value <= found.upper
    assert bool(found.detail) == (status == "breached")
