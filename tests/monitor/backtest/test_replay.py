"""The backtest: the same pipeline on its own clock, told as JSON lines and as a page; it wakes nobody."""

from __future__ import annotations

import json
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from monitor.backtest.charts import area_chart, density_chart, interval_chart, number, pairs_chart, spans_chart
from monitor.backtest.replay import replayed
from monitor.checks.load import parse_config
from monitor.common.errors import ConfigError
from monitor.config.schema import Config
from tests.support.machine import MINUTES, START, table
from tests.support.paths import CONFIGS
from tests.support.process import leewayd

CONFIG = """
[kafka]
bootstrap_servers = ["never:9092"]
predictions = ["predictions"]
[[models]]
name = "<i>m</i>"
task = "binary"
reference = "reference.parquet"
pane = "1m"
windows = ["5m", "10m"]
segments = ["colour"]
[models.columns]
timestamp = "at"
prediction = "prediction"
[[rules]]
name = "drift"
when = "drifted"
for = "2m"
segment = "all"
notify = ["team", "hook"]
[[rules]]
name = "too much"
metric = "psi"
above = 5.0
[[receivers]]
name = "team"
type = "slack"
url_env = "NOT_SET_HERE"
[[receivers]]
name = "hook"
type = "webhook"
url = "http://127.0.0.1:9/never"
"""
VOID = {"meta", "rect", "line", "polygon", "polyline", "i"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reference, a configuration, and forty minutes in which everybody is older from the fifteenth to the 25th."""
    home = tmp_path_factory.mktemp("backtest")
    table(5_000, 0.0, seed=1).to_parquet(home / "reference.parquet")
    (home / "config.toml").write_text(CONFIG)
    parts = []
    for minute in range(MINUTES):
        part = table(60, 15.0 if 15 <= minute < 25 else 0.0, seed=100 + minute)
        part["at"] = START + minute * 60_000 + np.arange(60) * 1000
        parts.append(part)
    log = pd.concat(parts)
    log.to_json(home / "log.jsonl", orient="records", lines=True)
    log.to_parquet(home / "log.parquet")
    return home


def backtest(folder: Path, log: str, name: str, *more: str) -> tuple[int, list[dict[str, object]], str]:
    done = leewayd(
        "backtest", folder / "config.toml", "-i", folder / log, "--json", folder / f"{name}.jsonl",
        "--html", folder / f"{name}.html", *more,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    lines = [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]
    return done.returncode, lines, (folder / f"{name}.html").read_text()


@pytest.fixture(scope="module")
def told(folder: Path) -> tuple[int, list[dict[str, object]], str]:
    return backtest(folder, "log.jsonl", "first", "--fail-on-alert")


def of(lines: list[dict[str, object]], kind: str) -> list[dict[str, object]]:
    return [line for line in lines if line["type"] == kind]


def test_lines_keep_the_contract(told: tuple[int, list[dict[str, object]], str]) -> None:
    code, lines, _ = told
    assert code == 1
    evaluation = of(lines, "evaluation")[0]
    assert list(evaluation) == [
        "type", "model", "version", "segment", "window", "start", "end", "at", "rows", "labelled_rows", "findings",
    ]  # fmt: skip
    assert list(evaluation["findings"][0]) == [  # type: ignore[index]
        "subject", "statistic", "value", "lower", "upper", "threshold", "status", "detail", "debiased", "reference",
    ]  # fmt: skip
    assert evaluation["at"] == "2013-04-02T06:03:00Z"
    assert evaluation["end"] == "2013-04-02T06:01:00Z"
    states = [(line["rule"], line["window"], line["state"]) for line in of(lines, "alert")]
    assert [state for state in states if state[2] == "firing"] == [
        ("drift", "5m", "firing"), ("drift", "10m", "firing")
    ]  # fmt: skip
    assert {line["state"] for line in of(lines, "alert")} == {"pending", "firing", "resolved"}
    assert list(of(lines, "alert")[0]) == [
        "type", "rule", "model", "version", "segment", "window", "state", "at", "severity", "summary",
    ]  # fmt: skip
    sent = of(lines, "notification")
    assert [line["receiver"] for line in sent] == ["team", "hook", "team", "hook"]
    assert sent[1]["payload"]["event"] == "alert.firing"  # type: ignore[index]


def test_the_same_log_gives_the_same_bytes(folder: Path, told: object) -> None:
    backtest(folder, "log.jsonl", "second")
    backtest(folder, "log.parquet", "third")
    first = (folder / "first.jsonl").read_bytes()
    assert (folder / "second.jsonl").read_bytes() == first
    # Only the evidence names the file that it lies in.
    assert (folder / "third.jsonl").read_bytes().replace(b"log.parquet", b"log.jsonl") == first
    assert (folder / "second.html").read_text() == (folder / "first.html").read_text()


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, _ in attrs:
            assert name not in ("src", "href", "onclick"), (tag, name)
        assert tag not in ("script", "link", "img", "iframe")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_stands_alone_and_tells_the_story(told: tuple[int, list[dict[str, object]], str]) -> None:
    _, _, html = told
    page = Page()
    page.feed(html)
    assert page.open == []
    assert "http" not in html.replace("http://127.0.0.1:9/never", "").replace("http-equiv", "")
    assert "2 alerts would have fired, the first on 2013-04-02 06:" in page.text
    assert "2,400 rows counted, 0 late, 0 rejected" in page.text
    for wanted in ("age moved up by", "Leeway left", "drift", "too much", "psi above 5", "<i>m</i>"):
        assert wanted in page.text, wanted
    assert "nan" not in html.lower().replace("finance", "")


def test_without_alerts_the_page_says_so(folder: Path) -> None:
    quiet = folder / "quiet.parquet"
    log = pd.read_parquet(folder / "log.parquet")
    log[log["at"] < START + 14 * 60_000].to_parquet(quiet)
    code, lines, html = backtest(folder, "quiet.parquet", "quiet", "--fail-on-alert")
    assert code == 0
    assert of(lines, "alert") == []
    assert "No alert would have fired." in html
    pd.DataFrame({"at": ["never"]}).to_parquet(folder / "empty.parquet")
    _, lines, html = backtest(folder, "empty.parquet", "empty")
    assert lines == []
    assert "No window was judged" in html


def test_what_cannot_be_replayed_is_told(folder: Path) -> None:
    done = leewayd("backtest", folder / "config.toml", "-i", folder / "none.jsonl")
    assert done.returncode == 2
    assert "no such file" in done.stderr
    assert leewayd("backtest", folder / "config.toml").returncode == 2


def two_models() -> Config:
    raw = tomllib.loads((CONFIGS / "good" / "two-models-one-topic.toml").read_text())
    raw["rules"] = [
        {"name": "of a", "when": "drifted", "models": ["a"]},
        {"name": "of b", "when": "drifted", "models": ["b"]},
        {"name": "of all", "when": "drifted"},
    ]
    return parse_config(raw, Path())


def test_models_are_told_apart_by_the_record_or_chosen() -> None:
    config = two_models()
    assert [model.name for model in replayed(config, [Path("x")], None).models] == ["a", "b"]
    chosen = replayed(config, [Path("x")], "b")
    assert [model.name for model in chosen.models] == ["b"]
    assert [rule.name for rule in chosen.rules] == ["of b", "of all"]
    with pytest.raises(ConfigError, match="no model 'c'"):
        replayed(config, [Path("x")], "c")
    columns = config.models[0].columns.model_copy(update={"model": None})
    greedy = config.model_copy(
        update={"models": [config.models[0].model_copy(update={"columns": columns}), config.models[1]]}
    )
    with pytest.raises(ConfigError, match="give --model, one of a, b"):
        replayed(greedy, [Path("x")], None)


def test_charts_take_gaps_single_points_and_long_series() -> None:
    ends = np.arange(5_000, dtype=np.int64) * 60_000 + START
    numbers = np.zeros((5_000, 3))
    numbers[2_345] = 0.9
    long = interval_chart(ends, numbers, 0.02, "x")
    assert long.count(",") < 3_000
    # The one window that mattered is still there, at the top of the band.
    tops = [float(pair.split(",")[1]) for pair in long.split('class="judged" points="')[1].split('"')[0].split()]
    assert min(tops) < 60 < max(tops)
    numbers[:] = np.nan
    assert "Never enough data" in interval_chart(ends, numbers, 0.02, "x")
    assert "<svg" in interval_chart(ends[:1], np.full((1, 3), 0.1), 0.02, "x")
    gap = np.full((4, 3), 0.1)
    gap[2] = np.nan
    assert interval_chart(ends[:4], gap, 0.02, "x").count('class="judged"') == 2
    assert "<svg" in area_chart(ends[:2], np.zeros(2), "x")
    assert "&lt;b&gt;" in pairs_chart(["<b>"], [0.1], [0.2], "x")
    assert "&quot;" in spans_chart([("a", [(0, 5)])], 0, 10, '"')
    assert "<svg" in density_chart(np.array([0.0, 0.0, 1.0]), np.array([0.5, 0.5]), np.array([1.0, 0.0]), "x")


def test_numbers_are_short() -> None:
    assert [number(value) for value in (0.123456, 12345.6, 0.0, float("nan"), float("inf"))] == [
        "0.123", "12,346", "0", "–", "–",
    ]  # fmt: skip
