"""What is counted of every row beside its subjects, pane by pane: estimated performance, features together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from monitor.scoring import Scorer
from monitor.windows import Shape

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from monitor.config import ModelSection
    from monitor.profile import Profile
    from monitor.records import ModelRows


@dataclass(frozen=True, slots=True)
class EstimatedPerformance:
    """Performance as it is expected from scores or features, without labels."""

    scorer: Scorer

    @property
    def width(self) -> int:
        """How many numbers."""
        return self.scorer.estimated_width

    def count(self, rows: ModelRows, groups: NDArray[np.int64], size: int) -> NDArray[np.int64]:
        """int64[size, width]: the sums of each group of rows."""
        return self.scorer.estimated(rows, groups, size)


def make_shape(model: ModelSection, profile: Profile) -> Shape:
    """What is counted of rows that were encoded with one of a model's references."""
    performance = profile.performance
    estimated = (EstimatedPerformance(performance.scorer),) if performance.scorer.estimates else ()
    fingerprint = f"/{performance.fingerprint()}" if estimated else ""
    fingerprint += "".join(f"/{joint.fingerprint()}" for joint in profile.joints)
    # What is watched together is watched in the whole alone: segments have too few rows for it, and it is large.
    return Shape(len(profile.layout.subjects), (*estimated, *profile.joints), estimated, fingerprint)
