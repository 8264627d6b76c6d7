"""The parts of Prometheus rules and of their unit tests, and their YAML.

Every alert has examples: series with which it fires, and series with which it must not. So no alert can be added
without a test.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Example:
    """Series in promtool's notation, one value per minute, and whether the alert fires at ``minute``.

    Attributes:
        series: (series, values); `1x30` is 1 repeated thirty more times, `0+5x30` rises by 5.
    """

    series: Sequence[tuple[str, str]]
    minute: int
    fires: bool


@dataclass(frozen=True, slots=True)
class Alert:
    """An alerting rule.

    Attributes:
        measured: a PromQL expression that also has a value while the alert does not fire.
        when: the condition, with `{}` in place of ``measured``.
        hold: how long the condition must last before the alert fires, in Prometheus' notation.
        summary, description: templates of Prometheus; the summary is one line.
    """

    name: str
    measured: str
    when: str
    hold: str
    severity: Literal["critical", "warning"]
    summary: str
    description: str
    examples: Sequence[Example]

    @property
    def expr(self) -> str:
        """The whole expression."""
        return self.when.replace("{}", self.measured)

    @property
    def anchor(self) -> str:
        """URL fragment of the alert's section in the runbook."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording rule."""

    record: str
    expr: str


def rules_yaml(recordings: Sequence[Recording], alerts: Sequence[Alert], runbook: str) -> str:
    """The rules file.

    Args:
        runbook: URL of the runbook page; each alert adds its anchor.
    """
    lines = [_HEADER, "groups:", "  - name: leewayd-recordings", "    rules:"]
    for recording in recordings:
        lines += [f"      - record: {recording.record}", f"        expr: {_quoted(recording.expr)}"]
    lines += ["", "  - name: leewayd-health", "    rules:"]
    for alert in alerts:
        lines += [
            f"      - alert: {alert.name}",
            f"        expr: {_quoted(alert.expr)}",
            f"        for: {alert.hold}",
            "        labels:",
            f"          severity: {alert.severity}",
            "        annotations:",
            f"          summary: {_quoted(alert.summary)}",
            f"          description: {_quoted(alert.description)}",
            f"          runbook_url: {_quoted(f'{runbook}#{alert.anchor}')}",
        ]
    return "\n".join(lines) + "\n"


def promtool_tests(alerts: Sequence[Alert], rules_file: str) -> str:
    """The unit tests of the rules, for `promtool test rules`.

    Args:
        rules_file: path of the rules, relative to the file with the tests.
    """
    lines = [_HEADER, f"rule_files: [{_quoted(rules_file)}]", "evaluation_interval: 1m", "tests:"]
    for alert in alerts:
        for example in alert.examples:
            verdict = "fires" if example.fires else "does not fire"
            lines += [
                f"  - name: {_quoted(f'{alert.name} {verdict}')}",
                "    interval: 1m",
                "    input_series:",
            ]
            for series, values in example.series:
                lines += [f"      - series: {_quoted(series)}", f"        values: {_quoted(values)}"]
            # `or vector(0)`: an alert that does not fire has no series.
            firing = f'count(ALERTS{{alertname="{alert.name}", alertstate="firing"}}) or vector(0)'
            lines += [
                "    promql_expr_test:",
                f"      - expr: {_quoted(firing)}",
                f"        eval_time: {example.minute}m",
                "        exp_samples:",
                '          - labels: "{}"',
                f"            value: {int(example.fires)}",
            ]
    return "\n".join(lines) + "\n"


_HEADER = "# Written by `python -m dashboards.generate`; change dashboards/health.py instead."


def _quoted(text: str) -> str:
    # Every JSON string is a YAML string; single quotes read better around PromQL's double quotes.
    return f"'{text}'" if '"' in text and "'" not in text else json.dumps(text, ensure_ascii=False)
