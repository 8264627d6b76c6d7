"""Judging together, and not again: neither changes what is told, whatever the traffic, the settings and the crashes."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from detectors.drift.judge import Settings, judge
from detectors.drift.optional_statistics import OPTIONAL
from detectors.drift.reference import prepare
from detectors.layout import COLUMNS, Counts
from detectors.quality.rates import QualitySettings, judge_quality
from monitor.checks.load import parse_config
from monitor.common.durations import DAY, HOUR, MINUTE
from monitor.evaluate.judging import Judging
from monitor.labels import queue
from monitor.reference.build import load_reference
from monitor.rows.records import Partition
from monitor.windows.panes import Pane, PaneRing
from tests.support.census import REFERENCE
from tests.support.config import make_config
from tests.support.crashes import report_through_crashes
from tests.support.sources import ScriptedSource

if TYPE_CHECKING:
    from pathlib import Path

    from monitor.config.schema import Config

BEGIN = 20_000 * DAY
PREDICTIONS, LABELS = Partition("predictions", 0), Partition("labels", 0)
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "segments": {"segments": ["colour"], "drift": {"min_rows": 5}},
    "season": {"drift": {"season": "hour_of_day", "min_rows": 5}},
    "rolling": {"drift": {"rolling": "2d", "min_rows": 3}},
    "burn-in": {"drift": {"burn_in": "3h", "min_rows": 5}},
}


def frame(seed: int, size: int, *, begin: int, gap_ms: float) -> pd.DataFrame:
    """Rows that come in bursts and at lonely times, far apart now and then."""
    dice = np.random.default_rng(seed)
    gaps = dice.exponential(gap_ms, size) * dice.choice([0.05, 1.0, 6.0], size, p=[0.5, 0.4, 0.1])
    truth = (dice.random(size) < 0.4).astype(int)
    score = 1 / (1 + np.exp(-(2 * truth - 1 + dice.normal(0, 1, size))))
    return pd.DataFrame(
        {
            "id": [f"{seed}-{row}" for row in range(size)],
            "t": begin + np.cumsum(gaps).astype(np.int64),
            "colour": dice.choice(["red", "green"], size, p=[0.3, 0.7]),
            "age": np.where(dice.random(size) < 0.1, np.nan, dice.normal(40, 10, size).round(1)),
            "p": (score > 0.5).astype(int),
            "s": score.round(4),
            "y": truth,
        }
    )


def settings(folder: Path, variant: str, *, labelled: bool) -> Config:
    drift = {"min_rows": 20} | VARIANTS[variant].get("drift", {})
    columns = {"timestamp": "t", "prediction": "p", "score": "s", "id": "id", "label": "y"}
    section: dict[str, Any] = {
        "name": "m", "task": "binary", "reference": str(folder / "reference.parquet"), "pane": "1m",
        "windows": ["10m", "3h"], "lateness": "2m", "columns": columns, **VARIANTS[variant], "drift": drift,
    }  # fmt: skip
    kafka: dict[str, Any] = {"bootstrap_servers": ["never:9092"], "predictions": ["predictions"]}
    if labelled:
        kafka["labels"] = ["labels"]
        section["labels"] = {"id": "id", "timestamp": "known", "max_delay": "4h"}
        section["performance"] = {"min_labels": 5}
    return parse_config({"state": {"dir": str(folder / "state")}, "kafka": kafka, "models": [section]}, folder)


def logs(rows: pd.DataFrame, seed: int) -> dict[Partition, list[bytes]]:
    """Labels come up to five hours late, out of order a little, some twice, some corrected, some too late."""
    dice = np.random.default_rng(seed)
    predictions = [
        json.dumps(row).encode() for row in rows.drop(columns=["y"]).replace({np.nan: None}).to_dict("records")
    ]
    labels = []
    for row in rows.itertuples():
        for _ in range(int(dice.choice([0, 1, 1, 1, 2]))):
            known = int(row.t) + int(dice.exponential(HOUR))
            value = int(row.y) if dice.random() < 0.9 else 1 - int(row.y)
            labels.append((known + int(dice.integers(0, 3 * MINUTE)), {"id": row.id, "known": known, "y": value}))
    return {
        PREDICTIONS: predictions,
        LABELS: [json.dumps(label).encode() for _, label in sorted(labels, key=lambda one: one[0])],
    }


@pytest.mark.parametrize(("variant", "labelled"), [*((name, False) for name in VARIANTS), ("segments", True)])
def test_lines_do_not_depend_on_what_was_judged_together_or_before(
    variant: str, labelled: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = [*VARIANTS].index(variant) + 10 * labelled
    dice, told = np.random.default_rng(seed), {}
    for name in ("together", "alone"):
        folder = tmp_path / name
        folder.mkdir()
        frame(9, 1_000, begin=BEGIN - 20 * DAY, gap_ms=10 * MINUTE).drop(columns=["id"]).to_parquet(
            folder / "reference.parquet"
        )
        config = settings(folder, variant, labelled=labelled)
        read = logs(frame(seed, 40, begin=BEGIN, gap_ms=7 * MINUTE), seed)
        if not labelled:
            del read[LABELS]
        if name == "alone":
            monkeypatch.setattr("monitor.evaluate.drift.Judging", partial(Judging, alone=True))
            monkeypatch.setattr(queue, "_MOST_TICKS", 1)
        crashes = sorted(dice.integers(2, 12, 2).tolist()) if name == "together" else []
        source = partial(ScriptedSource, read, first_size=int(dice.integers(5, 40)), larger_by=11)
        made = report_through_crashes(config, lambda fail_at, source=source: source(fail_at=fail_at), crashes, 2)  # type: ignore[misc]
        told[name] = [json.loads(line) for line in (*made.evaluations, *made.alerts)]
    assert len(told["together"]) > 200
    assert len(told["together"]) == len(told["alone"])
    for left, right in zip(told["together"], told["alone"], strict=True):
        assert left == right, (left["window"], left["end"])


def test_a_stack_is_judged_as_each_of_its_windows_alone_to_the_last_bit(tmp_path: Path) -> None:
    # Many subjects and windows: numpy orders the axes of a large array otherwise than those of a small one.
    columns = {"timestamp": "timestamp", "prediction": "prediction", "score": "predicted_probability"}
    profile = load_reference(make_config(tmp_path, {"reference": str(REFERENCE), "columns": columns}).models[0])
    reference = prepare(profile.layout, profile.counts, profile.dispersion(HOUR))
    spans = SPANS + [(start * MINUTE, (start + 8) * MINUTE) for start in range(24)] * 2
    stack = rings(len(profile.layout.subjects), seed=3, most=400).windows(spans)[0]
    everything = Settings(shown=tuple(OPTIONAL))
    together, quality = judge(reference, stack, everything), judge_quality(reference, stack, QualitySettings(1e-4))
    for place in range(len(spans)):
        one = Counts(stack.rows[place], stack.bins[place], stack.moments[place], stack.extremes[place])
        alone = judge(reference, one, everything)
        for name in ("value", "debiased", "lower", "upper", "status", "p_value"):
            np.testing.assert_array_equal(getattr(together, name)[place], getattr(alone, name))
        rates = judge_quality(reference, one, QualitySettings(1e-4))
        for name in ("value", "lower", "upper", "threshold", "status"):
            np.testing.assert_array_equal(getattr(quality, name)[place], getattr(rates, name))


SPANS = [(start * MINUTE, end * MINUTE) for start, end in [(0, 10), (5, 9), (9, 9), (3, 20), (14, 24), (30, 40)]]


def rings(subjects: int, seed: int, most: int = 5) -> PaneRing:
    """A ring of 32 panes, eight of them empty, in an order that wraps around."""
    dice = np.random.default_rng(seed)
    ring = PaneRing(MINUTE, 28, subjects, 3)
    for start in range(32):
        bins, moments = dice.integers(0, most, (subjects, COLUMNS)), dice.integers(0, 2**40, (subjects, 2))
        extremes, extra = np.sort(dice.normal(size=(subjects, 2))), dice.integers(0, 9, 3)
        if start % 4:
            ring.add(Pane(start * MINUTE, 30, bins, moments, extremes, extra))
    return ring


def test_windows_summed_together_are_those_summed_alone() -> None:
    ring = rings(4, seed=1)
    counts, extra = ring.windows(SPANS)
    for place, span in enumerate(SPANS):
        alone = ring.window(*span)
        np.testing.assert_array_equal(counts.rows[place], alone.rows)
        np.testing.assert_array_equal(counts.bins[place], alone.bins)
        np.testing.assert_array_equal(counts.moments[place], alone.moments)
        np.testing.assert_array_equal(counts.extremes[place], alone.extremes)
        np.testing.assert_array_equal(extra[place], ring.window_extra(*span))


def test_marks_tell_whether_two_windows_hold_the_same_rows() -> None:
    ring = rings(4, seed=1)
    assert ring.mark(4 * MINUTE, 9 * MINUTE) == ring.mark(5 * MINUTE, 9 * MINUTE)  # nothing lies in the fifth minute
    assert ring.mark(5 * MINUTE, 9 * MINUTE) != ring.mark(6 * MINUTE, 9 * MINUTE)
    before = ring.mark(9 * MINUTE, 19 * MINUTE)
    ring.add(replace(ring.panes()[-1], start=9 * MINUTE))
    assert ring.mark(9 * MINUTE, 19 * MINUTE) != before
