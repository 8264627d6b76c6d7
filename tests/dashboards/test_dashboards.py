"""The generated dashboards and rules are those in the repository, well-formed, and explained."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # its stubs would be one more dependency for a few lines
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards import generate
from dashboards.health import ALERTS, RECORDINGS
from dashboards.rules import Alert, promtool_tests, rules_yaml
from tests.dashboards.expressions import choices_of_dashboard, expressions_of_dashboard, substituted
from tests.servers.prometheus import promtool

ROOT = generate.HERE.parent
BOARDS = sorted((generate.HERE / "grafana").glob("*.json"))
RULES = generate.HERE / "prometheus" / "leeway-rules.yml"
UNIT_TESTS = generate.HERE / "prometheus" / "leeway-rules.test.yml"
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


@pytest.fixture(params=BOARDS, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


@pytest.fixture
def board(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


def panels_of(board: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in board["panels"] if panel["type"] != "row"]


@pytest.mark.parametrize("name", sorted(map(str, generate.files())))
def test_committed_files_are_what_the_generator_writes(name: str) -> None:
    assert (generate.HERE / name).read_text() == generate.files()[Path(name)], "run python -m dashboards.generate"


def test_no_generated_file_is_left_from_a_page_that_is_gone() -> None:
    there = {path.relative_to(generate.HERE) for folder in ("grafana", "prometheus") for path in _files_of(folder)}
    assert there == set(generate.files())


def _files_of(folder: str) -> list[Path]:
    return [path for path in (generate.HERE / folder).rglob("*") if path.is_file()]


def test_the_generator_writes_where_it_is_told_and_links_to_another_runbook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = "https://wiki.example.org/leewayd"
    monkeypatch.setattr(sys, "argv", ["generate", "--into", str(tmp_path), "--runbook", address])
    generate.main()
    rules = (tmp_path / "prometheus" / "leeway-rules.yml").read_text()
    assert rules.count(f"{address}#leewayd") == len(ALERTS)
    assert (tmp_path / "grafana" / "leeway-model.json").read_text() == BOARDS[0].read_text()


def test_dashboards_survive_a_round_trip_through_grafanas_own_types(board: dict[str, Any]) -> None:
    known = json.loads(json.dumps(Dashboard.from_json(board), cls=JSONEncoder))
    assert known.keys() == board.keys()
    for ours, theirs in zip(board["panels"], known["panels"], strict=True):
        # What the types do not know they drop: then a key is misspelt or a value misplaced.
        assert theirs.keys() == ours.keys()
        assert theirs.get("targets") == ours.get("targets")
        assert theirs.get("gridPos") == ours["gridPos"]
    assert board["schemaVersion"] >= 42


def test_every_query_goes_to_the_data_source_that_the_reader_chose(board: dict[str, Any]) -> None:
    for panel in panels_of(board):
        assert panel["datasource"] == DATASOURCE, panel["title"]
        assert panel["targets"], panel["title"]
        assert all(target["datasource"] == DATASOURCE for target in panel["targets"]), panel["title"]
    first, *others = board["templating"]["list"]
    assert (first["name"], first["type"], first["query"]) == ("datasource", "datasource", "prometheus")
    assert all(variable["datasource"] == DATASOURCE for variable in others)
    assert all(mark["datasource"] == DATASOURCE for mark in board["annotations"]["list"])


def test_panels_lie_within_the_page_and_do_not_overlap(board: dict[str, Any]) -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']} overlaps {taken.get((x, y))}"
                taken[x, y] = panel["title"]


def test_panels_have_ids_titles_units_and_explanations(board: dict[str, Any]) -> None:
    identities = [panel["id"] for panel in board["panels"]]
    assert len(set(identities)) == len(identities)
    for panel in panels_of(board):
        assert panel["title"]
        assert len(panel["description"]) > 60, panel["title"]
        letters = [target["refId"] for target in panel["targets"]]
        assert len(set(letters)) == len(letters), panel["title"]


def test_expressions_use_only_variables_that_exist(path: Path) -> None:
    values = dict.fromkeys(("model", "version", "segment", "window"), "x")
    assert [choice.name for choice in choices_of_dashboard(path)] == list(values)
    for expression in expressions_of_dashboard(path):
        assert "$" not in substituted(expression.original, values), expression.where


def test_an_unknown_variable_is_noticed() -> None:
    assert substituted("rate(x[$__rate_interval]) + ${model}", {"model": "m"}) == "rate(x[1m]) + m"
    with pytest.raises(KeyError, match="modle"):
        substituted('x{model="$modle"}', {"model": "m"})


def test_expressions_are_tested_without_what_hides_a_missing_metric(path: Path) -> None:
    texts = {expression.where: expression.text for expression in expressions_of_dashboard(path)}
    assert texts["leeway-model: Alerts firing/A"].endswith('state="firing"})')
    assert texts["leeway-model: annotation Firing alerts"].endswith('state="firing"})')


def test_data_source_and_dashboards_can_be_provisioned() -> None:
    folder = generate.HERE / "provisioning"
    (source,) = yaml.safe_load((folder / "datasources" / "prometheus.yaml").read_text())["datasources"]
    assert (source["type"], source["access"]) == ("prometheus", "proxy")
    (provider,) = yaml.safe_load((folder / "dashboards" / "leewayd.yaml").read_text())["providers"]
    assert provider["type"] == "file"
    # The page that explains the import names the same folder.
    assert provider["options"]["path"] in (ROOT / "docs" / "dashboards.md").read_text()


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_every_alert_has_examples_and_a_section_in_the_runbook(alert: Alert) -> None:
    assert {example.fires for example in alert.examples} == {True, False}
    assert "{}" in alert.when
    runbook = (ROOT / "docs" / "runbook.md").read_text()
    section = re.search(rf"^## {alert.name}\n(.+?)(?=^## |\Z)", runbook, re.MULTILINE | re.DOTALL)
    assert section is not None
    assert "**Do:**" in section[1]


def test_the_runbook_knows_no_alert_that_is_gone() -> None:
    sections = re.findall(r"^## (Leewayd\w+)$", (ROOT / "docs" / "runbook.md").read_text(), re.MULTILINE)
    assert sections == [alert.name for alert in ALERTS]


def test_rules_are_valid_yaml_with_every_rule() -> None:
    recordings, health = yaml.safe_load(RULES.read_text())["groups"]
    assert [(rule["record"], rule["expr"]) for rule in recordings["rules"]] == [
        (rule.record, rule.expr) for rule in RECORDINGS
    ]
    assert [(rule["alert"], rule["expr"]) for rule in health["rules"]] == [(a.name, a.expr) for a in ALERTS]
    names = [alert.name for alert in ALERTS]
    assert len(set(names)) == len(names)


@pytest.mark.prometheus
def test_promtool_accepts_the_rules() -> None:
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", RULES)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.prometheus
def test_every_alert_fires_when_it_should_and_only_then() -> None:
    done = promtool("test", "rules", UNIT_TESTS)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.prometheus
@pytest.mark.parametrize(("broken", "expected"), [("vector(0) > 1", 1), ("vector(1)", 0)])
def test_the_unit_tests_notice_an_alert_that_never_fires_or_always_does(
    tmp_path: Path, broken: str, expected: int
) -> None:
    # Every condition is replaced at once; every example that contradicts it must be named.
    alerts = [replace(alert, when=broken, hold="0m") for alert in ALERTS]
    (tmp_path / "rules.yml").write_text(rules_yaml(RECORDINGS, alerts, "runbook"))
    (tmp_path / "tests.yml").write_text(promtool_tests(ALERTS, "rules.yml"))
    done = promtool("test", "rules", tmp_path / "tests.yml")
    assert done.returncode != 0
    noticed = re.findall(r'alertname=\\"(\w+)\\".*\n\s+exp: \{\} (\d)', done.stdout + done.stderr)
    assert set(noticed) == {(alert.name, str(expected)) for alert in ALERTS}
