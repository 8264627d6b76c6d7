"""Windows that overlap: no more alarms than the budget allows, over many windows, for all window lengths at once.

Smaller versions of what `make simulate` writes into docs/statistics.md; the seeds are fixed.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import pytest

from benchmarks import simulate_joint, simulate_sliding
from benchmarks.simulate_rows import binned, sliding
from benchmarks.simulate_sliding import ALPHA, CYCLE, LOOSE, TRAFFIC, Tally
from detectors.drift.judge import DRIFTED, INSUFFICIENT, OK
from tests.support.counts import count, layout_of

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.long  # simulations


@pytest.fixture(autouse=True)
def _warnings_are_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_sliding_windows_hold_the_rows_of_their_panes() -> None:
    dice = np.random.default_rng(1)
    values = dice.normal(size=(12 * 30, 2))
    layout = layout_of({"feature:a": dice.normal(size=2_000), "feature:b": dice.normal(size=2_000)})
    found = sliding(binned(layout, values, 30), 5, 2)
    assert len(found.rows) == 4
    for place in range(4):
        part = values[place * 60 : place * 60 + 150]
        own = count(layout, {"feature:a": part[:, 0], "feature:b": part[:, 1]})
        assert (found.bins[place] == own.bins).all()
        assert found.rows[place] == own.rows
        assert found.moments[place] == pytest.approx(own.moments)
        assert found.extremes[place] == pytest.approx(own.extremes)


def test_an_alarm_that_stands_in_windows_in_a_row_is_one_episode() -> None:
    status = np.full((6, 1, 2), OK, dtype=np.uint8)
    status[1:4, 0, 0] = status[5, 0, 0] = status[0, 0, 1] = DRIFTED
    status[4, 0, 1] = INSUFFICIENT
    tally = Tally()
    tally.add(status)
    assert (tally.windows, tally.decisions, tally.alarms, tally.episodes) == (6, 11, 5, 3)


@pytest.mark.parametrize(("kept", "references", "rows"), [(50_000, 4, 40), (2_000, 16, 200)])
def test_overlapping_windows_without_drift_alarm_no_more_than_their_budget(
    kept: int, references: int, rows: int
) -> None:
    found = simulate_sliding.independent(kept, rows, references, 720 // references, (ALPHA,))
    assert sum(tally.windows for tally in found.values()) > 2_000
    # A month of three windows over 20 features: the budget is one false alarm.
    assert sum(tally.decisions for tally in found.values()) * ALPHA == pytest.approx(1.0, rel=0.01)
    assert sum(tally.episodes for tally in found.values()) <= 3


def test_less_sure_decisions_on_overlapping_windows_err_no_more_often_than_they_say_and_in_clusters() -> None:
    found = simulate_sliding.independent(2_000, 100, 12, 30, (LOOSE,)).values()
    alarms, episodes = (sum(getattr(tally, name) for tally in found) for name in ("alarms", "episodes"))
    assert 0 < episodes < alarms <= LOOSE * sum(tally.decisions for tally in found)


@pytest.mark.parametrize(("number", "season"), [(0, False), (1, False), (1, True)])
def test_correlated_and_cyclic_traffic_alarms_no_more_than_its_budget(number: int, season: bool) -> None:
    kind = tuple(TRAFFIC)[number]
    for _, tight, loose in simulate_sliding.followed(kind, 20, 2, season=season, lengths=(6, 24)):
        assert tight.windows > 400
        assert tight.episodes <= 1
        assert loose.alarms <= LOOSE * loose.decisions


def test_a_season_shows_a_shift_in_the_hours_that_the_cycle_would_hide() -> None:
    kind = tuple(TRAFFIC)[1]
    found = []
    for season in (False, True):
        _, tight, _ = next(simulate_sliding.followed(kind, 40, 1, season=season, shift=CYCLE, lengths=(6,)))
        found.append(tight.alarms / tight.decisions)
    assert found[0] < 0.1
    assert found[1] > 0.8


def test_features_together_alarm_no_more_than_their_share_of_the_budget() -> None:
    rates, episodes = simulate_joint.joint_alarms(4, 20, (simulate_joint.ALPHA, 0.01))
    assert (rates[:, 0] == 0).all()
    # Windows overlap and share a reference, so alarms come in clusters: these are some tens of independent decisions.
    assert episodes[:, 1].sum() <= 4


def test_a_broken_correlation_is_found_while_every_feature_by_itself_is_quiet() -> None:
    together, alone = simulate_joint.broken(0.0, 10, 30)
    assert together[2] >= 0.95
    assert alone == 0


@pytest.mark.parametrize("kind", simulate_joint.STREAMS)
def test_false_alarms_of_followed_scores_come_no_more_often_than_stated(kind: str) -> None:
    summed, adaptive = simulate_joint.run_lengths(kind, 300.0, 300, 300, rows=20)
    # Some 200 alarms: two standard errors are 14 %.
    assert summed > 0.85 * 300
    assert adaptive > 0.85 * 300
