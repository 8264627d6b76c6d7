"""Features that appear or disappear upstream are told: once they are news, and whatever the batches and restarts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.common.durations import DAY, HOUR
from monitor.config.model import ModelSection
from monitor.decode.json import JsonDecoder
from monitor.decode.unknown_fields import MOST_NAMES, UnknownFields, sampled
from monitor.evaluate.schema_changes import LEARN_MS, LEARN_RECORDS, NEWS_MS, SchemaChanges
from monitor.rows.records import Messages
from tests.support.config import make_config
from tests.support.crashes import report_through_crashes
from tests.support.machine import PARTS
from tests.support.replays import run_files
from tests.support.sources import ScriptedSource

if TYPE_CHECKING:
    from pathlib import Path

    from monitor.config.schema import Config

BEGIN = 20_000 * DAY
AN_HOUR = 100


def records() -> list[dict[str, Any]]:
    """Five days; every record has a host. On the fourth a zip code appears, on the fifth the age is gone."""
    dice = np.random.default_rng(4)
    found = []
    for row in range(5 * 24 * AN_HOUR):
        time = BEGIN + row * HOUR // AN_HOUR
        record: dict[str, Any] = {
            "t": time, "x": float(dice.normal()), "age": float(dice.normal()), "p": int(dice.random() < 0.5),
            "host": "a", "secret": 3,
        }  # fmt: skip
        if time >= BEGIN + 3 * DAY:
            record["zip"] = None if row % 2 else 8_000
        if time >= BEGIN + 4 * DAY:
            del record["age"]
        found.append(record)
    return found


def config(folder: Path, **columns: object) -> Config:
    known = pd.DataFrame(records()[: 2 * 24 * AN_HOUR])[["x", "age", "p", "t", "secret"]]
    known.to_parquet(folder / "reference.parquet")
    named = {"timestamp": "t", "prediction": "p", "features": ["x", "age"], "exclude": ["secret"]} | columns
    return make_config(folder, {"windows": ["6h"], "pane": "1h", "columns": named})


def halves(rows: list[dict[str, Any]]) -> dict[Any, list[bytes]]:
    return {part: [json.dumps(row).encode() for row in rows[number::2]] for number, part in enumerate(PARTS)}


def replay(folder: Path, settings: Config, files: list[str]) -> list[bytes]:
    _, lines = run_files(settings, [folder / name for name in files])
    return [line for line in lines if line.startswith(b'{"type":"evaluation"')]


def told(lines: list[bytes], statistic: str) -> dict[str, dict[str, Any]]:
    """End of each window → its finding."""
    found = {}
    for line in lines:
        evaluation = json.loads(line)
        (finding,) = [part for part in evaluation["findings"] if part["statistic"] == statistic]
        assert finding["subject"] == "quality"
        found[evaluation["end"]] = finding
    return found


@pytest.fixture(scope="module")
def told_lines(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[bytes]]:
    folder = tmp_path_factory.mktemp("schema")
    for number, lines in enumerate(halves(records()).values()):
        (folder / f"{number}.jsonl").write_bytes(b"\n".join(lines))
    return folder, replay(folder, config(folder), ["0.jsonl", "1.jsonl"])


def test_a_name_that_appears_is_told_and_what_was_always_there_is_not(told_lines: tuple[Path, list[bytes]]) -> None:
    found = told(told_lines[1], "features_new")
    assert found["2024-10-04T18:00:00Z"]["status"] == "insufficient"
    assert found["2024-10-07T00:00:00Z"]["status"] == "ok"
    news = found["2024-10-07T06:00:00Z"]
    assert (news["status"], news["value"]) == ("breached", 1.0)
    assert news["detail"] == "records hold names that the reference does not know: zip"
    assert {end for end, finding in found.items() if finding["status"] == "breached"} == {
        end for end in found if end > "2024-10-07T00:00:00Z"
    }


def test_a_feature_that_is_gone_is_told(told_lines: tuple[Path, list[bytes]]) -> None:
    found = told(told_lines[1], "features_gone")
    assert found["2024-10-08T00:00:00Z"]["status"] == "ok"
    assert found["2024-10-08T05:00:00Z"]["status"] == "ok"
    gone = found["2024-10-08T06:00:00Z"]
    assert (gone["status"], gone["value"]) == ("breached", 1.0)
    assert gone["detail"] == "no record holds a value of age"


def test_batches_and_restarts_change_nothing(told_lines: tuple[Path, list[bytes]], tmp_path: Path) -> None:
    logs = halves(records())
    live = report_through_crashes(
        config(tmp_path), lambda fail_at: ScriptedSource(logs, fail_at), [9, 20, 30]
    ).evaluations
    assert [told([line], "features_new") for line in live] == [told([line], "features_new") for line in told_lines[1]]
    assert [told([line], "features_gone") for line in live] == [told([line], "features_gone") for line in told_lines[1]]


def test_columns_of_a_table_are_names_too(tmp_path: Path) -> None:
    frame = pd.DataFrame(records())
    settings = config(tmp_path)
    early = frame[frame["t"] < BEGIN + 3 * DAY].drop(columns=["zip"])
    early.to_parquet(tmp_path / "0.parquet")
    late = frame[frame["t"] >= BEGIN + 3 * DAY].drop(columns=["age"])
    late.to_parquet(tmp_path / "1.parquet")
    # One after the other: as partitions, the second would wait for nothing.
    found = told(replay(tmp_path, settings, ["0.parquet", "1.parquet"]), "features_new")
    assert found["2024-10-07T00:00:00Z"]["status"] == "ok"
    assert found["2024-10-08T00:00:00Z"]["detail"] == "records hold names that the reference does not know: zip"
    gone = told(replay(tmp_path, settings, ["0.parquet", "1.parquet"]), "features_gone")
    assert gone["2024-10-08T00:00:00Z"]["detail"] == "no record holds a value of age"


def names(**columns: object) -> UnknownFields:
    named = {"timestamp": "t", "prediction": "out.p", "id": "id", "label": "y", **columns}
    model = ModelSection.model_validate({"name": "m", "task": "binary", "reference": "r", "columns": named})
    prefix = f"{columns['features_at']}." if "features_at" in columns else ""
    return UnknownFields(model, ["t", "out.p", f"{prefix}x"])


def test_names_are_looked_for_where_the_features_are() -> None:
    record = {"t": 1, "out": {"p": 1, "q": 2}, "id": "a", "y": 1, "host": "h", "in": {"x": 1, "z": 2}}
    assert names().unknown(record) == ("host", "in")
    assert names(features_at="in").unknown(record) == ("z",)
    assert names(features_at="in", exclude=["z"]).unknown(record) == ()
    assert names(features_at="in").unknown({"in": 3}) == ()
    assert names(features_at="in").unknown_columns(["t", "in.x", "in.z", "host"]) == ("z",)


def test_a_record_of_ids_for_names_is_cut_short() -> None:
    found = names().unknown({f"{number:04d}" + "x" * 500: 1 for number in range(1_000)})
    assert len(found) == MOST_NAMES
    assert max(map(len, found)) == 64


@given(st.integers(0, 2**50))
def test_one_message_in_sixteen_is_in_the_sample_wherever_a_log_begins_and_whatever_its_stride(first: int) -> None:
    for stride in (1, 2, 16, 128):
        share = sampled(first + stride * np.arange(4_096, dtype=np.int64)).mean()
        assert share == pytest.approx(1 / 16, abs=0.02)


def test_only_the_sample_is_read_whole() -> None:
    values = [json.dumps({"t": 1, "new": number}).encode() for number in range(500)]
    values[3], values[5] = b"broken", b'[{"t": 1, "new": 0}, {"t": 2}]'
    raw = JsonDecoder({"t": "time"}, 1_000, 100).decode(Messages(PARTS[0], np.arange(500), values))
    chosen = set(np.flatnonzero(sampled(raw.offsets)).tolist()) - set(raw.rejects)
    assert set(raw.records) == chosen
    assert all("t" in record for record in raw.records.values())


def learned(*more: tuple[int, str, tuple[str, ...]]) -> SchemaChanges:
    """Knows ``host``; then takes records in."""
    changes = SchemaChanges()
    changes.take((BEGIN + row * HOUR, "1", ("host",)) for row in range(24) for _ in range(LEARN_RECORDS))
    changes.advance(BEGIN + LEARN_MS, BEGIN)
    changes.take(more)
    return changes


def test_nothing_is_news_before_a_day_and_enough_records_have_been_seen() -> None:
    changes = SchemaChanges()
    changes.take([(BEGIN, "1", ())] * (LEARN_RECORDS - 1))
    changes.advance(BEGIN + LEARN_MS, BEGIN)
    assert changes.finding("1", BEGIN, BEGIN + DAY, "").status == "insufficient"
    changes.take([(BEGIN + LEARN_MS, "1", ("host",))])
    changes.advance(BEGIN + LEARN_MS + HOUR, BEGIN)
    assert changes.finding("1", BEGIN, BEGIN + LEARN_MS + HOUR, "").status == "ok"


def test_news_are_old_after_a_week() -> None:
    first = BEGIN + 2 * DAY
    changes = learned((first, "1", ("zip",)), (first + NEWS_MS, "1", ("zip",)))
    assert changes.finding("1", first, first + HOUR, "").status == "breached"
    assert changes.finding("1", first + NEWS_MS, first + NEWS_MS + HOUR, "").status == "ok"


def test_names_belong_to_the_version_that_brings_them() -> None:
    changes = learned((BEGIN + 2 * DAY, "2", ("zip",)))
    assert changes.finding("1", BEGIN + DAY, BEGIN + 3 * DAY, "").status == "ok"
    assert changes.finding("2", BEGIN + DAY, BEGIN + 3 * DAY, "").status == "breached"


def test_keys_that_are_data_tell_nothing_and_take_no_memory() -> None:
    changes = learned(*((BEGIN + 2 * DAY, "1", (f"user-{number}",)) for number in range(100_000)))
    found = changes.finding("1", BEGIN + DAY, BEGIN + 3 * DAY, "")
    assert found.status == "insufficient"
    assert "too many different names" in found.detail
    assert len(changes.document()) < 20_000


def test_panes_that_no_window_asks_for_are_dropped() -> None:
    changes = learned(*((BEGIN + (2 + day) * DAY, "1", ("zip",)) for day in range(5)))
    size = len(changes.document())
    changes.advance(BEGIN + 7 * DAY, BEGIN + 6 * DAY)
    assert len(changes.document()) < size
    assert changes.finding("1", BEGIN + 6 * DAY, BEGIN + 7 * DAY, "").status == "breached"


@given(st.permutations([(2, "1", "zip"), (2, "2", "area"), (3, "1", "area"), (1, "1", "x"), (5, "1", "zip")]))
def test_the_order_within_what_has_come_does_not_matter(order: list[tuple[int, str, str]]) -> None:
    changes = learned(*((BEGIN + day * DAY, version, (name,)) for day, version, name in order))
    again = SchemaChanges()
    again.restore(changes.document())
    for kept in (changes, again):
        kept.advance(BEGIN + 6 * DAY, BEGIN)
        found = kept.finding("1", BEGIN + DAY, BEGIN + 6 * DAY, "")
        assert found.detail == "records hold names that the reference does not know: area, x, zip"
