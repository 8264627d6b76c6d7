"""Drift of several features together, from sums alone: detects changes even if no single feature has changed.

Three statistics: the mean reconstruction error of principal components (as in NannyML), the maximum mean discrepancy of
a kernel by random Fourier features, and the greatest change of a correlation. `detectors.joint.vectors` computes the
points, this module fits the model and counts, `detectors.joint.judge` decides.

Points are rounded to multiples of 2^-12 and projections to multiples of about 2^-35, so that every product and sum is
exact in float64: panes add up to identical integers in any order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.drift.dispersion import MIN_BLOCKS
from detectors.fixed_point import joined, split
from detectors.joint.dispersion import Spread, measure_spread
from detectors.joint.kernel_mean import COSINE_UNIT, MOST_ROWS, draw_frequencies, unpacked, waves
from detectors.joint.sums import Sums

VARIANCE_KEPT = 0.65
"""Share of the variance that the principal components keep; NannyML's default."""
FREQUENCIES = 64
MAX_PAIRED = 64
"""Greatest number of coordinates whose correlations are monitored."""
UNIT = 4096.0
"""Steps of a coordinate per reference standard deviation."""
LIMIT = 8.0
"""Coordinates are clipped at this many reference standard deviations."""
_TURN_BITS = 16
_MOMENT_ROWS = 10_000
_REFERENCE_PARTS = 20
_HEAD = 6


@dataclass(frozen=True, slots=True)
class Multivariate:
    """A fitted model. It holds no row of the reference.

    Attributes:
        projection: float64[F, k + 1], the principal components, then the reference's mean point.
        frequencies: float64[F, D], in steps of 2^-16 turn per unit; whole numbers.
        paired: int64[C], coordinates whose correlations are monitored, in increasing order; may be empty.
        masks: int64[C], source of each coordinate (0 to G − 1): coordinates of one source are missing together.
        reference: int64[P], the counters of the reference.
        apart: int64[P], the counters of the reference rows that the principal components were not fitted on: the fitted
            rows lie nearer to the components than other rows.
        spread: how much windows vary by chance.
        blocks: number of reference windows for ``spread``; 0 if it assumes independent rows.
    """

    projection: NDArray[np.float64]
    frequencies: NDArray[np.float64]
    paired: NDArray[np.int64]
    masks: NDArray[np.int64]
    reference: NDArray[np.int64]
    apart: NDArray[np.int64]
    spread: Spread
    blocks: int

    @property
    def width(self) -> int:
        """P, the number of counters: 6 + 2 D + G (G + 1)/2 + C + C (C + 1)/2."""
        return int(_ends(self)[-1])


def fit(
    vectors: NDArray[np.float64],
    blocks: NDArray[np.int64] | None = None,
    *,
    sources: NDArray[np.int64] | None = None,
    correlations: bool = True,
    frequencies: int = FREQUENCIES,
    seed: int = 1,
) -> Multivariate:
    """The model of a reference.

    Args:
        vectors: float64[m, F], m ≥ 2, NaN where missing (replaced by the mean); rows without coordinates are left out.
        blocks: int64[m] ≥ 0, block of each row; each block is as long as a window. None if the reference has no times:
            rows are then assumed independent.
        sources: int64[F], feature of each coordinate; coordinates of one feature are missing together. None: each
            coordinate has its own feature. Correlations between coordinates of one feature are not monitored.
        correlations: False for embeddings, whose coordinates have no individual meaning.
        frequencies: D.
        seed: of the frequencies.

    Raises:
        ValueError: for fewer than 2 rows with any coordinate, or for no coordinate at all.
    """
    present = ~np.isnan(vectors).all(axis=1)
    if vectors.shape[1] == 0 or present.sum() < 2:
        raise ValueError("a multivariate model needs at least two rows with coordinates")
    rows, sources = vectors[present], np.arange(vectors.shape[1]) if sources is None else sources
    whole = _whole(rows) / UNIT
    apart = _apart(len(rows), None if blocks is None else blocks[present])
    drawn = np.rint(draw_frequencies(whole, sources, frequencies, seed) / (2 * np.pi) * 2.0**_TURN_BITS)
    paired = _most_correlated(whole) if correlations else np.zeros(0, dtype=np.int64)
    _, masks = np.unique(sources[paired], return_inverse=True)
    empty, none = Spread(*(np.zeros(0),) * 6, 1.0, *(np.zeros(0),) * 4), np.zeros(0, np.int64)
    bare = Multivariate(_components(whole[~apart]), drawn, paired, masks.astype(np.int64), none, none, empty, 0)
    parts = count_multivariate(bare, rows, apart.astype(np.int64), 2)
    known = replace(bare, reference=parts.sum(axis=0), apart=parts[1])
    return _measured(known, vectors, blocks, apart)


