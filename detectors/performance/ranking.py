"""Metrics of ranked lists from int64 counters to which lists can be added and subtracted.

One record is one ranked list; its label is the set of relevant items with their gains. The metrics of a list are
computed when its label arrives, and summed. Lists without any relevant item have no best order: they are counted
separately and are not part of any mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from detectors import fixed_point
from detectors.performance.estimate import Estimate, ratio, wilson

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from detectors.array_types import Array

    Hashes = NDArray[np.uint64]

_MEANS = ("ndcg", "map", "mrr", "precision_at_k", "recall_at_k")
_COUNTS = ("lists", "without_relevant", "hits")


@dataclass(frozen=True, slots=True)
class Ranking:
    """The counters of a ranking model.

    Attributes:
        k: number of items that count from the top of a list, at least 1.
    """

    k: int = 10

    def __post_init__(self) -> None:
        """Refuses invalid parameters.

        Raises:
            ValueError: if k is below 1.
        """
        if self.k < 1:
            raise ValueError("k is at least 1")

    @property
    def width(self) -> int:
        """Number of int64 counters."""
        return len(_COUNTS) + 4 * len(_MEANS)

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics that `ranking_metrics` gives, in its order."""
        return ("ndcg", "map", "mrr", "hit_rate", "precision_at_k", "recall_at_k")


def count_ranking(
    task: Ranking, items: Hashes, relevant: Hashes, gains: Array, groups: NDArray[np.int64], size: int
) -> NDArray[np.int64]:
    """Counters of each group of lists.

    Args:
        task: defines the counters.
        items: uint64[n, any], hashes of the ranked items, best first; 0 is no item but keeps its rank. Items after the
            k-th are not looked at; an item that comes again in its list is not a second hit.
        relevant: uint64[n, m], hashes of the relevant items; 0 is none. An item named twice has its greatest gain.
        gains: float64[n, m]; an item with a gain that is not above 0 and finite is not relevant.
        groups: int64[n], from 0 to ``size`` − 1.
        size: number of groups.

    Returns:
        int64[size, task.width], a plain sum over lists: a corrected label is the new list's counters minus the old's.
    """
    result, wanted = _matched(items[:, : task.k], relevant, gains)
    hit, number = result > 0, np.sum(wanted > 0, axis=-1)
    judged = number > 0
    ranks = np.arange(1, max(result.shape[1], wanted.shape[1]) + 1)
    discount = 1.0 / np.log2(ranks + 1.0)
    top, ideal = result.shape[1], min(task.k, wanted.shape[1])
    best = ratio(wanted[:, :ideal] @ discount[:ideal], judged.astype(np.float64))
    precision = np.cumsum(hit, axis=-1) / ranks[:top]
    hits = hit.sum(axis=-1)
    whole = number.astype(np.float64)
    terms = {
        "ndcg": np.minimum(ratio(result @ discount[:top], best), 1.0),
        "map": ratio(np.sum(precision * hit, axis=-1), np.minimum(whole, task.k)),
        "mrr": np.max(hit / ranks[:top], axis=-1, initial=0.0),
        "precision_at_k": hits / task.k,
        "recall_at_k": ratio(hits.astype(np.float64), whole),
    }
    parts = [np.stack([judged, ~judged, judged & (hits > 0)], axis=-1).astype(np.int64)]
    for name in _MEANS:
        value = np.where(judged, terms[name], 0.0)
        parts += [fixed_point.split(value), fixed_point.split(value * value)]
    return fixed_point.grouped(np.concatenate(parts, axis=-1), groups, size)


