"""Converts label records to rows that can be joined to predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from monitor.reference.scorer import MAX_RELEVANT
from monitor.rows.outputs import hash_lists
from monitor.rows.records import LabelRows
from monitor.rows.values import to_numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from monitor.config.model import ModelSection
    from monitor.rows.class_names import ClassNames
    from monitor.rows.records import RawColumns


class LabelReader:
    """Reads the labels of one model from records.

    Args:
        model: its configuration.
        names: the classes of all references by name; None where labels are numbers or lists.
        label_type: fields of a label.
    """

    def __init__(self, model: ModelSection, names: ClassNames | None, label_type: list[tuple[str, str]]) -> None:
        columns, labels = model.columns, model.labels
        self.name, self.model = model.name, columns.model
        self.timestamp = labels.timestamp or columns.timestamp
        self._id, self.label = str(labels.id or columns.id), str(labels.label or columns.label)
        self._task, self._names, self._type = model.task, names, np.dtype(label_type)

    def kinds(self) -> dict[str, str]:
        """Every path that is read → its kind for `monitor.decode.json`."""
        kinds = {path: "any" for path in (self._id, self.label, self.model) if path is not None}
        return kinds | {self.timestamp: "time"}

    def rows(
        self, raw: RawColumns, times: NDArray[np.int64], index: NDArray[np.int64]
    ) -> tuple[LabelRows, dict[int, str]]:
        """The labels at some rows of a chunk; and row → reason for labels that cannot be used."""
        values = [raw.columns[self.label][row] for row in index.tolist()]
        labels = np.zeros(len(values), dtype=self._type)
        if self._task == "ranking":
            usable = _relevant(values, labels)
        else:
            numbers = self._names.numbers(values) if self._names is not None else _numbers(values)
            usable = np.isfinite(numbers)
            if self._names is not None:
                usable &= numbers >= 0
            labels["value"] = numbers
        kept = index[usable]
        ids = raw.columns[self._id]
        rows = LabelRows(self.name, kept, times[kept], [ids[row] for row in kept.tolist()], labels[usable])
        faults = {
            int(index[position]): "no_label" if _missing(values[position]) else "bad_label"
            for position in np.flatnonzero(~usable).tolist()
        }
        return rows, faults


def _numbers(values: Sequence[object]) -> NDArray[np.float64]:
    numbers, _ = to_numbers(values)
    return numbers


def _missing(value: object) -> bool:
    return value is None or value != value or (isinstance(value, str) and not value.strip())


def _relevant(values: Sequence[object], labels: NDArray[np.void]) -> NDArray[np.bool_]:
    """Fills in relevant items and their gains from a list of items, or an object of item → gain."""
    lists: list[list[object]] = []
    usable = np.zeros(len(values), dtype=np.bool_)
    gains = np.zeros((len(values), MAX_RELEVANT))
    for row, value in enumerate(values):
        items: list[object] = []
        if isinstance(value, dict):
            best = sorted(
                ((item, gain) for item, gain in value.items() if isinstance(gain, int | float)),
                key=lambda pair: -float(pair[1]),
            )[:MAX_RELEVANT]
            items = [item for item, _ in best]
            gains[row, : len(best)] = [float(gain) for _, gain in best]
            usable[row] = True
        elif isinstance(value, list | tuple):
            items = list(value)[:MAX_RELEVANT]
            gains[row, : len(items)] = 1.0
            usable[row] = True
        lists.append(items)
    hashes = hash_lists(lists, MAX_RELEVANT)
    for column in range(MAX_RELEVANT):
        labels[f"item{column}"], labels[f"gain{column}"] = hashes[:, column], gains[:, column]
    return usable
