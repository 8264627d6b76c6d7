"""Labels in the configuration: their sources, and the models that they belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.common.nearest import hint, quoted

if TYPE_CHECKING:
    from monitor.config.model import ModelSection
    from monitor.config.schema import Config


def label_sources(config: Config) -> frozenset[str]:
    """Topics or names of files that contain labels."""
    if config.kafka is not None:
        return frozenset(config.kafka.labels)
    return frozenset() if config.file is None else frozenset(path.name for path in config.file.labels)


def reads_labels(config: Config, model: ModelSection) -> bool:
    """Whether the configuration reads labels that can be joined to the model's predictions."""
    labels, columns = model.labels, model.columns
    return bool(label_sources(config)) and columns.id is not None and (labels.label or columns.label) is not None


def label_problems(config: Config) -> list[str]:
    """Faults in the configuration of labels."""
    problems = []
    sources = label_sources(config)
    for model in config.models:
        key = f'model "{model.name}"'
        for number, topic in enumerate(model.labels.topics):
            if topic not in sources:
                advice = hint(topic, sorted(sources), "labels come from")
                problems.append(
                    f"{key}: labels.topics[{number}]: {quoted(topic)} is not among the sources of labels; {advice}"
                )
        if sources and model.columns.id is None and (model.labels.label or model.columns.label) is not None:
            problems.append(f"{key}: columns: labels are joined to predictions by an id: give columns.id")
    if sources and not any(reads_labels(config, model) for model in config.models):
        problems.append(
            f"{'kafka' if config.kafka else 'file'}.labels: labels are read, but no model names their columns: "
            "give columns.id and columns.label"
        )
    return problems
