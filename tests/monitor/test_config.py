"""Configurations good and bad: what is accepted, and what a person is told about the rest."""

from __future__ import annotations

import json
import re
import tomllib
import typing
from dataclasses import asdict, fields
from pathlib import Path

import pytest
from pydantic import BaseModel

from alerts.rules import Rule
from monitor.config import Config, ModelSection, RuleSection
from monitor.config_file import parse_config, read_config
from monitor.errors import ConfigError
from monitor.routing import make_rule

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = Path(__file__).resolve().parent / "fixtures"
EXAMPLE = ROOT / "config.example.toml"


@pytest.mark.parametrize("path", sorted((FIXTURES / "good").glob("*.toml")), ids=lambda path: path.stem)
def test_good_configurations_are_read(path: Path) -> None:
    assert read_config(path).models


@pytest.mark.parametrize("path", sorted((FIXTURES / "bad").glob("*.toml")), ids=lambda path: path.stem)
def test_every_fault_of_a_bad_configuration_is_told_at_once(path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    problems = [problem.replace(str(path), path.name, 1) for problem in caught.value.problems]
    assert problems == path.with_suffix(".txt").read_text().splitlines()


def test_relative_paths_are_taken_from_the_folder_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text((FIXTURES / "good" / "contract.toml").read_text())
    config = read_config(path)
    assert config.state.dir == tmp_path / "state"
    assert config.models[0].reference == tmp_path / "reference.parquet"
    assert config.receivers[0].url_file == Path("/run/credentials/leewayd/slack_url")  # type: ignore[union-attr]


def test_a_model_a_topic_and_a_reference_are_complete_and_alerts_then_go_to_the_log() -> None:
    config = read_config(FIXTURES / "good" / "minimal.toml")
    assert [(rule.name, rule.when, rule.subject, rule.severity) for rule in config.rules] == [
        ("drift", "drifted", "*", "warning"),
        ("performance", "breached", "performance", "error"),
        ("worse version", "breached", "version", "error"),
        ("estimated performance", "breached", "estimated_performance", "warning"),
        ("data quality", "breached", "quality*", "warning"),
        ("labels", "breached", "labels", "warning"),
    ]
    assert all(rule.notify == ["log"] for rule in config.rules)
    assert [receiver.type for receiver in config.receivers] == ["log"]


def test_default_rules_page_people_but_never_start_a_retraining() -> None:
    raw = tomllib.loads((FIXTURES / "good" / "minimal.toml").read_text())
    raw["receivers"] = [
        {"name": "people", "type": "webhook", "url": "http://h/"},
        {"name": "robot", "type": "webhook", "url": "http://h/", "purpose": "retrain"},
    ]
    assert all(rule.notify == ["people"] for rule in parse_config(raw, Path()).rules)


def test_a_rule_comes_from_the_file_as_it_is_written() -> None:
    raw = tomllib.loads((FIXTURES / "good" / "contract.toml").read_text())
    config = parse_config(raw, Path())
    _, _, surely, fallen, estimated = (make_rule(rule) for rule in config.rules)
    assert (surely.below, surely.recover, surely.sure, surely.estimated) == (0.8, 0.82, True, False)
    assert (fallen.change_from_reference, fallen.recover, fallen.sure) == (-0.05, -0.02, False)
    assert (estimated.when, estimated.estimated) == ("breached", True)


def test_every_option_of_a_rule_reaches_the_rules() -> None:
    renamed = {"hold": "hold_ms", "resolve_after": "resolve_ms"}
    options = {renamed.get(name, name) for name in RuleSection.model_fields}
    assert options == {field.name for field in fields(Rule)}
    odd: dict[str, typing.Any] = {
        "name": "r", "metric": "psi", "above": 0.3, "recover": 0.2, "sure": True, "subject": "feature:a",
        "statistic": "p*", "models": ["m"], "windows": ["1h"], "segment": "s=*", "for": "5m", "resolve_after": "7m",
        "severity": "critical", "notify": ["team"], "runbook": "https://wiki/x",
    }  # fmt: skip
    rule = make_rule(RuleSection.model_validate(odd))
    kept = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(rule).items()}
    assert (kept.pop("hold_ms"), kept.pop("resolve_ms")) == (300_000, 420_000)
    assert {name: kept[name] for name in odd if name in kept} == {
        name: value for name, value in odd.items() if name not in ("for", "resolve_after")
    }
    plain = make_rule(RuleSection.model_validate({"name": "r", "when": "drifted"}))
    assert plain == Rule("r", when="drifted")


def test_one_topic_for_two_models_needs_the_model_named_in_the_record() -> None:
    raw = tomllib.loads((FIXTURES / "good" / "two-models-one-topic.toml").read_text())
    del raw["models"][0]["columns"]["model"]
    with pytest.raises(ConfigError, match="a record must name its model"):
        parse_config(raw, Path())


def sections(model: type[BaseModel] = Config, place: str = "") -> dict[str, type[BaseModel]]:
    """Every section of the configuration by its TOML place."""
    found = {place: model}
    for name, field in model.model_fields.items():
        for inner in _models(field.annotation):
            tag = inner.model_fields.get("type")
            suffix = f"({typing.get_args(tag.annotation)[0]})" if tag and place == "" and name == "receivers" else ""
            found |= sections(inner, f"{place}.{field.alias or name}{suffix}".strip("."))
    return found


def _models(annotation: typing.Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [inner for part in typing.get_args(annotation) for inner in _models(part)]


def example_section(place: str) -> str:
    """The text of a section in the example, comments and all."""
    text = EXAMPLE.read_text()
    parts = re.split(r"^# ?\[|^\[", text, flags=re.MULTILINE)
    name, _, kind = place.partition("(")
    chosen = [part for part in parts if re.match(rf"\[?{re.escape(name)}\]", part)]
    if kind:
        chosen = [part for part in chosen if f'type = "{kind.rstrip(")")}"' in part]
    return "\n".join(chosen)


@pytest.mark.parametrize("place", [place for place in sections() if place])
def test_every_option_stands_in_the_example(place: str) -> None:
    text = example_section(place)
    for name, field in sections()[place].model_fields.items():
        key = field.alias or name
        if not _models(field.annotation) and key != "type":
            assert re.search(rf"(^|[\s#]){key}( =|\b)", text), f"[{place}] {key} is not in config.example.toml"


def test_the_example_is_valid_and_its_values_are_the_defaults() -> None:
    read_config(EXAMPLE)
    raw = tomllib.loads(EXAMPLE.read_text())
    for place in ("state", "http", "log", "ingest"):
        section = sections()[place]
        assert section.model_validate(raw[place]) == section(), place
    model = ModelSection.model_validate(raw["models"][0])
    assert model.drift == ModelSection.model_fields["drift"].default
    for name in ("pane", "lateness", "max_series"):
        assert getattr(model, name) == ModelSection.model_fields[name].default
    assert model.windows == ModelSection.model_fields["windows"].default


def test_the_schema_is_one_and_knows_every_section() -> None:
    schema = json.loads(json.dumps(Config.model_json_schema(by_alias=True)))
    assert {"kafka", "models", "rules", "receivers"} <= set(schema["properties"])
    assert "for" in schema["$defs"]["RuleSection"]["properties"]
