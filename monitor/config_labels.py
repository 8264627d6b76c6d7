"""What the configuration says of labels: where they come from, and whose they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from monitor.config import Config, ModelSection


def label_sources(config: Config) -> frozenset[str]:
    """Topics, or names of files, that hold labels."""
    if config.kafka is not None:
        return frozenset(config.kafka.labels)
    return frozenset() if config.file is None else frozenset(path.name for path in config.file.labels)


def reads_labels(config: Config, model: ModelSection) -> bool:
    """Whether labels are read that can be joined to a model's predictions."""
    labels, columns = model.labels, model.columns
    return bool(label_sources(config)) and columns.id is not None and (labels.label or columns.label) is not None


def label_problems(config: Config) -> list[str]:
    """Faults in what the configuration says of labels."""
    problems = []
    sources = label_sources(config)
    for model in config.models:
        place = f'model "{model.name}"'
        unknown = [topic for topic in model.labels.topics if topic not in sources]
        problems += [f"{place}: labels.topics: {topic!r} is not among kafka.labels" for topic in unknown]
        if sources and model.columns.id is None and (model.labels.label or model.columns.label) is not None:
            problems.append(f"{place}: labels are joined to predictions by an id: give columns.id")
    if sources and not any(reads_labels(config, model) for model in config.models):
        problems.append("labels are read, but no model says where they stand: give columns.id and columns.label")
    return problems
