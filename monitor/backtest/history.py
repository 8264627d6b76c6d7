"""The data of a backtest's report: all statistics over time, and the worst window of each drifted subject."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alerts.evaluation import Finding
from alerts.subjects import subject_named

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alerts.evaluation import Evaluation
    from alerts.lifecycle import Transition
    from alerts.policy import Notice
    from alerts.rules import Rule
    from detectors.layout import Counts
    from monitor.alerting.alerting import Outcome
    from monitor.reference.by_version import ReferencesByVersion
    from monitor.serve.snapshot import Snapshot


class TrackKey(NamedTuple):
    """One window length of one series; drift and realised performance are judged at different times."""

    model: str
    version: str
    segment: str
    window: str
    realised: bool = False


Name = tuple[str, str]
"""Subject and statistic."""


@dataclass(slots=True)
class Beyond:
    """When a finding was beyond its limit: first and last end of such a window, their number, and the last detail."""

    first: int
    last: int
    windows: int
    detail: str


@dataclass(slots=True)
class Track:
    """Every evaluation of one window length of one series, in order.

    Attributes:
        ends: event time of each window's end, epoch ms.
        rows, labelled: in each window.
        thresholds: of each finding; NaN if it is shown but not judged.
        references: value of each finding on the reference, if known.
        details: last detail of each finding, if any.
        beyond: findings that were breached or drifted in any window.
        numbers: of each finding (index in ``ends``, value, lower, upper); only for windows with enough data.
    """

    ends: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    labelled: list[int] = field(default_factory=list)
    thresholds: dict[Name, float] = field(default_factory=dict)
    numbers: dict[Name, list[tuple[int, float, float, float]]] = field(default_factory=dict)
    references: dict[Name, float] = field(default_factory=dict)
    details: dict[Name, str] = field(default_factory=dict)
    beyond: dict[Name, Beyond] = field(default_factory=dict)

    def add(self, evaluation: Evaluation) -> None:
        """Adds one evaluation."""
        index = len(self.ends)
        self.ends.append(evaluation.end)
        self.rows.append(evaluation.rows)
        self.labelled.append(evaluation.labelled_rows)
        for finding in evaluation.findings:
            name = (finding.subject, finding.statistic)
            self.thresholds[name] = finding.threshold
            self.references[name] = finding.reference
            if finding.detail:
                self.details[name] = finding.detail
            if finding.status in ("breached", "drifted"):
                beyond = self.beyond.setdefault(name, Beyond(evaluation.end, evaluation.end, 0, ""))
                beyond.last, beyond.detail = evaluation.end, finding.detail
                beyond.windows += 1
            numbers = self.numbers.setdefault(name, [])
            if finding.status != "insufficient":
                numbers.append((index, finding.value, finding.lower, finding.upper))

    def series(self, name: Name) -> NDArray[np.float64]:
        """float64[N, 3] of one finding: value, lower, upper; NaN with too little data."""
        numbers = np.full((len(self.ends), 3), np.nan)
        for index, *three in self.numbers[name]:
            numbers[index] = three
        return numbers


@dataclass(frozen=True, slots=True)
class Worst:
    """The window in which a subject was furthest beyond its threshold.

    Attributes:
        margin: lower bound less threshold.
        bins: int64[COLUMNS], the window's counts of the subject; None for subjects without bins, such as an embedding.
        extremes: least and greatest z of the window; infinite without values.
    """

    track: TrackKey
    finding: Finding
    margin: float
    start: int
    end: int
    rows: int
    bins: NDArray[np.int64] | None
    extremes: tuple[float, float]


class Leeway(NamedTuple):
    """The smallest distance of a subject to drift: threshold less the greatest lower bound, and when."""

    subject: str
    statistic: str
    track: TrackKey
    left: float
    lower: float
    threshold: float
    end: int


class History:
    """Records a replay.

    Args:
        references: model name → its references.
        rules: name → rule.
    """

    def __init__(self, references: Mapping[str, ReferencesByVersion], rules: Mapping[str, Rule]) -> None:
        self.references, self.rules = references, rules
        self.tracks: dict[TrackKey, Track] = {}
        self.worst: dict[tuple[str, str, str], Worst] = {}
        self.transitions: list[Transition] = []
        self.notices: list[Notice] = []
        self.snapshot: Snapshot | None = None

    def evaluated(self, evaluation: Evaluation, counts: Counts | None) -> None:
        """Adds one evaluation and the counts of its window; None for realised performance."""
        key = TrackKey(evaluation.model, evaluation.version, evaluation.segment, evaluation.window, evaluation.realised)
        self.tracks.setdefault(key, Track()).add(evaluation)
        if counts is None:
            return
        indexes = {name: index for index, name in enumerate(self.references[key.model].of(key.version).layout.subjects)}
        for finding in evaluation.findings:
            if finding.status == "drifted":
                self._remember(key, evaluation, finding, counts, indexes.get(finding.subject))

    def _remember(
        self, key: TrackKey, evaluation: Evaluation, finding: Finding, counts: Counts, index: int | None
    ) -> None:
        margin = finding.lower - finding.threshold
        name = (evaluation.model, finding.subject, finding.statistic)
        worst = self.worst.get(name)
        if worst is None or margin > worst.margin:
            low, high = (np.inf, -np.inf) if index is None else counts.extremes[index].tolist()
            bins = None if index is None else counts.bins[index].copy()
            self.worst[name] = Worst(
                key, finding, margin, evaluation.start, evaluation.end, evaluation.rows, bins, (low, high)
            )  # fmt: skip

    def changed(self, outcome: Outcome) -> None:
        """Adds the outcome of an evaluation."""
        self.transitions += outcome.transitions
        self.notices += outcome.notices

    def finished(self, snapshot: Snapshot) -> None:
        """Adds the final snapshot."""
        self.snapshot = snapshot

    def leeways(self) -> list[Leeway]:
        """For every judged subject and statistic the window nearest to drift, nearest first."""
        nearest: dict[tuple[str, str, str], Leeway] = {}
        for key, track in self.tracks.items():
            for name, threshold in track.thresholds.items():
                bounded = [number for number in track.numbers[name] if not np.isnan(number[2])]
                if key.realised or np.isnan(threshold) or subject_named(name[0]).metrics_of_task or not bounded:
                    continue
                index, _, lower, _ = max(bounded, key=lambda number: number[2])
                leeway = Leeway(*name, key, threshold - lower, lower, threshold, track.ends[index])
                best = nearest.get((key.model, *name))
                if best is None or leeway.left < best.left:
                    nearest[(key.model, *name)] = leeway
        return sorted(nearest.values(), key=lambda leeway: (leeway.left / max(leeway.threshold, 1e-9), leeway[:3]))
