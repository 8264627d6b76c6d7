"""A model's outputs for each row, as numbers from which performance is computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from monitor.rows.ids import hash_ids
from monitor.rows.records import PredictionOutputs
from monitor.rows.values import to_numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from monitor.config.model import ModelSection
    from monitor.rows.class_names import ClassNames
    from monitor.rows.records import RawColumns


class OutputReader:
    """Reads the outputs of one model out of raw columns.

    Args:
        model: its configuration.
        classes: canonical names of the classes; for a binary model the negative and the positive one. None for
            regression and ranking.
        names: maps values to classes; None for regression and ranking.
        with_ids: whether ids are needed, to join labels and find repeated rows.
    """

    def __init__(
        self, model: ModelSection, classes: tuple[str, ...] | None, names: ClassNames | None, *, with_ids: bool
    ) -> None:
        columns = model.columns
        self._task, self._names = model.task, names
        self._threshold, self._k = model.performance.threshold, model.performance.k
        self._prediction = columns.prediction
        scores = columns.scores()
        if classes is not None and isinstance(columns.score, dict):
            wanted = classes[1:] if model.task == "binary" else classes
            self._scores = [scores[f"score:{name}"] for name in wanted if f"score:{name}" in scores]
            # Probabilities of only some classes cannot be used.
            self._scores = self._scores if len(self._scores) == len(wanted) else []
        else:
            self._scores = list(scores.values()) if model.task == "binary" else []
        self._limits = (columns.lower, columns.upper)
        self._id = columns.id if with_ids else None

    @property
    def paths(self) -> list[str]:
        """Paths of the values in a record."""
        paths = [self._prediction, *self._scores, *self._limits, self._id]
        return [path for path in paths if path is not None]

    @property
    def width(self) -> int:
        """K, the number of scores of a row."""
        return len(self._scores)

    def read(self, raw: RawColumns, rows: Sequence[int]) -> PredictionOutputs:
        """The outputs of some rows of a chunk."""
        size = len(rows)

        def column(path: str) -> Sequence[object]:
            values = raw.columns[path]
            return values if size == len(values) else [values[row] for row in rows]

        scores = np.full((size, len(self._scores)), np.nan)
        for index, path in enumerate(self._scores):
            scores[:, index] = _finite(column(path))
        low, high = (np.full(size, np.nan) if path is None else _finite(column(path)) for path in self._limits)
        items = np.zeros((size, 0), dtype=np.uint64)
        predicted = np.full(size, np.nan)
        if self._task == "ranking":
            items = hash_lists(column(self._prediction), self._k)
            predicted = np.where(items.any(axis=1), 0.0, np.nan)
        elif self._names is None:
            predicted = _finite(column(self._prediction))
        elif self._task == "binary" and self._threshold is not None and self._scores:
            predicted = np.where(np.isnan(scores[:, 0]), np.nan, scores[:, 0] >= self._threshold)
        else:
            predicted = self._names.numbers(column(self._prediction))
            if self._task == "binary":
                # The value is neither the positive class nor a known negative one.
                predicted = np.where(predicted < 0, np.nan, predicted)
        return PredictionOutputs(None if self._id is None else column(self._id), scores, predicted, low, high, items)


def _finite(values: Sequence[object]) -> NDArray[np.float64]:
    numbers, _ = to_numbers(values)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def hash_lists(values: Sequence[object], width: int) -> NDArray[np.uint64]:
    """uint64[n, width]: hashes of the first items of each list; 0 where the list is shorter."""
    out = np.zeros((len(values), width), dtype=np.uint64)
    lists = [list(value)[:width] if isinstance(value, list | tuple) else [] for value in values]
    rows = np.repeat(np.arange(len(lists)), [len(items) for items in lists])
    indexes = np.concatenate([np.arange(len(items)) for items in lists]) if lists else np.zeros(0, dtype=np.int64)
    hashes, usable = hash_ids([item for items in lists for item in items])
    out[rows, indexes.astype(np.int64)] = np.where(usable, hashes, np.uint64(0))
    return out
