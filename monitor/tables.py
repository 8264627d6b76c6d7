"""Reads Parquet, CSV and JSON lines. The only module that knows pandas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from monitor.categories import canonical
from monitor.errors import ReferenceDataError
from monitor.event_time import to_milliseconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Factor:
    """A categorical column: codes int64[n] into ``labels``, −1 where missing."""

    codes: NDArray[np.int64]
    labels: tuple[str, ...]


class DataTable:
    """A table in memory, column by column, in leewayd's terms."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return len(self._frame)

    @property
    def names(self) -> tuple[str, ...]:
        """Its columns."""
        return tuple(str(name) for name in self._frame.columns)

    def is_numeric(self, name: str) -> bool:
        """Whether the column holds numbers (true/false counts as two categories, a date as neither)."""
        kind = self._frame[name].dtype
        return pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_bool_dtype(kind)

    def is_time(self, name: str) -> bool:
        """Whether the column holds dates."""
        return pd.api.types.is_datetime64_any_dtype(self._frame[name].dtype)

    def is_plain(self, name: str) -> bool:
        """Whether the column holds numbers or categories: no dates, no lists."""
        if self.is_time(name):
            return False
        return not any(isinstance(value, list | dict | np.ndarray) for value in self._frame[name].head(1000))

    def numbers(self, name: str) -> NDArray[np.float64]:
        """float64[rows]; NaN where missing.

        Raises:
            ReferenceDataError: if the column holds anything else.
        """
        try:
            return self._frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
        except (ValueError, TypeError) as error:
            raise ReferenceDataError(f"column {name!r} is set to be numeric, but holds other values") from error

    def values(self, name: str) -> list[object]:
        """The column as a record would bring it; None where missing."""
        column = self._frame[name]
        found = column.astype(object).where(column.notna(), None).tolist()
        return [list(value) if isinstance(value, np.ndarray) else value for value in found]

    def factor(self, name: str) -> Factor:
        """The column as categories, equal ones merged (`monitor.categories`)."""
        try:
            codes, values = pd.factorize(self._frame[name], use_na_sentinel=True)
            texts = [canonical(value.item() if isinstance(value, np.generic) else value) for value in values]
        except TypeError as error:
            raise ReferenceDataError(f"column {name!r} holds values that are no categories: {error}") from error
        labels = sorted({text for text in texts if text is not None})
        place = {text: index for index, text in enumerate(labels)}
        remap = np.array([place.get(text, -1) if text is not None else -1 for text in texts] + [-1], dtype=np.int64)
        return Factor(remap[codes], tuple(labels))

    def times(self, name: str) -> NDArray[np.int64]:
        """int64[rows], epoch milliseconds.

        Raises:
            ReferenceDataError: if a value is missing or no time.
        """
        column = self._frame[name]
        if self.is_time(name):
            if column.isna().any():
                raise ReferenceDataError(f"column {name!r} lacks a time in some rows")
            if getattr(column.dtype, "tz", None) is not None:
                column = column.dt.tz_convert("UTC").dt.tz_localize(None)
            return column.to_numpy(dtype="datetime64[ms]").astype(np.int64)
        try:
            return np.array([to_milliseconds(value) for value in column.tolist()], dtype=np.int64)
        except ValueError as error:
            raise ReferenceDataError(f"column {name!r} holds values that are no times") from error


def in_reference(name: str, known: tuple[str, ...]) -> str | None:
    """The reference's name of a record's column: the same, or the last part of a dotted path."""
    if name in known:
        return name
    last = name.rsplit(".", 1)[-1]
    return last if last in known else None


def table_of(columns: Mapping[str, Sequence[object]]) -> DataTable:
    """A table of raw values as records bring them: columns of numbers become numbers, the rest stays as it is."""

    def column(values: Sequence[object]) -> pd.Series[Any]:
        present = [value for value in values if value is not None]
        numbers = present and all(isinstance(value, int | float) and not isinstance(value, bool) for value in present)
        if numbers:
            return pd.Series([np.nan if value is None else value for value in values], dtype=np.float64)
        return pd.Series(list(values), dtype=object)

    return DataTable(pd.DataFrame({name: column(values) for name, values in columns.items()}))


def read_table(path: Path) -> DataTable:
    """The whole table; the format is told by the file's name.

    Raises:
        ReferenceDataError: if it cannot be read.
    """
    suffix = path.suffix.lower()
    try:
        if suffix in (".parquet", ".pq"):
            frame = pd.read_parquet(path)
        elif suffix == ".csv":
            frame = pd.read_csv(path)
        elif suffix in (".jsonl", ".ndjson", ".json"):
            frame = _flat(pd.read_json(path, lines=True, dtype=False, precise_float=True))
        else:
            raise ReferenceDataError(f"{path}: cannot tell the format; use .parquet, .csv or .jsonl")
    except OSError as error:
        raise ReferenceDataError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:
        raise ReferenceDataError(f"{path}: cannot be read: {error}") from error
    if frame.empty:
        raise ReferenceDataError(f"{path}: holds no rows")
    return DataTable(frame)


def _flat(frame: pd.DataFrame) -> pd.DataFrame:
    """Objects inside records become columns with dotted names, as they are addressed in messages."""
    parts: list[pd.DataFrame] = []
    for name in frame.columns:
        column = frame[name]
        if any(isinstance(value, dict) for value in column.head(1000)):
            inner = pd.json_normalize([value if isinstance(value, dict) else {} for value in column], sep=".")
            parts.append(inner.add_prefix(f"{name}."))
        else:
            parts.append(column.to_frame())
    return pd.concat(parts, axis=1) if parts else frame
