"""Pieces of the report: tables, names of series, and the list of what alerts rested on."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from alerts.evaluation import Finding
from alerts.lifecycle import AlertKey, Evidence, Transition
from monitor.backtest.history import History, TrackKey
from monitor.backtest.html import table, where
from monitor.backtest.report_alerts import alerted_table
from tests.support.alerts import DELAY, START, WIND


class Cells(HTMLParser):
    """Texts of the cells, row by row."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.inside = tag in ("td", "th")
        if tag == "tr":
            self.rows.append([])
        elif self.inside:
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.rows[-1][-1] += data


def test_a_table_has_its_head_and_its_numbers_on_the_right() -> None:
    page = table(("a", "b"), [("1", "2"), ("3", "4")], frozenset({1}))
    assert Cells(page).rows == [["a", "b"], ["1", "2"], ["3", "4"]]
    assert page.count("<td class=right>") == 2
    assert page.startswith("<div class=scroll><table><thead>")


@pytest.mark.parametrize(
    ("version", "segment", "many", "text"),
    [("-", "all", False, "window 1h"), ("3", "SEX=1", True, "m, version 3, SEX=1, window 1h")],
)
def test_a_series_is_named_as_far_as_it_differs(version: str, segment: str, many: bool, text: str) -> None:
    assert where(TrackKey("m", version, segment, "1h", False), many) == text


def change(rule: str, state: str, at: int, *findings: Finding, matched: int = 0) -> Transition:
    evidence = Evidence(0, at, 1, findings, (), matched or len(findings))
    return Transition(AlertKey(rule, "m", "-", "all", "1h"), state, at, "warning", at, evidence)  # type: ignore[arg-type]


def test_every_finding_that_an_alert_rested_on_is_listed_once() -> None:
    history = History({}, {})
    assert alerted_table(history) == ""
    history.transitions += [
        change("early", "pending", START, DELAY),
        change("<b>", "firing", START + 60_000, WIND, matched=4),
        change("two", "firing", START + 120_000, WIND, DELAY),
        change("two", "resolved", START + 180_000, DELAY),
    ]
    page = alerted_table(history)
    assert Cells(page).rows == [
        ["Subject", "Statistic", "Rule", "First"],
        ["wind_speed", "missing", "<b>, two", "2013-04-02 06:01 UTC"],
        ["dep_delay", "psi", "two", "2013-04-02 06:02 UTC"],
    ]
    assert "<b>" not in page
    assert "up to 3 more matched" in page
    assert "(2)" in page