def for_blocks(
    model: Multivariate,
    vectors: NDArray[np.float64],
    fitted: NDArray[np.int64] | None,
    blocks: NDArray[np.int64] | None,
) -> Multivariate:
    """The model for windows of another length: its counters stay, its chance variation is measured again.

    Args:
        model: as made by `fit`.
        vectors: float64[m, F], the vectors that it was fitted on.
        fitted: int64[m], the blocks that it was fitted with.
        blocks: int64[m], blocks as long as the other windows; −1 for rows in no block.
    """
    present = ~np.isnan(vectors).all(axis=1)
    apart = _apart(int(present.sum()), None if fitted is None else fitted[present])
    return _measured(model, vectors, blocks, apart)


def _measured(
    known: Multivariate, vectors: NDArray[np.float64], blocks: NDArray[np.int64] | None, apart: NDArray[np.bool_]
) -> Multivariate:
    """The model with the spread of windows as long as the blocks."""
    present = ~np.isnan(vectors).all(axis=1)
    rows, drawn, paired, masks = vectors[present], known.frequencies, known.paired, known.masks
    some = np.linspace(0, len(rows) - 1, min(len(rows), _MOMENT_ROWS)).astype(np.int64)
    points = _whole(rows[some])
    by_block = error_blocks = None
    if blocks is not None:
        size, own = int(blocks.max()) + 1, blocks[present]
        chosen, both = own >= 0, apart & (own >= 0)
        by_block = sums(known, count_multivariate(known, rows[chosen], own[chosen], size))
        error_blocks = sums(known, count_multivariate(known, rows[both], own[both], size))
    first, second = np.triu_indices(len(paired), 1)
    spread, used = measure_spread(
        sums(known, known.reference),
        sums(known, known.apart),
        by_block,
        error_blocks,
        unpacked(waves(points, drawn)) / COSINE_UNIT / np.sqrt(drawn.shape[1]),
        _errors(known.projection, points[apart[some]]),
        np.where(np.isnan(rows[some][:, paired]), np.nan, points[:, paired] / UNIT),
        masks[first] == masks[second],
    )
    return replace(known, spread=spread, blocks=used if used >= MIN_BLOCKS else 0)


def _apart(rows: int, blocks: NDArray[np.int64] | None) -> NDArray[np.bool_]:
    """Every other block, or every other twentieth of the rows without blocks, because neighbours are similar."""
    part = np.arange(rows) * min(_REFERENCE_PARTS, rows) // rows
    if blocks is not None and len(np.unique(blocks)) > 1:
        part = np.unique(blocks, return_inverse=True)[1]
    result: NDArray[np.bool_] = part % 2 == 1
    return result


def count_multivariate(
    model: Multivariate, vectors: NDArray[np.float64], groups: NDArray[np.int64], size: int
) -> NDArray[np.int64]:
    """Counters of rows by group; the counters of two sets of rows add up exactly to the counters of their union.

    Args:
        model: as fitted.
        vectors: float64[n, F], NaN where missing; rows without any coordinate are counted separately.
        groups: int64[n], 0 to ``size`` − 1, such as the pane.
        size: number of groups.

    Returns:
        int64[size, P].
    """
    total = np.zeros((size, model.width), dtype=np.int64)
    for start in range(0, len(vectors), MOST_ROWS):  # packed waves allow no more at once
        stop = start + MOST_ROWS
        _add(model, vectors[start:stop], groups[start:stop], total)
    return total


