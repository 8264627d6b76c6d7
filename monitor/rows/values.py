"""Raw values → columns of the counts matrix: numbers by bins, categories by a table."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from detectors.binning import bin_numbers
from detectors.layout import BINS, HIGH, INVALID, LOW, MISSING
from monitor.rows.categories import canonical, lookup_table

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class NumericSubject:
    """The bins of one numeric subject."""

    edges: NDArray[np.float64]
    location: float
    scale: float

    def encode(self, values: Sequence[object]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Columns int64[n] and z float64[n] (NaN where the value is not a finite number)."""
        numbers, invalid = to_numbers(values)
        return self.encode_numbers(numbers, invalid)

    def encode_numbers(
        self, numbers: NDArray[np.float64], invalid: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """As `encode`, for values that are already float64."""
        codes = bin_numbers(numbers, invalid, self.edges)
        z = (numbers - self.location) / self.scale
        return codes, np.where(np.isfinite(z), z, np.nan)


@dataclass(frozen=True, slots=True)
class CategoricalSubject:
    """The codes of one categorical subject: each raw form of a known category → its column."""

    table: dict[object, int]
    unknown: int

    def encode(self, values: Sequence[object]) -> tuple[NDArray[np.int64], None]:
        """Columns int64[n]."""
        get, unknown = self.table.get, self.unknown
        try:
            codes = [get(value, unknown) for value in values]
        except TypeError:
            codes = [self.encode_one(value) for value in values]
        else:
            # NaN equals nothing, so the table cannot contain it; only tolerant JSON and Parquet can bring one.
            if unknown in codes:
                codes = [
                    MISSING if code == unknown and value != value else code
                    for code, value in zip(codes, values, strict=True)
                ]
        return np.array(codes, dtype=np.int64), None

    def encode_one(self, value: object) -> int:
        """The column of one value of any kind."""
        try:
            text = canonical(value)
        except TypeError:
            return INVALID
        return self.table.get(text, self.unknown)


def to_numbers(values: Sequence[object]) -> tuple[NDArray[np.float64], NDArray[np.bool_] | None]:
    """float64[n] with NaN for null, and bool[n] of the values that are not numbers (None when all are numbers).

    Text never counts as a number, even "1.5": a producer that begins to write text has changed.
    """
    if not any(isinstance(value, str) for value in values):
        try:
            numbers = np.array(values, dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            pass
        else:
            if numbers.ndim == 1:  # lists of one length make a table
                return numbers, None
    numbers = np.full(len(values), np.nan)
    invalid = np.zeros(len(values), dtype=bool)
    for index, value in enumerate(values):
        if value is None:
            continue
        if isinstance(value, bool | int | float):
            try:
                numbers[index] = float(value)
            except OverflowError:
                numbers[index] = math.inf if value > 0 else -math.inf
        else:
            invalid[index] = True
    return numbers, invalid


def category_coder(top: Sequence[str], others: Sequence[str], open_vocabulary: bool) -> CategoricalSubject:
    """The coder of a categorical subject.

    Args:
        top: categories with their own bin, in bin order.
        others: further categories in the reference.
        open_vocabulary: the reference has more categories than are listed, so an unlisted one need not be new.
    """
    if len(top) > BINS:
        raise ValueError(f"at most {BINS} categories can have a bin")
    codes = dict.fromkeys(others, LOW) | {text: index for index, text in enumerate(top)}
    return CategoricalSubject(lookup_table(codes, MISSING), LOW if open_vocabulary else HIGH)