def counted(counts: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    """int64[...] each: ``lists`` in the means, and those ``without_relevant`` items, of int64[..., task.width]."""
    return {name: counts[..., index] for index, name in enumerate(_COUNTS[:2])}


def ranking_metrics(
    task: Ranking, counts: NDArray[np.int64], alpha: float = 0.05, phi: float = 1.0
) -> dict[str, Estimate]:
    """All metrics of ``task.names``, means over lists with a relevant item, each with a confidence interval.

    ndcg: Σ gain / log2(rank + 1) over the first k, over that of the best order of all relevant items cut to k (Järvelin
    & Kekäläinen 2002; linear gains, as scikit-learn's ``ndcg_score``). map: mean average precision, Σ precision at each
    hit / min(k, relevant items). mrr: 1 / rank of the first hit, 0 without one among the first k. hit_rate: lists with
    a hit. precision_at_k: hits / k, even for shorter lists. recall_at_k: hits / relevant items.

    The hit rate has Wilson's interval. Other metrics are means of numbers from 0 to 1: their interval is Wilson's for
    the number of 0s and 1s with equal variance (Korn & Graubard 1998), so that it stays within 0 and 1 and has a length
    even if all lists are equal. For many lists it approaches the normal interval.

    Args:
        task: defines the counters.
        counts: int64[..., task.width].
        alpha: two-sided error probability of each interval.
        phi: design effect; intervals are computed for lists / phi independent lists.

    Returns:
        Estimates of shape [...], NaN without a list that has a relevant item.
    """
    rows = counts[..., 0].astype(np.float64)
    result = {"hit_rate": wilson(counts[..., 2].astype(np.float64), rows, alpha, phi)}
    for index, name in enumerate(_MEANS):
        start = len(_COUNTS) + 4 * index
        total, squares = (fixed_point.joined(counts[..., begin : begin + 2]) for begin in (start, start + 2))
        result[name] = _mean(total, squares, rows, alpha, phi)
    return {name: result[name] for name in task.names}


def _matched(items: Hashes, relevant: Hashes, gains: Array) -> tuple[Array, Array]:
    """Gains of the ranked items float64[n, k] (0 if not relevant), and of all relevant ones float64[n, m], descending.

    A stable sort by hash brings each relevant item next to the ranked one, at a cost of (m + k)·log(m + k) a list.
    """
    useful = (relevant != 0) & np.isfinite(gains) & (gains > 0)
    # Gains count in proportion only; the greatest is 1, so that sums stay finite.
    gains = np.where(useful, gains, 0.0)
    gains = gains / np.maximum(gains.max(axis=-1, keepdims=True, initial=0.0), np.finfo(np.float64).tiny)
    rising = np.argsort(gains, axis=-1, kind="stable")
    gains = np.take_along_axis(gains, rising, axis=-1)
    wanted = np.take_along_axis(np.where(useful, relevant, np.uint64(0)), rising, axis=-1)
    many = wanted.shape[1]
    hashes = np.concatenate([wanted, items], axis=-1)
    order = np.argsort(hashes, axis=-1, kind="stable")
    held = np.take_along_axis(hashes, order, axis=-1)
    named = order < many
    sorted_gains = np.take_along_axis(np.concatenate([gains, np.zeros(items.shape)], axis=-1), order, axis=-1)
    follows = (held[:, 1:] == held[:, :-1]) & (held[:, 1:] != 0)
    # Of a relevant item named twice the last one stays, which has the greatest gain.
    sorted_gains[:, :-1][follows & named[:, 1:]] = 0.0
    won = np.zeros(held.shape)
    won[:, 1:] = np.where(follows & named[:, :-1] & ~named[:, 1:], sorted_gains[:, :-1], 0.0)
    back = np.empty(held.shape)
    np.put_along_axis(back, order, np.where(named, sorted_gains, won), axis=-1)
    return back[:, many:], -np.sort(-back[:, :many], axis=-1)


def _mean(total: Array, squares: Array, rows: Array, alpha: float, phi: float) -> Estimate:
    value = np.clip(ratio(total, rows), 0.0, 1.0)
    most = value * (1.0 - value)
    # One more list with the greatest variance, so that a few lists that are equal by chance get a wide interval.
    spread = (rows * np.clip(ratio(squares, rows) - value**2, 0.0, most) + most) / (rows + 1.0)
    alike = rows * np.where(most > 0, ratio(most, spread), 1.0)
    return Estimate(value, *wilson(value * alike, alike, alpha, phi)[1:])
