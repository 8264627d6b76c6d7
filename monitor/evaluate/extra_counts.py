"""Counts beside the subjects, pane by pane: estimated performance, features together, repeated ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from detectors.quality.duplicates import BUCKETS, Bounds, bucket_counts, counted_rate, sketched_rate
from monitor.reference.scorer import Scorer
from monitor.rows.ids import hash_ids
from monitor.windows.series import REPEATED, CountSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from monitor.config.model import ModelSection
    from monitor.reference.profile import Profile
    from monitor.rows.records import ModelRows

ESTIMATED = "estimated"
"""Name of the extra count of estimated performance; features together are named by their subject."""


@dataclass(frozen=True, slots=True)
class EstimatedPerformance:
    """Performance as it is expected from scores or features, without labels."""

    scorer: Scorer
    name: ClassVar[str] = ESTIMATED

    @property
    def width(self) -> int:
        """How many numbers."""
        return self.scorer.estimated_width

    def count(self, rows: ModelRows, groups: NDArray[np.int64], size: int) -> NDArray[np.int64]:
        """int64[size, width]: the sums of each group of rows."""
        return self.scorer.estimated(rows, groups, size)


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Rows that come again under the id of another one.

    Attributes:
        known: the predictions that wait for labels identify these rows, which are left out of the windows;
            otherwise ids are counted by hash.
    """

    known: bool
    name: ClassVar[str] = REPEATED

    @property
    def width(self) -> int:
        """How many numbers."""
        return 1 if self.known else BUCKETS

    def count(self, rows: ModelRows, groups: NDArray[np.int64], size: int) -> NDArray[np.int64]:
        """int64[size, width]: the sums of each group of rows, none of which is known to come again."""
        if self.known or rows.outputs is None or rows.outputs.ids is None:
            return np.zeros((size, self.width), dtype=np.int64)
        hashes, usable = hash_ids(rows.outputs.ids)
        return bucket_counts(hashes[usable], groups[usable], size)

    def rate(self, counts: NDArray[np.int64], rows: int, alpha: float) -> Bounds:
        """Share of rows that came again, lower and upper bound."""
        return counted_rate(int(counts[0]), rows, alpha) if self.known else sketched_rate(counts, alpha)


def make_count_spec(model: ModelSection, profile: Profile, *, labelled: bool = False) -> CountSpec:
    """The counts of rows that were encoded with one of a model's references.

    Args:
        model: its configuration.
        profile: the reference.
        labelled: labels are read, so repeated predictions are known one by one.
    """
    performance = profile.performance
    estimated = (EstimatedPerformance(performance.scorer),) if performance.scorer.estimates else ()
    fingerprint = f"/{performance.fingerprint()}" if estimated else ""
    fingerprint += "".join(f"/{joint.fingerprint()}" for joint in profile.joints)
    again = duplicates_of(model, labelled=labelled)
    fingerprint += f"/again{again.width}" if again else ""
    # Features together are counted for all rows only: segments have too few rows, and the counts are large.
    whole = (*estimated, *profile.joints, *((again,) if again else ()))
    return CountSpec(len(profile.layout.subjects), whole, estimated, fingerprint)


def duplicates_of(model: ModelSection, *, labelled: bool) -> Duplicates | None:
    """How repeated rows are found; None without ids."""
    return None if model.columns.id is None else Duplicates(known=labelled)
