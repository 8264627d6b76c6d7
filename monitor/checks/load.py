"""Reads the configuration file; reports all faults at once, each with its key and the nearest valid one."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from monitor.checks.errors import describe
from monitor.checks.lines import Place, key_lines, located
from monitor.checks.receiver_problems import link_problems
from monitor.checks.rule_problems import metric_problems, rule_name_problems, rule_problems, unknown
from monitor.common.errors import ConfigError, ReferenceDataError
from monitor.common.nearest import listed, quoted
from monitor.config.labels import label_problems
from monitor.config.schema import Config, FileSection, RuleSection
from monitor.receivers.log import LogReceiver
from monitor.sources.kafka_client import known_options
from monitor.sources.kafka_options import anchored_options, kafka_problems

_DEFAULT_RULES = (
    {"name": "drift", "when": "drifted", "severity": "warning"},
    {"name": "performance", "when": "breached", "subject": "performance", "severity": "error"},
    {"name": "worse version", "when": "breached", "subject": "version", "severity": "error"},
    {"name": "estimated performance", "when": "breached", "subject": "estimated_performance", "severity": "warning"},
    {"name": "data quality", "when": "breached", "subject": "quality*", "severity": "warning"},
    {"name": "labels", "when": "breached", "subject": "labels", "severity": "warning"},
)


@dataclass(frozen=True, slots=True)
class ConfigText:
    """A configuration file that is valid TOML.

    Attributes:
        path: as given.
        raw: its document.
        lines: the line of each key.
    """

    path: Path
    raw: dict[str, Any]
    lines: Mapping[Place, int]

    def located(self, problems: list[str]) -> ConfigError:
        """An error with the problems, each with file and line."""
        names = {kind: [_name(table) for table in tables(self.raw, kind)] for kind in ("models", "rules", "receivers")}
        return ConfigError(located(problems, self.path, self.lines, names))


@contextmanager
def problems_located(path: Path) -> Iterator[None]:
    """Adds file and line to faults of references and secrets raised within the block."""
    try:
        yield
    except (ConfigError, ReferenceDataError) as error:
        try:
            text = read_text(path)
        except ConfigError:  # the file has changed or disappeared since
            raise error from None
        raise text.located(str(error).splitlines()) from error


def tables(raw: Mapping[str, Any], kind: str) -> list[Any]:
    """The tables of an array such as ``models``; empty if it is not an array."""
    value = raw.get(kind)
    return value if isinstance(value, list) else []


def _name(table: Any) -> str:
    return str(table.get("name", "")) if isinstance(table, dict) else ""


def read_config(path: Path) -> Config:
    """The validated configuration; relative paths in it are resolved against the file's folder.

    Raises:
        ConfigError: with all problems, in the order of lines.
    """
    text = read_text(path)
    try:
        return parse_config(text.raw, path.resolve().parent)
    except ConfigError as error:
        raise text.located(error.problems) from error


def parse_config(raw: dict[str, Any], folder: Path) -> Config:
    """The validated configuration of a parsed TOML document.

    Raises:
        ConfigError: with all problems.
    """
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(describe(error.errors(), raw)) from error
    problems = cross_check(config)
    if problems:
        raise ConfigError(problems)
    return with_defaults(anchored(config, folder))


def read_text(path: Path) -> ConfigText:
    """The document of a file.

    Raises:
        ConfigError: with one sentence, if it cannot be read or is not TOML.
    """
    try:
        content = path.read_bytes()
    except IsADirectoryError as error:
        raise ConfigError([f"{path}: this is a folder; name the configuration file in it"]) from error
    except FileNotFoundError as error:
        raise ConfigError([f"{path}: no such file"]) from error
    except PermissionError as error:
        raise ConfigError([f"{path}: permission denied; the file must be readable for this user"]) from error
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror}"]) from error
    try:
        # Windows editors may write a byte-order mark before the text.
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise ConfigError([_not_utf8(path, content, error.start)]) from error
    if not text.strip():
        raise ConfigError([f"{path}: the file is empty; `leewayd init` writes a first configuration"])
    try:
        return ConfigText(path, raw := tomllib.loads(text), key_lines(text) if raw else {})
    except RecursionError as error:
        raise ConfigError([f"{path}: not valid TOML: lists are nested too deeply"]) from error
    except ValueError as error:  # TOMLDecodeError, and numbers of thousands of digits
        raise ConfigError([_not_toml(path, text, str(error))]) from error


def _not_utf8(path: Path, content: bytes, at: int) -> str:
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return f"{path}:1: the file is in UTF-16; save it as UTF-8"
    line = content.count(b"\n", 0, at) + 1
    return f"{path}:{line}: the file is not in UTF-8: byte 0x{content[at]:02x} in this line; save it as UTF-8"


# tomllib's short sentences → texts for people.
_ESCAPE = "a backslash in \"double quotes\" begins an escape; write it twice, or use 'single quotes'"
_TOML_WORDS = {
    "Invalid hex value": _ESCAPE,
    "Invalid value": "expected a value: text in quotes, a number, true, false, a [list] or a {table}",
    "Invalid statement": "expected a key, a [table] or a comment",
    "Cannot overwrite a value": "this key is given twice",
    "Illegal character '\\n'": "expected the closing quote before the end of the line",
    "Invalid initial character for a key part": (
        "expected a key; one with other characters than A-Z a-z 0-9 _ - needs quotes"
    ),
    "Unescaped '\\' in a string": _ESCAPE,
}


def _not_toml(path: Path, text: str, message: str) -> str:
    match = re.fullmatch(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", message, re.DOTALL)
    if match is None:
        return f"{path}: not valid TOML: {'a number has too many digits' if 'digits' in message else message}"
    sentence, line, column = match.groups()
    twice = re.fullmatch(r"Cannot declare \((.*?),?\) twice", sentence)
    if twice is not None:
        name = ".".join(re.findall(r"'([^']*)'", twice.group(1)))
        fault = f"the table [{name}] is given twice"
    else:
        fault = _TOML_WORDS.get(sentence, sentence[:1].lower() + sentence[1:])
    if line is None:
        line, where = str(text.rstrip("\n").count("\n") + 1), "at the end of the file"
    else:
        where = f"in column {column}"
    return f"{path}:{line}: not valid TOML: {fault} ({where})"


def cross_check(config: Config) -> list[str]:
    """Faults in the combination of sections."""
    problems = []
    if (config.kafka is None) == (config.file is None):
        problems.append("give exactly one of [kafka] and [file]: where predictions come from")
    models = [model.name for model in config.models]
    receivers = [receiver.name for receiver in config.receivers]
    for kind, names in (("models", models), ("rules", [rule.name for rule in config.rules]), ("receivers", receivers)):
        problems += [
            f"{kind}[{number}].name: the name {quoted(name)} is given twice"
            for number, name in enumerate(names)
            if name in names[:number]
        ]
    for number, rule in enumerate(config.rules):
        problems += rule_name_problems(number, rule, models, receivers)
        problems += rule_problems(number, rule, config.models)
    for number, model in enumerate(config.models):
        problems += metric_problems(number, model)
    problems += _topics(config)
    if config.kafka is not None:
        problems += kafka_problems(config.kafka, known_options())
    problems += label_problems(config)
    problems += link_problems(config)
    return problems


def _topics(config: Config) -> list[str]:
    if config.kafka is None:
        return [
            f"models[{number}].topics: topics need [kafka]"
            for number, model in enumerate(config.models)
            if model.topics
        ]
    problems = []
    for number, model in enumerate(config.models):
        problems += unknown(f"models[{number}].topics", model.topics, config.kafka.predictions, "kafka.predictions")
    for topic in config.kafka.predictions:
        takers = [model for model in config.models if topic in (model.topics or config.kafka.predictions)]
        greedy = [model.name for model in takers if model.columns.model is None]
        if len(takers) > 1 and greedy:
            problems.append(
                f"kafka.predictions: topic {quoted(topic)} feeds {len(takers)} models, so a record must name its "
                f"model: give columns.model for {listed(greedy)}"
            )
    return problems


def anchored(config: Config, folder: Path) -> Config:
    """The configuration with relative paths resolved against ``folder``."""
    return config.model_copy(
        update={
            "state": config.state.model_copy(update={"dir": folder / config.state.dir}),
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
            "kafka": config.kafka
            and config.kafka.model_copy(update={"client": anchored_options(config.kafka.client, folder)}),
            "receivers": [receiver.anchored(folder) for receiver in config.receivers],
        }
    )


def with_defaults(config: Config) -> Config:
    """Adds default rules and a log receiver: a model, a source and a reference are a complete configuration."""
    if config.rules:
        return config
    receivers = config.receivers or [LogReceiver(name="log", type="log")]
    pages = [receiver.name for receiver in receivers if not receiver.policy.retrains]
    rules = [RuleSection.model_validate({**rule, "notify": pages}) for rule in _DEFAULT_RULES]
    return config.model_copy(update={"receivers": receivers, "rules": rules})
