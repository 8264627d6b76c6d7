"""Assigns the columns of a reference to features, outputs and segments, and finds missing columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from monitor.common.errors import ReferenceDataError
from monitor.common.nearest import hint, nearest, place_text, quoted
from monitor.reference.tables import DataTable, in_reference

if TYPE_CHECKING:
    from monitor.config.model import ModelSection

_MISSPELT = 0.85
"""Names at least this similar are taken for one name and a misspelling of it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The subjects of a reference, and their columns."""

    subjects: tuple[str, ...]
    columns: tuple[str, ...]
    numeric: tuple[bool, ...]


def columns_used(model: ModelSection) -> dict[str, str]:
    """Key → column of the reference that the configuration names: ``columns.score`` → ``predicted_probability``."""
    columns = model.columns
    named = {"columns.prediction": columns.prediction}
    if isinstance(columns.score, dict):
        named |= {place_text(["columns", "score", name]): column for name, column in columns.score.items()}
    elif columns.score is not None:
        named["columns.score"] = columns.score
    named |= {f"columns.features[{i}]": name for i, name in enumerate(columns.features or [])}
    named |= {f"segments[{i}]": name for i, name in enumerate(model.segments)}
    further = (("lower", columns.lower), ("upper", columns.upper))
    named |= {f"columns.{key}": name for key, name in further if name is not None}
    named |= {f"columns.embeddings[{i}]": name for i, name in enumerate(columns.embeddings)}
    return named


def plan_subjects(table: DataTable, model: ModelSection) -> Plan:
    """Plans the columns to compare, and their subjects.

    Raises:
        ReferenceDataError: with every column that the reference lacks, and the nearest existing one.
    """
    columns = model.columns
    refuse(
        [
            f"{option}: {no_column(name, table)}"
            for option, name in columns_used(model).items()
            if in_reference(name, table.names) is None
        ]
    )
    named = _named(table, model)
    features = columns.features or [name for name in table.names if name not in named and table.is_plain(name)]
    subjects = {f"feature:{name}": str(in_reference(name, table.names)) for name in features}
    if model.task != "ranking":  # there it is a list
        subjects["prediction"] = str(in_reference(columns.prediction, table.names))
    subjects |= {key: str(in_reference(name, table.names)) for key, name in columns.scores().items()}
    if not subjects:
        refuse(["columns: there is nothing to compare: the reference has no features, and the model has no score"])

    def numeric(subject: str, column: str) -> bool:
        if subject == "prediction":
            return model.task == "regression"
        chosen = columns.types.get(column)
        return table.is_numeric(column) if chosen is None else chosen == "numeric"

    return Plan(tuple(subjects), tuple(subjects.values()), tuple(numeric(*pair) for pair in subjects.items()))


def no_column(name: str, table: DataTable) -> str:
    """The sentence for a column that a reference lacks, with the nearest existing one."""
    return f"the reference has no column {quoted(name)}; {hint(name, table.names, 'it has')}"


def _named(table: DataTable, model: ModelSection) -> set[str]:
    """Columns of a reference that are not features, because the configuration gives them another role."""
    columns = model.columns
    names = (
        columns.timestamp, columns.prediction, columns.id, columns.version, columns.model, columns.label,
        *columns.scores().values(), *columns.embeddings, *columns.exclude, columns.lower, columns.upper,
    )  # fmt: skip
    return {column for name in names if name is not None and (column := in_reference(name, table.names)) is not None}


def absent_columns(table: DataTable, model: ModelSection) -> dict[str, str]:
    """Columns that the configuration excludes from the features, and that the reference lacks under this name.

    A reference need not contain times, ids and versions. But a misspelt column would be monitored as a feature.

    Returns:
        Key in the model's section → problem.
    """
    columns = model.columns
    excluded = {f"columns.exclude[{number}]": name for number, name in enumerate(columns.exclude)}
    excluded |= {place_text(["columns", "types", name]): name for name in columns.types}
    absent = {
        option: no_column(name, table) for option, name in excluded.items() if in_reference(name, table.names) is None
    }
    listed = set(columns.features or table.names)
    features = [name for name in table.names if name in listed and name not in _named(table, model)]
    for key in ("timestamp", "id", "version", "model", "label"):
        name = getattr(columns, key)
        if name is None or in_reference(name, table.names) is not None:
            continue
        near = nearest(name, features, _MISSPELT)
        if near is not None:
            absent[f"columns.{key}"] = (
                f"the reference has no column {quoted(name)}; did you mean {quoted(near)}? "
                "(If not, name it in columns.exclude or list the features in columns.features.)"
            )
        elif key == "label" and model.labels.label is None:
            absent["columns.label"] = (
                f"{no_column(name, table)} (If only label records hold it, give labels.label instead.)"
            )
    return absent


def refuse(problems: list[str]) -> None:
    """Raises all problems as one error, if there are any."""
    if problems:
        raise ReferenceDataError("\n".join(problems))
