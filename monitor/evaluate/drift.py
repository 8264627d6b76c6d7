"""One window of every series, judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from alerts.evaluation import Evaluation, Finding, OffsetRange
from detectors.budget import alpha, shared
from detectors.drift.explain import explain
from detectors.drift.judge import DRIFTED, INSUFFICIENT, Settings, judge
from detectors.layout import MISSING
from detectors.quality.rates import QualitySettings
from monitor.common.durations import DAY, parse_duration
from monitor.evaluate.change_points import MONTH_MS, Sequences
from monitor.evaluate.extra_counts import duplicates_of
from monitor.evaluate.performance_findings import each, estimated_findings, judged_metrics, yardstick
from monitor.evaluate.quality import (
    attribution_finding,
    duplicates_finding,
    gone_finding,
    quality_findings,
)
from monitor.evaluate.reference_choice import Baseline
from monitor.evaluate.traffic import Traffic
from monitor.windows.windows import ALL, OVERFLOW

if TYPE_CHECKING:
    from alerts.evaluation import Status
    from detectors.drift.judge import Judgement
    from detectors.drift.reference import Reference
    from detectors.layout import Counts
    from monitor.config.model import ModelSection
    from monitor.evaluate.performance_findings import Metrics, Yardstick
    from monitor.reference.by_version import References
    from monitor.reference.profile import Profile
    from monitor.windows.windows import Due, ModelWindows, Series, SeriesKey

_STATUS: dict[int, Status] = {DRIFTED: "drifted", INSUFFICIENT: "insufficient"}


WINDOWS, TOGETHER, FOLLOWED, QUALITY = 0.7, 0.1, 0.1, 0.1
"""How the budget is shared: windows feature by feature, all features together, sequential detectors, data quality."""


class Evaluator:
    """Judges a model's windows against its references.

    Args:
        model: its configuration.
        references: what it is compared with.
        windows: its windows; their lengths and steps decide how many decisions share the false-alarm budget.
        labelled: labels are read.
    """

    def __init__(
        self, model: ModelSection, references: References, windows: ModelWindows, *, labelled: bool = False
    ) -> None:
        self._model, self._section, self._references = model.name, model, references
        self.baseline = Baseline(model, references)
        first = references.profiles[0]
        series = 1 + (len(first.segments) if model.segments else 0)
        self.settings = Settings(
            min_effect=model.drift.min_effect,
            min_missing=model.drift.min_missing,
            alpha=alpha(
                WINDOWS * model.drift.false_alarms_per_30d,
                subjects=len(first.layout.subjects),
                segments=series,
                steps_ms=tuple(window.step for window in windows.windows),
            ),
            min_rows=model.drift.min_rows,
            shown=tuple(model.drift.show),
        )
        self._alpha = shared(
            model.performance.false_alarms_per_30d,
            decisions=series * len(judged_metrics(model)),
            steps_ms=tuple(window.step for window in windows.windows),
        )
        self._sticks: dict[tuple[int, int], Yardstick] = {}
        steps = tuple(window.step for window in windows.windows)
        # What is judged together has a share of the budget of its own, and so have the sequential detectors.
        joints = 3 * max(len(first.joints), 1)
        self._joint_alpha = shared(TOGETHER * model.drift.false_alarms_per_30d, decisions=joints, steps_ms=steps)
        self.sequences: dict[int, Sequences] = {
            place: Sequences(
                profile.streams,
                model.drift.min_shift,
                windows.windows[0].length,
                MONTH_MS
                / profile.streams.pane
                * len(profile.streams.subjects)
                * 2
                / (FOLLOWED * model.drift.false_alarms_per_30d),
            )
            for place, profile in enumerate(references.profiles)
            if profile.streams is not None
        }
        self._shortest = windows.windows[0]
        # So far back a window of performance may begin that is judged now.
        longest = max(map(parse_duration, model.performance_windows))
        self._labels_reach = model.labels.max_delay + longest + DAY
        budget = QUALITY * model.drift.false_alarms_per_30d
        rates = len(first.layout.subjects) * series * 4 + 1
        self._duplicates = duplicates_of(model, labelled=labelled)
        self._quality = QualitySettings(
            shared(budget / 2, decisions=rates, steps_ms=steps), model.drift.min_missing, model.drift.min_rows
        )
        # Event time after which rows are lacking because a replayed log has ended; None while it goes on.
        self.traffic_until: int | None = None
        # Two sides of an hour.
        self.traffic = Traffic(self._shortest.step, shared(budget / 2, decisions=2, steps_ms=(3_600_000,)))

    def judge(self, windows: ModelWindows, due: Due) -> list[Evaluation]:
        """One evaluation a series that has begun, in the order of their keys."""
        ranges = tuple(
            OffsetRange(partition.topic, partition.partition, first, last)
            for partition, (first, last) in sorted(windows.window_offsets(due).items())
        )
        estimated = self._estimated(windows, due)
        windows.schema.advance(due.end, due.end - windows.longest)
        windows.faults.advance(due.end - windows.longest, due.end - self._labels_reach, due.end)
        faults = self._faults(windows, due)
        whole_step = self.traffic_until is None or due.end <= self.traffic_until
        if self.traffic.usable and due.window == self._shortest and whole_step:
            begin = due.end - due.window.step
            whole = [series for key, series in windows.series.items() if key.segment == ALL]
            self.traffic.take(begin, sum(part.rings[due.window.step].window_rows(begin, due.end) for part in whole))
        # How far ahead of the watermark rows have been read is chance: a series that begins later is not there yet.
        begun = sorted(key for key, series in windows.series.items() if series.started < due.end)
        return [self._evaluation(windows, due, key, ranges, estimated.get(key), faults) for key in begun]

    def _faults(self, windows: ModelWindows, due: Due) -> tuple[Finding, ...]:
        """Records that could not be used, and records without features, of all versions."""
        whole = [series for key, series in windows.series.items() if key.segment == ALL]
        rows = sum(series.rings[due.window.step].window_rows(due.start, due.end) for series in whole)
        return windows.faults.findings(due.start, due.end, rows, self._quality.alpha, self._section.drift.min_rows)

    def _evaluation(
        self,
        windows: ModelWindows,
        due: Due,
        key: SeriesKey,
        ranges: tuple[OffsetRange, ...],
        estimated: tuple[Metrics, Yardstick] | None,
        faults: tuple[Finding, ...],
    ) -> Evaluation:
        series = windows.series[key]
        counts = series.rings[due.window.step].window(due.start, due.end)
        choice = self.baseline.choose(key, series, due, counts)
        judgement = judge(choice.reference, counts, self.settings)
        findings = findings_of(
            choice.profile, choice.reference, counts, judgement, self.settings.statistics, choice.held_back
        )
        if any(finding.status == "drifted" for finding in findings):
            self.baseline.flag(choice, series, due)
        findings += attribution_finding(choice.reference, judgement, findings)
        findings += quality_findings(choice.reference, counts, self._quality, choice.held_back)
        if estimated is not None:
            findings += estimated_findings(*estimated, choice.held_back)
        gone: tuple[Finding, ...] = ()
        if key.segment == ALL or (counts.bins[:, MISSING] == counts.rows).any():
            gone = gone_finding(choice.reference, counts, self._quality, choice.held_back)
        fault = windows.faults.fault(faults, self._section.drift.min_missing)
        fault = fault or next((finding.detail for finding in gone if finding.status == "breached"), "")
        if key.segment == ALL and key.version != OVERFLOW:
            findings += self._together(series, due, choice.held_back)
            findings += self._followed(key, series, due, choice.held_back)
            findings += gone + faults
            findings += (windows.schema.finding(key.version, due.start, due.end, choice.held_back),)
            findings += self._repeated(series, due, int(counts.rows), choice.held_back)
            if self.traffic.usable and due.window == self._shortest:
                findings += (self.traffic.finding(),)
        return Evaluation(
            model=self._model,
            version=key.version,
            segment=key.segment,
            window=due.window.name,
            start=due.start,
            end=due.end,
            at=due.end + windows.lateness,
            rows=int(counts.rows),
            labelled_rows=0,
            findings=findings + choice.findings,
            offsets=ranges,
            fault=fault,
        )

    def _repeated(self, series: Series, due: Due, rows: int, held_back: str) -> tuple[Finding, ...]:
        """Rows that came again; their counts are the last that are kept beside the subjects."""
        if self._duplicates is None:
            return ()
        extra = series.rings[due.window.step].window_extra(due.start, due.end)[-self._duplicates.width :]
        return duplicates_finding(self._duplicates, extra, rows, self._quality, held_back)

    def _together(self, series: Series, due: Due, held_back: str) -> tuple[Finding, ...]:
        """All features together, and embeddings."""
        profile, drift = self._references.profiles[series.profile], self._section.drift
        scorer = profile.performance.scorer
        extra = series.rings[due.window.step].window_extra(due.start, due.end)
        place = scorer.estimated_width
        found: tuple[Finding, ...] = ()
        for joint in profile.joints:
            counts = extra[place : place + joint.width]
            place += joint.width
            (own,) = joint.findings(
                counts[None], due.window.length, self._joint_alpha, drift.min_multivariate, drift.min_rows, [held_back]
            )
            found += own
        return found

    def _followed(self, key: SeriesKey, series: Series, due: Due, held_back: str) -> tuple[Finding, ...]:
        """Scores and predictions, followed pane by pane as the shortest window moves on."""
        sequences = self.sequences.get(series.profile)
        if sequences is None or due.window != self._shortest:
            return ()
        ring = series.rings[due.window.step]
        sequences.take(key.version, due.end - due.window.step, ring.window(due.end - due.window.step, due.end))
        return sequences.findings(key.version, due.end, held_back)

    def _estimated(self, windows: ModelWindows, due: Due) -> dict[SeriesKey, tuple[Metrics, Yardstick]]:
        """Performance of every series as it is expected without labels, those that are counted alike at once."""
        places: dict[int, list[SeriesKey]] = {}
        for key, series in windows.series.items():
            scorer = self._references.profiles[series.profile].performance.scorer
            if scorer.estimates and series.rings[due.window.step].extra.shape[1]:
                places.setdefault(series.profile, []).append(key)
        found: dict[SeriesKey, tuple[Metrics, Yardstick]] = {}
        for place, keys in places.items():
            performance, length = self._references.profiles[place].performance, due.window.length
            if (place, length) not in self._sticks:
                self._sticks[place, length] = yardstick(self._section, performance, length, self._alpha)
            stick = self._sticks[place, length]
            rings = [windows.series[key].rings[due.window.step] for key in keys]
            scorer = performance.scorer
            counts = np.stack([ring.window_extra(due.start, due.end)[: scorer.estimated_width] for ring in rings])
            metrics = scorer.estimated_metrics(counts, stick.alpha, stick.phi)
            for key, mine in zip(keys, each(metrics, len(keys)), strict=True):
                found[key] = mine, stick
        return found


def findings_of(
    profile: Profile,
    reference: Reference,
    counts: Counts,
    judgement: Judgement,
    statistics: tuple[str, ...],
    held_back: str,
) -> tuple[Finding, ...]:
    """A judgement of one window as findings, subject by subject.

    Args:
        profile: for category names.
        reference: what the window was compared with.
        counts: of the window, without leading dimensions.
        judgement: of these counts.
        statistics: names of what it holds.
        held_back: why nothing may be concluded; empty when it may.
    """
    findings = []
    value, lower, upper = judgement.value.tolist(), judgement.lower.tolist(), judgement.upper.tolist()
    debiased = judgement.debiased.tolist()
    status, threshold = judgement.status.tolist(), judgement.threshold.tolist()
    for place, subject in enumerate(reference.layout.subjects):
        for number, statistic in enumerate(statistics):
            verdict: Status = _STATUS.get(status[number][place], "ok")
            detail = ""
            if held_back:
                verdict, detail = "insufficient", held_back
            elif verdict == "drifted":
                detail = explain(
                    reference,
                    counts,
                    place,
                    statistic,
                    lambda column, subject=subject: profile.category(subject, column),  # type: ignore[misc]  # bound now
                )
            findings.append(
                Finding(
                    subject,
                    statistic,
                    value[number][place],
                    lower[number][place],
                    upper[number][place],
                    threshold[number],
                    verdict,
                    detail,
                    debiased[number][place],
                )
            )
    return tuple(findings)
