"""One mature window of every series, judged by its labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
from msgspec import structs

from alerts.evaluation import Evaluation
from alerts.subjects import ESTIMATED
from detectors.budget import shared
from monitor.common.codec import decode, encode
from monitor.evaluate.budgets import panes_between_alarms
from monitor.evaluate.change_points import ChangePoints, States
from monitor.evaluate.performance_findings import (
    LabelledWindow,
    champion_of,
    fairness_findings,
    held_together,
    judged_metrics,
    metric_limits,
    realised_findings,
    segment_findings,
    version_findings,
)
from monitor.labels.arrival import LABELS, share_finding
from monitor.labels.panes import AHEAD, LABELLED
from monitor.windows.series import ALL, OVERFLOW, SeriesKey

if TYPE_CHECKING:
    from alerts.evaluation import Finding
    from monitor.config.model import ModelSection
    from monitor.evaluate.performance_findings import MetricLimits
    from monitor.labels.maturity import MatureWindow
    from monitor.labels.tracker import LabelTracker
    from monitor.reference.by_version import ReferencesByVersion


class ErrorsFollowed(msgspec.Struct, array_like=True):
    """How far errors were followed (epoch ms), and document of the sequences by the place of their profile."""

    fed: int | None
    sequences: dict[str, bytes]

    def __post_init__(self) -> None:
        for document in self.sequences.values():
            decode(document, States)


class PerformanceEvaluator:
    """Judges mature windows.

    Args:
        model: its configuration.
        references: its versions are compared with them.
        performance: the model's counts.
    """

    def __init__(self, model: ModelSection, references: ReferencesByVersion, performance: LabelTracker) -> None:
        self._model, self._references, self._performance = model, references, performance
        profile = references.profiles[0]
        series = 1 + (len(profile.segments) if model.segments else 0)
        # Every judged metric of every series is a decision; so is its comparison with the champion and with the whole,
        # and so is the share of labels.
        metrics = len(judged_metrics(model))
        self.alpha = shared(
            model.performance.false_alarms_per_30d,
            decisions=3 * metrics * series + 1,
            steps_ms=tuple(window.step for window in performance.windows),
        )
        self._sticks: dict[tuple[int, int], MetricLimits] = {}
        self.sequences: dict[int, ChangePoints] = {
            place: ChangePoints(
                errors,
                model.drift.min_shift,
                errors.pane,
                panes_between_alarms(errors, model.performance.false_alarms_per_30d),
            )
            for place, profile in enumerate(references.profiles)
            if (errors := profile.performance.errors) is not None
        }
        self._fed: int | None = None
        self.changed = False

    def stick(self, place: int, length: int) -> MetricLimits:
        """The limits for windows of a length, by the index of the profile."""
        if (place, length) not in self._sticks:
            profile = self._references.profiles[place].performance
            self._sticks[place, length] = metric_limits(self._model, profile, length, self.alpha)
        return self._sticks[place, length]

    def judge(self, due: MatureWindow, lateness: int, held_back: str = "") -> list[Evaluation]:
        """One evaluation a series that has rows in the window, in the order of their keys.

        Args:
            due: the window.
            lateness: of the model, ms.
            held_back: why its labels cannot measure performance; empty if they can.
        """
        held = self._held(due)
        whole = {key.version: found for key, found in held.items() if key.segment == ALL}
        champion = champion_of(whole, self._model.performance.champion)
        if due.window == self._performance.windows[0]:
            self._follow(due, usable=not held_back)
        evaluations = []
        for key, found in held.items():
            stick = self.stick(self._references.place(key.version), due.window.length)
            findings = realised_findings(found, stick)
            if key.segment == ALL:
                sequences = self.sequences.get(self._references.place(key.version))
                if sequences is not None and due.window == self._performance.windows[0]:
                    findings += sequences.findings(key.version, due.end, "", "breached")
                mine = {
                    other.segment: part
                    for other, part in held.items()
                    if other.version == key.version and other.segment != ALL
                }
                if mine:
                    findings += segment_findings(found, mine, stick)
                for column in self._model.performance.protected if self._model.task == "binary" else ():
                    groups = {name: part for name, part in mine.items() if name.startswith(f"{column}=")}
                    findings += fairness_findings(column, groups, stick, self.alpha)
                findings += self._label_findings(found, due)
                if champion is not None and champion != key.version:
                    findings += version_findings(found, whole[champion], champion, stick)
            if held_back:
                findings = tuple(_doubted(finding, held_back) for finding in findings)
            evaluations.append(
                Evaluation(
                    model=self._model.name,
                    version=key.version,
                    segment=key.segment,
                    window=due.window.name,
                    start=due.start,
                    end=due.end,
                    at=due.at + lateness,
                    rows=found.rows,
                    labelled_rows=found.labelled,
                    findings=findings,
                    realised=True,
                )
            )
        return evaluations

    def _label_findings(self, held: LabelledWindow, due: MatureWindow) -> tuple[Finding, ...]:
        performance, settings = self._performance, self._model.labels
        least = self._model.performance.min_labels
        panes = performance.panes.arrays()
        share = share_finding(held.rows, held.labelled, panes, due, settings.max_delay, least, self.alpha)
        if due.window != performance.windows[0]:
            return (share,)
        return share, performance.recent_delays.finding(due.at, least)

    def _follow(self, due: MatureWindow, *, usable: bool) -> None:
        """Follows the error over the panes that became mature since the last window, if their labels are usable."""
        start = due.end - due.window.step if self._fed is None else self._fed
        self._fed, self.changed = due.end, True
        panes = self._performance.panes
        for key in sorted(panes.lives) if usable else ():
            if key.version == OVERFLOW:
                continue
            sequences = self.sequences.get(self._references.place(key.version))
            vector = panes.window(key, start, due.end) if key.segment == ALL and sequences is not None else None
            if vector is None or sequences is None or not vector[LABELLED]:
                continue
            scorer = self._references.of(key.version).performance.scorer
            sums = scorer.error_sums(vector[AHEAD : AHEAD + scorer.width])
            sequences.take_sums(key.version, start, *(np.array([part]) for part in sums))

    def document(self) -> bytes:
        """The state, encoded."""
        states = {str(place): sequences.document() for place, sequences in self.sequences.items()}
        return encode(ErrorsFollowed(self._fed, states))

    def restore(self, document: bytes) -> None:
        """Goes on from a checkpoint."""
        saved = decode(document, ErrorsFollowed)
        self._fed = saved.fed
        for place, sequences in self.sequences.items():
            if str(place) in saved.sequences:
                sequences.restore(saved.sequences[str(place)])

    def _held(self, due: MatureWindow) -> dict[SeriesKey, LabelledWindow]:
        """Every series that has rows in the window, in the order of their keys."""
        panes = self._performance.panes
        vectors = {key: panes.window(key, due.start, due.end) for key in sorted(panes.lives)}
        places: dict[int, list[SeriesKey]] = {}
        for key, vector in vectors.items():
            if vector is not None and key.version != OVERFLOW and vector[0]:
                places.setdefault(self._references.place(key.version), []).append(key)
        held: dict[SeriesKey, LabelledWindow] = {}
        for place, keys in places.items():
            stick = self.stick(place, due.window.length)
            scorer = self._references.profiles[place].performance.scorer
            mine = [vector for key in keys if (vector := vectors[key]) is not None]
            young = [panes.lives[key][0].first > due.start for key in keys]
            held |= zip(keys, held_together(scorer, mine, young, stick.alpha, stick.phi), strict=True)
        return dict(sorted(held.items()))


def _doubted(finding: Finding, held_back: str) -> Finding:
    """A finding that rests on labels which cannot be trusted; estimates need none."""
    if finding.subject in (ESTIMATED, LABELS) or finding.statistic == "label_share":
        return finding
    return structs.replace(finding, status="insufficient", detail=held_back)