def _add(
    model: Multivariate, vectors: NDArray[np.float64], groups: NDArray[np.int64], total: NDArray[np.int64]
) -> None:
    gone = np.asarray(np.isnan(vectors).all(axis=1))
    if len(groups) > 1 and (np.diff(groups) < 0).any():
        order = np.argsort(groups, kind="stable")
        vectors, groups, gone = vectors[order], groups[order], gone[order]
    total[:, 1] += np.bincount(groups[gone], minlength=len(total))
    if gone.any():
        vectors, groups = vectors[~gone], groups[~gone]
    if not len(groups):
        return
    total[:, 0] += np.bincount(groups, minlength=len(total))
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    present = groups[starts]
    points = _whole(vectors)
    errors = _errors(model.projection, points)
    head, fourier, pairs, means, products = _ends(model)
    halves = split(np.stack([errors, errors**2], axis=1)).reshape(-1, 4)
    total[present, 2:head] += np.add.reduceat(halves, starts, axis=0)
    total[present, head:fourier] += unpacked(np.add.reduceat(waves(points, model.frequencies), starts, axis=0))
    if not len(model.paired):
        return
    total[present, pairs:means] += np.add.reduceat(points[:, model.paired], starts, axis=0).astype(np.int64)
    chosen = points[:, model.paired]
    first = np.unique(model.masks, return_index=True)[1]
    valid = ~np.isnan(vectors[:, model.paired[first]])
    whole = bool(valid.all())
    mask = valid.astype(np.float64)
    upper, lower = np.triu_indices(len(first)), np.triu_indices(len(model.paired))
    # Whole numbers: matrix products are exact. A loop over groups, because each product is one call of BLAS.
    for group, start, stop in zip(present.tolist(), starts.tolist(), [*starts[1:].tolist(), len(groups)], strict=True):
        part = chosen[start:stop]
        product = part.T @ part
        total[group, means:products] += product[lower].astype(np.int64)
        if whole:
            total[group, fourier:pairs] += stop - start
        else:
            both = mask[start:stop].T @ mask[start:stop]
            total[group, fourier:pairs] += both[upper].astype(np.int64)


def sums(model: Multivariate, counts: NDArray[np.int64]) -> Sums:
    """Named sums of counters int64[..., P]."""
    head, fourier, pairs, means, _ = _ends(model)
    rows = counts[..., 0].astype(np.float64)
    error = np.stack([joined(counts[..., 2:4]), joined(counts[..., 4:6])], axis=-1)
    places = _places(model.masks.tobytes())
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = COSINE_UNIT * np.sqrt(model.frequencies.shape[1])
        features = counts[..., head:fourier] / rows[..., None] / scale
        held = counts[..., fourier + places.held].astype(np.float64)
        both = counts[..., fourier + places.both].astype(np.float64)
        mean = counts[..., pairs:means] / UNIT / held
        squares, products = (counts[..., means + index] / UNIT**2 for index in (places.squares, places.products))
        spread = np.sqrt(np.maximum(squares / held - mean**2, 0.0))
        # Means and spreads use all rows with the coordinate; products use rows with both coordinates.
        covariance = products / both - mean[..., places.first] * mean[..., places.second]
        bottom = spread[..., places.first] * spread[..., places.second]
        correlation = np.where(bottom > 1e-9, np.clip(covariance / bottom, -1.0, 1.0), np.nan)
    return Sums(rows, counts[..., 1].astype(np.float64), error, features, both, correlation, held, mean)


