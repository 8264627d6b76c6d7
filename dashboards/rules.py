"""What Prometheus rules and their unit tests are made of, and how they are written as YAML.

An alert carries its own examples: series under which it fires, and series under which it must stay quiet.
So none can be added without its test.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Example:
    """Series in promtool's notation, one value a minute, and whether the alert fires at a minute.

    Attributes:
        series: (series, values); `1x30` is 1 and thirty more of it, `0+5x30` rises by 5.
    """

    series: Sequence[tuple[str, str]]
    minute: int
    fires: bool


@dataclass(frozen=True, slots=True)
class Alert:
    """An alerting rule.

    Attributes:
        measured: a PromQL expression that has a value while all is well, too.
        when: the condition, with `{}` where ``measured`` stands.
        hold: for how long the condition must last before it fires, in Prometheus' notation.
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
        """The fragment of its section in the runbook."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording rule."""

    record: str
    expr: str


def rules_yaml(recordings: Sequence[Recording], alerts: Sequence[Alert], runbook: str) -> str:
    """The rules file.

    Args:
        runbook: address of the runbook page, to which each alert adds its anchor.
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
        rules_file: the rules' path as seen from the tests' file.
    """
    lines = [_HEADER, f"rule_files: [{_quoted(rules_file)}]", "evaluation_interval: 1m", "tests:"]
    for alert in alerts:
        for example in alert.examples:
            verdict = "fires" if example.fires else "stays quiet"
            lines += [
                f"  - name: {_quoted(f'{alert.name} {verdict}')}",
                "    interval: 1m",
                "    input_series:",
            ]
            for series, values in example.series:
                lines += [f"      - series: {_quoted(series)}", f"        values: {_quoted(values)}"]
            # `or vector(0)`: an alert that does not fire has no series at all.
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
    # A JSON string is a YAML string, whatever is in it; single quotes read better around those of PromQL.
    return f"'{text}'" if '"' in text and "'" not in text else json.dumps(text, ensure_ascii=False)
