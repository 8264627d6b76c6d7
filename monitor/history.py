"""What a backtest remembers for its report: every statistic over time, and the worst window of each that drifted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alerts.evaluation import Finding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alerts.evaluation import Evaluation
    from alerts.policy import Notice
    from alerts.rules import Rule, Transition
    from detectors.layout import Counts
    from monitor.alerting import Outcome
    from monitor.references import References
    from monitor.snapshot import Snapshot


class TrackKey(NamedTuple):
    """One window length of one series."""

    model: str
    version: str
    segment: str
    window: str


@dataclass(slots=True)
class Track:
    """Every evaluation of one window length of one series, in order.

    Attributes:
        names: (subject, statistic) of each finding; the same for all evaluations.
        thresholds: of each finding; NaN where it is shown but not judged.
        ends: event time of each window's end, epoch ms.
        rows: in each window.
        numbers: for each evaluation float64[F, 3]: value, lower, upper.
        drifted: for each evaluation bool[F].
        judged: for each evaluation bool[F]: there was enough data.
    """

    names: tuple[tuple[str, str], ...]
    thresholds: tuple[float, ...]
    ends: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    numbers: list[NDArray[np.float64]] = field(default_factory=list)
    drifted: list[NDArray[np.bool_]] = field(default_factory=list)
    judged: list[NDArray[np.bool_]] = field(default_factory=list)

    def series(self, name: tuple[str, str]) -> NDArray[np.float64]:
        """float64[N, 3] of one finding: value, lower, upper; NaN where there was too little data."""
        place = self.names.index(name)
        numbers = np.stack([row[place] for row in self.numbers])
        numbers[[not row[place] for row in self.judged]] = np.nan
        return numbers


@dataclass(frozen=True, slots=True)
class Worst:
    """The window in which a subject was furthest beyond its threshold.

    Attributes:
        margin: lower bound less threshold.
        bins: int64[COLUMNS], the window's counts of the subject.
        extremes: least and greatest z of the window; infinite where there is none.
    """

    track: TrackKey
    finding: Finding
    margin: float
    start: int
    end: int
    rows: int
    bins: NDArray[np.int64]
    extremes: tuple[float, float]


class Leeway(NamedTuple):
    """How near a subject came to drift: threshold less the greatest lower bound, and when."""

    subject: str
    statistic: str
    track: TrackKey
    left: float
    lower: float
    threshold: float
    end: int


class History:
    """Listens to a replay.

    Args:
        references: model name → what it is compared with.
        rules: name → rule.
    """

    def __init__(self, references: Mapping[str, References], rules: Mapping[str, Rule]) -> None:
        self.references, self.rules = references, rules
        self.tracks: dict[TrackKey, Track] = {}
        self.worst: dict[tuple[str, str, str], Worst] = {}
        self.transitions: list[Transition] = []
        self.notices: list[Notice] = []
        self.snapshot: Snapshot | None = None

    def evaluated(self, evaluation: Evaluation, counts: Counts) -> None:
        """Takes in one evaluation and what its window held."""
        key = TrackKey(evaluation.model, evaluation.version, evaluation.segment, evaluation.window)
        findings = evaluation.findings
        track = self.tracks.get(key)
        if track is None:
            track = self.tracks[key] = Track(
                tuple((finding.subject, finding.statistic) for finding in findings),
                tuple(finding.threshold for finding in findings),
            )
        track.ends.append(evaluation.end)
        track.rows.append(evaluation.rows)
        track.numbers.append(np.array([(found.value, found.lower, found.upper) for found in findings]))
        track.drifted.append(np.array([finding.status == "drifted" for finding in findings]))
        track.judged.append(np.array([finding.status != "insufficient" for finding in findings]))
        subjects = self.references[evaluation.model].of(evaluation.version).layout.subjects
        for finding in findings:
            if finding.status == "drifted":
                self._remember(key, evaluation, finding, counts, subjects.index(finding.subject))

    def _remember(self, key: TrackKey, evaluation: Evaluation, finding: Finding, counts: Counts, place: int) -> None:
        margin = finding.lower - finding.threshold
        name = (evaluation.model, finding.subject, finding.statistic)
        held = self.worst.get(name)
        if held is None or margin > held.margin:
            low, high = counts.extremes[place].tolist()
            self.worst[name] = Worst(
                key, finding, margin, evaluation.start, evaluation.end, evaluation.rows, counts.bins[place].copy(),
                (low, high),
            )  # fmt: skip

    def changed(self, outcome: Outcome) -> None:
        """Takes in what an evaluation led to."""
        self.transitions += outcome.transitions
        self.notices += outcome.notices

    def finished(self, snapshot: Snapshot) -> None:
        """Takes in where the replay ended."""
        self.snapshot = snapshot

    def leeways(self) -> list[Leeway]:
        """For every judged subject and statistic the nearest that any window came to drift, nearest first."""
        nearest: dict[tuple[str, str, str], Leeway] = {}
        for key, track in self.tracks.items():
            judged = np.stack(track.judged)
            lower = np.where(judged, np.stack(track.numbers)[:, :, 1], np.nan)
            for place, ((subject, statistic), threshold) in enumerate(zip(track.names, track.thresholds, strict=True)):
                column = lower[:, place]
                if np.isnan(threshold) or np.isnan(column).all():
                    continue
                when = int(np.nanargmax(column))
                found = Leeway(
                    subject, statistic, key, threshold - column[when], column[when], threshold, track.ends[when]
                )
                held = nearest.get((key.model, subject, statistic))
                if held is None or found.left < held.left:
                    nearest[key.model, subject, statistic] = found
        return sorted(nearest.values(), key=lambda found: (found.left / max(found.threshold, 1e-9), found[:3]))
