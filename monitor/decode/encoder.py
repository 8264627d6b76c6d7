"""Raw values → columns of the counts matrix, by the bins and categories that the reference fixed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from monitor.rows.values import CategoricalSubject, NumericSubject, category_coder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from monitor.reference.profile import Profile


class Encoder:
    """Encodes all subjects of a model."""

    def __init__(self, profile: Profile) -> None:
        self.columns = profile.columns
        self.subjects: list[NumericSubject | CategoricalSubject] = []
        layout = profile.layout
        for index, subject in enumerate(layout.subjects):
            if layout.numeric[index]:
                self.subjects.append(
                    NumericSubject(
                        np.array(profile.edges[subject]), float(layout.location[index]), float(layout.scale[index])
                    )
                )
            else:
                self.subjects.append(
                    category_coder(profile.top[subject], profile.others[subject], profile.open_vocabulary[subject])
                )

    def encode(self, columns: Sequence[Sequence[object]]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Columns int64[n, S] and z float64[n, S] of raw values, one sequence a subject in layout order."""
        rows = len(columns[0])
        codes = np.empty((rows, len(self.subjects)), dtype=np.int64)
        z = np.full((rows, len(self.subjects)), np.nan)
        # One pass for each feature, which has its own edges or table; each pass is vectorised.
        for index, (subject, values) in enumerate(zip(self.subjects, columns, strict=True)):
            codes[:, index], numbers = subject.encode(values)
            if numbers is not None:
                z[:, index] = numbers
        return codes, z
