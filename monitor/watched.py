"""One model that is watched: its windows, what they are compared with, and what is saved and shown of it."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from detectors.layout import HIGH, INVALID, NONFINITE
from monitor.durations import DAY
from monitor.evaluate import Evaluator
from monitor.extras import make_shape
from monitor.first_usable import Seen
from monitor.gaps import Gaps
from monitor.labels import LabelRoute, LabelRows
from monitor.maturity import Mature
from monitor.model_files import labels_folder
from monitor.model_state import changes, mark_saved, restore
from monitor.performance import Performance
from monitor.performance_evaluate import PerformanceEvaluator
from monitor.repeated_ids import RepeatedIds
from monitor.routes import ModelRoute
from monitor.snapshot import ModelStatus
from monitor.state_damage import DamageNotice
from monitor.windows import ALL, OVERFLOW, ModelWindows, SeriesKey

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from alerts.evaluation import Evaluation
    from detectors.layout import Counts
    from monitor.clock import Clock
    from monitor.config import ModelSection
    from monitor.labelled_panes import LabelledChange, PaneReader
    from monitor.record_faults import Rejects
    from monitor.records import ModelRows, Partition
    from monitor.references import References
    from monitor.saved import ModelChange, SavedModel
    from monitor.windows import Due, SeriesEnd

    Integers = NDArray[np.int64]


@dataclass(slots=True)
class Cost:
    """What judging a model has cost."""

    evaluations: int = 0
    seconds: float = 0.0
    last_seconds: float = 0.0
    insufficient: int = 0


class WatchedModel:
    """A model with its references.

    Args:
        section: its configuration.
        references: what it is compared with.
        labelled: labels are read, so that realised performance can be told.
        folder: the state directory.
        reader: of saved panes.
    """

    def __init__(
        self, section: ModelSection, references: References, *, labelled: bool, folder: Path, reader: PaneReader
    ) -> None:
        self.section, self.references = section, references
        self.name, self.lateness = section.name, section.lateness
        shapes = [make_shape(section, profile, labelled=labelled) for profile in references.profiles]
        self.windows = ModelWindows(section, shapes)
        self.evaluator = Evaluator(section, references, self.windows, labelled=labelled)
        self.performance: Performance | None = None
        if labelled:
            self.performance = Performance(section, references, labels_folder(folder, section.name), reader)
            self._judge_labels = PerformanceEvaluator(section, references, self.performance)
        self.route = ModelRoute(section, references, with_ids=section.columns.id is not None)
        self.label_route = None
        if self.performance is not None:
            kinds = self.performance.scorers[0].label_type
            self.label_route = LabelRoute(section, self.performance.names, kinds)
        self.gaps, self.damage = Gaps(), DamageNotice(self.windows.longest)
        self.cost = Cost()
        self.seen = Seen()
        self._log_end: int | None = None
        self._first: int | None = None
        self._last: int | None = None
        self._labels_read = 0
        # Where labels are read, repeated predictions are known one by one and are not counted again.
        self._repeats = RepeatedIds() if section.columns.id is not None and not labelled else None
        # What was saved before cannot be used and is to be dropped.
        self.fresh = True
        self.labels_begun_anew = False

    # What `monitor.intake` needs: rows come in, and windows fall due as time goes on.

    def horizon(self, floor: int) -> int:
        """As `monitor.windows.ModelWindows.horizon`."""
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
            self.windows.faults.take_bare(panes[rows.bare & on_time])
        if self.performance is not None:
            fresh = self.performance.add(rows)
            if not fresh.all():
                again, kept = np.flatnonzero(~fresh), np.flatnonzero(fresh)
                self.windows.repeat(rows.take(again), clocks[again])
                rows, clocks, offsets = rows.take(kept), clocks[kept], offsets[kept]
        if len(rows.index):
            self.windows.add(rows, clocks, offsets, partition)

    def offer(self, labels: LabelRows, clocks: Integers) -> None:
        """Takes labels in, with their partition's clock at each row."""
        if self.performance is not None:
            self._labels_read += len(labels.index)
            self.windows.faults.take_labels(clocks)
            self.performance.offer(labels, clocks)

    def reject(self, rejects: Rejects) -> None:
        """Records of the model, or of its labels, could not be used."""
        if rejects.labels:
            self.windows.faults.take_labels(rejects.clocks, rejects.reasons)
            return
        panes, on_time = self.windows.on_time(rejects.times, rejects.clocks)
        reasons = [reason for reason, kept in zip(rejects.reasons, on_time.tolist(), strict=True) if kept]
        self.windows.faults.reject(panes[on_time], reasons)

    def advance(self, clock: int) -> Iterator[Due | Mature | SeriesEnd | None]:
        """Moves time on; yields each window that can be judged and each series that ends, in the order of event time.

        Each item is to be dealt with before the next one is asked for. None stands for a piece of work that nothing
        comes of. What is not asked for in this call comes with the next one.
        """
        # Labels go on after the last prediction of a replayed log: performance is judged by them, but no window ends.
        until = clock if self._log_end is None else min(clock, self._log_end + self.lateness)
        for item in self.windows.advance(until):
            if self.performance is not None:
                yield from self.performance.advance(item.end, clock - self.lateness)
            yield item
        if self.performance is not None:
            yield from self.performance.advance(clock - self.lateness)

    def end_log(self, last: int) -> None:
        """The last prediction record that there will be has this event time: no window that ends after its pane is."""
        pane = self.windows.pane
        self._log_end = (last // pane + 1) * pane
        # A pane that the log breaks off in says nothing of the traffic.
        self.evaluator.traffic_until = last
        if self.performance is not None:
            self.performance.log_end = self._log_end

    def finish(self, latest: int) -> Iterator[Due | Mature | SeriesEnd | None]:
        """The end of a replay, whose last record, prediction or label, has this event time."""
        if self._log_end is None:
            self.end_log(latest)
        assert self._log_end is not None
        yield from self.advance(self._log_end + self.lateness)
        if self.performance is not None:
            yield from self.performance.finish(latest)

    def windows_taken_as_independent(self) -> list[str]:
        """Windows whose rows are taken for independent, because neither reference nor burn-in tells otherwise."""
        if self.section.drift.burn_in is not None:
            return []
        lacking = [
            name
            for profile in self.references.profiles
            for name in profile.windows_taken_as_independent(self.section.windows)
        ]
        return list(dict.fromkeys(lacking))

    def restore(self, saved: SavedModel, documents: Mapping[str, bytes]) -> None:
        """Goes on from a checkpoint."""
        self.fresh = not restore(self.windows, saved, self.references)
        for place, burn_in in self.evaluator.baseline.burn_ins.items():
            document = documents.get(f"burn-in/{place}/{self.section.name}")
            if document is not None:
                burn_in.restore(document)
        schema = documents.get(f"schema/{self.section.name}")
        if schema is not None:
            self.windows.schema.restore(schema)
        for noun, part in (("faults", self.windows.faults), ("seen", self.seen)):
            if (document := documents.get(f"{noun}/{self.section.name}")) is not None:
                part.restore(document)
        traffic = documents.get(f"traffic/{self.section.name}")
        if traffic is not None:
            self.evaluator.traffic.restore(traffic)
        for noun, notes in (("gaps", self.gaps), ("damage", self.damage)):
            if (document := documents.get(f"{noun}/{self.section.name}")) is not None:
                notes.restore(document)
        for place, sequences in self.evaluator.sequences.items():
            document = documents.get(f"followed/{place}/{self.section.name}")
            if document is not None:
                sequences.restore(document)
        if self.performance is not None:
            kept = documents.get(f"performance/{self.section.name}")
            self.labels_begun_anew = not self.performance.restore(kept)
            errors = documents.get(f"errors/{self.section.name}")
            if errors is not None:
                self._judge_labels.restore(errors)

    def judge(self, due: Due | Mature, clock: Clock) -> list[Evaluation]:
        """Judges a window of every series."""
        began = clock.monotonic()
        if isinstance(due, Mature):
            strange = self.windows.faults.strange_labels(due.start, due.at)
            evaluations = self._judge_labels.judge(due, self.lateness, strange)
        else:
            evaluations = self.evaluator.judge(self.windows, due)
        self.cost.last_seconds = clock.monotonic() - began
        self.cost.seconds += self.cost.last_seconds
        self.cost.evaluations += len(evaluations)
        self.cost.insufficient += sum(map(_lacking, evaluations))
        return [self._marked(evaluation) for evaluation in evaluations]

    def _marked(self, evaluation: Evaluation) -> Evaluation:
        """Says of an evaluation that messages of its window were lost, or the state damaged, if they were."""
        whole = evaluation.segment == ALL and evaluation.version != OVERFLOW and not evaluation.realised
        found = self.gaps.findings(evaluation.start, evaluation.end, alarm=whole)
        found += self.damage.findings(evaluation.start, evaluation.end) if whole else ()
        return replace(evaluation, findings=evaluation.findings + found) if found else evaluation

    def counts(self, evaluation: Evaluation) -> Counts:
        """What the window of an evaluation held; only while it is the latest."""
        return self.evaluator.judging.counts(SeriesKey(evaluation.version, evaluation.segment), evaluation.window)

    def changes(self) -> ModelChange:
        """What the next checkpoint must save."""
        return changes(self.windows, self.references, fresh=self.fresh)

    def forget(self, key: SeriesKey) -> None:
        """A series has ended: what was prepared and followed for it goes."""
        self.evaluator.forget(key)

    def labelled(self) -> tuple[LabelledChange, bytes] | None:
        """What the next checkpoint must save of labels: panes, and a document.

        Raises:
            StateError: if the files of waiting predictions cannot be written.
        """
        return None if self.performance is None else self.performance.change()

    def documents(self) -> dict[str, bytes]:
        """What the next checkpoint must save beside it."""
        burn_ins, sequences = self.evaluator.baseline.burn_ins.items(), self.evaluator.sequences.items()
        name = self.section.name
        found = {f"burn-in/{place}/{name}": burn_in.document() for place, burn_in in burn_ins if burn_in.changed}
        if self.windows.watermark is not None:
            late = self.section.labels.retention_ms if self.performance is not None else 0
            self.gaps.expire(self.windows.watermark - self.windows.memory - late - DAY)
        if self.gaps.changed:
            found[f"gaps/{name}"] = self.gaps.document()
        if self.damage.changed:
            found[f"damage/{name}"] = self.damage.document()
        if self.performance is not None:
            found[f"errors/{name}"] = self._judge_labels.document()
        if self.windows.schema.changed:
            found[f"schema/{name}"] = self.windows.schema.document()
        if self.evaluator.traffic.changed:
            found[f"traffic/{name}"] = self.evaluator.traffic.document()
        if self.windows.faults.changed:
            found[f"faults/{name}"] = self.windows.faults.document()
        if self.seen.changed:
            found[f"seen/{name}"] = self.seen.document()
        return found | {f"followed/{place}/{name}": part.document() for place, part in sequences if part.changed}

    def mark_saved(self) -> None:
        """What `changes` and `documents` told has been saved."""
        mark_saved(self.windows)
        self.fresh = False
        for burn_in in self.evaluator.baseline.burn_ins.values():
            burn_in.changed = False
        for sequences in self.evaluator.sequences.values():
            sequences.changed = False
        self.windows.schema.changed = self.evaluator.traffic.changed = self.gaps.changed = False
        self.damage.changed = False
        self.windows.faults.changed = self.seen.changed = False
        if self.performance is not None:
            self.performance.mark_saved()

    def status(self) -> ModelStatus:
        """What the daemon shows of the model."""
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
