"""Loads the references of all models, and reports all faults at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.checks.rule_problems import subject_problems
from monitor.checks.window_memory import memory_problems
from monitor.common.errors import ConfigError, LeewayError, ReferenceDataError
from monitor.reference.build import load_reference, load_references
from monitor.reference.by_version import ReferencesByVersion, single
from monitor.state.model_files import learned_path

if TYPE_CHECKING:
    from collections.abc import Mapping

    from monitor.config.schema import Config


def load_all_references(config: Config, *, strict: bool = True) -> dict[str, ReferencesByVersion]:
    """The references of all models, except references that are still to be learned.

    Args:
        config: validated.
        strict: False leaves out unusable learned references, because the daemon also has them in its state.

    Raises:
        ReferenceDataError: with the faults of all references.
    """
    references, problems = {}, []
    for model in config.models:
        prefix = f'model "{model.name}": '
        try:
            if model.learn_rows is None:
                references[model.name] = load_references(model)
            elif (path := learned_path(config.state.dir, model.name)).exists():
                references[model.name] = single(load_reference(model, path))
        except LeewayError as error:
            if model.learn_rows is not None and not strict:
                continue
            problems += [prefix + line for line in str(error).splitlines()]
        else:
            problems += [prefix + line for line in memory_problems(model, references.get(model.name))]
    if problems:
        raise ReferenceDataError("\n".join(problems))
    return references


def refuse_unknown_features(config: Config, references: Mapping[str, ReferencesByVersion]) -> None:
    """Refuses rules that can never match.

    Args:
        config: validated.
        references: of all models or of some. Rules for other models are not checked, nor are rules for a model that
            learns its reference: a daemon that has learned it must be able to start again.

    Raises:
        ConfigError: with every rule for a feature that none of its models' references has.
    """
    learning = {model.name for model in config.models if model.learn_rows is not None}
    subjects = {
        name: [subject for profile in own.profiles for subject in profile.layout.subjects]
        for name, own in references.items()
        if name not in learning
    }
    names = [model.name for model in config.models]
    problems = [
        problem
        for number, rule in enumerate(config.rules)
        for problem in subject_problems(number, rule, subjects, names)
    ]
    if problems:
        raise ConfigError(problems)
