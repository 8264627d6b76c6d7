"""One window of every series, judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerts.evaluation import Evaluation, Finding, OffsetRange
from detectors.budget import alpha
from detectors.explain import explain
from detectors.judge import DRIFTED, INSUFFICIENT, Settings, judge
from monitor.windows import OVERFLOW

if TYPE_CHECKING:
    from alerts.evaluation import Status
    from detectors.judge import Judgement
    from detectors.layout import Counts
    from detectors.reference import Reference
    from monitor.config import ModelSection
    from monitor.profile import Profile
    from monitor.windows import Due, ModelWindows, Series, SeriesKey

_STATUS: dict[int, Status] = {DRIFTED: "drifted", INSUFFICIENT: "insufficient"}


class Evaluator:
    """Judges a model's windows against its reference.

    Args:
        model: its configuration.
        profile: its reference.
        windows: its windows; their lengths and steps decide how many decisions share the false-alarm budget.
    """

    def __init__(self, model: ModelSection, profile: Profile, windows: ModelWindows) -> None:
        self._model, self._profile = model.name, profile
        # Prepared once for each segment and window length; segments of the reference are bounded in number.
        self._references: dict[tuple[str, int], Reference | None] = {}
        series = 1 + (len(profile.segments) if model.segments else 0)
        self.settings = Settings(
            min_effect=model.drift.min_effect,
            min_missing=model.drift.min_missing,
            alpha=alpha(
                model.drift.false_alarms_per_30d,
                subjects=len(profile.layout.subjects),
                segments=series,
                steps_ms=tuple(window.step for window in windows.windows),
            ),
            min_rows=model.drift.min_rows,
            shown=tuple(model.drift.show),
        )

    def judge(self, windows: ModelWindows, due: Due) -> list[Evaluation]:
        """One evaluation a series that has rows, in the order of their keys."""
        evaluations = []
        ranges = tuple(
            OffsetRange(partition.topic, partition.partition, first, last)
            for partition, (first, last) in sorted(windows.window_offsets(due).items())
        )
        for key in sorted(windows.series):
            series = windows.series[key]
            rows = series.rings[due.window.step].window_rows(due.start, due.end)
            findings = self._findings(key, series, due, rows)
            evaluations.append(
                Evaluation(
                    model=self._model,
                    version=key.version,
                    segment=key.segment,
                    window=due.window.name,
                    start=due.start,
                    end=due.end,
                    at=due.end + windows.lateness,
                    rows=rows,
                    labelled_rows=0,
                    findings=findings,
                    offsets=ranges,
                )
            )
        return evaluations

    def _reference(self, segment: str, length: int) -> Reference | None:
        if segment != "all" and segment not in self._profile.segments:
            return None
        if (segment, length) not in self._references:
            self._references[segment, length] = self._profile.reference(segment, length)
        return self._references[segment, length]

    def _findings(self, key: SeriesKey, series: Series, due: Due, rows: int) -> tuple[Finding, ...]:
        reference = self._reference(key.segment, due.window.length)
        counts = series.rings[due.window.step].window(due.start, due.end)
        # A window that began before its series did, or that nothing can be compared with, is shown but not judged.
        held_back = ""
        if key.version == OVERFLOW:
            held_back = "versions and segments beyond max_series are counted together and not judged"
        elif reference is None:
            held_back = "the reference holds no rows of this segment"
        elif series.started > due.start:
            held_back = "the series is younger than the window"
        if reference is None:
            reference = self._reference("all", due.window.length)
            assert reference is not None
        judgement = judge(reference, counts, self.settings)
        return findings_of(self._profile, reference, counts, judgement, self.settings.statistics, held_back)


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
                )
            )
    return tuple(findings)
