"""What commands say of the records they read, that useless records are a failure, and that time ends with the log."""

from __future__ import annotations

import bz2
import gzip
import json
import tomllib
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from monitor.backtest.report import render_report
from monitor.backtest.summary import shown, summary_lines, useless_sentence
from monitor.checks.load import parse_config
from monitor.serve.snapshot import Snapshot
from tests.support.feeds import LABELLED_CONFIG, MINUTE, SHAPE, START, log_and_labels, records, reference, without
from tests.support.process import leewayd
from tests.support.replays import evaluations, replay, run_files, write_rows
from tests.support.snapshots import snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

    from monitor.backtest.history import History
    from tests.support.replays import Row


@pytest.fixture
def home(tmp_path: Path) -> Path:
    labelled = [row | {"truth": row["p"]} for row in reference()]
    write_rows(tmp_path / "reference.jsonl", labelled)
    (tmp_path / "config.toml").write_text(LABELLED_CONFIG)
    return tmp_path


def history(home: Path, rows: list[Row], truths: list[Row] | None = None, **model: Any) -> tuple[History, list[Row]]:
    files = [write_rows(home / "log.jsonl", rows)]
    told = [] if truths is None else [write_rows(home / "labels.jsonl", truths)]
    raw = tomllib.loads((home / "config.toml").read_text())
    raw["models"][0] |= model
    found, lines = run_files(parse_config(raw, home), files, told)
    return found, [json.loads(line) for line in lines]


def text(found: History) -> str:
    assert found.snapshot is not None
    return shown(summary_lines(found.snapshot), 200)


def sentence(found: History) -> str:
    assert found.snapshot is not None
    return useless_sentence(found.snapshot)


@pytest.mark.parametrize(
    ("fault", "wanted"),
    [
        (lambda row: row | {"t": "2026-01-04 00:00:00 UTC"}, "bad_timestamp at 't': found text"),
        (lambda row: row | {"t": {"s": 1}}, "bad_timestamp at 't': found an object"),
        (lambda row: {"p": 1}, "no_timestamp at 't': found nothing"),
        (lambda row: row | {"t": 4e12}, "future at 't'"),
        (lambda row: row | {"in": {"z": 1}}, "no_features looked for in.x, in.y; the record has id, in, p, t"),
        (lambda row: [[row]], "malformed found no JSON object"),
    ],
)
def test_records_that_are_all_rejected_are_a_failure_with_a_reason(
    home: Path, fault: Callable[[Row], object], wanted: str
) -> None:
    rows, _ = log_and_labels(int)
    found, lines = history(home, [fault(row) for row in rows])  # type: ignore[misc]  # some are no records
    assert lines == []
    assert f"1,200 {wanted}" in text(found)
    assert sentence(found).startswith(f"1,200 of 1,200 records rejected: {wanted}")


def test_several_reasons_come_in_descending_order_and_half_of_the_records_is_enough(home: Path) -> None:
    rows, _ = log_and_labels(int)
    for place in range(400):
        rows[place]["t"] = "secret-4711"
    for place in range(400, 590):
        rows[place] = {"p": 1}
    found, _ = history(home, rows)
    assert "rows     610 counted, 0 late, 590 rejected" in text(found)
    assert text(found).index("400 bad_timestamp") < text(found).index("190 no_timestamp")
    assert "4711" not in text(found) + render_report(found, "c", ["log"])
    assert sentence(found) == ""
    for place in range(590, 630):
        rows[place] = {"p": 1}
    assert sentence(history(home, rows)[0]).startswith("630 of 1,200 records rejected: bad_timestamp")


def test_records_of_other_models_are_no_failure_but_a_log_of_nothing_else_is(home: Path) -> None:
    columns = tomllib.loads(LABELLED_CONFIG)["models"][0]["columns"] | {"model": "who"}
    rows, _ = log_and_labels(int)
    for place, row in enumerate(rows):
        row["who"] = "m" if place % 10 == 0 else "another"
    found, lines = history(home, rows, columns=columns)
    assert sentence(found) == ""
    assert "1,080 no_model" in text(found)
    assert all(
        part["statistic"] != "rejected" for line in lines if line["type"] == "evaluation" for part in line["findings"]
    )
    found, _ = history(home, [row | {"who": "another"} for row in rows], columns=columns)
    assert sentence(found).startswith("1,200 of 1,200 records rejected: no_model at 'who': found another name")


