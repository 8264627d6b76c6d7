"""Chooses the series on the metrics page: a fair share for every model, the most important series first."""

from __future__ import annotations

import heapq
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Rank = tuple[int, ...]


def shared(wanted: Mapping[str, Sequence[tuple[Rank, int]]], cap: int) -> dict[str, list[int]]:
    """Divides the room for series among models.

    Every claim of one rank comes before any claim of the next rank. Within a rank the model with the fewest series so
    far comes next, so a model with few series keeps all its series, whatever other models want. The result depends on
    ranks and sizes alone: the series on the page change only when ranks or sizes change.

    Args:
        wanted: model → (rank, size) of its claims, least rank first.
        cap: the greatest number of series.

    Returns:
        Model → the number of series granted to each claim, in the order of its claims.
    """
    granted: dict[str, list[int]] = {model: [0] * len(claims) for model, claims in wanted.items()}
    taken = dict.fromkeys(wanted, 0)
    everything = (
        (rank, model, index, size)
        for model, claims in sorted(wanted.items())
        for index, (rank, size) in enumerate(claims)
    )
    left = cap
    for _, of_rank in groupby(sorted(everything, key=itemgetter(0)), key=itemgetter(0)):
        claims_of = {model: list(claims) for model, claims in groupby(of_rank, key=itemgetter(1))}
        turns = [(taken[model], model, 0) for model in claims_of]
        heapq.heapify(turns)
        while turns and left:
            _, model, turn = heapq.heappop(turns)
            _, _, index, size = claims_of[model][turn]
            granted[model][index] = min(size, left)
            left -= granted[model][index]
            taken[model] += granted[model][index]
            if turn + 1 < len(claims_of[model]):
                heapq.heappush(turns, (taken[model], model, turn + 1))
    return granted
