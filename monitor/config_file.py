"""Reads the configuration file; tells every fault at once, each with its place and the nearest valid key."""

from __future__ import annotations

import difflib
import tomllib
import types
import typing
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from monitor.config import Config, FileSection, LogReceiver, ModelSection, RuleSection, StateSection
from monitor.config_labels import label_problems
from monitor.config_receivers import receiver_problems
from monitor.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic_core import ErrorDetails

# Keys that people try first, and why they are refused.
_SECRET_KEYS = {
    "url": "the URL is a secret: put it in a file or the environment and name that with url_file or url_env",
    "routing_key": "the routing key is a secret: use routing_key_file or routing_key_env",
    "token": "the token is a secret: use token_file or token_env",
}
_DEFAULT_RULES = (
    {"name": "drift", "when": "drifted", "severity": "warning"},
    {"name": "performance", "when": "breached", "subject": "performance", "severity": "error"},
    {"name": "worse version", "when": "breached", "subject": "version", "severity": "error"},
    {"name": "estimated performance", "when": "breached", "subject": "estimated_performance", "severity": "warning"},
    {"name": "data quality", "when": "breached", "subject": "quality*", "severity": "warning"},
    {"name": "labels", "when": "breached", "subject": "labels", "severity": "warning"},
)
_LOCATION_TAGS = frozenset({"slack", "pagerduty", "webhook", "log"})


