"""The shape of the state: one row of counts per subject, with common columns.

A *subject* is anything that is compared with the reference: a feature, the prediction, a score. All subjects of
a model share one matrix, so that a few numpy calls compute a statistic for all subjects.

``counts[..., S, B]`` is int64 with ``B = BINS + 5``:

======================  ==============================================  =======================================
column                  numeric subject                                 categorical subject
======================  ==============================================  =======================================
``0 .. BINS - 1``       quantile bins of the reference                  the reference's most frequent categories
``MISSING``             null, absent or NaN                             null or absent
``INVALID``             not a number                                    not a scalar
``NONFINITE``           ±inf                                            never
``LOW``                 below the reference's least value               known to the reference, but not frequent
``HIGH``                above the reference's greatest value            never seen in the reference
======================  ==============================================  =======================================

``moments[..., S, 2]`` is float64: Σz and Σz² with z = (x − reference mean) / reference standard deviation, over the
finite values of numeric subjects (zero for categorical ones). ``extremes[..., S, 2]`` is float64: least and greatest
z (+inf, −inf while there is none).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 64
MISSING = BINS
INVALID = BINS + 1
NONFINITE = BINS + 2
LOW = BINS + 3
HIGH = BINS + 4
COLUMNS = BINS + 5


@dataclass(frozen=True, slots=True)
class Layout:
    """The meaning of the columns for each subject, fixed by the reference.

    Attributes:
        subjects: names such as ``feature:age``, ``prediction``, ``score``; length S.
        numeric: bool[S].
        width: int64[S], number of regular bins in use (0 to BINS).
        edges: float64[S, BINS + 1], bin i of a numeric subject is ``[edges[i], edges[i+1])`` in z units, the last bin
            is closed; NaN beyond ``width`` and for categorical subjects.
        centers: float64[S, BINS], mean z of the reference's values in each bin; NaN for empty bins.
        location: float64[S], reference mean (0 for categorical subjects).
        scale: float64[S], reference standard deviation, 1 where it is 0 or the subject is categorical.
    """

    subjects: tuple[str, ...]
    numeric: NDArray[np.bool_]
    width: NDArray[np.int64]
    edges: NDArray[np.float64]
    centers: NDArray[np.float64]
    location: NDArray[np.float64]
    scale: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Counts:
    """Mergeable counts of rows: the sum of two counts is the counts of the union.

    Attributes:
        rows: int64[...], rows counted.
        bins: int64[..., S, COLUMNS].
        moments: float64[..., S, 2].
        extremes: float64[..., S, 2].
    """

    rows: NDArray[np.int64]
    bins: NDArray[np.int64]
    moments: NDArray[np.float64]
    extremes: NDArray[np.float64]


GONE = (MISSING, INVALID, NONFINITE)
"""Columns of rows without a valid value."""


def without_value(bins: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64[...]: rows without a valid value, of int64[..., COLUMNS]."""
    total: NDArray[np.int64] = bins[..., MISSING] + bins[..., INVALID] + bins[..., NONFINITE]
    return total
