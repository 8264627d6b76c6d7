"""Judges windows together, and does not judge a window again while its rows stay unchanged.

Most of the cost of one judgement is that of calling numpy, whatever the size of the arrays. So the windows that have
ended together (`monitor.windows.windows.ModelWindows.ahead`) are judged as one stack. Where traffic is sparse, most
windows hold the rows of their predecessor: its findings stand. Both are invisible in what is found, since a
judgement depends on nothing but the counts and what they are compared with; the `Evaluator` adds what depends on time.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from alerts.evaluation import Finding
from detectors.drift.judge import DRIFTED, Judgement, judge
from detectors.layout import COLUMNS, MISSING, Counts
from detectors.quality.rates import Quality, judge_quality
from monitor.evaluate.drift_findings import findings_of
from monitor.evaluate.extra_counts import ESTIMATED
from monitor.evaluate.performance_findings import each, estimated_findings, metric_limits
from monitor.evaluate.quality import attribution_finding, duplicates_finding, gone_finding, quality_findings
from monitor.evaluate.reference_choice import Choice
from monitor.windows.series import ALL, OVERFLOW, REPEATED, DueWindow, SeriesKey

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from detectors.drift.reference import Reference
    from monitor.config.model import ModelSection
    from monitor.evaluate.budgets import Budgets
    from monitor.evaluate.performance_findings import MetricLimits, Metrics
    from monitor.evaluate.reference_choice import ReferenceChooser
    from monitor.reference.by_version import ReferencesByVersion
    from monitor.windows.windows import ModelWindows

_STACKED_CELLS = 2**17
"""Counts that are judged at once: enough for the calls to cost little, few enough for the processor's cache."""
_MOST_STACKED, _MOST_AHEAD = 64, 256
"""Windows of all series that are judged at once, and ends of windows that are looked at for them."""

_NOTHING = slice(0, 0)


@dataclass(frozen=True, slots=True)
class Judged:
    """One window of one series.

    Attributes:
        marks: of its panes (`monitor.windows.panes.PaneRing.mark`).
        choice: what it was compared with.
        counts: of it.
        drifted: whether any subject has.
        findings: on subjects, attribution, data quality and estimated performance.
        together: on features together.
        gone: on features without any value.
        repeated: on rows that came again.
    """

    marks: bytes
    choice: Choice
    counts: Counts
    drifted: bool
    findings: tuple[Finding, ...]
    together: tuple[Finding, ...]
    gone: tuple[Finding, ...]
    repeated: tuple[Finding, ...]

    def stands(self, marks: bytes, choice: Choice) -> bool:
        """Whether the judgement still holds: equal counts and an unchanged reference."""
        own = self.choice
        return (
            marks == self.marks
            and choice.reference is own.reference
            and choice.profile is own.profile
            and choice.held_back == own.held_back
        )


@dataclass(frozen=True, slots=True)
class _Wanted:
    key: SeriesKey
    due: DueWindow
    marks: bytes
    choice: Choice


