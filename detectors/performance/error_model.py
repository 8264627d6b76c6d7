"""Expected errors of a regression, row by row, before labels arrive.

The absolute and the squared error are regressed on the columns of the counts matrix that a row falls into (features
and prediction, binned), so that a window with more rows of the difficult kind is expected to have the greater error:
the idea of direct loss estimation, with an additive ridge regression (Hoerl and Kennard 1970) in place of boosted
trees. The model does not detect changes that leave the columns unchanged, such as a new meaning of a feature.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from detectors.layout import BINS, COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable

    from detectors.array_types import Array

    Product = Callable[[Array], Array]

FOLDS = 5
TUNING_ROWS = 10_000
"""Rows on which the strength of the ridge is chosen, at most."""
RIDGES = (640.0, 80.0, 10.0)
"""Strengths that are tried: rows without an effect, added to each column."""
FLOOR = 0.01
"""Least expected error, as a share of its mean over the reference."""
FIT_ROWS = 50_000
"""Rows that the effects are fitted on, at most."""
# Each subject is split at several levels: into its columns, and into runs of neighbours. A run has more rows, so its
# effect is shrunk less; runs model the common effect of neighbours, and columns the rest.
_RUNS = (1, 8, 32)
_LEVELS = np.stack([np.append(np.arange(BINS) // run, np.arange(BINS, COLUMNS)) for run in _RUNS])
_SURE = 2.0
_STEPS = 20
_SMALL = 1e-3
_SEED = 20261124


@dataclass(frozen=True, slots=True)
class ErrorModel:
    """Expected errors as a sum of effects; the reference's mean effect of each subject is 0.

    Attributes:
        base_absolute: mean absolute error of the reference, in units of the label; NaN without rows.
        base_square: mean squared error of the reference.
        absolute: float64[S, COLUMNS], effect of each column on ``base_absolute``; 0 in columns without reference rows,
            and all 0 if the model is no better than the constant.
        square: float64[S, COLUMNS], effect of each column on ``base_square``.
        spread_absolute: standard deviation of |e| around its expectation, on rows outside the fit.
        spread_square: standard deviation of e² around its expectation, on rows outside the fit.
        rows: rows of the reference with an error.
    """

    base_absolute: float
    base_square: float
    absolute: NDArray[np.float64]
    square: NDArray[np.float64]
    spread_absolute: float
    spread_square: float
    rows: int


def fit_error_model(codes: NDArray[np.int64], error: Array) -> ErrorModel:
    """The model of a reference with labels.

    The ridge is chosen by fivefold cross-validation, separately for |e| and e². If even the best ridge does not beat
    the constant by two standard errors of the gain, the model is the constant.

    Args:
        codes: int64[m, S], column of each subject, from 0 to ``COLUMNS`` − 1.
        error: float64[m], prediction minus label; rows with NaN, ±inf or a square beyond float64 are left out.
    """
    with np.errstate(over="ignore"):
        finite = np.isfinite(error**2)
    codes, error = codes[finite], error[finite]
    rows, subjects = codes.shape
    if not rows:
        empty = np.zeros((subjects, COLUMNS))
        return ErrorModel(np.nan, np.nan, empty, empty, np.nan, np.nan, 0)
    targets = np.stack([np.abs(error), error**2], axis=1)
    # In units of the greatest error, so that no square on the way overflows.
    unit = targets.max(axis=0)
    unit[unit == 0] = 1.0
    targets /= unit
    base = targets.mean(axis=0) * unit
    ridges, spread = _choose(codes, targets)
    spread *= unit
    effects = np.zeros((2, subjects, COLUMNS))
    helpful = np.flatnonzero(np.isfinite(ridges))
    if helpful.size:
        drawn = np.random.default_rng(_SEED).permutation(rows)[:FIT_ROWS]
        design = one_hot(codes[drawn])
        fitted, _ = fit_ridges(design, targets[drawn][:, helpful], np.ones((drawn.size, helpful.size)), ridges[helpful])
        levels = fitted.T.reshape(-1, len(_RUNS), subjects, COLUMNS)
        each = np.add.reduce([levels[:, index][:, :, level] for index, level in enumerate(_LEVELS)])
        share = _shares(codes)
        # The mean effect of a subject is part of the base, so an unseen column has the average effect.
        centred = each - (each * share).sum(axis=-1, keepdims=True)
        effects[helpful] = np.where(share > 0, centred, 0.0) * unit[helpful, None, None]
    return ErrorModel(float(base[0]), float(base[1]), effects[0], effects[1], float(spread[0]), float(spread[1]), rows)


def expected_errors(model: ErrorModel, codes: NDArray[np.int64]) -> tuple[Array, Array]:
    """Expected |e| and e² of each row.

    The mean of the first is the estimated MAE of a window, the root of the mean of the second its RMSE.

    Args:
        model: as made by `fit_error_model`.
        codes: int64[n, S], as for `fit_error_model`.

    Returns:
        float64[n] each, NaN if the reference had no labels. Never below 1 % of its mean: that lifts window means.
    """
    subjects = np.arange(codes.shape[1])
    absolute, square = (
        np.maximum(base + effects[subjects, codes].sum(axis=1), FLOOR * base)
        for base, effects in ((model.base_absolute, model.absolute), (model.base_square, model.square))
    )
    return absolute, square


def uncertainty(model: ErrorModel, rows: Array) -> tuple[Array, Array]:
    """Standard errors of a window's estimated MAE and mean squared error, compared with realised values.

    s · sqrt(1/n + 1/m): the noise of the window's n rows and of the reference's m rows. It is valid for windows like
    the reference. After a shift it does not include the bias of the ridge, so it is then far too small.

    Args:
        model: as made by `fit_error_model`.
        rows: float64[...], rows of the window, n.

    Returns:
        float64[...] each; NaN for windows or references without rows.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.where(rows > 0, np.sqrt(1 / rows + np.divide(1.0, model.rows)), np.nan)
    return model.spread_absolute * size, model.spread_square * size


