"""Reads Parquet, CSV and JSON lines. The only module that knows pandas."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from monitor.common.errors import ReferenceDataError
from monitor.common.event_time import to_milliseconds
from monitor.common.nearest import quoted
from monitor.rows.categories import canonical
from monitor.sources.input_files import PARQUET

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
        self._frame = _named_by_text(frame)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self._frame)

    @property
    def names(self) -> tuple[str, ...]:
        """Its columns."""
        return tuple(self._frame.columns)

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
            raise ReferenceDataError(f"column {quoted(name)} is set to be numeric, but holds other values") from error

    def values(self, name: str) -> list[object]:
        """The column's values as in a record; None where missing."""
        column = self._frame[name]
        values = column.astype(object).where(column.notna(), None).tolist()
        return [list(value) if isinstance(value, np.ndarray) else value for value in values]

    def factor(self, name: str) -> Factor:
        """The column as categories, equal ones merged (`monitor.rows.categories`)."""
        try:
            codes, values = pd.factorize(self._frame[name], use_na_sentinel=True)
            texts = [canonical(value.item() if isinstance(value, np.generic) else value) for value in values]
        except TypeError as error:
            raise ReferenceDataError(
                f"column {quoted(name)} holds values that are no categories ({error}); name it in columns.exclude"
            ) from error
        labels = sorted({text for text in texts if text is not None})
        code = {text: index for index, text in enumerate(labels)}
        remap = np.array([code.get(text, -1) if text is not None else -1 for text in texts] + [-1], dtype=np.int64)
        return Factor(remap[codes], tuple(labels))

    def times(self, name: str) -> NDArray[np.int64]:
        """int64[rows], epoch milliseconds.

        Raises:
            ReferenceDataError: if a value is missing or no time.
        """
        column = self._frame[name]
        if self.is_time(name):
            if column.isna().any():
                raise ReferenceDataError(f"column {quoted(name)} lacks a time in some rows")
            if getattr(column.dtype, "tz", None) is not None:
                column = column.dt.tz_convert("UTC").dt.tz_localize(None)
            return column.to_numpy(dtype="datetime64[ms]").astype(np.int64)
        try:
            return np.array([to_milliseconds(value) for value in column.tolist()], dtype=np.int64)
        except ValueError as error:
            raise ReferenceDataError(f"column {quoted(name)} holds values that are no times") from error


def in_reference(name: str, known: tuple[str, ...]) -> str | None:
    """The reference's name of a record's column: ``name``, or the last part of a dotted path."""
    if name in known:
        return name
    last = name.rsplit(".", 1)[-1]
    return last if last in known else None


def table_of(columns: Mapping[str, Sequence[object]]) -> DataTable:
    """A table of raw values from records: columns of numbers become numeric, other columns stay unchanged."""

    def column(values: Sequence[object]) -> pd.Series[Any]:
        present = [value for value in values if value is not None]
        numbers = present and all(isinstance(value, int | float) and not isinstance(value, bool) for value in present)
        if numbers:
            return pd.Series([np.nan if value is None else value for value in values], dtype=np.float64)
        return pd.Series(list(values), dtype=object)

    return DataTable(pd.DataFrame({name: column(values) for name, values in columns.items()}))


def read_table(path: Path) -> DataTable:
    """The whole table; the file's suffix decides the format. A folder of Parquet files is one table.

    Raises:
        ReferenceDataError: if it cannot be read, or two of its columns have the same name.
    """
    suffix = path.suffix.lower()
    if path.is_dir() and suffix not in PARQUET:
        raise ReferenceDataError(f"{path}: this is a folder; name the file in it")
    try:
        if suffix in PARQUET:
            frame = pd.read_parquet(path)
        elif suffix == ".csv":
            frame = _read_csv(path)
        elif suffix in (".jsonl", ".ndjson", ".json"):
            frame = _flat(pd.read_json(path, lines=True, dtype=False, convert_axes=False, precise_float=True))
        else:
            raise ReferenceDataError(f"{path}: unknown format; use .parquet, .csv or .jsonl")
        table = DataTable(frame)
    except OSError as error:
        raise ReferenceDataError(f"{path}: {_sentence(error.strerror or error)}") from error
    except ReferenceDataError as error:
        lines = [line if line.startswith(str(path)) else f"{path}: {line}" for line in str(error).splitlines()]
        raise ReferenceDataError("\n".join(lines)) from error
    except (ValueError, TypeError, ArithmeticError, LookupError, NotImplementedError, RecursionError) as error:
        # pandas and pyarrow raise any of these for unreadable files.
        raise ReferenceDataError(f"{path}: cannot be read: {_sentence(error)}") from error
    if frame.empty:
        raise ReferenceDataError(f"{path}: holds no rows")
    return table


def _sentence(error: object) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _read_csv(path: Path) -> pd.DataFrame:
    # pandas renames the second of two equal headers, so the headers are read as data first.
    header = pd.read_csv(path, header=None, nrows=1, dtype=str, keep_default_na=False)
    _refuse_twice([name for name in header.iloc[0].tolist() if name] if len(header) else [])
    return pd.read_csv(path)


def _named_by_text(frame: pd.DataFrame) -> pd.DataFrame:
    """The table with text as column names, converted from numbers, dates or several header rows.

    Raises:
        ReferenceDataError: if two columns then have the same name.
    """
    names = [_text_of(name) for name in frame.columns]
    _refuse_twice(names)
    return frame if names == list(frame.columns) else frame.set_axis(names, axis="columns")


def _text_of(name: object) -> str:
    if isinstance(name, tuple):  # as in a dotted path to nested objects
        return ".".join(_text_of(level) for level in name if level not in ("", None))
    return str(name)


def _refuse_twice(names: Sequence[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ReferenceDataError(
            "\n".join(f"two columns are named {quoted(name)}; rename one of them, or leave it out" for name in twice)
        )


def _flat(frame: pd.DataFrame) -> pd.DataFrame:
    """Converts objects inside records to columns with dotted names, as in paths of messages."""
    frames: list[pd.DataFrame] = []
    for name in frame.columns:
        column = frame[name]
        if any(isinstance(value, dict) for value in column.head(1000)):
            inner = pd.json_normalize([value if isinstance(value, dict) else {} for value in column], sep=".")
            frames.append(inner.add_prefix(f"{name}."))
        else:
            frames.append(column.to_frame())
    return pd.concat(frames, axis=1) if frames else frame
