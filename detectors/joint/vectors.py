"""Rows as points, the input of statistics over several features.

A numeric feature gives the normal score of its value's quantile bin, so that an outlier does not outweigh a thousand
usual values; a categorical feature gives an indicator for each of its most frequent categories; an embedding gives its
coordinates. All coordinates are standardised by the reference. NaN is a missing coordinate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from detectors.layout import BINS, COLUMNS, HIGH, INVALID, LOW, MISSING, NONFINITE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from detectors.layout import Layout

INDICATORS = 4
"""Greatest number of indicators of a categorical feature."""
MAX_COLUMNS = 64
"""Greatest number of columns; categorical features get fewer indicators if there would be more."""
MIN_SHARE = 0.05
"""Rarer categories get no indicator: products of rare indicators are far from normal in any window."""
_REACH = 4.0


@dataclass(frozen=True, slots=True)
class Vectoriser:
    """Maps codes to coordinates.

    Attributes:
        sources: int64[F], index of each coordinate's subject.
        categories: int64[F], column of each indicator; −1 for numeric subjects.
        table: float64[F, COLUMNS], coordinate of each code, mean 0 and variance 1 over the reference's valid values;
            NaN for codes of missing and invalid values.
    """

    sources: NDArray[np.int64]
    categories: NDArray[np.int64]
    table: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Embedder:
    """Standardises embeddings.

    Attributes:
        location: float64[F], reference mean.
        scale: float64[F], reference standard deviation; 1 where it is 0.
    """

    location: NDArray[np.float64]
    scale: NDArray[np.float64]


def fit_vectoriser(layout: Layout, bins: NDArray[np.int64], places: Sequence[int]) -> Vectoriser:
    """The vectoriser of some subjects, from the reference's counts.

    Args:
        layout: of the reference.
        bins: int64[S, COLUMNS], the reference's counts.
        places: indices of the subjects to use. A subject with a single value gives no coordinate.
    """
    kinds = sum(bool(layout.numeric[index]) for index in places)
    categorical = max(len(places) - kinds, 1)
    most = int(np.clip((MAX_COLUMNS - kinds) // categorical, 1, INDICATORS))
    result = []
    for index in places:  # subjects, not rows: each kind has a rule of its own
        rows = [_scores(bins[index])] if layout.numeric[index] else _indicators(bins[index], most)
        result += [(index, category, row) for category, row in rows if np.isfinite(row).any()]
    return Vectoriser(
        np.array([index for index, _, _ in result], dtype=np.int64),
        np.array([category for _, category, _ in result], dtype=np.int64),
        np.array([row for _, _, row in result]).reshape(-1, COLUMNS),
    )


def vectors(vectoriser: Vectoriser, codes: NDArray[np.int64]) -> NDArray[np.float64]:
    """float64[n, F] of codes int64[n, S] (columns of the counts); NaN where a value is missing or invalid."""
    places = np.arange(len(vectoriser.sources))
    result: NDArray[np.float64] = vectoriser.table[places, codes[:, vectoriser.sources]]
    return result


def names(
    vectoriser: Vectoriser, subjects: Sequence[str], category: Callable[[int, int], str | None]
) -> tuple[str, ...]:
    """A name for each coordinate, as in ``age`` and ``plan = 'gold'``.

    Args:
        vectoriser: whose coordinates.
        subjects: names of all subjects, as in the layout.
        category: index of the subject, column → name of the category.
    """
    return tuple(
        subjects[index].removeprefix("feature:") + ("" if column < 0 else f" = {category(index, column)!r}")
        for index, column in zip(vectoriser.sources.tolist(), vectoriser.categories.tolist(), strict=True)
    )


def fit_embedder(embeddings: NDArray[np.float64]) -> Embedder:
    """The embedder of a reference's float64[m, F]; rows with a value that is not finite are left out."""
    finite = embeddings[np.isfinite(embeddings).all(axis=1)]
    if not len(finite):
        return Embedder(np.zeros(embeddings.shape[1]), np.ones(embeddings.shape[1]))
    spread = finite.std(axis=0)
    return Embedder(finite.mean(axis=0), np.where(spread > 0, spread, 1.0))


def embedded(embedder: Embedder, embeddings: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64[n, F], standardised; a row with a coordinate that is not finite becomes all NaN.

    The caller passes rows of the wrong length as NaN.
    """
    whole = np.isfinite(embeddings).all(axis=1)
    result = np.full(embeddings.shape, np.nan)
    result[whole] = (embeddings[whole] - embedder.location) / embedder.scale
    return result


def _scores(bins: NDArray[np.int64]) -> tuple[int, NDArray[np.float64]]:
    """Normal scores of the middle ranks of the bins (van der Waerden 1952), standardised."""
    order = np.array([LOW, *range(BINS), HIGH])
    held = bins[order].astype(np.float64)
    total = max(held.sum(), 1.0)
    # Half a row keeps the ends finite: values outside the reference's range get the score of its outermost row.
    ranks = np.clip((np.cumsum(held) - held / 2) / total, 0.5 / total, 1 - 0.5 / total)
    row = np.full(COLUMNS, np.nan)
    row[order] = np.clip(ndtri(ranks), -_REACH, _REACH)
    return -1, _standardised(row, bins)


def _indicators(bins: NDArray[np.int64], most: int) -> list[tuple[int, NDArray[np.float64]]]:
    """Indicators of the most frequent categories, without the last one if they cover all rows, as it is redundant."""
    columns = np.array([*range(BINS), LOW, HIGH])
    shares = bins[:BINS] / max(bins[columns].sum(), 1)
    order = np.argsort(-shares, kind="stable")
    chosen = order[:most][(shares[order[:most]] >= MIN_SHARE) & (shares[order[:most]] < 1)]
    if len(chosen) > 1 and shares[chosen].sum() > 1 - 1e-9:
        chosen = chosen[:-1]
    result = []
    for column in chosen.tolist():
        row = np.full(COLUMNS, np.nan)
        row[columns] = 0.0
        row[column] = 1.0
        result.append((column, _standardised(row, bins)))
    return result


def _standardised(row: NDArray[np.float64], bins: NDArray[np.int64]) -> NDArray[np.float64]:
    weight = bins.astype(np.float64)
    weight[[MISSING, INVALID, NONFINITE]] = 0.0
    total = weight.sum()
    if total == 0:
        return np.full(COLUMNS, np.nan)
    filled = np.nan_to_num(row)
    mean = (weight * filled).sum() / total
    variance = (weight * (filled - mean) ** 2).sum() / total
    return (row - mean) / np.sqrt(variance) if variance > 1e-12 else np.full(COLUMNS, np.nan)
