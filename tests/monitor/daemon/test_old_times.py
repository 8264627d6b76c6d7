"""Times from any century: rejects with a reason, never an error; a gap of decades costs no more than one of days."""

from __future__ import annotations

import json
import tracemalloc
from itertools import accumulate
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import monitor.evaluate.traffic
from alerts.moments import rfc3339, utc
from detectors.quality.traffic import Volume, judge_traffic
from monitor.backtest.replay import replayed
from monitor.checks.load import parse_config
from monitor.common.durations import DAY, HOUR, MINUTE
from monitor.config.model import ModelSection
from monitor.config.schema import IngestSection
from monitor.decode.readers import ModelReader
from monitor.decode.topics import TopicDecoder
from monitor.evaluate.traffic import Traffic
from monitor.labels.maturity import Arrivals, MaturityPolicy, newest_mature
from monitor.reference.build import load_references
from monitor.rows.records import Messages, Partition
from monitor.sources.files import FileSource
from monitor.windows.geometry import Window
from tests.support.replays import Row, evaluations, replay

YEAR = 365 * DAY
NOW = 1_700_000_000_000
COLUMNS = {"timestamp": "t", "prediction": "p"}
REFERENCE = [{"age": float(20 + place % 40), "p": place % 2} for place in range(400)]


def section(folder: Path) -> ModelSection:
    pd.DataFrame(REFERENCE).to_parquet(folder / "reference.parquet")
    return ModelSection.model_validate(
        {"name": "m", "task": "binary", "reference": folder / "reference.parquet", "columns": COLUMNS}
    )


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("0001-01-01T00:00:00Z", "past"),
        ("0001-01-01T00:00:00+14:00", "past"),
        ("9999-12-31T23:59:59Z", "future"),
        ("9999-12-31T23:59:59-14:00", "future"),
        (-80_000_000_000, "past"),
        (-1, "past"),
        (1, "past"),
        (-(10**14) + 1, "past"),
        (10**14 - 1, "future"),
        (-(10**18), "past"),
        (10**30, "bad_timestamp"),
        (-(10**30), "bad_timestamp"),
        ("1999-12-31T23:59:59Z", "past"),
        ("2010-01-01T00:00:00Z", None),
        (NOW, None),
    ],
)
def test_a_time_that_cannot_be_is_a_reject_with_its_reason(written: object, reason: str | None, tmp_path: Path) -> None:
    model = section(tmp_path)
    route = ModelReader(model, load_references(model), with_ids=False)
    router = TopicDecoder([route], IngestSection(), keep_rejected=False)
    raw = json.dumps({"age": 30.0, "p": 1, "t": written}).encode()
    decoded = router.decode(Messages(Partition("p", 0), np.array([0]), [raw]), NOW)
    assert decoded.rejects == ({} if reason is None else {0: reason})


def test_how_old_rows_may_be_is_an_option_and_a_backtest_takes_any_age(tmp_path: Path) -> None:
    model = section(tmp_path)
    route = ModelReader(model, load_references(model), with_ids=False)
    router = TopicDecoder([route], IngestSection.model_validate({"max_past": "2d"}), keep_rejected=False)
    raw = [json.dumps({"age": 30.0, "p": 1, "t": NOW - age}).encode() for age in (3 * DAY, DAY)]
    decoded = router.decode(Messages(Partition("p", 0), np.array([0, 1]), raw), NOW)
    assert decoded.rejects == {0: "past"}
    config = parse_config(
        {
            "ingest": {"max_past": "2d"},
            "kafka": {"bootstrap_servers": ["x:1"], "predictions": ["p"]},
            "models": [{"name": "m", "task": "binary", "reference": "r.parquet", "columns": COLUMNS}],
        },
        tmp_path,
    )
    kept = TopicDecoder([route], replayed(config, [tmp_path / "log.jsonl"], None).ingest, keep_rejected=False)
    ages = [b'{"age": 3, "p": 1, "t": 1}', b'{"age": 3, "p": 1, "t": -1}']
    decoded = kept.decode(Messages(Partition("p", 0), np.array([0, 1]), ages), NOW)
    assert decoded.rejects == {1: "past"}


@given(st.integers(-(2**63), 2**63 - 1))
def test_any_number_is_written_as_a_time(milliseconds: int) -> None:
    for text in (rfc3339(milliseconds), utc(milliseconds)):
        assert "0001-01-01" <= text[:10] <= "9999-12-31"
    assert rfc3339(milliseconds).endswith("Z")


def test_times_beyond_the_calendar_in_parquet_are_read(tmp_path: Path) -> None:
    stamps = pa.array([-62135596800_000 * 2, 10**15, NOW, None], pa.timestamp("ms", tz="America/New_York"))
    pq.write_table(pa.table({"t": stamps}), tmp_path / "log.parquet")
    source = FileSource([tmp_path / "log.parquet"], follow=False, batch=10, wait=lambda _: None)
    source.start({})
    (chunk,) = source.poll(0.0, frozenset()).chunks
    values = list(chunk.columns["t"])  # type: ignore[union-attr]
    assert [value and value.year for value in values] == [1, 9999, 2023, None]  # type: ignore[attr-defined]


