"""Every PromQL expression that ships finds something in a real Prometheus that scrapes a real daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dashboards.generate import HERE
from dashboards.health import ALERTS, RECORDINGS
from tests.dashboards.expressions import (
    Choice,
    Expression,
    choices_of_dashboard,
    expressions_of_dashboard,
    expressions_of_rules,
    substituted,
)
from tests.servers.prometheus import PrometheusServer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.servers.prometheus import Sample

pytestmark = [pytest.mark.kafka, pytest.mark.prometheus]

BOARDS = sorted((HERE / "grafana").glob("*.json"))
RULES = expressions_of_rules(RECORDINGS, ALERTS)
# Expressions that rightly answer nothing here, with the reason.
ALLOWED_EMPTY: dict[str, str] = {}


@pytest.fixture(scope="module")
def prometheus(live_metrics_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    rules = HERE / "prometheus" / "leeway-rules.yml"
    with PrometheusServer(live_metrics_url, tmp_path_factory.mktemp("prometheus"), rules) as server:
        server.wait_for_target_up()
        # A rate needs two scrapes, and the recording rules an evaluation after them.
        server.wait_for("rate(leeway_rows_total[1m])")
        server.wait_for(RECORDINGS[0].record)
        yield server


def choose(prometheus: PrometheusServer, choices: list[Choice]) -> dict[str, str]:
    """The values that a reader meets who opens the dashboard for the first time."""
    values: dict[str, str] = {}
    for choice in choices:
        found = prometheus.label_values(choice.label, substituted(choice.selector, values))
        assert found, f"the variable {choice.name} has no values"
        values[choice.name] = choice.preferred if choice.preferred in found else found[0]
    return values


def answer(prometheus: PrometheusServer, expression: Expression, values: Mapping[str, str]) -> list[Sample]:
    # As it is written it must at least be valid.
    prometheus.query(substituted(expression.original, values))
    return prometheus.query(substituted(expression.text, values))


@pytest.fixture(scope="module", params=BOARDS, ids=lambda path: path.stem)
def board(request: pytest.FixtureRequest, prometheus: PrometheusServer) -> list[tuple[Expression, list[Sample]]]:
    values = choose(prometheus, choices_of_dashboard(request.param))
    return [
        (expression, answer(prometheus, expression, values)) for expression in expressions_of_dashboard(request.param)
    ]


def test_every_expression_of_a_dashboard_finds_something(
    board: list[tuple[Expression, list[Sample]]],
) -> None:
    empty = {expression.where: expression.text for expression, samples in board if not samples}
    assert {where: text for where, text in empty.items() if where not in ALLOWED_EMPTY} == {}
    assert len(board) > 30


def test_dashboards_offer_the_whole_traffic_first(prometheus: PrometheusServer) -> None:
    for path in BOARDS:
        values = choose(prometheus, choices_of_dashboard(path))
        assert values["model"] == "income"
        assert values["segment"] == "all"
        assert values["window"] in ("7d", "28d")


def test_the_table_of_the_worst_features_has_a_number_in_every_column_for_a_drifted_feature(
    board: list[tuple[Expression, list[Sample]]],
) -> None:
    columns = [samples for expression, samples in board if ": Worst features/" in expression.where]
    assert len(columns) == 8
    for samples in columns:
        assert "AGEP" in {sample.labels["feature"] for sample in samples}


@pytest.mark.parametrize("expression", RULES, ids=lambda expression: expression.where)
def test_every_rule_measures_something(prometheus: PrometheusServer, expression: Expression) -> None:
    assert answer(prometheus, expression, {}) or expression.where in ALLOWED_EMPTY


def test_prometheus_evaluates_every_rule_without_error(prometheus: PrometheusServer) -> None:
    rules = prometheus.rules()
    assert {rule["name"] for rule in rules} == {rule.record for rule in RECORDINGS} | {a.name for a in ALERTS}
    assert {rule["name"]: rule["lastError"] for rule in rules if rule.get("lastError")} == {}


def test_no_alert_of_a_daemon_that_does_well_is_about_to_fire(prometheus: PrometheusServer) -> None:
    active = {rule["name"] for rule in prometheus.rules() if rule["type"] == "alerting" and rule["alerts"]}
    # The fixture lets a notification die, of which no other receiver can be informed, so the daemon is not ready;
    # and it produces nothing while Prometheus looks. All else is well.
    assert active <= {"LeewaydNotificationsDead", "LeewaydNoRows", "LeewaydNotReady"}


def test_allowances_are_still_needed(board: list[tuple[Expression, list[Sample]]]) -> None:
    answered = {expression.where for expression, samples in board if samples}
    assert answered.isdisjoint(ALLOWED_EMPTY)
