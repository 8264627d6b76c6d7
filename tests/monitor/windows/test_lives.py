"""When series end depends on event time alone, whatever the batches, checkpoints and restarts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.common.durations import HOUR, MINUTE
from monitor.rows.records import Partition
from monitor.windows.lives import Life, Lifetimes
from tests.support.config import make_config
from tests.support.crashes import report_through_crashes
from tests.support.sources import ScriptedSource

if TYPE_CHECKING:
    from monitor.config.schema import Config

BEGIN = 1_704_067_200_000
PART = Partition("predictions", 0)


@given(st.lists(st.integers(0, 60), min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_lives_do_not_depend_on_the_order_of_panes(starts: list[int], dice: Any) -> None:
    lifetimes = Lifetimes(reach=5, step=2)
    lives: tuple[Life, ...] = ()
    for start in starts:
        lives = lifetimes.extended(lives, start)
    shuffled: tuple[Life, ...] = ()
    for start in dice.sample(starts, len(starts)):
        shuffled = lifetimes.extended(shuffled, start)
    assert lives == shuffled
    # By the definition: a pane belongs to the life of the one before it unless that is over when it begins.
    expected: list[Life] = []
    for start in sorted(set(starts)):
        if expected and start < lifetimes.end(expected[-1].last):
            expected[-1] = Life(expected[-1].first, start)
        else:
            expected.append(Life(start, start))
    assert list(lives) == expected


def lives_config(folder: Path) -> Config:
    return make_config(
        folder,
        {
            "reference": str(folder.parent / "reference.parquet"), "pane": "10m",
            "windows": ["30m", "1h"], "lateness": "10m",
            "columns": {"timestamp": "t", "prediction": "p", "version": "v"},
            "drift": {"multivariate": False, "sequential": False},
        },
        rules=[{"name": "drift", "when": "drifted", "notify": ["hook"]}],
        receivers=[{"name": "hook", "type": "webhook", "url": "http://receiver.test/hook"}],
    )  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lives")
    dice = np.random.default_rng(1)
    pd.DataFrame({"x": dice.normal(0, 1, 3_000), "p": dice.integers(0, 2, 3_000)}).to_parquet(
        folder / "reference.parquet"
    )
    return folder


def a_log(stretches: list[tuple[str, int, int, bool]]) -> list[bytes]:
    """Versions that come and go: (version, first and last ten minutes, whether they have drifted); in order of time."""
    dice = np.random.default_rng(2)
    rows = [
        {
            "t": BEGIN + piece * 10 * MINUTE + place * 5_000,
            "v": version,
            "x": float(dice.normal(4 * drifted, 1)),
            "p": int(dice.integers(0, 2)),
        }
        for version, first, last, drifted in stretches
        for piece in range(first, last)
        for place in range(60)
    ]
    return [json.dumps(row).encode() for row in sorted(rows, key=lambda row: float(row["t"]))]  # type: ignore[arg-type]


def reported(
    folder: Path, log: list[bytes], size: int, every: int, fails: list[int]
) -> tuple[list[bytes], list[bytes]]:
    """Evaluations and alerts in the order in which they were first reported."""

    def source(fail_at: int | None) -> ScriptedSource:
        return ScriptedSource({PART: log}, fail_at, first_size=size)

    found = report_through_crashes(lives_config(folder), source, fails, every)
    return found.evaluations, found.alerts


STORY = [
    ("stays", 0, 60, False),
    ("returns", 0, 6, True), ("returns", 30, 36, True), ("returns", 45, 48, False),
    ("once", 10, 12, True),
]  # fmt: skip


def test_a_version_that_returns_drifted_raises_one_alert_a_life(home: Path) -> None:
    folder = home / "story"
    folder.mkdir()
    _, alerts = reported(folder, a_log(STORY), size=200, every=10_000, fails=[])
    found = [json.loads(line) for line in alerts]
    states = [(line["state"], line["at"]) for line in found if line["version"] == "returns" and line["window"] == "1h"]
    assert [state for state, _ in states] == ["firing", "resolved", "firing", "resolved"]
    # The last pane begins 50 minutes after the beginning, and the longest window reaches an hour further.
    assert states[1][1] == "2024-01-01T02:10:00Z"


@settings(max_examples=8, deadline=None)
@given(
    gaps=st.lists(st.integers(1, 14), min_size=1, max_size=4),
    size=st.sampled_from([7, 60, 131, 1_000]),
    every=st.sampled_from([1, 3, 10_000]),
    fails=st.lists(st.integers(2, 9), max_size=4),
)
def test_what_is_reported_depends_on_event_time_alone(
    home: Path, tmp_path_factory: pytest.TempPathFactory, gaps: list[int], size: int, every: int, fails: list[int]
) -> None:
    stretches, at = [("stays", 0, 40, False)], 0
    for number, gap in enumerate(gaps):
        stretches.append(("returns", at, at + 2, number % 2 == 0))
        at += 2 + gap
    # Time goes on at the end while no series lives any more, and one comes back.
    stretches.append(("returns", at + 60, at + 63, True))
    log = a_log(stretches)
    base = tmp_path_factory.mktemp("any", numbered=True)
    (base / "reference.parquet").symlink_to(home / "reference.parquet")
    for name in ("plain", "other"):
        (base / name).mkdir()
    assert reported(base / "plain", log, 500, 5, []) == reported(base / "other", log, size, every, fails)


def test_the_end_of_a_life_is_the_first_step_that_no_window_reaches() -> None:
    lifetimes = Lifetimes(reach=HOUR + MINUTE, step=15 * MINUTE)
    assert lifetimes.end(0) == 75 * MINUTE
    assert lifetimes.end(14 * MINUTE) == 90 * MINUTE
