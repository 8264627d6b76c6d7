"""Records that cannot be used: until one was usable they are rejects; their share is data quality; nobody retrains."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

import monitor.backtest.replay
from monitor.rows.records import Partition
from tests.support.config import make_config
from tests.support.crashes import report_through_crashes
from tests.support.feeds import A_MINUTE, SHAPE, records, reference, without
from tests.support.replays import alerts, evaluations, finding, replay, write_rows
from tests.support.sources import ScriptedSource

if TYPE_CHECKING:
    from pathlib import Path

    from monitor.config.schema import Config
    from tests.support.replays import Row


def shown(folder: Path, rows: list[Row], **more: object) -> list[Row]:
    return replay(folder, rows, reference(), **{**SHAPE, **more})


def counted(line: Row, statistic: str) -> Row | None:
    found = [part for part in line["findings"] if (part["subject"], part["statistic"]) == ("quality", statistic)]
    return found[0] if found else None


@pytest.mark.parametrize("inner", [None, {}, {"z": 1}, [1, 2], "text"])
def test_records_without_any_feature_are_rejects_and_no_drift(tmp_path: Path, inner: object) -> None:
    lines = shown(tmp_path, without(records(40), inner))
    assert lines == []


@pytest.mark.parametrize("batch", [1, 7, 100_000])
def test_before_the_first_usable_record_they_are_rejects_and_after_it_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(monitor.backtest.replay, "_BATCH", batch)
    rows = without(records(3)) + records(30, 3) + without(records(12, 33), {})
    told = evaluations(shown(tmp_path, rows))
    assert sum(line["rows"] for line in told.values() if line["end"] == "2026-01-04T00:10:00Z") == 7 * A_MINUTE
    # The three minutes of rejects have times of their own, and lie in the first windows.
    early = counted(told["2026-01-04T00:10:00Z"], "rejected")
    assert early is not None
    assert (early["value"], early["status"]) == (pytest.approx(0.3), "breached")
    assert counted(told["2026-01-04T00:30:00Z"], "rejected")["value"] == 0.0  # type: ignore[index]
    # The outage is rows whose features are all missing, and is found.
    out = told["2026-01-04T00:45:00Z"]
    assert out["rows"] == 10 * A_MINUTE
    assert finding(out, "quality", "features_gone")["status"] == "breached"
    assert finding(out, "quality", "featureless")["value"] == 1.0
    assert finding(out, "feature:x", "missing")["status"] == "drifted"
    assert finding(out, "prediction", "missing")["status"] == "ok"


def test_explicit_nulls_are_rows(tmp_path: Path) -> None:
    for inner in ({"x": None}, {"x": None, "y": None}):
        told = evaluations(shown(tmp_path, without(records(20), inner)))
        assert told["2026-01-04T00:20:00Z"]["rows"] == 10 * A_MINUTE
        assert counted(told["2026-01-04T00:20:00Z"], "featureless") is None
    # A null in place of the whole object says that there are no features, too.
    rows = [row | {"in": None} for row in without(records(20))]
    assert evaluations(shown(tmp_path, rows))["2026-01-04T00:20:00Z"]["rows"] == 10 * A_MINUTE


RETRAIN = {"name": "again", "type": "webhook", "url": "http://127.0.0.1:9/r", "purpose": "retrain"}
DRIFT = {"name": "drift", "when": "drifted", "notify": ["again"]}
QUALITY = {"name": "quality", "when": "breached", "subject": "quality*", "notify": ["again", "pager"]}


def replay_with_rules(folder: Path, rows: list[Row]) -> list[Row]:
    pager = {"name": "pager", "type": "webhook", "url": "http://127.0.0.1:9/p"}
    return replay(folder, rows, reference(), rules=[DRIFT, QUALITY], receivers=[RETRAIN, pager], **SHAPE)


def receivers(lines: list[Row]) -> list[str]:
    return [line["receiver"] for line in lines if line["type"] == "notification"]


def test_neither_an_outage_of_the_feed_nor_rejects_call_for_a_retraining(tmp_path: Path) -> None:
    outage = replay_with_rules(tmp_path, records(20) + without(records(20, 20)))
    assert [line["state"] for line in alerts(outage, "drift")] == ["firing"]
    assert set(receivers(outage)) == {"pager"}
    sparse = records(40)
    for place in range(20 * A_MINUTE, 40 * A_MINUTE):
        if place % 8 == 0:
            sparse[place] = without([sparse[place]])[0]
        elif place % 4 == 0:
            sparse[place]["t"] = "yesterday"
    partly = replay_with_rules(tmp_path, sparse)
    assert alerts(partly, "quality")
    assert set(receivers(partly)) == {"pager"}
    moved = records(40)
    for row in moved[20 * A_MINUTE :]:
        row["in"]["x"] += 3
    assert "again" in receivers(replay_with_rules(tmp_path, moved))


@pytest.mark.parametrize(("every", "status"), [(4, "breached"), (100, "ok")])
def test_a_large_share_of_rejects_pages_and_names_the_reasons(tmp_path: Path, every: int, status: str) -> None:
    rows = records(40)
    for place in range(20 * A_MINUTE, 40 * A_MINUTE, every):
        rows[place]["t"] = "not a time"
    lines = shown(tmp_path, rows)
    told = evaluations(lines)
    # The first one counts where the clock of its partition stands.
    assert counted(told["2026-01-04T00:19:00Z"], "rejected") is None
    share = finding(told["2026-01-04T00:40:00Z"], "quality", "rejected")
    assert share["status"] == status
    assert share["value"] == pytest.approx(1 / every, abs=0.004)
    fired = [line for line in alerts(lines, "data quality") if line["state"] == "firing"]
    assert bool(fired) == (status == "breached")
    if fired:
        assert "records were rejected: bad_timestamp" in fired[0]["summary"]


def test_the_rule_resolves_when_records_can_be_used_again(tmp_path: Path) -> None:
    rows = records(60)
    for place in range(10 * A_MINUTE, 20 * A_MINUTE, 2):
        rows[place]["t"] = []
    states = [line["state"] for line in alerts(shown(tmp_path, rows), "data quality")]
    assert states == ["firing", "resolved"]


PARTS = (Partition("p", 0), Partition("p", 1))


def crashing(folder: Path) -> tuple[Config, dict[Partition, list[bytes]]]:
    write_rows(folder / "reference.jsonl", reference())
    kafka = {"bootstrap_servers": ["never:9"], "predictions": ["p"]}
    settings = make_config(folder, {"reference": "reference.jsonl", **SHAPE}, kafka=kafka)
    one = without(records(2, seed=3)) + records(40, 2, seed=3)
    two = without(records(30, seed=4)) + records(5, 30, seed=4) + without(records(7, 35, seed=4))
    for place in range(0, len(one), 9):
        one[place]["t"] = "never"
    logs = dict(zip(PARTS, ([json.dumps(row).encode() for row in rows] for rows in (one, two)), strict=True))
    return settings, logs


@pytest.mark.parametrize("size", [13, 97])
def test_crashes_and_batches_change_nothing_of_what_is_a_row(tmp_path: Path, size: int) -> None:
    lines = []
    for name, fails, first in (("smooth", [], 50), ("rough", [2, 4, 5, 3, 6, 9, 8], size)):
        folder = tmp_path / name
        folder.mkdir()
        settings, logs = crashing(folder)

        def source(
            fail_at: int | None, logs: dict[Partition, list[bytes]] = logs, first: int = first
        ) -> ScriptedSource:
            return ScriptedSource(logs, fail_at, first_size=first, larger_by=17)

        lines.append(report_through_crashes(settings, source, fails).evaluations)
    assert lines[0] == lines[1]
    last = json.loads(lines[0][-1])
    assert finding(last, "quality", "featureless")["value"] > 0.3
