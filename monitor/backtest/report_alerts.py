"""The report's list of all findings that alerts were based on, so that every alert has its reason on the page."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from alerts.moments import utc
from monitor.backtest.html import table

if TYPE_CHECKING:
    from monitor.backtest.history import History


def alerted_table(history: History) -> str:
    """Subject and statistic of every finding behind an alert when it fired or last held; empty without alerts."""
    rules: dict[tuple[str, str], dict[str, None]] = {}
    first: dict[tuple[str, str], int] = {}
    unnamed = 0
    for change in history.transitions:
        if change.state == "pending":
            continue
        unnamed = max(unnamed, change.evidence.matched - len(change.evidence.findings))
        for finding in change.evidence.findings:
            name = (finding.subject, finding.statistic)
            rules.setdefault(name, {})[change.key.rule] = None
            first.setdefault(name, change.at)
    if not rules:
        return ""
    rows = (
        [escape(name[0].removeprefix("feature:")), escape(name[1]), escape(", ".join(rules[name])), utc(first[name])]
        for name in sorted(rules, key=lambda name: (first[name], name))
    )
    more = f'<p class="quiet">An alert keeps its worst findings; up to {unnamed:,} more matched.</p>' if unnamed else ""
    shown = table(("Subject", "Statistic", "Rule", "First"), rows)
    return f"<details><summary>All findings behind the alerts ({len(rules):,})</summary>{shown}{more}</details>"
