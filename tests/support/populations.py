"""Twenty features of known distributions, for simulations: references of real rows, windows drawn from true shares."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import lognorm, norm

from detectors.layout import COLUMNS, HIGH, LOW, MISSING
from tests.support.counts import counts_of, own_edges, reference_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from detectors.drift.reference import Reference
    from detectors.layout import Counts

    Array = NDArray[np.float64]

MISSING_RATE = 0.01
ZIPF = 1 / np.arange(1, 51) ** 1.2 / (1 / np.arange(1, 51) ** 1.2).sum()
KINDS = ["normal"] * 8 + ["lognormal"] * 6 + ["zipf"] * 6


def reference_rows(rows: int, generator: np.random.Generator, missing: float = MISSING_RATE) -> Reference:
    """20 features; a category's number is its rank, so the 50 categories take 50 columns."""
    columns: dict[str, Array | NDArray[np.int64]] = {}
    for place, kind in enumerate(KINDS):
        gone = generator.random(rows) < missing
        if kind == "zipf":
            columns[f"feature:{place}"] = np.where(gone, MISSING, generator.choice(50, rows, p=ZIPF))
        else:
            values = generator.normal(size=rows) if kind == "normal" else generator.lognormal(0, 1, rows)
            columns[f"feature:{place}"] = np.where(gone, np.nan, values)
    return reference_of(columns)


def population(
    reference: Reference, shift: float = 0, spread: float = 1, missing: float = MISSING_RATE
) -> NDArray[np.float64]:
    """float64[S, COLUMNS]: true shares; numeric features are shifted and spread (lognormal ones in their logarithm)."""
    layout = reference.layout
    found = np.zeros((len(KINDS), COLUMNS))
    for place, kind in enumerate(KINDS):
        if kind == "zipf":
            found[place, :50] = ZIPF
            # A category that the reference happens to lack would be counted as never seen.
            absent = np.flatnonzero(reference.counts.bins[place, :50] == 0)
            found[place, HIGH] = found[place, absent].sum()
            found[place, absent] = 0
        else:
            edges = own_edges(layout, place) * layout.scale[place] + layout.location[place]
            below = (norm(shift, spread) if kind == "normal" else lognorm(spread, scale=np.exp(shift))).cdf(edges)
            found[place, : edges.size - 1] = np.diff(below)
            found[place, LOW], found[place, HIGH] = below[0], 1 - below[-1]
    found *= 1 - missing
    found[:, MISSING] = missing
    return found


def windows(shares: Array, rows: int, many: int, generator: np.random.Generator) -> Counts:
    return counts_of(generator.multinomial(rows, shares, (many, len(shares))).astype(np.int64))
