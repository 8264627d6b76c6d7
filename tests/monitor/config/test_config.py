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
from monitor.alerting.receivers import make_rule
from monitor.checks.load import parse_config, read_config
from monitor.common.errors import ConfigError
from monitor.config.model import ModelSection
from monitor.config.schema import Config, RuleSection
from tests.support.paths import CONFIGS, ROOT

EXAMPLE = ROOT / "config.example.toml"


@pytest.mark.parametrize("path", sorted((CONFIGS / "good").glob("*.toml")), ids=lambda path: path.stem)
def test_good_configurations_are_read(path: Path) -> None:
    assert read_config(path).models


@pytest.mark.parametrize("path", sorted((CONFIGS / "bad").glob("*.toml")), ids=lambda path: path.stem)
def test_every_fault_of_a_bad_configuration_is_told_at_once(path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    problems = [problem.replace(str(path), path.name, 1) for problem in caught.value.problems]
    assert problems == path.with_suffix(".txt").read_text().splitlines()


def test_relative_paths_are_taken_from_the_folder_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text((CONFIGS / "good" / "contract.toml").read_text())
    config = read_config(path)
    assert config.state.dir == tmp_path / "state"
    assert config.models[0].reference == tmp_path / "reference.parquet"
    assert config.receivers[0].url_file == Path("/run/credentials/leewayd/slack_url")  # type: ignore[union-attr]


def test_a_model_a_topic_and_a_reference_are_complete_and_alerts_then_go_to_the_log() -> None:
    config = read_config(CONFIGS / "good" / "minimal.toml")
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
    raw = tomllib.loads((CONFIGS / "good" / "minimal.toml").read_text())
    raw["receivers"] = [
        {"name": "people", "type": "webhook", "url": "http://h/"},
        {"name": "robot", "type": "webhook", "url": "http://h/", "purpose": "retrain"},
    ]
    assert all(rule.notify == ["people"] for rule in parse_config(raw, Path()).rules)


def test_a_rule_comes_from_the_file_as_it_is_written() -> None:
    raw = tomllib.loads((CONFIGS / "good" / "contract.toml").read_text())
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
    raw = tomllib.loads((CONFIGS / "good" / "two-models-one-topic.toml").read_text())
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


def numeric_places() -> list[tuple[str, str]]:
    """Section and key of every field that takes numbers, and not true as well, by the JSON Schema."""
    schema = Config.model_json_schema()
    found = []
    for place, section in sections().items():
        for name, field in section.model_fields.items():
            part = schema["$defs"].get(section.__name__, schema)["properties"][field.alias or name]
            text = json.dumps(part)
            if re.search(r'"type": "(integer|number)"', text) and '"boolean"' not in text:
                found.append((place, field.alias or name))
    return found


def at_place(place: str, key: str, value: object) -> dict[str, typing.Any]:
    """A configuration with a value at a place."""
    raw = tomllib.loads((CONFIGS / "good" / "minimal.toml").read_text())
    raw["rules"], raw["receivers"] = [{"name": "r", "when": "drifted"}], [{"name": "l", "type": "log"}]
    node: typing.Any = raw
    for part in place.partition("(")[0].split("."):
        node = node.setdefault(part, {}) if part else node
        node = node[0] if isinstance(node, list) else node
    node[key] = value
    return raw


@pytest.mark.parametrize("value", [True, False, [True], [0.5, False]])
@pytest.mark.parametrize(("place", "key"), numeric_places())
def test_true_is_no_number(place: str, key: str, value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(at_place(place, key, value), Path())
    assert any(f"{key}" in line and "must be" in line for line in caught.value.problems), caught.value.problems


def test_true_stays_what_it_is_where_it_may_stand() -> None:
    raw = at_place("models.performance", "positive", True)
    assert parse_config(raw, Path()).models[0].performance.positive is True
    raw = at_place("kafka", "client", {"check_crcs": True})
    kafka = parse_config(raw, Path()).kafka
    assert kafka is not None
    assert kafka.client["check_crcs"] is True


ZERO_IS_SENSIBLE = {
    ("state", "keep_removed"),  # deleted at once
    ("ingest", "max_future_skew"),
    ("models", "lateness"),
    ("rules", "for"),
    ("rules", "resolve_after"),
    ("receivers", "cooldown"),  # none
}


def durations() -> list[tuple[str, str]]:
    """Section and key of every duration."""
    schemas = {place: section.model_json_schema()["properties"] for place, section in sections().items()}
    return [
        (place, key) for place, fields in schemas.items() for key, field in fields.items()
        if "such as 90s" in json.dumps(field)
    ]  # fmt: skip


@pytest.mark.parametrize(("place", "key"), durations())
def test_a_duration_of_nothing_is_refused_where_it_makes_no_sense(place: str, key: str) -> None:
    kind = place.partition("(")[2].rstrip(")")
    raw = at_place(place, key, "0s")
    receiver = {"slack": {"url_env": "U"}, "pagerduty": {"routing_key_env": "K"}, "webhook": {"url": "http://h/"}}
    if kind:
        raw["receivers"] = [{"name": "l", "type": kind, key: "0s", **receiver.get(kind, {})}]
    if (place.partition("(")[0], key) in ZERO_IS_SENSIBLE:
        parse_config(raw, Path())
    else:
        with pytest.raises(ConfigError, match=rf'{key}.*got "0s"|{key}.*"0s"'):
            parse_config(raw, Path())
    raw = at_place(place, key, "-1s")
    if kind:
        raw["receivers"] = [{"name": "l", "type": kind, key: "-1s", **receiver.get(kind, {})}]
    with pytest.raises(ConfigError, match=f"{key}.*a duration must not be negative"):
        parse_config(raw, Path())


def test_durations_and_numbers_are_found() -> None:
    assert {("kafka", "refresh"), ("models.drift", "burn_in"), ("state", "checkpoint")} <= set(durations())
    assert {("http", "max_connections"), ("models.performance", "quantiles"), ("rules", "above")} <= set(
        numeric_places()
    )
