"""Every PromQL expression of a dashboard or of the rules, ready to be run against a Prometheus."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from dashboards.rules import Alert, Recording

_LABEL_VALUES = re.compile(r"label_values\((?P<selector>.*), (?P<label>\w+)\)")
# What makes an expression answer nothing, or something, whether or not its metrics are there.
_FALLBACK = re.compile(r"\s+or vector\(0\)$")
_COMPARISON = re.compile(r"\s*(==|!=|>=|<=|>|<)\s*[\d.]+$")
# Grafana's own variables, as they are for a short scrape interval.
_BUILT_IN = {"__rate_interval": "1m", "__interval": "15s", "__range": "1h"}
_VARIABLE = re.compile(r"\$(?:\{(?P<braced>\w+)(?::\w+)?\}|(?P<plain>\w+))")


@dataclass(frozen=True, slots=True)
class Expression:
    """One expression and where it stands, without what would hide that its metrics are missing.

    Attributes:
        original: as it is written.
        text: without comparison and fallback; variables still in it.
    """

    where: str
    original: str
    text: str


@dataclass(frozen=True, slots=True)
class Choice:
    """A variable of a dashboard: the values of a label among the series of a selector, in this order.

    Attributes:
        preferred: the value that is chosen first; empty for the first of all.
    """

    name: str
    selector: str
    label: str
    preferred: str


def _panels(board: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for panel in board["panels"]:
        yield panel
        yield from panel.get("panels") or ()


def expressions_of_dashboard(path: Path) -> list[Expression]:
    """Every target of every panel, and every annotation."""
    board = json.loads(path.read_text())
    found = [
        _expression(f"{path.stem}: {panel['title']}/{target['refId']}", target["expr"])
        for panel in _panels(board)
        for target in panel.get("targets", ())
    ]
    marks = board["annotations"]["list"]
    return found + [_expression(f"{path.stem}: annotation {mark['name']}", mark["expr"]) for mark in marks]


def choices_of_dashboard(path: Path) -> list[Choice]:
    """The variables that ask Prometheus, in the order in which they depend on each other."""
    choices = []
    for variable in json.loads(path.read_text())["templating"]["list"]:
        if variable["type"] == "query":
            query = _LABEL_VALUES.fullmatch(variable["query"]["query"])
            assert query is not None, variable["query"]
            preferred = variable.get("current", {}).get("value", "")
            choices.append(Choice(variable["name"], query["selector"], query["label"], preferred))
    return choices


def expressions_of_rules(recordings: Sequence[Recording], alerts: Sequence[Alert]) -> list[Expression]:
    """What the rules measure: without the conditions of alerts, which hold for nothing while all is well."""
    return [Expression(f"rules: {rule.record}", rule.expr, rule.expr) for rule in recordings] + [
        Expression(f"rules: {alert.name}", alert.expr, alert.measured) for alert in alerts
    ]


def substituted(text: str, values: Mapping[str, str]) -> str:
    """The text with Grafana's and the dashboard's variables put in.

    Raises:
        KeyError: there is no such variable.
    """
    known = _BUILT_IN | dict(values)
    return _VARIABLE.sub(lambda found: known[found["braced"] or found["plain"]], text)


def _expression(where: str, expr: str) -> Expression:
    return Expression(where, expr, _COMPARISON.sub("", _FALLBACK.sub("", expr)))