class Counter:
    """How often traffic was judged."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, *args: object, **options: object) -> Volume:
        self.calls += 1
        return judge_traffic(*args, **options)  # type: ignore[arg-type]


def row(at: int) -> Row:
    return {"t": at, "age": 30.0, "p": 1}


@given(gaps=st.lists(st.integers(0, 20 * YEAR) | st.integers(0, DAY), min_size=1, max_size=3))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_gaps_cost_what_the_rows_beside_them_cost(
    gaps: list[int], tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = Counter()
    monkeypatch.setattr(monitor.evaluate.traffic, "judge_traffic", counter)
    times = list(accumulate([10**11, *gaps]))
    lines = replay(
        tmp_path_factory.mktemp("gaps"),
        [row(at) for at in times],
        REFERENCE,
        columns=COLUMNS,
        windows=["15m", "1h"],
        lateness="1m",
    )
    windows = 15 + 60 + 2
    assert len([line for line in lines if line["type"] == "evaluation"]) <= windows * len(times)
    # Of a gap a week is judged, hour by hour.
    assert counter.calls <= (7 * 24 + 3) * len(times)


def test_one_old_record_makes_nothing_late_and_changes_no_window(tmp_path: Path) -> None:
    now = [row(1_900_000_000_000 + place * 10_000) for place in range(720)]
    (tmp_path / "old").mkdir()
    (tmp_path / "plain").mkdir()
    options = {"columns": COLUMNS, "windows": ["15m", "1h"], "lateness": "1m"}
    plain = evaluations(replay(tmp_path / "plain", now, REFERENCE, **options))
    old = evaluations(replay(tmp_path / "old", [row(1_000), *now], REFERENCE, **options))
    assert sum(line["rows"] for end, line in old.items() if end > "2000") == sum(
        line["rows"] for line in plain.values()
    )
    assert {end for end in old if end > "2000"} == set(plain)
    assert len(old) <= len(plain) + 75


def test_one_record_of_a_year_to_come_changes_nothing(tmp_path: Path) -> None:
    # The clock of a replay stands at 2e9 seconds.
    now = [row(1_900_000_000_000 + index * 10_000) for index in range(200)]
    (tmp_path / "ahead").mkdir()
    (tmp_path / "plain").mkdir()
    options = {"columns": COLUMNS, "windows": ["15m"], "lateness": "1m"}
    plain = replay(tmp_path / "plain", now, REFERENCE, **options)
    ahead = replay(tmp_path / "ahead", [*now[:90], row(2_000_000_000_000 + 10 * YEAR), *now[90:]], REFERENCE, **options)
    assert evaluations(ahead).keys() == evaluations(plain).keys()
    assert [line["rows"] for line in evaluations(ahead).values()] == [
        line["rows"] for line in evaluations(plain).values()
    ]


def test_traffic_is_judged_as_ever_across_a_gap_of_days_and_by_its_last_week_across_one_of_years() -> None:
    def told(gap: int) -> tuple[float, str]:
        traffic = Traffic(HOUR, 0.001)
        for hour in range(24 * 21):
            traffic.take(hour * HOUR, 1_000)
        traffic.take(24 * 21 * HOUR + gap, 300)
        finding = traffic.finding()
        return finding.value, finding.status

    assert told(0)[1] == "breached"
    # The hour before the rows came back is judged: none came.
    slowly = Traffic(HOUR, 0.001)
    for hour in range(24 * 21):
        slowly.take(hour * HOUR, 1_000)
    for hour in range(24 * 21, 24 * 27):
        slowly.take(hour * HOUR, 0)
    slowly.take(24 * 27 * HOUR, 300)
    assert told(6 * DAY) == (slowly.finding().value, slowly.finding().status)
    assert told(30 * YEAR)[1] == "breached"


def test_a_gap_of_a_century_asks_for_no_memory_when_labels_come() -> None:
    starts = np.array([0, MINUTE, 100 * YEAR], dtype=np.int64)
    arrivals = Arrivals(starts, starts + MINUTE, np.array([10, 10, 10]), np.array([10, 10, 10]))
    window, patience = Window("1h", HOUR, MINUTE), MaturityPolicy(7 * DAY, 60 * DAY, 0.95, 100)
    tracemalloc.start()
    found = newest_mature(
        arrivals, window, None, 100 * YEAR + 8 * DAY, patience, lambda times: np.ones(len(times), dtype=np.bool_)
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found is not None
    assert found.end == 100 * YEAR + HOUR
    assert peak < 2_000_000
    settled = newest_mature(
        arrivals, window, None, 50 * YEAR, patience, lambda times: np.ones(len(times), dtype=np.bool_)
    )
    assert settled is not None
    assert settled.end == MINUTE + HOUR
