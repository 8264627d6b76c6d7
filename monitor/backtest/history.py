"""The data of a backtest's report: all statistics over time, and the worst window of each drifted subject."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alerts.evaluation import Finding
from alerts.subjects import subject_named

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
class _Block:
    """Evaluations that found statistics of the same names; a month of minutes makes ten million findings.

    Attributes:
        columns: place of each name.
        places: of the evaluations, in `Track.ends`.
        rows: for each, its row of numbers: windows that hold the same rows share one.
        numbers: value, lower and upper of each finding, row by row.
        said: for each finding whether there was enough data, row by row.
        findings: of the last evaluation.
        bad: those of them that are breached or drifted.
    """

    columns: dict[Name, int]
    places: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    numbers: array[float] = field(default_factory=lambda: array("d"))
    said: bytearray = field(default_factory=bytearray)
    findings: tuple[Finding, ...] = ()
    bad: list[tuple[Name, Finding]] = field(default_factory=list)

    def add(self, place: int, findings: tuple[Finding, ...]) -> None:
        """Takes in the findings of one evaluation."""
        if findings is not self.findings:
            self.numbers.extend([
                number for finding in findings for number in (finding.value, finding.lower, finding.upper)
            ])  # fmt: skip
            self.said.extend([finding.status != "insufficient" for finding in findings])
            self.bad = [
                ((finding.subject, finding.statistic), finding)
                for finding in findings
                if finding.status in ("breached", "drifted")
            ]
            self.findings = findings
        self.places.append(place)
        self.rows.append(len(self.said) // len(findings) - 1 if findings else 0)

    def of(self, name: Name) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Places int64[k] of the evaluations that had enough data, and value, lower, upper float64[k, 3] of each."""
        column, width = self.columns[name], len(self.findings)
        said = np.frombuffer(self.said, dtype=np.bool_).reshape(-1, width)[self.rows, column]
        numbers = np.frombuffer(self.numbers, dtype=np.float64).reshape(-1, width, 3)[self.rows, column]
        return np.array(self.places, dtype=np.int64)[said], numbers[said]


@dataclass(slots=True)
class Track:
    """Every evaluation of one window length of one series, in order.

    Attributes:
        ends: event time of each window's end, epoch ms.
        rows, labelled: in each window.
        names: names of all findings, in the order of their first appearance.
        details: last detail of each finding, if any.
        beyond: findings that were breached or drifted in any window.
    """

    ends: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    labelled: list[int] = field(default_factory=list)
    names: dict[Name, None] = field(default_factory=dict)
    details: dict[Name, str] = field(default_factory=dict)
    beyond: dict[Name, Beyond] = field(default_factory=dict)
    _blocks: dict[tuple[Name, ...], _Block] = field(default_factory=dict)
    _latest: _Block | None = None

    def add(self, evaluation: Evaluation) -> None:
        """Adds one evaluation."""
        block = self._of(evaluation.findings)
        block.add(len(self.ends), evaluation.findings)
        self.ends.append(evaluation.end)
        self.rows.append(evaluation.rows)
        self.labelled.append(evaluation.labelled_rows)
        for name, finding in block.bad:
            beyond = self.beyond.setdefault(name, Beyond(evaluation.end, evaluation.end, 0, ""))
            beyond.last, beyond.detail = evaluation.end, finding.detail
            beyond.windows += 1

    def _of(self, findings: tuple[Finding, ...]) -> _Block:
        """The block of findings of these names."""
        if self._latest is not None and findings is self._latest.findings:
            return self._latest
        names = tuple([(finding.subject, finding.statistic) for finding in findings])
        block = self._latest = self._blocks.get(names)
        if block is None:
            block = self._latest = self._blocks[names] = _Block({name: column for column, name in enumerate(names)})
            self.names |= dict.fromkeys(names)
        pairs = zip(names, findings, strict=True)
        self.details |= {name: finding.detail for name, finding in pairs if finding.detail}
        return block

    def numbers(self, name: Name) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """One finding in the windows with enough data: index in ``ends`` int64[k], ascending; value, lower and upper
        bound float64[k, 3]."""
        parts = [block.of(name) for block in self._blocks.values() if name in block.columns]
        places, numbers = (np.concatenate(part) for part in zip(*parts, strict=True))
        order = np.argsort(places, kind="stable")
        return places[order], numbers[order]

    def last(self, name: Name) -> tuple[int, float, float, float] | None:
        """Index, value, lower and upper bound of the last window with enough data; None without any."""
        places, numbers = self.numbers(name)
        return (int(places[-1]), *numbers[-1].tolist()) if len(places) else None

    def latest(self, name: Name) -> Finding:
        """The last finding of a name, with enough data or not: for its threshold and its value on the reference."""
        blocks = [block for block in self._blocks.values() if name in block.columns]
        block = max(blocks, key=lambda block: block.places[-1])
        return block.findings[block.columns[name]]

    def series(self, name: Name) -> NDArray[np.float64]:
        """float64[N, 3] of one finding: value, lower, upper; NaN where there was too little data."""
        found = np.full((len(self.ends), 3), np.nan)
        places, numbers = self.numbers(name)
        found[places] = numbers
        return found


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

    def __init__(self, references: dict[str, ReferencesByVersion], rules: Mapping[str, Rule]) -> None:
        self.references, self.rules = references, rules
        self.tracks: dict[TrackKey, Track] = {}
        self.worst: dict[tuple[str, str, str], Worst] = {}
        self.transitions: list[Transition] = []
        self.notices: list[Notice] = []
        self.snapshot: Snapshot | None = None

    def evaluated(self, evaluation: Evaluation, counts: Callable[[Evaluation], Counts]) -> None:
        """Adds one evaluation; ``counts`` gives the counts of a window that is not of realised performance."""
        key = TrackKey(evaluation.model, evaluation.version, evaluation.segment, evaluation.window, evaluation.realised)
        self.tracks.setdefault(key, Track()).add(evaluation)
        drifted = [finding for finding in evaluation.findings if finding.status == "drifted"]
        if evaluation.realised or not drifted:
            return
        indexes = {name: index for index, name in enumerate(self.references[key.model].of(key.version).layout.subjects)}
        window = counts(evaluation)
        for finding in drifted:
            self._remember(key, evaluation, finding, window, indexes.get(finding.subject))

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
            for name in track.names:
                threshold = track.latest(name).threshold
                if key.realised or np.isnan(threshold) or subject_named(name[0]).metrics_of_task:
                    continue
                places, numbers = track.numbers(name)
                if np.isnan(numbers[:, 1]).all():
                    continue
                nearest_at = int(np.nanargmax(numbers[:, 1]))
                lower = float(numbers[nearest_at, 1])
                leeway = Leeway(*name, key, threshold - lower, lower, threshold, track.ends[int(places[nearest_at])])
                best = nearest.get((key.model, *name))
                if best is None or leeway.left < best.left:
                    nearest[(key.model, *name)] = leeway
        return sorted(nearest.values(), key=lambda leeway: (leeway.left / max(leeway.threshold, 1e-9), leeway[:3]))
