"""Everything that can be known to be wrong before the daemon starts, found at once: `leewayd check`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from monitor.alerting.receivers import make_alerting_setup
from monitor.checks.load import anchored, parse_config, read_text, tables
from monitor.checks.references import load_all_references
from monitor.checks.rule_problems import metric_problems, rule_name_problems, subject_problems
from monitor.common.errors import ConfigError, LeewayError
from monitor.config.model import ModelSection
from monitor.config.schema import Config, FileSection, Receiver, RuleSection, StateSection
from monitor.reference.by_version import ReferencesByVersion
from monitor.sources.input_files import file_problems
from monitor.sources.kafka_options import client_options

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from structlog.typing import FilteringBoundLogger


@dataclass(frozen=True, slots=True)
class Checked:
    """A configuration without faults.

    Attributes:
        config: as it runs.
        references: model → its references; a model that learns its own may not be there.
    """

    config: Config
    references: Mapping[str, ReferencesByVersion]


def check(path: Path, environment: Mapping[str, str], log: FilteringBoundLogger) -> Checked:
    """Checks a configuration file, its references, its secrets and its input files.

    Args:
        path: of the file.
        environment: of the process.
        log: for receivers of type log.

    Raises:
        ConfigError: with every problem found, in the order of lines. A section that has faults itself is not looked at
            further; all others are.
    """
    text = read_text(path)
    folder = path.resolve().parent
    problems: list[str] = []
    try:
        config = parse_config(text.raw, folder)
    except ConfigError as error:
        problems += error.problems
        config = anchored(_sound(text.raw), folder)
        problems += _names(text.raw)
    try:
        make_alerting_setup(config, environment, log)
    except ConfigError as error:
        problems += error.problems
    try:
        if config.kafka is not None:
            client_options(config.kafka, environment)
    except ConfigError as error:
        problems += error.problems
    references: dict[str, ReferencesByVersion] = {}
    for model in config.models:
        try:
            references |= load_all_references(config.model_copy(update={"models": [model]}))
        except LeewayError as error:
            problems += str(error).splitlines()
    problems += _subjects(text.raw, config, references)
    problems += file_problems(config.file)
    if problems:
        raise text.located(problems)
    return Checked(config, references)


def _sound(raw: Mapping[str, Any]) -> Config:
    """The sections that have no faults of their own."""
    receivers = [receiver for receiver in _valid(raw, "receivers", Receiver) if not receiver.problems(True)]
    return Config.model_construct(
        state=_section(StateSection, raw.get("state", {})) or StateSection(),
        models=list(_valid(raw, "models", ModelSection)),
        rules=[],
        receivers=receivers,
        file=_section(FileSection, raw.get("file")),
    )


def _section(kind: Any, value: Any) -> Any:
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return None


def _valid(raw: Mapping[str, Any], section: str, kind: Any) -> Iterator[Any]:
    for table in tables(raw, section):
        if (found := _section(kind, table)) is not None:
            yield found


def _names(raw: Mapping[str, Any]) -> list[str]:
    """Names in sound rules and models that nothing has, where other sections have faults."""
    known = {
        section: [str(table["name"]) for table in tables(raw, section) if isinstance(table, dict) and "name" in table]
        for section in ("models", "receivers")
    }
    problems: list[str] = []
    for number, table in enumerate(tables(raw, "rules")):
        if (rule := _section(RuleSection, table)) is not None:
            problems += rule_name_problems(number, rule, known["models"], known["receivers"])
    for number, table in enumerate(tables(raw, "models")):
        if (model := _section(ModelSection, table)) is not None:
            problems += metric_problems(number, model)
    return problems


def _subjects(raw: Mapping[str, Any], config: Config, references: Mapping[str, ReferencesByVersion]) -> list[str]:
    """Features that rules name and no reference has."""
    subjects = {
        name: [subject for profile in found.profiles for subject in profile.layout.subjects]
        for name, found in references.items()
    }
    names = [str(table.get("name")) for table in tables(raw, "models") if isinstance(table, dict)]
    problems: list[str] = []
    for number, table in enumerate(tables(raw, "rules")):
        if (rule := _section(RuleSection, table)) is not None:
            problems += subject_problems(number, rule, subjects, names)
    return problems
