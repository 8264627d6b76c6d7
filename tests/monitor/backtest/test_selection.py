"""Which evaluations `backtest --json` writes, by `--json-detail`."""

from __future__ import annotations

import msgspec

from monitor.backtest.detail import JsonDetail, Selection
from tests.support.alerts import DELAY, evaluation, metric, psi

LACKING = msgspec.structs.replace(DELAY, subject="feature:x", status="insufficient")


def test_all_are_written_as_they_are() -> None:
    found = evaluation(LACKING)
    assert Selection(JsonDetail.ALL).of(found) is found


def test_judged_leaves_out_findings_without_a_verdict_and_evaluations_that_judge_nothing() -> None:
    selection = Selection(JsonDetail.JUDGED)
    kept = selection.of(evaluation(LACKING, DELAY))
    assert kept is not None
    assert kept.findings == (DELAY,)
    # A number that has no threshold is shown, not judged.
    assert selection.of(evaluation(LACKING, metric(0.8), realised=False)) is None
    assert selection.of(evaluation()) is None


def test_changed_writes_the_first_of_each_series_and_every_new_status() -> None:
    selection = Selection(JsonDetail.CHANGED)
    calm, moved = psi("feature:a", 0.001, "ok"), psi("feature:a", 0.2, "drifted")
    story = [
        (evaluation(calm), True),
        (evaluation(psi("feature:a", 0.002, "ok"), at=1), False),
        (evaluation(calm, segment="s"), True),
        (evaluation(calm, realised=True), True),
        (evaluation(moved, at=2), True),
        (evaluation(moved, at=3), False),
        (evaluation(moved, psi("feature:b", 0.001, "ok"), at=4), True),
        (evaluation(calm, at=5), True),
    ]
    for found, written in story:
        assert (selection.of(found) is found) is written
