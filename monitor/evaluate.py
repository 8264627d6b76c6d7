"""One window of every series, judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerts.evaluation import Evaluation, Finding, OffsetRange
from detectors.budget import alpha, shared
from detectors.explain import explain
from detectors.judge import DRIFTED, INSUFFICIENT, Settings, judge
from monitor.baseline import Baseline
from monitor.performance_findings import estimated_findings, judged_metrics, yardstick

if TYPE_CHECKING:
    from alerts.evaluation import Status
    from detectors.judge import Judgement
    from detectors.layout import Counts
    from detectors.reference import Reference
    from monitor.config import ModelSection
    from monitor.performance_build import PerformanceProfile
    from monitor.performance_findings import Yardstick
    from monitor.profile import Profile
    from monitor.references import References
    from monitor.windows import Due, ModelWindows, Series, SeriesKey

_STATUS: dict[int, Status] = {DRIFTED: "drifted", INSUFFICIENT: "insufficient"}


class Evaluator:
    """Judges a model's windows against its references.

    Args:
        model: its configuration.
        references: what it is compared with.
        windows: its windows; their lengths and steps decide how many decisions share the false-alarm budget.
    """

    def __init__(self, model: ModelSection, references: References, windows: ModelWindows) -> None:
        self._model, self._section = model.name, model
        self.baseline = Baseline(model, references)
        first = references.profiles[0]
        series = 1 + (len(first.segments) if model.segments else 0)
        self.settings = Settings(
            min_effect=model.drift.min_effect,
            min_missing=model.drift.min_missing,
            alpha=alpha(
                model.drift.false_alarms_per_30d,
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

    def judge(self, windows: ModelWindows, due: Due) -> list[Evaluation]:
        """One evaluation a series that has rows, in the order of their keys."""
        ranges = tuple(
            OffsetRange(partition.topic, partition.partition, first, last)
            for partition, (first, last) in sorted(windows.window_offsets(due).items())
        )
        return [self._evaluation(windows, due, key, windows.series[key], ranges) for key in sorted(windows.series)]

    def _evaluation(
        self, windows: ModelWindows, due: Due, key: SeriesKey, series: Series, ranges: tuple[OffsetRange, ...]
    ) -> Evaluation:
        counts = series.rings[due.window.step].window(due.start, due.end)
        choice = self.baseline.choose(key, series, due, counts)
        judgement = judge(choice.reference, counts, self.settings)
        findings = findings_of(
            choice.profile, choice.reference, counts, judgement, self.settings.statistics, choice.held_back
        )
        if any(finding.status == "drifted" for finding in findings):
            self.baseline.flag(choice, series, due)
        findings += self._estimated(choice.profile.performance, series, due, choice.held_back)
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
        )

    def _estimated(
        self, performance: PerformanceProfile, series: Series, due: Due, held_back: str
    ) -> tuple[Finding, ...]:
        """Performance as it is expected without labels."""
        scorer, length = performance.scorer, due.window.length
        ring = series.rings[due.window.step]
        if not scorer.estimates or not ring.extra.shape[1]:
            return ()
        if (id(performance), length) not in self._sticks:
            self._sticks[id(performance), length] = yardstick(self._section, performance, length, self._alpha)
        stick = self._sticks[id(performance), length]
        counts = ring.window_extra(due.start, due.end)[: scorer.estimated_width]
        return estimated_findings(scorer.estimated_metrics(counts, stick.alpha, stick.phi), stick, held_back)


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
