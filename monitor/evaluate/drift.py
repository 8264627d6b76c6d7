"""One window of every series, judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from alerts.evaluation import Evaluation, Finding, OffsetRange
from monitor.common.durations import DAY, parse_duration
from monitor.evaluate.budgets import budgets_of, panes_between_alarms
from monitor.evaluate.change_points import ChangePoints
from monitor.evaluate.judging import Judged, Judging, begun
from monitor.evaluate.reference_choice import ReferenceChooser
from monitor.evaluate.traffic import Traffic
from monitor.windows.series import ALL, OVERFLOW, DueWindow

if TYPE_CHECKING:
    from monitor.config.model import ModelSection
    from monitor.evaluate.record_faults import RecordFaults
    from monitor.evaluate.schema_changes import SchemaChanges
    from monitor.reference.by_version import ReferencesByVersion
    from monitor.windows.series import Series, SeriesKey
    from monitor.windows.windows import ModelWindows

_ENCODER = msgspec.msgpack.Encoder()


class Evaluator:
    """Judges a model's windows against its references.

    Args:
        model: its configuration.
        references: what it is compared with.
        windows: its windows; their lengths and steps decide how many decisions share the false-alarm budget.
        schema: names that records carry and the reference does not know.
        faults: records that cannot be used.
        labelled: labels are read.
    """

    def __init__(
        self,
        model: ModelSection,
        references: ReferencesByVersion,
        windows: ModelWindows,
        schema: SchemaChanges,
        faults: RecordFaults,
        *,
        labelled: bool = False,
    ) -> None:
        self._model, self._section, self._references = model.name, model, references
        self._schema, self._faults = schema, faults
        self.baseline = ReferenceChooser(model, references)
        steps = [window.step for window in windows.windows]
        budgets = budgets_of(model, references.profiles[0], steps, labelled=labelled)
        self._quality, self._shortest = budgets.quality, windows.windows[0]
        self.judging = Judging(model, references, self.baseline, budgets)
        self.sequences: dict[int, ChangePoints] = {
            index: ChangePoints(
                profile.streams,
                model.drift.min_shift,
                self._shortest.length,
                panes_between_alarms(profile.streams, model.drift.false_alarms_per_30d),
            )
            for index, profile in enumerate(references.profiles)
            if profile.streams is not None
        }
        # So far back a window of performance may begin that is judged now.
        longest = max(map(parse_duration, model.performance_windows))
        self._labels_reach = model.labels.max_delay + longest + DAY
        # Of each series and window length: the judgement, the other findings, encoded, and all of them.
        self._last: dict[tuple[SeriesKey, str], tuple[Judged, bytes, tuple[Finding, ...]]] = {}
        # Event time after which rows are lacking because a replayed log has ended; None while it goes on.
        self.traffic_until: int | None = None
        self.traffic = Traffic(self._shortest.step, budgets.traffic)

    def judge(self, windows: ModelWindows, due: DueWindow) -> list[Evaluation]:
        """One evaluation a series that has begun, in the order of their keys."""
        ranges = tuple(
            OffsetRange(partition.topic, partition.partition, first, last)
            for partition, (first, last) in sorted(windows.offsets.window(due).items())
        )
        self._schema.advance(due.end, due.end - windows.longest)
        self._faults.advance(due.end - windows.longest, due.end - self._labels_reach, due.end)
        faults = self._rejected(windows, due)
        whole_step = self.traffic_until is None or due.end <= self.traffic_until
        if self.traffic.usable and due.window == self._shortest and whole_step:
            begin = due.end - due.window.step
            whole = [series for key, series in windows.series.items() if key.segment == ALL]
            self.traffic.take(begin, sum(part.rings[due.window.step].window_rows(begin, due.end) for part in whole))
        self.judging.foresee(windows, due)
        return [self._evaluation(windows, due, key, ranges, faults) for key in begun(windows, due)]

    def _rejected(self, windows: ModelWindows, due: DueWindow) -> tuple[Finding, ...]:
        """Records that could not be used, and records without features, of all versions."""
        whole = [series for key, series in windows.series.items() if key.segment == ALL]
        rows = sum(series.rings[due.window.step].window_rows(due.start, due.end) for series in whole)
        return self._faults.findings(due.start, due.end, rows, self._quality.alpha, self._section.drift.min_rows)

    def _evaluation(
        self,
        windows: ModelWindows,
        due: DueWindow,
        key: SeriesKey,
        ranges: tuple[OffsetRange, ...],
        faults: tuple[Finding, ...],
    ) -> Evaluation:
        series = windows.series[key]
        judged, choice = self.judging.judged(windows, due, key)
        if judged.drifted:
            self.baseline.flag(choice, series, due)
        gone, rest = judged.gone, tuple[Finding, ...]()
        fault = self._faults.fault(faults, self._section.drift.min_missing)
        fault = fault or next((finding.detail for finding in gone if finding.status == "breached"), "")
        if key.segment == ALL and key.version != OVERFLOW:
            rest = judged.together + self._followed(key, series, due, choice.held_back) + gone + faults
            rest += (self._schema.finding(key.version, due.start, due.end, choice.held_back),)
            rest += judged.repeated
            if self.traffic.usable and due.window == self._shortest:
                rest += (self.traffic.finding(),)
        rows = int(judged.counts.rows)
        return Evaluation(
            model=self._model,
            version=key.version,
            segment=key.segment,
            window=due.window.name,
            start=due.start,
            end=due.end,
            at=due.end + windows.lateness,
            rows=rows,
            labelled_rows=0,
            findings=self._all(key, due, judged, rest + choice.findings),
            offsets=ranges,
            fault=fault,
        )

    def _all(self, key: SeriesKey, due: DueWindow, judged: Judged, rest: tuple[Finding, ...]) -> tuple[Finding, ...]:
        """All findings of a window: the very ones of the window before where they are equal to them."""
        told = _ENCODER.encode(rest)
        last = self._last.get((key, due.window.name))
        if last is None or last[0] is not judged or last[1] != told:
            last = self._last[key, due.window.name] = (judged, told, judged.findings + rest)
        return last[2]

    def forget(self, key: SeriesKey) -> None:
        """Drops what was prepared and followed for a series that has ended."""
        self.baseline.forget(key)
        self.judging.forget(key)
        self._last = {name: kept for name, kept in self._last.items() if name[0] != key}
        if key.segment == ALL:
            for sequences in self.sequences.values():
                sequences.forget(key.version)

    def _followed(self, key: SeriesKey, series: Series, due: DueWindow, held_back: str) -> tuple[Finding, ...]:
        """Scores and predictions, followed pane by pane as the shortest window moves on."""
        sequences = self.sequences.get(series.profile)
        if sequences is None or due.window != self._shortest:
            return ()
        ring = series.rings[due.window.step]
        begin = due.end - due.window.step
        if ring.window_rows(begin, due.end):
            sequences.take(key.version, begin, ring.window(begin, due.end))
        else:
            sequences.pass_by(key.version, begin)
        return sequences.findings(key.version, due.end, held_back)