class _Places(NamedTuple):
    """Offsets of the counters of coordinates and of pairs of coordinates, from the first counter of their kind.

    Attributes:
        first, second: int64[N], the coordinates of each pair.
        held: int64[C], offset of the rows with a coordinate, among the counters of pairs of sources.
        both: int64[N], offset of the rows with both coordinates, among the counters of pairs of sources.
        squares, products: int64[C] and int64[N], offsets among the products of coordinates.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    held: NDArray[np.int64]
    both: NDArray[np.int64]
    squares: NDArray[np.int64]
    products: NDArray[np.int64]


@lru_cache(maxsize=256)
def _places(masks: bytes) -> _Places:
    """The offsets for coordinates of these sources (`Multivariate.masks`), which do not depend on counts."""
    source = np.frombuffer(masks, dtype=np.int64)
    size = len(source)
    by_source, by_coordinate = _numbered(int(source.max(initial=-1)) + 1), _numbered(size)
    first, second = (part.astype(np.int64) for part in np.triu_indices(size, 1))
    own = np.arange(size)
    return _Places(
        first, second, by_source[source, source], by_source[source[first], source[second]],
        by_coordinate[own, own], by_coordinate[first, second],
    )  # fmt: skip


def _numbered(size: int) -> NDArray[np.int64]:
    """int64[size, size]: the number of each pair in the order of `numpy.triu_indices`; symmetric."""
    full = np.zeros((size, size), dtype=np.int64)
    first, second = np.triu_indices(size)
    full[first, second] = full[second, first] = np.arange(len(first))
    return full


def _ends(model: Multivariate) -> tuple[int, int, int, int, int]:
    """The end of each part of the counters: rows and errors, Fourier features, valid pairs, means, products."""
    size, sources = len(model.paired), int(model.masks.max(initial=-1)) + 1
    fourier = _HEAD + 2 * model.frequencies.shape[1]
    pairs = fourier + sources * (sources + 1) // 2
    return _HEAD, fourier, pairs, pairs + size, pairs + size + size * (size + 1) // 2


def _whole(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Coordinates as whole numbers of 1/`UNIT`, clipped at ±`LIMIT`, 0 where missing."""
    near = np.clip(np.nan_to_num(vectors, nan=0.0, posinf=LIMIT, neginf=-LIMIT), -LIMIT, LIMIT)
    return np.asarray(np.rint(near * UNIT), dtype=np.float64)


def _components(points: NDArray[np.float64]) -> NDArray[np.float64]:
    centre = points.mean(axis=0)
    variances, axes = np.linalg.eigh((points - centre).T @ (points - centre))
    variances, axes = np.maximum(variances[::-1], 0.0), axes[:, ::-1]
    share = np.cumsum(variances) / max(variances.sum(), 1e-300)
    kept = min(int(np.searchsorted(share, VARIANCE_KEPT, side="right")) + 1, points.shape[1])
    step = _step(points.shape[1])
    projection: NDArray[np.float64] = np.rint(np.column_stack([axes[:, :kept], centre]) / step) * step
    return projection


def _step(coordinates: int) -> float:
    """The finest step for which sums of products with points stay below 2^53 (Cauchy & Schwarz), so they are exact."""
    return float(2.0 ** (np.ceil(np.log2(coordinates) / 2) - 37))


def _errors(projection: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64[n], distance of each point from the plane of the principal components through the mean point.

    NannyML's reconstruction error; |x − x̂|² = |x − μ|² − |Vᵀ(x − μ)|², as V has orthonormal columns.
    """
    centre = projection[:, -1]
    scores = (points @ projection) / UNIT
    along = scores[:, :-1] - centre @ projection[:, :-1]
    apart = (points**2).sum(axis=1) / UNIT**2 - 2 * scores[:, -1] + centre @ centre
    return np.asarray(np.sqrt(np.maximum(apart - (along**2).sum(axis=1), 0.0)), dtype=np.float64)


def _most_correlated(points: NDArray[np.float64]) -> NDArray[np.int64]:
    if points.shape[1] <= MAX_PAIRED:
        return np.arange(points.shape[1], dtype=np.int64)
    centred = points - points.mean(axis=0)
    spread = np.sqrt((centred**2).sum(axis=0))
    centred /= np.where(spread > 0, spread, 1.0)
    strength = np.abs(centred.T @ centred - np.eye(points.shape[1])).max(axis=0)
    return np.asarray(np.sort(np.argsort(-strength, kind="stable")[:MAX_PAIRED]), dtype=np.int64)