class Judging:
    """Judges the windows of one model.

    Args:
        model: its configuration.
        references: what it is compared with.
        baseline: chooses among them.
        budgets: error probabilities.
        alone: every window is judged by itself and again; for tests.
    """

    def __init__(
        self,
        model: ModelSection,
        references: ReferencesByVersion,
        baseline: ReferenceChooser,
        budgets: Budgets,
        *,
        alone: bool = False,
    ) -> None:
        self._model, self._references, self._baseline, self._budgets = model, references, baseline, budgets
        self._alone = alone
        self._sticks: dict[tuple[int, int], MetricLimits] = {}
        self._latest: dict[tuple[SeriesKey, str], Judged] = {}
        self._covered: set[tuple[str, int]] = set()
        self._foreseen: dict[tuple[SeriesKey, str, int], Judged] = {}

    def judged(self, windows: ModelWindows, due: DueWindow, key: SeriesKey) -> tuple[Judged, Choice]:
        """A window of a series, and what it is compared with."""
        series = windows.series[key]
        ring = series.rings[due.window.step]
        marks, name = ring.mark(due.start, due.end), (key, due.window.name)
        learns = not self._baseline.foreseeable(key, series, due)
        choice = self._baseline.choose(key, series, due, ring.window(due.start, due.end) if learns else None)
        foreseen = None if self._alone else self._foreseen.pop((*name, due.end), None)
        for known in (foreseen, None if self._alone else self._latest.get(name)):
            if known is not None and known.stands(marks, choice):
                self._latest[name] = known
                return known, choice
        (found,) = self._stack(windows, [_Wanted(key, due, marks, choice)])
        self._latest[name] = found
        return found, choice

    def foresee(self, windows: ModelWindows, due: DueWindow) -> None:
        """Judges a window that is due, and those that will be due next, unless that has been done."""
        if self._alone or (due.window.name, due.end) in self._covered:
            return
        self._foreseen.clear()
        self._covered.clear()
        cells = max(spec.subjects for spec in windows.specs) * COLUMNS
        room = min(_MOST_STACKED, max(_STACKED_CELLS // cells, 1))
        wanted: dict[tuple[str, SeriesKey], list[_Wanted]] = {}
        before = {name: known.marks for name, known in self._latest.items()}
        for later in (due, *islice(windows.ahead, _MOST_AHEAD)):
            self._covered.add((later.window.name, later.end))
            for key in begun(windows, later):
                series, name = windows.series[key], (key, later.window.name)
                marks = series.rings[later.window.step].mark(later.start, later.end)
                if marks != before.get(name) and self._baseline.foreseeable(key, series, later):
                    choice = self._baseline.choose(key, series, later, None)
                    wanted.setdefault((later.window.name, key), []).append(_Wanted(key, later, marks, choice))
                    room -= 1
                before[name] = marks
            if room <= 0:
                break
        for group in wanted.values():
            for one, found in zip(group, self._stack(windows, group), strict=True):
                self._foreseen[one.key, one.due.window.name, one.due.end] = found

    def forget(self, key: SeriesKey) -> None:
        """A series has ended."""
        self._latest = {name: known for name, known in self._latest.items() if name[0] != key}
        self._foreseen = {name: known for name, known in self._foreseen.items() if name[0] != key}

    def counts(self, key: SeriesKey, window: str) -> Counts:
        """The counts of the last judged window of a series."""
        return self._latest[key, window].counts

    def _stack(self, windows: ModelWindows, wanted: Sequence[_Wanted]) -> list[Judged]:
        """Windows of one length of one series."""
        key, due = wanted[0].key, wanted[0].due
        series = windows.series[key]
        ring = series.rings[due.window.step]
        counts, extra = ring.windows([(one.due.start, one.due.end) for one in wanted])
        found: list[tuple[Judgement, Quality] | None] = [None] * len(wanted)
        by_reference: dict[int, list[int]] = {}
        for place, one in enumerate(wanted):
            by_reference.setdefault(id(one.choice.reference), []).append(place)
        for places in by_reference.values():
            reference = wanted[places[0]].choice.reference
            for place, judgement, quality in self._judge(reference, counts, places):
                found[place] = judgement, quality
        profile = self._references.profiles[series.profile]
        held_back = [one.choice.held_back for one in wanted]
        slices = windows.specs[series.profile].slices(key.segment)
        estimated = self._estimated(series.profile, due.window.length, extra, slices)
        together: list[tuple[Finding, ...]] = [()] * len(wanted)
        whole = key.segment == ALL and key.version != OVERFLOW
        if whole:
            drift = self._model.drift
            for joint in profile.joints:
                own = joint.findings(
                    extra[:, slices[joint.name]], due.window.length, self._budgets.joint,
                    drift.min_multivariate, drift.min_rows, held_back,
                )  # fmt: skip
                together = [(*left, *right) for left, right in zip(together, own, strict=True)]
        judged = []
        for place, one in enumerate(wanted):
            both = found[place]
            assert both is not None
            mine, again = at(counts, place), extra[place, slices.get(REPEATED, _NOTHING)]
            judged.append(self._told(one, mine, again, *both, estimated[place], together[place], whole=whole))
        return judged

    def _judge(self, reference: Reference, counts: Counts, places: list[int]) -> list[tuple[int, Judgement, Quality]]:
        chosen = Counts(counts.rows[places], counts.bins[places], counts.moments[places], counts.extremes[places])
        judgement = judge(reference, chosen, self._budgets.drift)
        quality = judge_quality(reference, chosen, self._budgets.quality)
        return [
            (
                place,
                Judgement(
                    judgement.value[row], judgement.debiased[row], judgement.lower[row], judgement.upper[row],
                    judgement.threshold, judgement.status[row], judgement.p_value[row],
                ),
                Quality(
                    quality.value[row], quality.lower[row], quality.upper[row], quality.threshold[row],
                    quality.status[row],
                ),
            )
            for row, place in enumerate(places)
        ]  # fmt: skip

    def _told(
        self,
        wanted: _Wanted,
        counts: Counts,
        again: NDArray[np.int64],
        judgement: Judgement,
        quality: Quality,
        estimated: tuple[Metrics, MetricLimits] | None,
        together: tuple[Finding, ...],
        *,
        whole: bool,
    ) -> Judged:
        """One window's numbers as findings."""
        choice, settings = wanted.choice, self._budgets.quality
        reference, held_back = choice.reference, choice.held_back
        statistics = self._budgets.drift.statistics
        findings = findings_of(choice.profile, reference, counts, judgement, statistics, held_back)
        drifted = not held_back and bool((judgement.status == DRIFTED).any())
        findings += attribution_finding(reference, judgement, findings)
        findings += quality_findings(reference, counts, quality, held_back)
        if estimated is not None:
            findings += estimated_findings(*estimated, held_back)
        gone: tuple[Finding, ...] = ()
        if wanted.key.segment == ALL or (counts.bins[:, MISSING] == counts.rows).any():
            gone = gone_finding(reference, counts, settings, held_back)
        repeated: tuple[Finding, ...] = ()
        if whole and self._budgets.duplicates is not None:
            repeated = duplicates_finding(self._budgets.duplicates, again, int(counts.rows), settings, held_back)
        return Judged(wanted.marks, choice, counts, drifted, findings, together, gone, repeated)

    def _estimated(
        self, place: int, length: int, extra: NDArray[np.int64], slices: Mapping[str, slice]
    ) -> list[tuple[Metrics, MetricLimits] | None]:
        """Performance of each window as it is expected without labels."""
        performance = self._references.profiles[place].performance
        scorer = performance.scorer
        if ESTIMATED not in slices or not extra.shape[1]:
            return [None] * len(extra)
        if (place, length) not in self._sticks:
            self._sticks[place, length] = metric_limits(self._model, performance, length, self._budgets.estimated)
        stick = self._sticks[place, length]
        metrics = scorer.estimated_metrics(extra[:, slices[ESTIMATED]], stick.alpha, stick.phi)
        return [(own, stick) for own in each(metrics, len(extra))]


def at(counts: Counts, place: int) -> Counts:
    """One window of a stack."""
    return Counts(counts.rows[place], counts.bins[place], counts.moments[place], counts.extremes[place])


def begun(windows: ModelWindows, due: DueWindow) -> list[SeriesKey]:
    """The series that a window is judged of. How far ahead of the watermark rows were read is chance."""
    return sorted(key for key, series in windows.series.items() if series.started < due.end)
