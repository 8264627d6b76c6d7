"""Confidence bounds in closed form, for arrays of any shape."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import betaincinv, chndtrinc, gammaincc, gammaincinv, ndtri

if TYPE_CHECKING:
    from numpy.typing import NDArray

_EXACT_BELOW = 1000.0
"""Beyond this statistic `chndtrinc` does not converge, so a normal approximation is used."""
_LEAST = 1e-6
_NODES = 640
_MOST_FREEDOM = 128
_OFFSETS = np.arange(6)
_WEIGHTS = 1.0 / np.array([-120.0, 24.0, -12.0, 12.0, -24.0, 120.0])
"""Weights of Lagrange's polynomial through values at 0, 1, … 5: reciprocal products of the differences of nodes."""


def noncentrality_bounds(
    statistic: NDArray[np.float64], freedom: NDArray[np.float64], alpha: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Confidence bounds of the noncentrality of a χ² statistic, each with error probability ``alpha``."""
    statistic, freedom = np.broadcast_arrays(np.nan_to_num(statistic), freedom)
    high = _noncentrality(statistic, np.maximum(freedom, 1.0), alpha)
    return noncentrality_lower(statistic, freedom, alpha), np.where(freedom > 0, high, 0.0)


def noncentrality_lower(
    statistic: NDArray[np.float64], freedom: NDArray[np.float64], alpha: float
) -> NDArray[np.float64]:
    """Only the lower bound of `noncentrality_bounds`."""
    statistic, freedom = np.broadcast_arrays(np.nan_to_num(statistic), freedom)
    with np.errstate(invalid="ignore"):
        # The bound is above 0 only for statistics that are improbable under the central distribution.
        surprising = (freedom > 0) & (gammaincc(np.maximum(freedom, 1) / 2, statistic / 2) < alpha)
    low = np.zeros(statistic.shape)
    if surprising.any():
        low[surprising] = _noncentrality(statistic[surprising], freedom[surprising], 1 - alpha)
    return low


def _noncentrality(
    statistic: NDArray[np.float64], freedom: NDArray[np.float64], probability: float
) -> NDArray[np.float64]:
    # chndtrinc fails for large statistics; there the square root of a noncentral χ² is nearly normal (Sankaran 1959):
    # sqrt(x − (k − 1)/2) ~ N(sqrt(λ + (k − 1)/2), 1).
    shift = (freedom - 1) / 2
    root = np.sqrt(np.maximum(statistic - shift, 0.0)) - ndtri(probability)
    normal = np.maximum(np.sign(root) * root**2 - shift, 0.0)
    exact = _inverse(np.minimum(statistic, _EXACT_BELOW), freedom, probability)
    return np.where((statistic > _EXACT_BELOW) | ~np.isfinite(exact), normal, np.maximum(exact, 0.0))


class _Nodes:
    """λ at ln x = ``first`` + i · ``step`` for each number of degrees of freedom; computed at first use.

    λ is 0 up to the central quantile and an analytic function of ln x beyond it.
    """

    def __init__(self, probability: float) -> None:
        self._probability = probability
        self._known = np.zeros(_MOST_FREEDOM + 1, dtype=np.bool_)
        self.first, self.step = np.zeros(_MOST_FREEDOM + 1), np.ones(_MOST_FREEDOM + 1)
        # Pages that are never written take no physical memory.
        self.values = np.empty((_MOST_FREEDOM + 1) * _NODES)

    def fill(self, freedom: NDArray[np.int64]) -> None:
        """Computes the missing nodes for these degrees of freedom."""
        known = self._known[freedom]
        if known.all():
            return
        for number in np.unique(freedom[~known]).tolist():
            begin = 2 * float(gammaincinv(number / 2, self._probability))
            nodes = np.linspace(np.log(min(max(begin, _LEAST), _EXACT_BELOW / 2)), np.log(_EXACT_BELOW), _NODES)
            values = chndtrinc(np.minimum(np.exp(nodes), _EXACT_BELOW), float(number), self._probability)
            if begin >= _LEAST:
                values[0] = 0.0  # by definition; chndtrinc may fail here
            self.values[number * _NODES : (number + 1) * _NODES] = values
            self.first[number], self.step[number] = nodes[0], nodes[1] - nodes[0]
            self._known[number] = True


@lru_cache(maxsize=256)
def _nodes(probability: float) -> _Nodes:
    return _Nodes(probability)


def _inverse(statistic: NDArray[np.float64], freedom: NDArray[np.float64], probability: float) -> NDArray[np.float64]:
    """`chndtrinc` to 1e-9: Lagrange's polynomial of degree 5 through nodes that are computed once.

    `chndtrinc` takes some microseconds per value, which would be most of the cost of a judgement. The arguments alone
    decide whether the nodes are used, so the result depends on the arguments alone.
    """
    whole = freedom.astype(np.int64)
    tabled = (statistic >= _LEAST) & (whole == freedom) & (whole >= 1) & (whole <= _MOST_FREEDOM)
    if tabled.all():
        return _between_nodes(statistic, whole, _nodes(probability))
    result = np.empty(statistic.shape)
    rest = ~tabled
    result[rest] = chndtrinc(statistic[rest], freedom[rest], probability)
    result[tabled] = _between_nodes(statistic[tabled], whole[tabled], _nodes(probability))
    return result


def _between_nodes(statistic: NDArray[np.float64], freedom: NDArray[np.int64], nodes: _Nodes) -> NDArray[np.float64]:
    nodes.fill(freedom)
    index = (np.log(statistic) - nodes.first[freedom]) / nodes.step[freedom]
    left = np.clip(np.floor(index).astype(np.int64) - 2, 0, _NODES - 6)
    apart = (index - left)[..., None] - _OFFSETS
    # Products of all other distances, without a division, which would divide by zero at a node.
    before, after = np.ones(apart.shape), np.ones(apart.shape)
    np.cumprod(apart[..., :-1], axis=-1, out=before[..., 1:])
    np.cumprod(apart[..., :0:-1], axis=-1, out=after[..., -2::-1])
    values = nodes.values[(freedom * _NODES + left)[..., None] + _OFFSETS]
    return np.where(index < 0, 0.0, (before * after * _WEIGHTS * values).sum(axis=-1))


def binomial_bounds(
    successes: NDArray[np.float64], trials: NDArray[np.float64], alpha: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Clopper & Pearson (1934); real-valued counts come from dividing by a design effect."""
    successes, trials = np.broadcast_arrays(successes, trials)
    failures = np.maximum(trials - successes, 0.0)
    low, high = np.zeros(successes.shape), np.ones(successes.shape)
    some, others = successes > 0, failures > 0
    if some.any():
        low[some] = betaincinv(np.maximum(successes[some], 1e-9), failures[some] + 1, alpha)
    # Most counts of data faults are 0; their upper bound is 1 − α^(1/n).
    none = others & (successes == 0)
    high[none] = -np.expm1(np.log(alpha) / np.maximum(failures[none], 1e-9))
    others &= ~none
    if others.any():
        high[others] = betaincinv(successes[others] + 1, np.maximum(failures[others], 1e-9), 1 - alpha)
    return low, high