def test_the_summary_counts_labels_windows_and_time(home: Path) -> None:
    found, _ = history(home, *log_and_labels(lambda p: ["no", "YES"][p]))
    assert "labels   1,200 read, 1,200 joined, 0 unusable" in text(found)
    assert "time     2026-01-04 00:00 UTC to 2026-01-04 00:39 UTC" in text(found)
    assert "the log ends at this time; windows that end later were not judged" in text(found)
    assert sentence(found) == ""
    assert max(map(len, shown(summary_lines(snapshot()), 80).splitlines())) <= 80


@pytest.mark.parametrize("spelling", [str, bool, float, lambda p: f"{p}.0", lambda p: "ny"[p], lambda p: str(bool(p))])
def test_labels_in_any_spelling_of_the_reference_are_right(home: Path, spelling: Callable[[int], object]) -> None:
    _, lines = history(home, *log_and_labels(spelling))
    found = accuracies(lines)
    assert {part["value"] for part in found if part["status"] == "ok"} == {1.0}
    assert not [part for part in found if part["status"] == "breached"]


def accuracies(lines: list[Row]) -> list[Row]:
    return [
        part
        for line in lines
        if line["type"] == "evaluation"
        for part in line["findings"]
        if (part["subject"], part["statistic"]) == ("performance", "accuracy")
    ]


@pytest.mark.parametrize("spelling", [lambda p: ["bad", "good"][p], lambda p: [-1, 1][p], lambda p: ["1", "2"][p]])
def test_labels_that_fit_no_class_are_unusable_and_never_bad_performance(
    home: Path, spelling: Callable[[int], object]
) -> None:
    found, lines = history(home, *log_and_labels(spelling))
    assert {part["status"] for part in accuracies(lines)} <= {"insufficient"}
    assert "bad_label at 'truth': found" in text(found)
    assert sentence(found).startswith(("600 of", "1,200 of")) or "600 joined, 600 unusable" in text(found)
    told = [line["summary"] for line in lines if line["type"] == "alert" and line["state"] == "firing"]
    assert told
    assert all("label records were rejected" in summary for summary in told)


def test_foreign_files_are_refused_by_name(home: Path) -> None:
    rows, _ = log_and_labels(int)
    packed = home / "log.jsonl.bz2"
    packed.write_bytes(bz2.compress(write_rows(home / "log.jsonl", rows).read_bytes()))
    (home / "log.csv").write_text("t,p\n1,2\n")
    (home / "log.csv.gz").write_bytes(gzip.compress(b"t,p\n1,2\n"))
    for name, wanted in (
        ("log.jsonl.bz2", "log.jsonl.bz2: found bzip2 data"),
        ("log.csv", "not as CSV"),
        ("log.csv.gz", "not as CSV"),
    ):
        done = leewayd("backtest", home / "config.toml", "-i", home / name)
        assert done.returncode == 2
        assert wanted in done.stderr.replace("\n", "")


def test_the_command_line_fails_on_useless_records_and_says_why(home: Path) -> None:
    rows, _ = log_and_labels(int)
    bad = write_rows(home / "log.jsonl", [row | {"t": "2026-01-04"} for row in rows])
    done = leewayd("backtest", home / "config.toml", "-i", bad)
    assert done.returncode == 1
    assert "1,200 of 1,200 records rejected: bad_timestamp at 't': found text; times are" in done.stderr
    assert "1,200 bad_timestamp at 't': found text" in done.stdout
    settings = LABELLED_CONFIG.split("[[models]]")
    source = f'[file]\npredictions = ["{bad}"]\n[state]\ndir = "{home}/state"\n[http]\nlisten = "127.0.0.1:0"\n'
    (home / "run.toml").write_text(f"{source}[[models]]{settings[1]}")
    done = leewayd("run", home / "run.toml", "--exit")
    assert done.returncode == 1
    assert "1,200 of 1,200 records rejected" in done.stderr
    write_rows(home / "log.jsonl", rows)
    done = leewayd("run", home / "run.toml", "--exit")
    assert "rows     1,200 counted" in done.stdout or "rows     0 counted" in done.stdout


