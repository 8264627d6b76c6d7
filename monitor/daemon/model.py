"""One monitored model: its windows, their evaluation, its saved state and its status."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from detectors.layout import HIGH, INVALID, NONFINITE
from monitor.common.durations import DAY
from monitor.common.stateful import Documents
from monitor.decode.first_usable import Seen
from monitor.decode.label_reader import LabelReader
from monitor.decode.readers import ModelReader
from monitor.evaluate.drift import Evaluator
from monitor.evaluate.extra_counts import make_count_spec
from monitor.evaluate.realised import PerformanceEvaluator
from monitor.evaluate.record_faults import RecordFaults
from monitor.evaluate.schema_changes import SchemaChanges
from monitor.evaluate.state_damage import DamageNotice
from monitor.labels.maturity import MatureWindow
from monitor.labels.repeated_ids import RepeatedIds
from monitor.labels.tracker import LabelTracker
from monitor.serve.snapshot import ModelStatus
from monitor.state.model_files import labels_folder
from monitor.state.window_state import changes, mark_saved, restore
from monitor.windows.gaps import Gaps
from monitor.windows.series import ALL, OVERFLOW, SeriesEnd, SeriesKey
from monitor.windows.windows import ModelWindows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from alerts.evaluation import Evaluation
    from detectors.array_types import Integers
    from detectors.layout import Counts
    from monitor.common.clock import Clock
    from monitor.common.stateful import Stateful
    from monitor.config.model import ModelSection
    from monitor.evaluate.record_faults import Rejects
    from monitor.labels.panes import LabelledChange, PaneReader
    from monitor.reference.by_version import ReferencesByVersion
    from monitor.rows.records import LabelRows, ModelRows, Partition
    from monitor.state.checkpoint import LoadedModel, ModelDelta
    from monitor.windows.series import DueWindow

    Step = tuple[Evaluation, ...] | SeriesEnd | None


@dataclass(slots=True)
class Cost:
    """The cost of judging a model."""

    evaluations: int = 0
    seconds: float = 0.0
    last_seconds: float = 0.0
    insufficient: int = 0


class MonitoredModel:
    """A model with its references.

    Args:
        section: its configuration.
        references: what it is compared with.
        labelled: labels are read, so performance can be measured.
        folder: the state directory.
        reader: of saved panes.
        clock: for the cost of judging.
        seen: where usable records have come from, if the model has taken any in.
    """

    def __init__(
        self,
        section: ModelSection,
        references: ReferencesByVersion,
        *,
        labelled: bool,
        folder: Path,
        reader: PaneReader,
        clock: Clock,
        seen: Seen | None = None,
    ) -> None:
        self.section, self.references = section, references
        self.name, self.lateness = section.name, section.lateness
        self._clock = clock
        specs = [make_count_spec(section, profile, labelled=labelled) for profile in references.profiles]
        self.windows = ModelWindows(section, specs)
        self._schema, self._faults = SchemaChanges(), RecordFaults(section.pane)
        self.evaluator = Evaluator(section, references, self.windows, self._schema, self._faults, labelled=labelled)
        self.performance: LabelTracker | None = None
        if labelled:
            self.performance = LabelTracker(section, references, labels_folder(folder, section.name), reader)
            self._judge_labels = PerformanceEvaluator(section, references, self.performance)
        self.route = ModelReader(section, references, with_ids=section.columns.id is not None)
        self.label_route = None
        if self.performance is not None:
            kinds = self.performance.scorers[0].label_type
            self.label_route = LabelReader(section, self.performance.names, kinds)
        self.gaps, self.damage = Gaps(), DamageNotice(self.windows.longest)
        self.cost = Cost()
        self.seen = seen or Seen()
        self._log_end: int | None = None
        self._first: int | None = None
        self._last: int | None = None
        self._labels_read = 0
        # Where labels are read, repeated predictions are known one by one and are not counted again.
        self._repeats = RepeatedIds() if section.columns.id is not None and not labelled else None
        # The saved windows cannot be used and must be dropped.
        self.fresh = True
        self.labels_begun_anew = False
        self._documents = Documents(section.name, self._stateful())

    def _stateful(self) -> dict[str, Stateful]:
        evaluator = self.evaluator
        parts: dict[str, Stateful] = {
            "schema": self._schema, "faults": self._faults, "seen": self.seen, "traffic": evaluator.traffic,
            "gaps": self.gaps, "damage": self.damage,
        }  # fmt: skip
        parts |= {f"burn-in/{index}": burn_in for index, burn_in in evaluator.baseline.burn_ins.items()}
        parts |= {f"followed/{index}": points for index, points in evaluator.sequences.items()}
        if self.performance is not None:
            parts["errors"] = self._judge_labels
        return parts

    # The side that `monitor.daemon.ordering` uses.

    def horizon(self, floor: int) -> int:
        """As `monitor.windows.windows.ModelWindows.horizon`."""
        return self.windows.horizon(floor)

    def add(self, rows: ModelRows, clocks: Integers, offsets: Integers, partition: Partition) -> None:
        """Takes rows of one partition in; a prediction that is there already is not counted again."""
        self.seen.take(rows, partition)
        if len(rows.index):
            first, last = int(rows.times.min()), int(rows.times.max())
            self._first = first if self._first is None else min(first, self._first)
            self._last = last if self._last is None else max(last, self._last)
        if self._repeats is not None and rows.outputs is not None and rows.outputs.ids is not None:
            self._repeats.take(rows.outputs.ids)
        if rows.bare is not None:
            panes, on_time = self.windows.on_time(rows.times, clocks)
            self._faults.take_bare(panes[rows.bare & on_time])
        fresh = np.ones(len(rows.index), dtype=np.bool_) if self.performance is None else self.performance.add(rows)
        if fresh.all():
            self._count(rows, clocks, offsets, partition)
            return
        again, kept = np.flatnonzero(~fresh), np.flatnonzero(fresh)
        self._count(rows.take(kept), clocks[kept], offsets[kept], partition)
        # Only now is there a series, if its first row comes in this very batch.
        self.windows.repeat(rows.take(again), clocks[again])

    def _count(self, rows: ModelRows, clocks: Integers, offsets: Integers, partition: Partition) -> None:
        if len(rows.index):
            if rows.unknown:
                self._take_unknown(rows, clocks)
            self.windows.add(rows, clocks, offsets, partition)

    def _take_unknown(self, rows: ModelRows, clocks: Integers) -> None:
        """Notes names that the reference does not know, of the rows that are on time."""
        panes, on_time = self.windows.on_time(rows.times, clocks)
        index = rows.index.tolist()
        self._schema.take(
            (int(panes[row]), str(rows.versions[row]), rows.unknown[index[row]])
            for row in np.flatnonzero(on_time).tolist()
            if index[row] in rows.unknown
        )

    def offer(self, labels: LabelRows, clocks: Integers) -> None:
        """Takes labels in, with their partition's clock at each row."""
        if self.performance is not None:
            self._labels_read += len(labels.index)
            self._faults.take_labels(clocks)
            self.performance.offer(labels, clocks)

    def reject(self, rejects: Rejects) -> None:
        """Records of the model, or of its labels, could not be used."""
        if rejects.labels:
            self._faults.take_labels(rejects.clocks, rejects.reasons)
            return
        panes, on_time = self.windows.on_time(rejects.times, rejects.clocks)
        reasons = [reason for reason, kept in zip(rejects.reasons, on_time.tolist(), strict=True) if kept]
        self._faults.reject(panes[on_time], reasons)

    def advance(self, clock: int) -> Iterator[Step]:
        """Moves time on; yields what comes of it in the order of event time.

        A step is the evaluations of one window of every series, the end of a series, or None for a piece of work that
        leads to nothing. Work can be left off between two steps and gone on with later; what is not asked for in this
        call comes with the next one.
        """
        # Labels go on after the last prediction of a replayed log: performance is judged by them, but no window ends.
        until = clock if self._log_end is None else min(clock, self._log_end + self.lateness)
        for item in self.windows.advance(until):
            if self.performance is not None:
                yield from map(self._step, self.performance.advance(item.end, clock - self.lateness))
            yield self._step(item)
        if self.performance is not None:
            yield from map(self._step, self.performance.advance(clock - self.lateness))

    def _step(self, item: DueWindow | MatureWindow | SeriesEnd | None) -> Step:
        if item is None:
            return None
        if not isinstance(item, SeriesEnd):
            return self.judge(item)
        if not item.realised:
            self.evaluator.forget(item.key)
        return item

    def end_log(self, last: int) -> None:
        """The last prediction record that there will be has this event time: no window that ends after its pane is."""
        pane = self.windows.pane
        self._log_end = (last // pane + 1) * pane
        # A pane that the log breaks off in says nothing of the traffic.
        self.evaluator.traffic_until = last
        if self.performance is not None:
            self.performance.log_end = self._log_end

    def finish(self, latest: int) -> Iterator[Step]:
        """The steps at the end of a replay, whose last record, prediction or label, has this event time."""
        if self._log_end is None:
            self.end_log(latest)
        assert self._log_end is not None
        yield from self.advance(self._log_end + self.lateness)
        if self.performance is not None:
            yield from map(self._step, self.performance.finish(latest))

    def windows_taken_as_independent(self) -> list[str]:
        """Windows that assume independent rows, because neither the reference nor burn-in measures their dependence."""
        if self.section.drift.burn_in is not None:
            return []
        lacking = [
            name
            for profile in self.references.profiles
            for name in profile.windows_taken_as_independent(self.section.windows)
        ]
        return list(dict.fromkeys(lacking))

    def restore(self, saved: LoadedModel, documents: Mapping[str, bytes]) -> None:
        """Goes on from a checkpoint."""
        self.fresh = not restore(self.windows, saved, self.references)
        self._documents.restore(documents)
        if self.performance is not None:
            kept = documents.get(f"performance/{self.section.name}")
            self.labels_begun_anew = not self.performance.restore(kept)

    def judge(self, due: DueWindow | MatureWindow) -> tuple[Evaluation, ...]:
        """Judges a window of every series."""
        began = self._clock.monotonic()
        if isinstance(due, MatureWindow):
            strange = self._faults.strange_labels(due.start, due.at)
            evaluations = self._judge_labels.judge(due, self.lateness, strange)
        else:
            evaluations = self.evaluator.judge(self.windows, due)
        self.cost.last_seconds = self._clock.monotonic() - began
        self.cost.seconds += self.cost.last_seconds
        self.cost.evaluations += len(evaluations)
        self.cost.insufficient += sum(map(_lacking, evaluations))
        return tuple(self._marked(evaluation) for evaluation in evaluations)

    def _marked(self, evaluation: Evaluation) -> Evaluation:
        """Adds findings to an evaluation whose window lost messages or reaches back to damaged state."""
        whole = evaluation.segment == ALL and evaluation.version != OVERFLOW and not evaluation.realised
        found = self.gaps.findings(evaluation.start, evaluation.end, alarm=whole)
        found += self.damage.findings(evaluation.start, evaluation.end) if whole else ()
        return replace(evaluation, findings=evaluation.findings + found) if found else evaluation

    def counts(self, evaluation: Evaluation) -> Counts:
        """The counts of an evaluation's window; only while it is the latest."""
        return self.evaluator.judging.counts(SeriesKey(evaluation.version, evaluation.segment), evaluation.window)

    def changes(self) -> ModelDelta:
        """Changes of the windows that the next checkpoint must save."""
        return changes(self.windows, self.references, fresh=self.fresh)

    def labelled(self) -> tuple[LabelledChange, bytes] | None:
        """Panes and document of the labels that the next checkpoint must save.

        Raises:
            StateError: if the files of waiting predictions cannot be written.
        """
        return None if self.performance is None else self.performance.change()

    def documents(self) -> dict[str, bytes]:
        """Documents that the next checkpoint must save beside the changes."""
        if self.windows.watermark is not None:
            late = self.section.labels.retention_ms if self.performance is not None else 0
            self.gaps.expire(self.windows.watermark - self.windows.memory - late - DAY)
        return self._documents.changes()

    def mark_saved(self) -> None:
        """Marks the last changes and documents as saved."""
        mark_saved(self.windows)
        self.fresh = False
        self._documents.mark_saved()
        if self.performance is not None:
            self.performance.mark_saved()

    def status(self) -> ModelStatus:
        """The published status of the model."""
        windows = self.windows
        unseen: Counter[str] = Counter()
        invalid: Counter[str] = Counter()
        for profile, columns in zip(self.references.profiles, windows.tally.columns, strict=True):
            for place, subject in enumerate(profile.layout.subjects):
                invalid[subject] += int(columns[place, INVALID] + columns[place, NONFINITE])
                if not profile.layout.numeric[place]:
                    unseen[subject] += int(columns[place, HIGH])
        return ModelStatus(
            name=self.section.name,
            rows=dict(windows.tally.rows),
            late=windows.tally.late,
            overflow=windows.tally.overflow,
            watermark=windows.watermark,
            series=len(windows.series),
            unseen=unseen,
            invalid=invalid,
            evaluations=self.cost.evaluations,
            evaluation_seconds=self.cost.seconds,
            last_evaluation_seconds=self.cost.last_seconds,
            nbytes=windows.nbytes + (0 if self.performance is None else self.performance.panes.nbytes),
            labels=None if self.performance is None else self.performance.totals(),
            insufficient=self.cost.insufficient,
            first=self._first,
            last=self._last,
            labels_read=self._labels_read,
            repeated=0 if self._repeats is None else self._repeats.count,
            unjudged=0 if self.performance is None else self.performance.unjudged,
        )


def _lacking(evaluation: Evaluation) -> bool:
    """Whether not one finding that has a limit could be judged."""
    return not any(
        finding.status != "insufficient" and not math.isnan(finding.threshold) for finding in evaluation.findings
    )
