"""A metric is bad when even the better end of its interval is beyond what the reference allows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.performance.binary import Binary
from detectors.performance.estimate import Estimate
from monitor.evaluate.performance_findings import (
    LabelledWindow,
    MetricLimits,
    champion_of,
    metric_findings,
    realised_findings,
    segment_findings,
    version_findings,
    worst_first,
)
from monitor.labels.panes import AHEAD, LABELLED, ROWS
from monitor.reference.scorer import Scorer
from tests.support.alerts import metric

LIMITS = MetricLimits(0.01, 1.0, {"accuracy": 0.8, "log_loss": 0.5}, frozenset({"accuracy", "log_loss"}), 0.1, 50)
shares = st.floats(0.01, 1.0)


def estimate(value: float, width: float = 0.02) -> Estimate:
    return Estimate(np.array(value), np.array(value - width), np.array(value + width))


def window(labelled: int = 100, rows: int = 200, young: bool = False, **metrics: Estimate) -> LabelledWindow:
    scorer = Scorer(Binary(()))
    vector = np.zeros(AHEAD + scorer.width, dtype=np.int64)
    vector[ROWS], vector[LABELLED] = rows, labelled
    return LabelledWindow(scorer, vector, young, metrics, {})


def test_a_threshold_lies_on_the_worse_side_of_the_reference() -> None:
    assert LIMITS.threshold("accuracy") == pytest.approx(0.72)
    assert LIMITS.threshold("log_loss") == pytest.approx(0.55)
    for unknown in ("roc_auc", "no such metric"):
        assert np.isnan(LIMITS.threshold(unknown))


@given(shares, st.floats(0, 0.2), st.sampled_from(["accuracy", "log_loss"]))
def test_only_what_is_surely_worse_is_breached(value: float, width: float, name: str) -> None:
    (found,) = metric_findings({name: estimate(value, width)}, "performance", LIMITS, "")
    surely = value + width < 0.72 if name == "accuracy" else value - width > 0.55
    if abs(value + width - 0.72) > 1e-9 and abs(value - width - 0.55) > 1e-9:
        assert (found.status == "breached") == surely
    assert bool(found.detail) == (found.status == "breached")


def test_what_cannot_be_computed_or_is_held_back_concludes_nothing() -> None:
    (found,) = metric_findings({"accuracy": estimate(np.nan)}, "performance", LIMITS, "")
    assert (found.status, found.detail) == ("insufficient", "accuracy cannot be computed on these rows")
    (found,) = metric_findings({"accuracy": estimate(0.1)}, "performance", LIMITS, "because")
    assert (found.status, found.detail) == ("insufficient", "because")


@pytest.mark.parametrize(
    ("labelled", "young", "reason"),
    [(49, False, "too few labels: 49 of 50"), (100, True, "the series is younger than the window"), (50, False, "")],
)
def test_few_labels_and_young_series_hold_back(labelled: int, young: bool, reason: str) -> None:
    found = {
        part.statistic: part for part in realised_findings(window(labelled, 200, young, accuracy=estimate(0.1)), LIMITS)
    }
    assert found["label_share"].value == labelled / 200
    assert found["accuracy"].status == ("insufficient" if reason else "breached")
    assert found["accuracy"].detail.startswith(reason)


def test_a_version_is_compared_with_the_champion_in_each_judged_metric() -> None:
    own = window(accuracy=estimate(0.6), log_loss=estimate(0.4), f1=estimate(0.1))
    champion = window(accuracy=estimate(0.8), log_loss=estimate(0.41), f1=estimate(0.9))
    found = {part.statistic: part for part in version_findings(own, champion, "1", LIMITS)}
    assert found.keys() == {"accuracy", "log_loss"}
    assert found["accuracy"].value == pytest.approx(-0.2)
    assert found["accuracy"].status == "breached"
    assert "0.2 worse than that of version 1" in found["accuracy"].detail
    assert found["log_loss"].status == "ok"
    few = version_findings(replace(own, young=True), champion, "1", LIMITS)
    assert {part.status for part in few} == {"insufficient"}


def test_segments_that_are_surely_worse_are_named_the_worst_first() -> None:
    whole = window(900, 900, accuracy=estimate(0.8, 0.01))
    segments = {
        "a": window(300, 300, accuracy=estimate(0.5, 0.02)),
        "b": window(300, 300, accuracy=estimate(0.8, 0.02)),
        "c": window(300, 300, accuracy=estimate(0.3, 0.02)),
        "few": window(10, 10, accuracy=estimate(0.0, 0.02)),
    }
    (found,) = segment_findings(whole, segments, LIMITS)
    assert (found.statistic, found.value) == ("accuracy", 2.0)
    assert found.detail.index("c 0.3 on 300 rows") < found.detail.index("a 0.5 on 300 rows")
    assert segment_findings(whole, {"few": segments["few"]}, LIMITS) == ()


def test_the_champion_is_the_one_configured_or_has_the_most_labels() -> None:
    held = {"1": window(10), "2": window(30), "3": window(30)}
    assert champion_of(held, None) == "2"
    assert champion_of(held, "1") == "1"
    assert champion_of(held, "9") is None
    assert champion_of({"1": window()}, None) is None


def test_breached_findings_come_first_and_the_others_keep_their_order() -> None:
    calm, lacking = metric(0.8), metric(np.nan, "f1")
    (bad,) = metric_findings({"accuracy": estimate(0.1)}, "performance", LIMITS, "")
    assert list(worst_first([calm, lacking, bad])) == [bad, calm, lacking]