def test_nothing_read_is_a_failure() -> None:
    assert "no records" in useless_sentence(Snapshot())


def test_time_ends_with_the_log(tmp_path: Path) -> None:
    told = evaluations(replay(tmp_path, records(37), reference(), **SHAPE))
    assert max(told) == "2026-01-04T00:37:00Z"
    assert told[max(told)]["at"] == "2026-01-04T00:38:00Z"
    # A pane of an hour that the log breaks off in is no missing traffic, and its series does not end.
    hourly = [row | {"t": START + place * 2_000} for place, row in enumerate(records(60 * 12 * 20))]
    hourly = [row for row in hourly if row["t"] < START + 8.1 * 3_600_000]
    lines = replay(tmp_path, hourly, reference(), **SHAPE | {"pane": "1h", "windows": ["1h"], "lateness": "1h"})
    assert max(evaluations(lines)) == "2026-01-04T09:00:00Z"
    assert not [line for line in lines if line["type"] == "alert"]


def test_labels_after_the_last_prediction_are_joined_but_no_window_ends_later(home: Path) -> None:
    rows, labels = log_and_labels(str)
    for label in labels:
        label["t"] += 3 * 60 * MINUTE
    found, lines = history(home, rows, labels, labels={"max_delay": "4h"})
    judged = [line for line in lines if line["type"] == "evaluation"]
    assert {line["end"] for line in judged} <= {f"2026-01-04T00:{minute:02}:00Z" for minute in range(1, 41)}
    realised = [line for line in judged if any(part["subject"] == "performance" for part in line["findings"])]
    assert realised[-1]["labelled_rows"] == 300
    assert max(line["at"] for line in realised) == "2026-01-04T03:43:00Z"
    assert "1,200 joined" in text(found)
    assert not [line for line in lines if line["type"] == "alert"]


def test_repeated_ids_without_labels_are_reported(home: Path) -> None:
    rows, _ = log_and_labels(int)
    found, _ = history(home, [*rows[:600], *rows[500:]])
    assert "100 repeated the id of another row, and were counted again" in text(found)
    assert "100 repeated the id of another row" in unescape(render_report(found, "c", ["log"]))
    labelled, _ = history(home, [*rows[:600], *rows[500:]], log_and_labels(int)[1])
    assert "100 repeated the id of another row, and were not counted again" in text(labelled)


def test_the_report_names_every_subject_that_alerted(home: Path) -> None:
    dice = np.random.default_rng(3)
    rows, labels = log_and_labels(int)
    known = [row | {"truth": row["p"], "e": dice.normal(size=8).tolist()} for row in reference()]
    write_rows(home / "reference.jsonl", known)
    for place, row in enumerate(rows):
        late = place > 600
        row["e"] = (dice.normal(size=8) + 3 * late).tolist()
        row["in"]["x"] += 3 * late
        if late and place % 3 == 0:
            row["in"]["y"] = "text"
            labels[place]["truth"] = 1 - labels[place]["truth"]
    columns = tomllib.loads(LABELLED_CONFIG)["models"][0]["columns"] | {"embeddings": ["e"]}
    found, _ = history(home, rows, labels, columns=columns)
    page = unescape(render_report(found, "c.toml", ["log"]))
    fired = {
        finding.subject
        for change in found.transitions
        if change.state == "firing"
        for finding in change.evidence.findings
    }
    assert {"embedding:e", "quality:y", "performance"} <= fired
    for subject in fired | {"feature:x"}:
        assert subject.removeprefix("feature:") in page, subject
    assert "<h3>embedding:e" in page


def test_useless_rows_of_a_sample_are_counted(tmp_path: Path) -> None:
    sample = write_rows(tmp_path / "sample.jsonl", without(records(10), {"x": 1.0}))
    done = leewayd("init", "-i", sample, "-o", tmp_path / "c.toml")
    assert done.returncode == 0, done.stderr
    assert "sample.jsonl: 300 rows, " in done.stdout
