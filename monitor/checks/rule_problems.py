"""Faults of rules: undefined names of receivers, models, windows, subjects and statistics."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from detectors.drift.optional_statistics import OPTIONAL
from monitor.checks.finding_names import (
    FAMILIES,
    PER_CLASS,
    SUBJECTS,
    metric_names,
    metrics_of_classes,
    statistic_names,
)
from monitor.common.durations import parse_duration
from monitor.common.nearest import hint, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from monitor.config.model import ModelSection
    from monitor.config.schema import RuleSection

_WILD = frozenset("*?[")


def unknown(key: str, names: Sequence[str], known: Iterable[str], kind: str = "known") -> list[str]:
    """A line for each unknown name, with the nearest known one."""
    every = sorted(known)
    return [
        f"{key}[{number}]: {quoted(name)} is not defined; {hint(name, every, kind, cutoff=0.4)}"
        for number, name in enumerate(names)
        if name not in every
    ]


def rule_name_problems(
    number: int, rule: RuleSection, models: Iterable[str], receivers: Iterable[str]
) -> Iterator[str]:
    """Undefined receivers and models that a rule names."""
    yield from unknown(f"rules[{number}].notify", rule.notify, receivers, "receivers")
    yield from unknown(f"rules[{number}].models", rule.models, models, "models")


def rule_problems(number: int, rule: RuleSection, every_model: Sequence[ModelSection]) -> Iterator[str]:
    """Faults of a rule that no finding of its models can match.

    Args:
        number: of the rule.
        rule: its configuration.
        every_model: all models of the configuration.
    """
    key = f"rules[{number}]"
    models = [model for model in every_model if not rule.models or model.name in rule.models]
    if not models:
        return
    yield from _windows(f"{key}.windows", rule, models)
    statistics = list(dict.fromkeys(name for model in models for name in statistic_names(model)))
    prefixes = {*PER_CLASS, *(name for model in models for name in metrics_of_classes(model))}
    if rule.metric is not None and not _is_statistic(rule.metric, statistics, prefixes):
        yield f"{key}.metric: {_no_statistic(rule.metric, statistics)}"
    if not _is_statistic(rule.statistic, statistics, prefixes):
        yield f"{key}.statistic: {_no_statistic(rule.statistic, statistics)}"
    yield from _subject(f"{key}.subject", rule.subject, models)
    yield from _segment(f"{key}.segment", rule.segment, models)


def _windows(key: str, rule: RuleSection, models: Sequence[ModelSection]) -> Iterator[str]:
    known = list(dict.fromkeys(name for model in models for name in (*model.windows, *model.performance.windows)))
    for number, name in enumerate(rule.windows):
        if name not in known:
            alike = [other for other in known if parse_duration(other) == parse_duration(name)]
            advice = f"did you mean {quoted(alike[0])}?" if alike else hint(name, known, "windows", cutoff=0.4)
            yield f"{key}[{number}]: no model of the rule has a window {quoted(name)}; {advice}"


def _is_statistic(pattern: str, names: Sequence[str], prefixes: Iterable[str]) -> bool:
    if any(fnmatchcase(name, pattern) for name in names):
        return True
    family, colon, _ = pattern.partition(":")
    # Only the reference defines the classes.
    return bool(colon) and any(fnmatchcase(prefix, family) for prefix in prefixes)


def _no_statistic(name: str, names: Sequence[str]) -> str:
    if name in OPTIONAL:
        return f"{quoted(name)} is not computed; add it to drift.show of the models"
    return f"no finding has a statistic {quoted(name)}; {hint(name, names, 'statistics')}"


def _subject(key: str, pattern: str, models: Sequence[ModelSection]) -> Iterator[str]:
    family, colon, name = pattern.partition(":")
    if not colon:
        subjects = (*SUBJECTS, *(f"{family}:*" for family in FAMILIES))
        if not any(fnmatchcase(subject, pattern) for subject in subjects):
            yield f"{key}: no finding has a subject {quoted(pattern)}; {hint(pattern, subjects, 'subjects')}"
        return
    if _WILD & set(family):
        return
    if family not in FAMILIES:
        advice = hint(family, FAMILIES, "before the colon")
        yield f"{key}: no finding has a subject {quoted(pattern)}; {advice}"
        return
    known = {
        "score": [subject.partition(":")[2] for model in models for subject in model.columns.scores()],
        "embedding": [column for model in models for column in model.columns.embeddings],
        "fairness": [column for model in models for column in model.performance.protected],
    }.get(family)
    if known is not None and not any(fnmatchcase(other, name) for other in known):
        yield f"{key}: no model of the rule has a subject {quoted(pattern)}; {hint(name, known, family)}"


def _segment(key: str, pattern: str, models: Sequence[ModelSection]) -> Iterator[str]:
    columns = list(dict.fromkeys(column for model in models for column in model.segments))
    if fnmatchcase("all", pattern):
        return
    column, equals, _ = pattern.partition("=")
    if equals and not any(fnmatchcase(other, column) for other in columns):
        yield f"{key}: no model of the rule has segments of {quoted(column)}; {hint(column, columns, 'segments')}"
    elif not equals and not _WILD & set(pattern):
        yield f'{key}: got {quoted(pattern)}; write "all", or a column and a value such as "COLUMN=VALUE"'


def metric_problems(number: int, model: ModelSection) -> Iterator[str]:
    """Metrics of performance that the model's task does not have."""
    names = metric_names(model)
    prefixes = metrics_of_classes(model)
    for index, metric in enumerate(model.performance.metrics):
        if metric not in names and metric.partition(":")[0] not in prefixes:
            advice = hint(metric, [*names, *(f"{prefix}:CLASS" for prefix in prefixes)], "its metrics")
            yield (
                f"models[{number}].performance.metrics[{index}]: a {model.task} model has no metric {quoted(metric)}; "
                f"{advice}"
            )


def subject_problems(
    number: int, rule: RuleSection, subjects: Mapping[str, Sequence[str]], learning: Iterable[str] = ()
) -> Iterator[str]:
    """A fault if a rule names a feature that no reference of its models has.

    Args:
        number: of the rule.
        rule: its configuration.
        subjects: name of each model whose references are known → their subjects.
        learning: names of the other models.
    """
    concerned = set(rule.models or (*subjects, *learning))
    if concerned - set(subjects):
        return
    family, colon, name = rule.subject.partition(":")
    if not colon or family not in ("feature", "quality"):
        return
    known = list(dict.fromkeys(subject for model in sorted(concerned) for subject in subjects[model]))
    bare = [
        subject.removeprefix("feature:") for subject in known if family == "quality" or subject.startswith("feature:")
    ]
    if not any(fnmatchcase(other, name) for other in bare):
        advice = hint(name, bare, "it has")
        yield f"rules[{number}].subject: no reference has a subject {quoted(rule.subject)}; {advice}"
