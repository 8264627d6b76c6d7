"""Evaluations, rules and notices for tests, with the words that the detectors really say."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from alerts.evaluation import Evaluation, Finding, OffsetRange, Status
from alerts.lifecycle import AlertKey, AlertState, Transition, step
from alerts.policy import Kind, Notice, ReceiverPolicy, plan
from alerts.rules import Rule

NAN = math.nan
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
START = 1_364_882_400_000  # 2013-04-02 06:00 UTC
REALISED = {"performance", "version", "segments", "fairness"}


def psi(subject: str, value: float, status: Status, detail: str = "", upper: float = NAN) -> Finding:
    return Finding(subject, "psi", value, value * 0.875, upper, 0.02, status, detail)


def metric(value: float, name: str = "roc_auc", subject: str = "performance") -> Finding:
    """A statistic that is shown, not judged; NaN for one that could not be computed."""
    status: Status = "insufficient" if math.isnan(value) else "ok"
    return Finding(subject, name, value, value - 0.012, value + 0.012, NAN, status)


WIND = Finding(
    "feature:wind_speed",
    "missing",
    0.412,
    0.388,
    0.436,
    0.02,
    "drifted",
    "wind_speed: the share of missing values rose from 0.4% to 41%",
)
DELAY = psi(
    "feature:dep_delay",
    0.214,
    "drifted",
    "dep_delay moved up by 0.31 reference standard deviations and widened to 1.22 times its spread",
    upper=0.243,
)
CARRIER = psi(
    "feature:carrier",
    0.1,
    "drifted",
    "carrier: 'B6' rose from 12% to 24% and 'UA' fell from 20% to 14%",
    upper=0.14,
)
MONTH = psi("feature:month", 0.08, "drifted", "month moved up by 1.20 reference standard deviations")
DRIFTED = (WIND, DELAY, CARRIER, MONTH)


def evaluation(
    *findings: Finding,
    at: int = START,
    model: str = "flights",
    version: str = "v7",
    segment: str = "all",
    window: str = "1h",
    rows: int = 11_842,
    labelled_rows: int = 0,
    realised: bool | None = None,
) -> Evaluation:
    """Of realised performance if that is all it holds, unless it is said."""
    if realised is None:
        realised = {finding.subject.partition(":")[0] for finding in findings} <= REALISED and bool(findings)
    offsets = (OffsetRange("predictions", 0, 120_034, 131_875), OffsetRange("predictions", 1, 77, 512))
    series = (model, version, segment, window)
    return Evaluation(*series, at - HOUR, at, at, rows, labelled_rows, findings, offsets, realised)


def rule(name: str = "feature drift", **changes: Any) -> Rule:
    return replace(Rule(name, when="drifted", notify=("someone",)), **changes)


def metric_rule(metric: str = "roc_auc", **limits: Any) -> Rule:
    return rule("number", when=None, metric=metric, **limits)


Run = list[tuple[int, str, str]]


def run(rules: list[Rule], evaluations: list[Evaluation]) -> tuple[Run, dict[AlertKey, AlertState]]:
    """Steps through evaluations; gives (at, rule, new state) of every transition, and the last states."""
    states: dict[AlertKey, AlertState] = {}
    seen: Run = []
    for found in evaluations:
        moved = step(rules, states, found)
        states = dict(moved.states)
        seen += [(change.at, change.key.rule, change.state) for change in moved.transitions]
    return seen, states


def transitions(rules: list[Rule], evaluations: list[Evaluation]) -> list[Transition]:
    states: dict[AlertKey, AlertState] = {}
    seen: list[Transition] = []
    for found in evaluations:
        moved = step(rules, states, found)
        states = dict(moved.states)
        seen += moved.transitions
    return seen


def notices(
    rules: list[Rule], evaluations: list[Evaluation], receiver: ReceiverPolicy | None = None
) -> dict[Kind, Notice]:
    """The trigger and the resolve that evaluations lead to."""
    told = receiver or ReceiverPolicy("someone")
    planned = plan(
        transitions(rules, evaluations),
        {},
        {},
        {found.name: replace(found, notify=(told.name,)) for found in rules},
        {told.name: told},
    )
    return {notice.kind: notice for notice in planned.notices}


def trigger(receiver: ReceiverPolicy | None = None, **changes: Any) -> Notice:
    return notices([rule(severity="critical", **changes)], [evaluation(*DRIFTED)], receiver)["trigger"]


def resolve(receiver: ReceiverPolicy | None = None, **changes: Any) -> Notice:
    calm = evaluation(psi("feature:dep_delay", 0.001, "ok"), at=START + 27 * HOUR)
    return notices([rule(severity="critical", **changes)], [evaluation(*DRIFTED), calm], receiver)["resolve"]
