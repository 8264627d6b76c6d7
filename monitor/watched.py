"""One model that is watched: its windows, what they are compared with, and what is saved and shown of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from detectors.layout import HIGH, INVALID, NONFINITE
from monitor.evaluate import Evaluator
from monitor.model_state import changes, mark_saved, restore
from monitor.routes import ModelRoute
from monitor.snapshot import ModelStatus
from monitor.windows import ModelWindows, Shape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alerts.evaluation import Evaluation
    from detectors.layout import Counts
    from monitor.clock import Clock
    from monitor.config import ModelSection
    from monitor.references import References
    from monitor.saved import ModelChange, SavedModel
    from monitor.windows import Due


@dataclass(slots=True)
class Cost:
    """What judging a model has cost."""

    evaluations: int = 0
    seconds: float = 0.0
    last_seconds: float = 0.0


class WatchedModel:
    """A model with its references.

    Args:
        section: its configuration.
        references: what it is compared with.
    """

    def __init__(self, section: ModelSection, references: References) -> None:
        self.section, self.references = section, references
        self.windows = ModelWindows(section, [Shape(len(profile.layout.subjects)) for profile in references.profiles])
        self.evaluator = Evaluator(section, references, self.windows)
        self.route = ModelRoute(section, references, with_ids=False)
        self.cost = Cost()
        # What was saved before cannot be used and is to be dropped.
        self.fresh = True

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

    def judge(self, due: Due, clock: Clock) -> list[Evaluation]:
        """Judges a window of every series."""
        began = clock.monotonic()
        evaluations = self.evaluator.judge(self.windows, due)
        self.cost.last_seconds = clock.monotonic() - began
        self.cost.seconds += self.cost.last_seconds
        self.cost.evaluations += len(evaluations)
        return evaluations

    def counts(self, evaluation: Evaluation) -> Counts:
        """What the window of an evaluation held; only while it is the latest."""
        (step,) = (window.step for window in self.windows.windows if window.name == evaluation.window)
        series = self.windows.find(evaluation.version, evaluation.segment)
        return series.rings[step].window(evaluation.start, evaluation.end)

    def changes(self) -> ModelChange:
        """What the next checkpoint must save."""
        return changes(self.windows, self.references, fresh=self.fresh)

    def documents(self) -> dict[str, bytes]:
        """What the next checkpoint must save beside it."""
        return {
            f"burn-in/{place}/{self.section.name}": burn_in.document()
            for place, burn_in in self.evaluator.baseline.burn_ins.items()
            if burn_in.changed
        }

    def mark_saved(self) -> None:
        """What `changes` and `documents` told has been saved."""
        mark_saved(self.windows)
        self.fresh = False
        for burn_in in self.evaluator.baseline.burn_ins.values():
            burn_in.changed = False

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
            nbytes=windows.nbytes,
        )
