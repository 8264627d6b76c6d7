"""Data that go bad, one fault a day, through the whole pipeline: what is told, of which feature, and what pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from monitor.common.durations import DAY
from tests.support.replays import Row, alerts, evaluations, finding, replay

if TYPE_CHECKING:
    from pathlib import Path

BEGIN = 20_000 * DAY
A_DAY = 1_200
FAULTS = ("sound", "wrong type", "infinite", "beyond", "unseen", "constant", "gone", "sound")
STATISTIC = {
    "wrong type": ("age", "invalid_rate"),
    "infinite": ("age", "nonfinite_rate"),
    "beyond": ("age", "out_of_range_rate"),
    "unseen": ("job", "unseen_rate"),
    "constant": ("job", "constant"),
}


def spoil(row: Row, fault: str, number: int) -> None:
    """One fault in every twentieth record; a column that stands still does so in all."""
    hit = number % 20 == 0
    match fault:
        case "wrong type" if hit:
            row["age"] = "forty"
        case "infinite" if hit:
            row["age"] = float("inf")
        case "beyond" if hit:
            row["age"] = 4_000
        case "unseen" if hit:
            row["job"] = "astronaut"
        case "constant":
            row["job"] = "clerk"
        case "gone":
            row["age"] = None
        case _:
            pass


def rows(faults: tuple[str, ...], seed: int) -> list[Row]:
    dice = np.random.default_rng(seed)
    found = []
    for number in range(len(faults) * A_DAY):
        row: Row = {
            "t": BEGIN + number * DAY // A_DAY,
            "age": round(float(np.clip(dice.normal(40, 10), 18, 90)), 2),
            "job": str(dice.choice(["clerk", "cook", "nurse"])),
            "p": int(dice.random() < 0.4),
        }
        spoil(row, faults[number // A_DAY], number)
        found.append(row)
    return found


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    columns: dict[str, Any] = {"timestamp": "t", "prediction": "p", "features": ["age", "job"]}
    folder = tmp_path_factory.mktemp("quality")
    return replay(folder, rows(FAULTS, 1), rows(("sound",) * 4, 2), windows=["1d"], pane="1h", columns=columns)


def end_of(fault: str) -> str:
    return f"2024-10-{5 + FAULTS.index(fault):02d}T00:00:00Z"


@pytest.mark.parametrize("fault", STATISTIC)
def test_each_fault_is_told_on_its_day_and_on_no_sound_one(told: list[Row], fault: str) -> None:
    feature, statistic = STATISTIC[fault]
    found = evaluations(told)
    verdict = finding(found[end_of(fault)], f"quality:{feature}", statistic)
    assert verdict["status"] == "breached"
    assert verdict["detail"].startswith(feature)
    assert verdict["value"] == pytest.approx(1.0 if fault == "constant" else 0.05, abs=0.002)
    for sound in ("2024-10-05T00:00:00Z", "2024-10-12T00:00:00Z"):
        assert finding(found[sound], f"quality:{feature}", statistic)["status"] == "ok"


def test_nothing_else_is_told_of_a_day(told: list[Row]) -> None:
    found = evaluations(told)
    for fault, (feature, statistic) in STATISTIC.items():
        breached = {
            (part["subject"], part["statistic"])
            for part in found[end_of(fault)]["findings"]
            if part["subject"].startswith("quality") and part["status"] == "breached"
        }
        assert breached == {(f"quality:{feature}", statistic)}


def test_a_column_without_a_value_is_a_finding(told: list[Row]) -> None:
    found = evaluations(told)[end_of("gone")]
    assert found["rows"] == A_DAY
    assert finding(found, "feature:age", "missing")["status"] == "drifted"
    assert finding(found, "quality:age", "missing_rate")["value"] == 1.0
    gone = finding(found, "quality", "features_gone")
    assert (gone["status"], gone["detail"]) == ("breached", "no record holds a value of age")
    assert finding(found, "feature:age", "psi")["value"] is None


def test_faults_page_and_the_alert_says_what_is_wrong(told: list[Row]) -> None:
    told_of = alerts(told, "data quality")
    fired = [line["summary"].removeprefix("data quality on m: ") for line in told_of if line["state"] == "firing"]
    expected = (
        "age: 3.2% of values are of the wrong type", "age: 3.2% of values are infinite",
        "age: 3.2% of values are outside", "job: 3.2% of values are of categories",
        "job has a single value in all", "no record holds a value of age",
    )  # fmt: skip
    assert len(fired) == len(expected)
    for summary, start in zip(fired, expected, strict=True):
        assert summary.startswith(start)
    paged = [line["payload"]["text"] for line in told if line["type"] == "notification"]
    assert [text.splitlines()[-1] for text in paged if text.startswith("data quality on m: no record")] == [
        "- no record holds a value of age"
    ]
    assert [line["state"] for line in told_of] == ["firing", "resolved"] * len(expected)


def hourly(counts: list[int], seed: int) -> list[Row]:
    dice = np.random.default_rng(seed)
    hour = DAY // 24
    return [
        {"t": BEGIN + place * hour + int(part * hour / count), "age": round(float(dice.normal(40, 10)), 2),
         "job": "cook", "p": int(dice.random() < 0.4)}
        for place, count in enumerate(counts)
        for part in range(count)
    ]  # fmt: skip


def test_traffic_that_stops_or_halves_is_told(tmp_path: Path) -> None:
    usual = [int(200 + 100 * np.sin(2 * np.pi * hour / 24)) for hour in range(24)]
    counts = usual * 9
    silent, low = 8 * 24 + 5, 8 * 24 + 15
    counts[silent] = 0
    counts[low] = counts[low] // 4
    columns = {"timestamp": "t", "prediction": "p", "features": ["age", "job"]}
    lines = replay(tmp_path, hourly(counts, 3), hourly(usual, 4), windows=["2h"], pane="1h", columns=columns)
    found = evaluations(lines)
    bad = {
        end: part for end, evaluation in found.items()
        if (part := finding(evaluation, "quality", "traffic_ratio"))["status"] == "breached"
    }  # fmt: skip
    assert [end[:13] for end in sorted(bad)] == ["2024-10-12T06", "2024-10-12T16"], bad
    stopped, fewer = (bad[end] for end in sorted(bad))
    assert stopped["value"] == 0.0
    assert stopped["detail"].startswith("no predictions arrived; 29")
    assert fewer["value"] == pytest.approx(0.25, abs=0.02)
