"""The report's pages on performance and data quality: they say what the JSON lines say, and trust no text of a log."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING

import numpy as np
import pytest

from monitor.backtest.charts import interval_chart, number
from monitor.backtest.report import render_report
from monitor.backtest.report_performance import judged_bound
from monitor.common.durations import DAY
from tests.support.labelled import binary, logged
from tests.support.replays import replay_with_history

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.replays import Row

EVIL = "<script>alert(1)</script>"
Rows = list["Row"]


def page_of(
    folder: Path, rows: Rows, labels: Rows, reference: Rows, outcome: str | None = None, **columns: object
) -> tuple[str, Rows]:
    """The report, and the lines of a backtest with labels."""
    options = {
        "windows": ["1d"], "pane": "1h", "segments": ["group"],
        "labels": {"max_delay": "1d", "maturity": 1.0} | ({"label": outcome} if outcome else {}),
        "performance": {"protected": ["group"], "champion": "1"},
        "columns": {"timestamp": "t", "id": "id", "prediction": "p", "features": ["x"], **columns},
    }  # fmt: skip
    rule = {"name": "worse", "metric": "accuracy", "change_from_reference": -0.05, "sure": True}
    history, lines = replay_with_history(folder, rows, reference, labels, rules=[rule], **options)
    return render_report(history, "c.toml", ["log.jsonl"]), lines


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Rows]:
    size = 1_200
    said, truth = binary(0.05, size, 3)
    dice = np.random.default_rng(4)
    group = np.where(dice.random(size) < 0.5, EVIL, "b")
    version = dice.choice(["1", "2"], size)
    for row in range(size):
        # The last day is much worse for one group, and in the second version.
        if row >= 800 and (group[row] == EVIL or version[row] == "2") and dice.random() < 0.6:
            said[row] = 1 - truth[row]
    log = logged(said, truth, group=group.tolist(), v=version.tolist())
    return page_of(tmp_path_factory.mktemp("report"), *log, version="v", label="y")


def test_the_table_says_what_the_lines_say(told: tuple[str, Rows]) -> None:
    page, lines = told
    realised = [
        line for line in lines
        if line["type"] == "evaluation" and line["version"] == "1" and line["segment"] == "all"
        and any(part["statistic"] == "accuracy" and part["subject"] == "performance"
                and part["status"] != "insufficient" for part in line["findings"])
    ]  # fmt: skip
    last = {part["statistic"]: part for part in realised[-1]["findings"] if part["subject"] == "performance"}
    section = page[page.index("Realised performance, version 1") :]
    for metric in ("accuracy", "precision", "recall", "f1"):
        part = last[metric]
        row = re.search(f"<tr><td>{metric}</td>(.*?)</tr>", section)
        assert row is not None, metric
        cells = re.findall("<td[^>]*>(.*?)</td>", row[1])
        assert cells[:3] == [number(part["value"]), number(part["lower"]), number(part["upper"])]


def test_a_rule_on_a_change_is_told_in_words(told: tuple[str, Rows]) -> None:
    assert "accuracy a fall by 0.05 or more" in told[0]


def test_versions_segments_and_fairness_are_told(told: tuple[str, Rows]) -> None:
    page = told[0]
    assert "compared with the champion" in page
    assert "segments that are worse" in page
    assert "fairness:group" in page
    assert "demographic_parity_difference" in page


def test_text_of_the_log_is_text(told: tuple[str, Rows]) -> None:
    page, lines = told
    assert any(EVIL in str(line.get("segment")) for line in lines)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "nan" not in re.sub("[a-z]nan|nan[a-z]", "", page.lower())


def test_without_labels_in_the_reference_performance_is_shown_unjudged(tmp_path: Path) -> None:
    said, truth = binary(0.1, 1_200, 5)
    rows, labels, reference = logged(said, truth, group=["a"] * 1_200)
    for row in reference:
        del row["y"]
    page, lines = page_of(tmp_path, rows, labels, reference, outcome="y")
    assert any(line.get("labelled_rows") for line in lines)
    assert "Realised performance" in page
    assert "accuracy" in page
    assert 'y1="nan"' not in page


def test_an_axis_shows_what_there_is_to_see() -> None:
    ends = np.arange(10) * DAY
    numbers = np.tile([0.82, 0.81, 0.83], (10, 1))
    numbers[5] = [0.78, 0.2, 0.9]
    chart = interval_chart(ends, numbers, 0.8, "accuracy", from_zero=False)
    ticks = [float(tick) for tick in re.findall(r'text-anchor="end">([^<]*)<', chart)]
    assert len(ticks) >= 2
    assert min(ticks) > 0.5
    assert max(ticks) < 1
    assert "threshold" not in interval_chart(ends, numbers, float("nan"), "accuracy", from_zero=False)
    flat = interval_chart(ends, np.tile([0.0, 0.0, 0.0], (10, 1)), float("nan"), "bias", from_zero=False)
    assert "nan" not in flat


def test_the_bound_that_is_judged_is_bold_the_upper_one_where_more_is_better() -> None:
    ends = np.arange(3) * DAY
    numbers = np.tile([0.5, 0.25, 0.75], (3, 1))
    charts = [interval_chart(ends, numbers, 0.5, "x", judged=judged) for judged in (1, 2)]
    lower, upper = (re.findall(r'class="judged" points="[^," ]*,([^ ]*) ', chart)[0] for chart in charts)
    # Pixels are counted from above.
    assert float(lower) > float(upper)
    for metric, judged in (("accuracy", 2), ("roc_auc_ovr_macro", 2), ("rmse", 1), ("log_loss", 1), ("cusum_up", 1)):
        assert judged_bound(metric) == judged


def test_the_page_allows_no_script_and_nothing_from_elsewhere(told: tuple[str, Rows]) -> None:
    page, _ = told
    head = page[: page.index("</head>")]
    (policy,) = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', head)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert "script-src" not in rules
    # Its one style sheet is allowed by what it holds, and nothing else needs a style.
    (style,) = re.findall(r"<style>(.*?)</style>", page, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert rules["style-src"] == f"'sha256-{digest}'"
    assert re.findall(r"<[^>]* (style|on\w+)=", page) == []
    assert re.findall(r"<(script|link|img|iframe|object)\b", page) == []
    # The policy comes before all that it is to hold back.
    assert head.index("Content-Security-Policy") < head.index("<style>")
