"""Joint distributions of several features, and of embeddings, in the reference."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from alerts.evaluation import Finding
from detectors.drift.judge import DRIFTED, INSUFFICIENT
from detectors.joint.dispersion import Spread
from detectors.joint.judge import STATISTICS, JointLimits, explain_multivariate, joint_limits, judge_multivariate
from detectors.joint.statistics import Multivariate, count_multivariate, fit, for_blocks
from detectors.joint.vectors import Embedder, Vectoriser, embedded, fit_embedder, fit_vectoriser, names, vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from alerts.evaluation import Status
    from detectors.layout import Layout
    from monitor.rows.records import ModelRows

MULTIVARIATE = "multivariate"
_LEAST_BLOCKS = 10
_MOST_BLOCKS = 500
_STATUS: dict[int, Status] = {DRIFTED: "drifted", INSUFFICIENT: "insufficient"}


@dataclass(frozen=True, slots=True)
class JointModel:
    """The joint model of several features, or of an embedding.

    Attributes:
        subject: ``multivariate``, or ``embedding:NAME``.
        vectoriser: converts codes to coordinates; None for an embedding.
        embedder: standardises an embedding; None for features.
        model: as fitted on the reference.
        spreads: window length in ms → variation by chance of such windows, and the number of blocks it is based on.
        names: of the coordinates, for sentences.
        sticks: window length in ms and α → cached limits of such windows.
    """

    subject: str
    vectoriser: Vectoriser | None
    embedder: Embedder | None
    model: Multivariate
    spreads: Mapping[int, tuple[Spread, int]] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    sticks: dict[tuple[int, float], JointLimits] = field(default_factory=dict, compare=False, repr=False)

    @property
    def name(self) -> str:
        """Its name among the counts of a model."""
        return self.subject

    @property
    def width(self) -> int:
        """Number of counts of a pane."""
        return self.model.width

    def count(self, rows: ModelRows, groups: NDArray[np.int64], size: int) -> NDArray[np.int64]:
        """int64[size, width]: the sums of each group of rows."""
        if self.vectoriser is not None:
            points = vectors(self.vectoriser, rows.codes)
        else:
            assert self.embedder is not None
            assert rows.embeddings is not None
            points = embedded(self.embedder, rows.embeddings[self.subject])
        return count_multivariate(self.model, points, groups, size)

    def fingerprint(self) -> str:
        """A hash that changes whenever the meaning of the counts changes."""
        model = self.model
        arrays = (model.projection, model.frequencies, model.paired, model.masks)
        return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()[:16]

    def for_window(self, length: int) -> Multivariate:
        """The model for windows of a length, or of the nearest known length."""
        if not self.spreads:
            return self.model
        spread, blocks = self.spreads[min(self.spreads, key=lambda known: abs(np.log(known / length)))]
        return replace(self.model, spread=spread, blocks=blocks)

    def stick(self, length: int, alpha: float) -> JointLimits:
        """The limits that windows of a length are compared with at an error probability."""
        if (length, alpha) not in self.sticks:
            self.sticks[length, alpha] = joint_limits(self.for_window(length), alpha)
        return self.sticks[length, alpha]

    def findings(
        self,
        counts: NDArray[np.int64],
        length: int,
        alpha: float,
        min_effect: float,
        min_rows: int,
        held_back: Sequence[str],
    ) -> list[tuple[Finding, ...]]:
        """The findings of windows of one length, one for each statistic.

        Args:
            counts: int64[W, P].
            length: of the windows, ms.
            alpha, min_effect, min_rows: as for `judge_multivariate`.
            held_back: for each window, why it must not be judged; empty if it may be judged.
        """
        stick = self.stick(length, alpha)
        judged = judge_multivariate(stick, counts, alpha, min_effect, min_rows)
        value, lower, upper, debiased = (
            array.tolist() for array in (judged.value, judged.lower, judged.upper, judged.debiased)
        )
        statuses, least = judged.status.tolist(), judged.threshold.tolist()
        findings = []
        for window, reason in enumerate(held_back):
            own = []
            for index, statistic in enumerate(STATISTICS):
                if statistic == "correlation" and len(self.model.paired) < 2:
                    continue
                status: Status = _STATUS.get(statuses[window][index], "ok")
                detail = ""
                if reason:
                    status, detail = "insufficient", reason
                elif status == "drifted":
                    detail = explain_multivariate(stick, counts[window], self.names)
                own.append(
                    Finding(
                        self.subject,
                        statistic,
                        value[window][index],
                        lower[window][index],
                        upper[window][index],
                        least[index],
                        status,
                        detail,
                        debiased[window][index],
                    )
                )
            findings.append(tuple(own))
        return findings


def joint_of_features(
    layout: Layout, bins: NDArray[np.int64], codes: NDArray[np.int64], category: Mapping[int, Sequence[str]],
    blocks: Mapping[int, NDArray[np.int64]],
) -> JointModel | None:  # fmt: skip
    """The joint model of a reference's features; None with fewer than two coordinates or rows.

    Args:
        layout, bins: of the reference.
        codes: int64[m, S].
        category: index of a categorical subject → names of its regular columns.
        blocks: window length → int64[m], number of the block of that length that each row lies in.
    """
    indexes = [index for index, subject in enumerate(layout.subjects) if subject.startswith("feature:")]
    if len(indexes) < 2:
        return None
    vectoriser = fit_vectoriser(layout, bins, indexes)
    if len(vectoriser.sources) < 2:
        return None
    points = vectors(vectoriser, codes)
    if usable_rows(points) < 2:
        return None

    def name(index: int, column: int) -> str | None:
        known = category.get(index, ())
        return known[column] if column < len(known) else None

    coordinates = names(vectoriser, layout.subjects, name)
    return _fitted(MULTIVARIATE, vectoriser, None, points, blocks, vectoriser.sources, coordinates)


def usable_rows(points: NDArray[np.float64]) -> int:
    """Number of rows of float64[m, F] with at least one coordinate."""
    return int((~np.isnan(points).all(axis=1)).sum())


def joint_of_embedding(name: str, raw: NDArray[np.float64], blocks: Mapping[int, NDArray[np.int64]]) -> JointModel:
    """The joint model of an embedding in the reference, float64[m, D]; rows of NaN are ignored."""
    embedder = fit_embedder(raw)
    return _fitted(f"embedding:{name}", None, embedder, embedded(embedder, raw), blocks, None, ())


def _fitted(
    subject: str,
    vectoriser: Vectoriser | None,
    embedder: Embedder | None,
    points: NDArray[np.float64],
    blocks: Mapping[int, NDArray[np.int64]],
    sources: NDArray[np.int64] | None,
    coordinates: tuple[str, ...],
) -> JointModel:
    numbered = {length: np.unique(block, return_inverse=True)[1].astype(np.int64) for length, block in blocks.items()}
    # The rows set apart for measuring are blocks of one length: the longest length with enough blocks.
    many = [length for length, block in numbered.items() if block.max(initial=0) + 1 >= _LEAST_BLOCKS]
    base = numbered[max(many)] if many else None
    model = fit(points, base, sources=sources, correlations=vectoriser is not None)
    spreads = {}
    for length in many:
        block = numbered[length]
        size = int(block.max()) + 1
        if size > _MOST_BLOCKS:
            kept = np.full(size, -1, dtype=np.int64)
            kept[np.linspace(0, size - 1, _MOST_BLOCKS).astype(np.int64)] = np.arange(_MOST_BLOCKS)
            block = kept[block]
        measured = for_blocks(model, points, base, block)
        spreads[length] = (measured.spread, measured.blocks)
    return JointModel(subject, vectoriser, embedder, model, spreads, coordinates)


def read_embedding(values: Sequence[object], width: int) -> NDArray[np.float64]:
    """float64[n, width]; a row that is not a list of ``width`` numbers becomes NaN."""
    out = np.full((len(values), width), np.nan)
    for row, value in enumerate(values):
        if isinstance(value, list | tuple) and len(value) == width:
            try:
                out[row] = np.array(value, dtype=np.float64)
            except (TypeError, ValueError):
                continue
    return out
