"""Which columns of a reference are features, outputs and segments, and which of them it lacks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from monitor.common.errors import ReferenceDataError
from monitor.common.nearest import hint, nearest, place_text, quoted
from monitor.reference.tables import DataTable, in_reference

if TYPE_CHECKING:
    from monitor.config.model import ModelSection

_MISSPELT = 0.85
"""Names as similar as this are taken for one name and a slip of it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Which columns of a reference become which subjects."""

    subjects: tuple[str, ...]
    columns: tuple[str, ...]
    numeric: tuple[bool, ...]


def columns_used(model: ModelSection) -> dict[str, str]:
    """What the configuration names in the reference: ``columns.score`` → ``predicted_probability``."""
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
    """Which columns are compared, and as what.

    Raises:
        ReferenceDataError: naming every column that the reference lacks, with the nearest one that it has.
    """
    columns = model.columns
    refuse(
        [
            f"{place}: {no_column(name, table)}"
            for place, name in columns_used(model).items()
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
    """The sentence for a column that a reference lacks, with the nearest one that it has."""
    return f"the reference has no column {quoted(name)}; {hint(name, table.names, 'it has')}"


def _named(table: DataTable, model: ModelSection) -> set[str]:
    """Columns of a reference that are no features, because the configuration names them as something else."""
    columns = model.columns
    names = (
        columns.timestamp, columns.prediction, columns.id, columns.version, columns.model, columns.label,
        *columns.scores().values(), *columns.embeddings, *columns.exclude, columns.lower, columns.upper,
    )  # fmt: skip
    return {found for name in names if name is not None and (found := in_reference(name, table.names)) is not None}


def absent_columns(table: DataTable, model: ModelSection) -> dict[str, str]:
    """Columns that the configuration keeps out of the features, and that the reference has by another name, if at all.

    A reference need not hold times, ids and versions. But one that is misspelt would be watched as a feature.

    Returns:
        Place in the model's section → what is wrong.
    """
    columns = model.columns
    excluded = {f"columns.exclude[{number}]": name for number, name in enumerate(columns.exclude)}
    excluded |= {place_text(["columns", "types", name]): name for name in columns.types}
    absent = {
        place: no_column(name, table) for place, name in excluded.items() if in_reference(name, table.names) is None
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
