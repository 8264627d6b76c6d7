"""Gathers the latest evaluations and makes the snapshots that the daemon publishes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from monitor.daemon.catch_up import CatchUp
from monitor.serve.snapshot import EvaluationKey, ProcessStatus, Snapshot

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from alerts.evaluation import Evaluation
    from monitor.alerting.alerting import Alerting
    from monitor.common.clock import Clock
    from monitor.daemon.checkpointer import Checkpointer
    from monitor.daemon.inlet import Inlet
    from monitor.daemon.models import Models
    from monitor.serve.snapshot import Progress
    from monitor.state.store import Store
    from monitor.windows.series import SeriesEnd

_EVERY_SECONDS = 0.5


class Display:
    """Makes snapshots of a daemon's parts.

    Attributes:
        snapshot: the latest.
        process: status of the process.
    """

    def __init__(
        self,
        *,
        models: Models,
        inlet: Inlet,
        alerting: Alerting,
        checkpointer: Checkpointer,
        store: Store,
        clock: Clock,
        log: FilteringBoundLogger,
    ) -> None:
        self._models, self._inlet, self._alerting = models, inlet, alerting
        self._checkpointer, self._store, self._clock = checkpointer, store, clock
        self._evaluations: dict[EvaluationKey, Evaluation] = {}
        self._realised: dict[EvaluationKey, Evaluation] = {}
        self._catch_up = CatchUp(log)
        self._shown_at = -1.0
        self.process = ProcessStatus()
        self.snapshot = Snapshot()

    def take(self, evaluation: Evaluation) -> None:
        """Shows an evaluation until the next one of its window and series."""
        key = EvaluationKey(evaluation.model, evaluation.version, evaluation.segment, evaluation.window)
        (self._realised if evaluation.realised else self._evaluations)[key] = evaluation

    def drop(self, model: str, ended: SeriesEnd) -> None:
        """Shows a series no longer: its windows, or its performance."""
        shown = self._realised if ended.realised else self._evaluations
        for key in [key for key in shown if key[:3] == (model, *ended.key)]:
            del shown[key]

    @property
    def due(self) -> bool:
        """Whether the latest snapshot is old."""
        now = self._clock.monotonic()
        return now - self._shown_at >= _EVERY_SECONDS or now < self._shown_at

    def show(self, *, busy: bool, ended: bool) -> None:
        """Publishes a new snapshot.

        Args:
            busy: the last turn left off before everything that was due had been judged.
            ended: a replay has come to its end.
        """
        self._shown_at = self._clock.monotonic()
        models, inlet, alerting, checkpointer = self._models, self._inlet, self._alerting, self._checkpointer
        versions = {
            name: sorted({key.version for key in model.windows.series}) for name, model in models.monitored.items()
        }
        snapshot = Snapshot(
            evaluations=dict(self._evaluations),
            realised=dict(self._realised),
            models=tuple(model.status() for model in models.monitored.values()),
            partitions=inlet.partitions(),
            rejects=dict(inlet.rejects),
            hints=dict(inlet.hints),
            label_topics=inlet.label_topics,
            learned_rows=models.learned_rows,
            ended=ended,
            alerts=alerting.counts(versions),
            outbox=alerting.waiting(),
            notifications=dict(alerting.results),
            receivers=alerting.receivers(),
            checkpoint_at=checkpointer.at,
            checkpoint_seconds=checkpointer.seconds,
            checkpoint_failures=checkpointer.failures,
            state_damaged=dict(self._store.damaged),
            disk_bytes=self._store.nbytes,
            source_up=inlet.up,
            process=self.process,
            progress=self._progress(busy=busy),
            source_fault="" if inlet.fault is None else inlet.fault.reason,
        )
        self.snapshot = replace(
            snapshot, not_ready=checkpointer.fault or inlet.why_not_ready() or alerting.unheard_fault
        )

    def _progress(self, *, busy: bool) -> Progress:
        """How far behind judging is."""
        counted, waiting = self._inlet.counted_and_waiting()
        marks = [(model.lateness, model.windows.watermark) for model in self._models.monitored.values()]
        behind = [self._inlet.stands_at - lateness - mark for lateness, mark in marks if mark is not None]
        return self._catch_up.observe(
            self._clock, busy=busy, counted=counted, waiting=waiting, behind_ms=max(0, *behind, 0) if busy else 0
        )
