"""What windows are compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from detectors.layout import Counts, Layout


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference as counts.

    Attributes:
        layout: what the columns mean.
        counts: of the reference's rows, without leading dimensions.
        design_effect: float64[S] ≥ 1, by how much counts of a window vary more than those of independent rows would.
    """

    layout: Layout
    counts: Counts
    design_effect: NDArray[np.float64]
