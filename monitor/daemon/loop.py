"""The loop: reads, counts, judges, alerts, saves. The only thing that changes state; other threads talk by queues.

One turn, straight through::

    source.poll → Inlet.take_in → EventTimeBuffer.drain → MonitoredModel.advance → Alerting.observe → Checkpointer.save
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.daemon.checkpointer import Checkpointer, Parts
from monitor.daemon.display import Display
from monitor.daemon.inlet import Inlet
from monitor.daemon.models import Models
from monitor.daemon.ordering import EventTimeBuffer
from monitor.daemon.schedule import Tick
from monitor.reference.by_version import single
from monitor.windows.series import SeriesEnd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from structlog.typing import FilteringBoundLogger

    from alerts.evaluation import Evaluation
    from detectors.layout import Counts
    from monitor.alerting.alerting import Alerting, Outcome
    from monitor.common.clock import Clock
    from monitor.config.schema import Config
    from monitor.daemon.model import Step
    from monitor.reference.by_version import ReferencesByVersion
    from monitor.serve.snapshot import Snapshot
    from monitor.sources.port import Source
    from monitor.state.store import Store

_TURN_SECONDS = 1.0  # then a turn leaves off judging: checkpoints, deliveries and signals get their turn


class Daemon:
    """Monitors the configured models.

    Args:
        config: validated.
        references: model name → its references; a model without any learns one.
        source: where messages come from.
        store: where state is kept; held until `close`.
        alerting: rules and outbox.
        clock: time.
        log: past-tense events.
        observer: takes every evaluation and what came of it; None with what came of the end of a series.

    Attributes:
        models: what is monitored, and what still learns its reference.
        inlet: polled messages on their way in.
        checkpointer: saves and restores.
        display: what is shown.
        finished: a replay has come to its end.
    """

    def __init__(
        self,
        config: Config,
        references: Mapping[str, ReferencesByVersion],
        *,
        source: Source,
        store: Store,
        alerting: Alerting,
        clock: Clock,
        log: FilteringBoundLogger,
        observer: Callable[[Evaluation | None, Outcome], object] | None = None,
    ) -> None:
        self._config, self._source, self._store = config, source, store
        self._alerting, self._clock, self._log, self._observer = alerting, clock, log, observer
        self.models = Models(config, references, folder=store.folder, reader=store, clock=clock)
        monitored, learners = self.models.monitored, self.models.learners
        self._buffer = EventTimeBuffer({**monitored, **learners}, lambda *reject: self.inlet.on_reject(*reject))
        self.inlet = Inlet(config, self._buffer, monitored, clock, seen=self.models.seen, reject=source.reject, log=log)
        self.inlet.routers = self.models.decoders()
        self.checkpointer = Checkpointer(
            config, store, Parts(monitored, learners, alerting, self._buffer, source), clock, log
        )
        self.display = Display(
            models=self.models, inlet=self.inlet, alerting=alerting, checkpointer=self.checkpointer, store=store,
            clock=clock, log=log,
        )  # fmt: skip
        self._steps: Iterator[tuple[str, Step]] | None = None
        self._ends = self._finishing = False
        self.finished = False

    def start(self) -> None:
        """Goes on from the last checkpoint.

        Raises:
            SourceError: if the source can never work as configured.
        """
        saved, learned = self.checkpointer.load()
        for name, profile in learned.items():
            self._buffer.hand_over(name, self.models.monitor(name, single(profile)), lambda rows: rows)
        if learned:
            self.inlet.routers = self.models.decoders()
        self.checkpointer.restore(saved)
        self._alerting.restore(saved.documents, saved.outbox)
        self.inlet.resume(saved.positions)
        self._source.start(saved.positions, everything=saved.lost)
        monitored = self.models.monitored
        latest = max((model.windows.watermark or 0 for model in monitored.values()), default=0)
        names = {section.name: [*section.windows, *section.performance_windows] for section in self._config.models}
        self._alerting.drop_unknown(names, latest, self._clock.now_ms())
        self._log.info("daemon started", models=list(monitored), resumed=bool(saved.positions))
        self._show()

    def turn(self, timeout_seconds: float, ticks: frozenset[Tick] = frozenset()) -> None:
        """One turn of the loop.

        Args:
            timeout_seconds: how long to wait for messages.
            ticks: wall-clock work that is due.
        """
        poll = self._source.poll(0.0 if self._steps is not None else timeout_seconds, self.inlet.held)
        self.inlet.take_in(poll)
        self._end_log(self.inlet.log_end)
        judged = self._advance()
        if (poll.finished or self._ends) and self._steps is None and not self.finished and not self.inlet.held:
            self._end_log(self.inlet.latest())
            self._steps, self._finishing = self._buffer.flush(), True
            judged |= self._advance()
        # A step with a limit is saved as a whole, by who set the limit, or not at all.
        if not self.inlet.limited and (Tick.CHECKPOINT in ticks or self.checkpointer.urgent):
            self.checkpoint()
        if Tick.BACKUP in ticks:
            self.back_up()
        self._alerting.deliver(self._clock.now_ms())
        if judged or self.display.due:
            self._show()

    @property
    def step_done(self) -> bool:
        """Whether all that the step may take in (`monitor.daemon.recovery`) is taken in and judged."""
        return self._steps is None and (self._buffer.room == 0 or not self.inlet.held)

    def _advance(self) -> bool:
        """Takes steps until none is left or the turn's time is up, then goes on in the next turn; whether any was
        more than rows that were taken in."""
        until = self._clock.monotonic() + _TURN_SECONDS
        if self._steps is None:
            self._steps = self._buffer.drain()
        judged = False
        for name, step in self._steps:
            if step is not None:
                self._take(name, step)
                judged = True
            elif not name:
                self._adopt_learned()
            if self._clock.monotonic() >= until:
                return judged
        self._steps = None
        if self._finishing:
            self.finished = judged = True
            self._log.info("replay finished")
            self.checkpoint()
        return judged

    def _take(self, model: str, step: tuple[Evaluation, ...] | SeriesEnd) -> None:
        now = self._clock.now_ms()
        if not isinstance(step, SeriesEnd):
            for evaluation in step:
                self.display.take(evaluation)
                self._observe(evaluation, self._alerting.observe(evaluation, now))
            return
        self.display.drop(model, step)
        version, segment = step.key
        self._observe(None, self._alerting.end_series(model, version, segment, step.end, now, realised=step.realised))
        self._log.info("series ended", model=model, version=version, segment=segment, realised=step.realised)

    def _observe(self, evaluation: Evaluation | None, outcome: Outcome) -> None:
        if self._observer is not None:
            self._observer(evaluation, outcome)

    def _adopt_learned(self) -> None:
        """Monitors each model that has learned its reference from now on."""
        for name in self.models.ready():
            adopted = self.models.adopt(name)
            model, learner = adopted.model, adopted.learner
            self.checkpointer.learned.learn(name, adopted.profile)
            self.inlet.routers = self.models.decoders()
            self._buffer.hand_over(name, model, adopted.encoded)
            for later in learner.later:
                model.add(adopted.encoded(later.rows), *later[1:])
            for labels, clocks in learner.labels:
                model.offer(labels, clocks)
            self._log.info("reference learned", model=name, rows=model.references.profiles[0].rows)

    def finish(self) -> None:
        """No more will come: the next turns judge the windows that have ended with the log."""
        self._ends = True

    def _end_log(self, last: int | None) -> None:
        """No prediction will come any more after an event time; None if more may come, or none came."""
        if last is not None:
            for model in self.models.monitored.values():
                model.end_log(last)

    def checkpoint(self) -> bool:
        """Saves everything in one transaction, then informs the source; whether it could be saved.

        A failure keeps the last checkpoint in force.
        """
        return self.checkpointer.save()

    def back_up(self) -> None:
        """Copies the saved state into the backup, and drops what was kept long enough of removed models."""
        self.checkpointer.back_up()

    def window_counts(self, evaluation: Evaluation) -> Counts:
        """The counts of an evaluation's window; only while the observer looks at that evaluation."""
        return self.models.monitored[evaluation.model].counts(evaluation)

    def deliver(self) -> None:
        """Sends what is due and takes in what became of it, between turns."""
        if self._alerting.urgent:
            self.checkpoint()
        self._alerting.deliver(self._clock.now_ms())

    @property
    def settled(self) -> bool:
        """Whether every notification has been delivered or dropped."""
        return self._alerting.settled

    @property
    def snapshot(self) -> Snapshot:
        """The latest snapshot."""
        return self.display.snapshot

    def close(self) -> None:
        """Saves a last time and lets go of source and state."""
        self.checkpoint()
        self.abandon()
        self._log.info("daemon stopped")

    def abandon(self) -> None:
        """Lets go of source and state and saves nothing: what is in memory cannot be trusted."""
        self._source.close()
        self._store.close()

    def _show(self) -> None:
        self.display.show(busy=self._steps is not None, ended=self.finished)
