"""Streams: pane means of scores, predictions and errors, for sequential tests against the reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from detectors.array_types import Array, Integers
from detectors.layout import BINS, without_value
from detectors.sequential import cusum
from detectors.sequential.cusum import Spread

if TYPE_CHECKING:
    from collections.abc import Mapping

    from detectors.layout import Counts, Layout


MOST_CLASSES = 5
"""Most classes of a prediction whose shares become streams."""
_NAN = float("nan")
_LEAST_PANES = 5


@dataclass(frozen=True, slots=True)
class Streams:
    """The streams of a model, as fixed by its reference.

    Attributes:
        pane: ms.
        subjects: subject of each stream, such as ``score`` or ``prediction``.
        places: int64[S], index in the layout.
        columns: int64[S], the column whose share is the stream; −1 for the mean of a numeric subject.
        location, scale: float64[S], mean and standard deviation of x in the reference; 0 and 1 for numeric subjects,
            which are counted in reference standard deviations already.
        names: of the classes; empty for numeric subjects.
        spread: variation of the panes of the reference.
    """

    pane: int
    subjects: tuple[str, ...]
    places: Integers
    columns: Integers
    location: Array
    scale: Array
    names: tuple[str, ...]
    spread: Spread

    def sums(self, counts: Counts) -> tuple[Array, Array, Array]:
        """n, Σx, Σx² of each stream, float64[S] (with leading dimensions of the counts): x of a class is 0 or 1."""
        bins = counts.bins[..., self.places, :]
        rows = np.asarray(counts.rows, dtype=np.float64)[..., None]
        valid = rows - without_value(bins)
        own = np.take_along_axis(bins, np.broadcast_to(self.columns, bins.shape[:-1])[..., None], axis=-1)[..., 0]
        numeric = self.columns < 0
        moments = counts.moments[..., self.places, :]
        return (
            valid,
            np.where(numeric, moments[..., 0], own.astype(np.float64)),
            np.where(numeric, moments[..., 1], own.astype(np.float64)),
        )

    def standardised(self, n: Array, total: Array, squares: Array) -> tuple[Array, Array, Array]:
        """As `sums`, of z: x less its reference mean, in reference standard deviations."""
        mean, scale = self.location, self.scale
        return n, (total - n * mean) / scale, (squares - 2 * mean * total + n * mean**2) / scale**2


def streams_of(
    layout: Layout,
    counts: Counts,
    pane: int,
    blocks: Counts | None,
    effects: Array,
    category: Mapping[str, tuple[str, ...]],
) -> Streams:
    """The streams of a reference: its scores, and its prediction.

    Args:
        layout, counts: of the reference.
        pane: ms.
        blocks: counts of the reference's panes in their order, with one leading dimension; None without event times.
        effects: float64[S], design effect of each subject's rows.
        category: categorical subject → names of its regular columns.
    """
    subjects: list[str] = []
    indexes: list[int] = []
    columns: list[int] = []
    names: list[str] = []
    for index, subject in enumerate(layout.subjects):
        if subject.startswith("feature:"):
            continue
        if layout.numeric[index]:
            chosen, labels = [-1], [""]
        else:
            order = np.argsort(-counts.bins[index, :BINS], kind="stable")
            known = category[subject]
            # With two classes, one share determines the other.
            most = 1 if len(known) == 2 else MOST_CLASSES
            chosen = [int(column) for column in order[:most] if 0 < counts.bins[index, column] < int(counts.rows)]
            labels = [known[column] for column in chosen]
        subjects += [subject] * len(chosen)
        indexes += [index] * len(chosen)
        columns += chosen
        names += labels
    chosen_columns = np.array(indexes, dtype=np.int64), np.array(columns, dtype=np.int64)
    valid = (np.asarray(counts.rows) - without_value(counts.bins))[chosen_columns[0]]
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = np.where(chosen_columns[1] < 0, np.nan, counts.bins[chosen_columns[0], chosen_columns[1]] / valid)
        skew = (1 - 2 * shares) / np.sqrt(shares * (1 - shares))
    share = np.nan_to_num(shares)
    scale = np.where(chosen_columns[1] < 0, 1.0, np.sqrt(np.maximum(share * (1 - share), 1e-12)))
    kept = tuple(subjects), *chosen_columns, share, scale, tuple(names)
    bare = Streams(pane, *kept, cusum.plain_spread(len(subjects)))
    unknown = np.full(len(subjects), np.nan)
    effect = effects[chosen_columns[0]]
    with np.errstate(divide="ignore"):
        plain = Spread(effect, unknown, unknown, np.zeros(len(subjects)), np.sqrt(effect / valid), skew)
    spread = plain
    if blocks is not None:
        spread = _measured(np.asarray(blocks.rows), *bare.standardised(*bare.sums(blocks))[:2], plain)
    return Streams(pane, *kept, spread)


def stream_of_errors(errors: Array, pane: int, blocks: Integers | None) -> Streams | None:
    """The stream of a model's errors on its reference; None if they do not vary.

    Args:
        errors: float64[m], 0 or 1 of a classifier, or the absolute error.
        pane: ms.
        blocks: int64[m], number of the pane that each row lies in, in their order; None without event times.
    """
    mean, scale = float(errors.mean()), float(errors.std())
    if not len(errors) or scale == 0:
        return None
    z = (errors - mean) / scale
    one = np.ones(1)
    plain = Spread(one, one * _NAN, one * _NAN, one * 0, one / np.sqrt(len(z)), one * float((z**3).mean()))
    spread = plain
    if blocks is not None:
        rows = np.bincount(blocks)
        spread = _measured(
            rows, rows[:, None].astype(np.float64), np.bincount(blocks, weights=z).astype(np.float64)[:, None], plain
        )
    none = np.array([-1], dtype=np.int64)
    return Streams(pane, ("performance",), none, none, one * mean, one * scale, ("",), spread)


def _measured(rows: Integers, n: Array, total: Array, plain: Spread) -> Spread:
    """The variation of the reference's panes, and the correlation of neighbouring panes.

    Args:
        rows: int64[P] of each pane.
        n, total: float64[P, S], values and Σz.
        plain: the result with too few panes.
    """
    used = rows >= 0.2 * np.median(rows[rows > 0])
    n, total = n[used], total[used]
    size = len(n)
    if size < _LEAST_PANES:
        return plain
    with np.errstate(invalid="ignore", divide="ignore"):
        means = total / n
        centred = means - np.nanmean(means, axis=0)
        sd = np.nanstd(means, axis=0, ddof=1)
        rows = size / np.nansum(1 / n, axis=0)
        lag = np.nansum(centred[1:] * centred[:-1], axis=0) / np.nansum(centred**2, axis=0)
        # Few panes give a rough estimate of the persistence: use the upper end of its interval (Bartlett 1946).
        persistence = np.clip(np.nan_to_num(lag) + 1 / np.sqrt(size), 0.0, 0.95)
        inflated = np.sqrt((1 + persistence) / (1 - persistence))
        error = np.where(sd > 0, sd / np.sqrt(size) * inflated, plain.reference_error)
    known = np.isfinite(sd) & (sd > 0)
    return Spread(
        plain.effect,
        np.where(known, sd, np.nan),
        np.where(known, rows, np.nan),
        persistence,
        np.maximum(np.nan_to_num(error), plain.reference_error),
        plain.skew,
    )