def _choose(codes: NDArray[np.int64], targets: Array) -> tuple[Array, Array]:
    """Strength of the ridge (inf: constant) and spread of what it leaves, float64[2] each."""
    order = np.random.default_rng(_SEED).permutation(len(targets))[:TUNING_ROWS]
    targets = targets[order]
    ridges, spread = np.full(2, np.inf), targets.std(axis=0)
    if len(order) < 2 * FOLDS or codes.shape[1] == 0:
        return ridges, spread
    design = one_hot(codes[order])
    held_out = np.arange(len(order)) % FOLDS == np.arange(FOLDS)[:, None]
    # All folds and both targets at once, target by target: float64[n, 2 · FOLDS].
    weights = np.tile(~held_out, (2, 1)).T.astype(np.float64)
    values = np.repeat(targets, FOLDS, axis=1)
    means = (weights * values).sum(axis=0) / weights.sum(axis=0)
    row, fold = np.arange(len(order)), np.arange(len(order)) % FOLDS
    pick = fold[:, None] + np.array([0, FOLDS])
    constant = (targets - means[pick]) ** 2
    start, best = None, constant
    for ridge in RIDGES:  # a short path from stiff to loose, each starting where the last one ended
        start, shift = fit_ridges(design, values, weights, np.full(2 * FOLDS, ridge), start)
        expected = np.maximum((design @ start + shift)[row[:, None], pick], FLOOR * means[pick])
        left = (targets - expected) ** 2
        better = left.mean(axis=0) < best.mean(axis=0)
        best = np.where(better, left, best)
        ridges = np.where(better, ridge, ridges)
    gain = constant - best
    sure = gain.mean(axis=0) > _SURE * gain.std(axis=0) / np.sqrt(len(order))
    return np.where(sure, ridges, np.inf), np.sqrt(np.where(sure, best, constant).mean(axis=0))


def _shares(codes: NDArray[np.int64]) -> Array:
    """float64[S, COLUMNS], the share of rows in each column."""
    rows, subjects = codes.shape
    flat = (codes + np.arange(subjects) * COLUMNS).ravel()
    share: Array = np.bincount(flat, minlength=subjects * COLUMNS).reshape(subjects, COLUMNS) / rows
    return share


def one_hot(codes: NDArray[np.int64]) -> sparse.csr_array:
    """float64[m, L · S · COLUMNS], a 1 for each level's and subject's column."""
    places = np.concatenate([level.astype(np.int32)[codes] for level in _LEVELS], axis=1)
    places += np.arange(places.shape[1], dtype=np.int32) * COLUMNS
    rows, width = places.shape
    starts = np.arange(rows + 1, dtype=np.int32) * np.int32(width)
    return sparse.csr_array((np.ones(places.size), places.ravel(), starts), shape=(rows, width * COLUMNS))


def fit_ridges(
    design: sparse.csr_array, values: Array, weights: Array, ridges: Array, start: Array | None = None
) -> tuple[Array, Array]:
    """Ridge regressions with a free constant, several at once.

    The normal equations are solved by conjugate gradients with the diagonal as preconditioner (Hestenes and Stiefel
    1952): a few passes over the rows, where the matrix of all pairs of columns needs a gigabyte for 54 subjects.

    Args:
        design: [m, P].
        values: float64[m, R], what is explained.
        weights: float64[m, R], 0 or 1.
        ridges: float64[R].
        start: float64[P, R], where to begin; None: at 0.

    Returns:
        float64[P, R] and the constants, float64[R].
    """
    total = weights.sum(axis=0)
    back = design.T.tocsr()

    def centred(part: Array) -> Array:
        kept: Array = weights * (part - (weights * part).sum(axis=0) / total)
        return kept

    def normal(effects: Array) -> Array:
        product: Array = back @ centred(design @ effects) + ridges * effects
        return product

    aim = back @ centred(values)
    held = back @ weights
    diagonal = held - held**2 / total + ridges
    solution = np.zeros_like(aim) if start is None else start
    solution = _conjugate_gradients(normal, aim, diagonal, solution)
    constant = (weights * (values - design @ solution)).sum(axis=0) / total
    return solution, constant


def _conjugate_gradients(product: Product, aim: Array, diagonal: Array, solution: Array) -> Array:
    """Solves all columns of ``product(x) = aim`` together, until the residuals are small beside their aims."""
    residual = aim - product(solution)
    scaled = residual / diagonal
    direction = scaled
    size = (residual * scaled).sum(axis=0)
    enough = _SMALL**2 * (aim**2 / diagonal).sum(axis=0)
    for _ in range(_STEPS):
        going = size > enough
        if not going.any():
            break
        moved = product(direction)
        curved = (direction * moved).sum(axis=0)
        length = np.divide(size, curved, out=np.zeros_like(size), where=going & (curved > 0))
        solution = solution + length * direction
        residual = residual - length * moved
        scaled = residual / diagonal
        held, size = size, (residual * scaled).sum(axis=0)
        direction = scaled + direction * np.divide(size, held, out=np.zeros_like(size), where=going)
    return solution