def read_config(path: Path) -> Config:
    """The validated configuration; relative paths in it are taken from the file's own folder.

    Raises:
        ConfigError: with every problem found.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror}"]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: not valid TOML: {error}"]) from error
    return parse_config(raw, path.resolve().parent)


def parse_config(raw: dict[str, Any], folder: Path) -> Config:
    """The validated configuration of a parsed TOML document.

    Raises:
        ConfigError: with every problem found.
    """
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        raise ConfigError([_describe(item, raw) for item in error.errors()]) from error
    problems = cross_check(config)
    if problems:
        raise ConfigError(problems)
    return _with_defaults(_anchored(config, folder))


def _describe(item: ErrorDetails, raw: dict[str, Any]) -> str:
    location = [part for part in item["loc"] if part not in _LOCATION_TAGS or part in raw]
    place = _place(location, raw)
    if item["type"] == "extra_forbidden":
        key = str(location[-1])
        # `url` is a plain setting of a webhook and an unknown key elsewhere, so only here is it a misplaced secret.
        if key in _SECRET_KEYS:
            return f"{place}: {_SECRET_KEYS[key]}"
        known = sorted(_keys(_model_at(list(item["loc"][:-1]))))
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"valid here: {', '.join(known)}"
        return f"{place}: unknown key; {hint}"
    if item["type"] == "missing":
        return f"{place}: required, but not given"
    message = item["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message


def _place(location: list[int | str], raw: Any) -> str:
    """``models[0] "income".drift.min_effect``."""
    text, node = "", raw
    for part in location:
        try:
            node = node[part]
        except (KeyError, IndexError, TypeError):
            node = None
        if isinstance(part, int):
            text += f"[{part}]"
            if isinstance(node, dict) and isinstance(node.get("name"), str):
                text += f' "{node["name"]}"'
        else:
            text += f".{part}" if text else str(part)
    return text


def _keys(model: type[BaseModel] | None) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()} if model else set()


def _model_at(location: list[int | str]) -> type[BaseModel] | None:
    """The section that a location in a validation error lies in."""
    candidates: list[type[BaseModel]] = [Config]
    for part in location:
        if isinstance(part, int):
            continue
        if part in _LOCATION_TAGS:
            candidates = [model for model in candidates if _tag(model) == part] or candidates
            continue
        candidates = [
            inner
            for model in candidates
            for name, field in model.model_fields.items()
            if part in (name, field.alias)
            for inner in _sections(field.annotation)
        ]
    return candidates[0] if candidates else None


def _tag(model: type[BaseModel]) -> str | None:
    field = model.model_fields.get("type")
    return typing.get_args(field.annotation)[0] if field else None


def _sections(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    origin = typing.get_origin(annotation)
    if origin in (list, dict, types.UnionType, typing.Union, typing.Annotated):
        return [section for inner in typing.get_args(annotation) for section in _sections(inner)]
    return []


def cross_check(config: Config) -> list[str]:
    """Faults that lie between sections rather than in one."""
    problems = []
    if (config.kafka is None) == (config.file is None):
        problems.append("give exactly one of [kafka] and [file]: where predictions come from")
    for kind, names in (
        ("models", [model.name for model in config.models]),
        ("rules", [rule.name for rule in config.rules]),
        ("receivers", [receiver.name for receiver in config.receivers]),
    ):
        problems += [
            f"{kind}: the name {name!r} is given twice" for name in sorted(set(names)) if names.count(name) > 1
        ]
    receivers = {receiver.name for receiver in config.receivers}
    models = {model.name for model in config.models}
    windows = {window for model in config.models for window in (*model.windows, *model.performance.windows)}
    for rule in config.rules:
        problems += _unknown(f'rule "{rule.name}": notify', rule.notify, receivers)
        problems += _unknown(f'rule "{rule.name}": models', rule.models, models)
        problems += _unknown(f'rule "{rule.name}": windows', rule.windows, windows)
    problems += _topics(config)
    problems += label_problems(config)
    problems += _receiver_secrets(config)
    problems += receiver_problems(config)
    return problems


def _unknown(place: str, names: list[str], known: set[str]) -> list[str]:
    problems = []
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.4)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known)) or 'none'}"
            problems.append(f"{place}: {name!r} is not defined; {hint}")
    return problems


def _topics(config: Config) -> list[str]:
    if config.kafka is None:
        return [f'model "{model.name}": topics need [kafka]' for model in config.models if model.topics]
    problems = []
    for model in config.models:
        problems += _unknown(f'model "{model.name}": topics', model.topics, set(config.kafka.predictions))
    for topic in config.kafka.predictions:
        takers = [model for model in config.models if topic in (model.topics or config.kafka.predictions)]
        greedy = [model.name for model in takers if model.columns.model is None]
        if len(takers) > 1 and greedy:
            problems.append(
                f"topic {topic!r} feeds {len(takers)} models, so a record must name its model: give columns.model for "
                + ", ".join(repr(name) for name in greedy)
            )
    return problems


def _receiver_secrets(config: Config) -> list[str]:
    problems = []
    for receiver in config.receivers:
        if receiver.type == "slack":
            choices = {"url_file": receiver.url_file, "url_env": receiver.url_env}
        elif receiver.type == "pagerduty":
            choices = {"routing_key_file": receiver.routing_key_file, "routing_key_env": receiver.routing_key_env}
        elif receiver.type == "webhook":
            choices = {"url": receiver.url, "url_file": receiver.url_file, "url_env": receiver.url_env}
        else:
            continue
        if sum(value is not None for value in choices.values()) != 1:
            problems.append(f'receiver "{receiver.name}": give exactly one of {", ".join(choices)}')
    return problems


def _anchored(config: Config, folder: Path) -> Config:
    return config.model_copy(
        update={
            "state": StateSection.model_validate({**config.state.model_dump(), "dir": folder / config.state.dir}),
            "models": [
                model.model_copy(
                    update={
                        "reference": model.reference and folder / model.reference,
                        "references": {version: folder / path for version, path in model.references.items()},
                    }
                )
                for model in config.models
            ],
            "file": config.file
            and FileSection(
                predictions=[folder / path for path in config.file.predictions],
                labels=[folder / path for path in config.file.labels],
                follow=config.file.follow,
            ),
            "receivers": [
                receiver.model_copy(
                    update={
                        key: folder / value
                        for key in ("url_file", "token_file", "routing_key_file")
                        if (value := getattr(receiver, key, None)) is not None
                    }
                )
                for receiver in config.receivers
            ],
        }
    )


def _with_defaults(config: Config) -> Config:
    """A model, a source and a reference are a complete configuration: alerts then go to the log."""
    if config.rules:
        return config
    receivers = config.receivers or [LogReceiver(name="log", type="log")]
    pages = [receiver.name for receiver in receivers if getattr(receiver, "purpose", "notify") == "notify"]
    rules = [RuleSection.model_validate({**rule, "notify": pages}) for rule in _DEFAULT_RULES]
    return config.model_copy(update={"receivers": receivers, "rules": rules})


def columns_used(model: ModelSection) -> dict[str, str]:
    """What the configuration names in the reference: ``columns.score`` → ``predicted_probability``."""
    columns = model.columns
    named = {"columns.prediction": columns.prediction}
    named |= {f"columns.{subject}": column for subject, column in columns.scores().items()}
    named |= {f"columns.features[{i}]": name for i, name in enumerate(columns.features or [])}
    named |= {f"segments[{i}]": name for i, name in enumerate(model.segments)}
    named |= {f"columns.types.{name}": name for name in columns.types}
    return named
