"""The loop: reads, counts, judges, alerts, saves. The only thing that changes state; other threads talk by queues.

One turn, straight through::

    source.poll → router.decode → intake.offer → intake.drain → Evaluator.judge → Alerting.observe → store.commit
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from monitor.config.labels import reads_labels
from monitor.daemon.catch_up import CatchUp
from monitor.daemon.checkpointer import Checkpointer, Parts
from monitor.daemon.inlet import Inlet
from monitor.daemon.learner import ReferenceLearner
from monitor.daemon.model import MonitoredModel
from monitor.daemon.ordering import EventTimeBuffer
from monitor.daemon.schedule import Tick
from monitor.decode.readers import ModelReader, RawReader
from monitor.decode.topics import TopicDecoder, make_decoders
from monitor.reference.by_version import single
from monitor.reference.profile import decode_profile, encode_profile
from monitor.serve.snapshot import EvaluationKey, ProcessStatus, Progress, Snapshot
from monitor.windows.windows import SeriesEnd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from structlog.typing import FilteringBoundLogger

    from alerts.evaluation import Evaluation
    from detectors.layout import Counts
    from monitor.alerting.alerting import Alerting, Outcome
    from monitor.common.clock import Clock
    from monitor.config.model import ModelSection
    from monitor.config.schema import Config
    from monitor.decode.first_usable import Seen
    from monitor.labels.maturity import MatureWindow
    from monitor.reference.by_version import ReferencesByVersion
    from monitor.sources.port import Source
    from monitor.state.store import Store
    from monitor.windows.windows import DueWindow

_SHOW_SECONDS = 0.5
_TURN_SECONDS = 1.0  # then a turn leaves off judging: checkpoints, deliveries and signals get their turn


class Daemon:
    """Watches the configured models.

    Args:
        config: validated.
        references: model name → what it is compared with; one that is learned meanwhile is added.
        source: where messages come from.
        store: where state is kept; held until `close`.
        alerting: rules and outbox.
        clock: time.
        log: past-tense events.
        observer: takes every evaluation and what came of it; None with what came of the end of a series.
    """

    def __init__(
        self,
        config: Config,
        references: dict[str, ReferencesByVersion],
        *,
        source: Source,
        store: Store,
        alerting: Alerting,
        clock: Clock,
        log: FilteringBoundLogger,
        observer: Callable[[Evaluation | None, Outcome], object] | None = None,
    ) -> None:
        self._config, self._source, self._store = config, source, store
        self._references = references
        self._alerting, self._clock, self._log, self._observer = alerting, clock, log, observer
        self._models: dict[str, MonitoredModel] = {}
        self._learners: dict[str, ReferenceLearner] = {}
        self._learning: dict[str, RawReader] = {}
        for section in config.models:
            if section.name in references:
                self._models[section.name] = self._watch(section, references[section.name])
            else:
                route = self._learning[section.name] = RawReader(section)
                self._learners[section.name] = ReferenceLearner(section, route.columns)
        self._intake = EventTimeBuffer({**self._models, **self._learners}, lambda *found: self.inlet.on_reject(*found))
        self._intake.taken = self._adopt_learned
        self.inlet = Inlet(config, self._intake, self._models, clock, seen=self._seen, reject=source.reject, log=log)
        self.inlet.routers = self._make_routers()
        self._learned_rows = 0
        self._evaluations: dict[EvaluationKey, Evaluation] = {}
        self._realised: dict[EvaluationKey, Evaluation] = {}
        parts = Parts(self._models, self._learners, alerting, self._intake, source)
        self._checkpointer = Checkpointer(config, store, parts, clock, log)
        self._shown_at = -1.0
        self._due: Iterator[tuple[str, DueWindow | MatureWindow | SeriesEnd | None]] | None = None
        self._ends = self._finishing = False
        self._catch_up = CatchUp(log)
        self.process = ProcessStatus()
        self.snapshot = Snapshot()
        self.finished = False

    def _watch(self, section: ModelSection, references: ReferencesByVersion) -> MonitoredModel:
        return MonitoredModel(
            section,
            references,
            labelled=reads_labels(self._config, section),
            folder=self._store.folder,
            reader=self._store,
        )

    def _make_routers(self) -> dict[str, TopicDecoder]:
        routes: dict[str, ModelReader | RawReader] = {name: model.route for name, model in self._models.items()}
        labels = {name: route for name, model in self._models.items() if (route := model.label_route) is not None}
        return make_decoders(self._config, routes | self._learning, labels)

    def start(self) -> None:
        """Goes on from the last checkpoint.

        Raises:
            SourceError: if the source can never work as configured.
        """
        saved, learned = self._checkpointer.load()
        for name, profile in learned.items():
            self._learners.pop(name, None)
            self._learning.pop(name, None)
            self._take_over(name, single(profile))
        self._checkpointer.restore(saved)
        self._alerting.restore(saved.documents, saved.outbox)
        self.inlet.resume(saved.positions)
        self._source.start(saved.positions, everything=saved.lost)
        latest = max((model.windows.watermark or 0 for model in self._models.values()), default=0)
        names = {section.name: [*section.windows, *section.performance_windows] for section in self._config.models}
        self._alerting.drop_unknown(names, latest, self._clock.now_ms())
        self._log.info("daemon started", models=list(self._models), resumed=bool(saved.positions))
        self._show()

    def turn(self, timeout_seconds: float, ticks: frozenset[Tick] = frozenset()) -> None:
        """One turn of the loop.

        Args:
            timeout_seconds: how long to wait for messages.
            ticks: wall-clock work that is due.
        """
        poll = self._source.poll(0.0 if self._due is not None else timeout_seconds, self.inlet.held)
        self.inlet.take_in(poll)
        self._end_log(self.inlet.log_end)
        judged = self._judge_due()
        if (poll.finished or self._ends) and self._due is None and not self.finished and not self.inlet.held:
            self._end_log(self.inlet.latest())
            self._due, self._finishing = self._intake.flush(), True
            judged |= self._judge_due()
        # A step with a limit is saved as a whole, by who set the limit, or not at all.
        if not self.inlet.limited and (Tick.CHECKPOINT in ticks or self._checkpointer.urgent):
            self.checkpoint()
        if Tick.BACKUP in ticks:
            self.back_up()
        self._alerting.deliver(self._clock.now_ms())
        now = self._clock.monotonic()
        if judged or now - self._shown_at >= _SHOW_SECONDS or now < self._shown_at:
            self._show()

    @property
    def step_done(self) -> bool:
        """Whether all that the step may take in (`monitor.daemon.recovery`) is taken in and judged."""
        return self._due is None and (self._intake.room == 0 or not self.inlet.held)

    def _judge_due(self) -> bool:
        """Deals with what is due until the turn's time is up; goes on in the next turn."""
        until = self._clock.monotonic() + _TURN_SECONDS
        if self._due is None:
            self._due = self._intake.drain()
        judged = False
        for name, item in self._due:
            if item is not None:
                self._deal_with(self._models[name], item)
                judged = True
            if self._clock.monotonic() >= until:
                return judged
        self._due = None
        if self._finishing:
            self.finished = judged = True
            self._log.info("replay finished")
            self.checkpoint()
        return judged

    def _adopt_learned(self) -> None:
        for name in [name for name, learner in self._learners.items() if learner.needed <= 0]:
            self._adopt(name)

    def _adopt(self, name: str) -> None:
        """A model has learned its reference: from now on it is watched like any other."""
        learner, route = self._learners.pop(name), self._learning.pop(name)
        raw = encode_profile(learner.profile())
        references = single(decode_profile(raw, "learned"))  # as it will be read after a restart
        self._checkpointer.learned.learn(name, raw)
        model = self._take_over(name, references)
        model.seen = learner.seen
        if model.performance is not None:
            model.performance.restore(None)
        self._intake.hand_over(name, model, lambda rows: model.route.encoded(rows, route.paths))
        for later in learner.later:
            model.add(model.route.encoded(later.rows, route.paths), *later[1:])
        for labels, clocks in learner.labels:
            model.offer(labels, clocks)
        self._learned_rows += len(learner.times)
        self._log.info("reference learned", model=name, rows=references.profiles[0].rows)

    def _take_over(self, name: str, references: ReferencesByVersion) -> MonitoredModel:
        """A model is watched with references that were not there, or others, when the daemon was made."""
        (section,) = (section for section in self._config.models if section.name == name)
        model = self._models[name] = self._watch(section, references)
        self._references[name] = references
        self.inlet.routers = self._make_routers()
        self._intake.hand_over(name, model, lambda rows: rows)
        return model

    def finish(self) -> None:
        """No more will come: the next turns judge the windows that have ended with the log."""
        self._ends = True

    def _end_log(self, last: int | None) -> None:
        """No prediction will come any more after an event time; None if more may come, or none came."""
        if last is not None:
            for model in self._models.values():
                model.end_log(last)

    def _deal_with(self, model: MonitoredModel, item: DueWindow | MatureWindow | SeriesEnd) -> None:
        if isinstance(item, SeriesEnd):
            self._end_series(model, item)
            return
        now = self._clock.now_ms()
        for evaluation in model.judge(item, self._clock):
            key = EvaluationKey(evaluation.model, evaluation.version, evaluation.segment, evaluation.window)
            (self._realised if evaluation.realised else self._evaluations)[key] = evaluation
            outcome = self._alerting.observe(evaluation, now)
            if self._observer is not None:
                self._observer(evaluation, outcome)

    def _end_series(self, model: MonitoredModel, ended: SeriesEnd) -> None:
        """Nothing more will be reported of a series: of its windows, or of its performance."""
        shown = self._realised if ended.realised else self._evaluations
        for key in [key for key in shown if key[:3] == (model.name, *ended.key)]:
            del shown[key]
        if not ended.realised:
            model.forget(ended.key)
        version, segment = ended.key
        outcome = self._alerting.end_series(
            model.name, version, segment, ended.end, self._clock.now_ms(), realised=ended.realised
        )
        if self._observer is not None:
            self._observer(None, outcome)
        self._log.info("series ended", model=model.name, version=version, segment=segment, realised=ended.realised)

    def _seen(self) -> dict[str, Seen]:
        return {name: model.seen for name, model in self._models.items()} | {
            name: learner.seen for name, learner in self._learners.items()
        }

    def checkpoint(self) -> bool:
        """Saves everything in one transaction, then informs the source; whether it could be saved.

        A failure keeps the last checkpoint in force.
        """
        return self._checkpointer.save()

    def back_up(self) -> None:
        """Copies the saved state into the backup, and drops what was kept long enough of removed models."""
        self._checkpointer.back_up()

    @property
    def checkpoint_at(self) -> float | None:
        """When the state was last saved, epoch seconds; None if not since the process began."""
        return self._checkpointer.at

    def window_counts(self, evaluation: Evaluation) -> Counts:
        """What the window of an evaluation held; only to be asked while the observer is told of it."""
        return self._models[evaluation.model].counts(evaluation)

    def deliver(self) -> None:
        """Sends what is due and takes in what became of it, between turns."""
        if self._alerting.urgent:
            self.checkpoint()
        self._alerting.deliver(self._clock.now_ms())

    @property
    def settled(self) -> bool:
        """Whether every notification has been delivered or given up."""
        return self._alerting.settled

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
        """Publishes a new snapshot."""
        self._shown_at = self._clock.monotonic()
        versions: dict[str, Sequence[str]] = {
            name: sorted({key.version for key in model.windows.series}) for name, model in self._models.items()
        }
        snapshot = Snapshot(
            evaluations=dict(self._evaluations),
            realised=dict(self._realised),
            models=tuple(model.status() for model in self._models.values()),
            partitions=self.inlet.partitions(),
            rejects=dict(self.inlet.rejects),
            hints=dict(self.inlet.hints),
            label_topics=self.inlet.label_topics,
            learned_rows=self._learned_rows + sum(len(learner.times) for learner in self._learners.values()),
            ended=self.finished,
            alerts=self._alerting.counts(versions),
            outbox=self._alerting.waiting(),
            notifications=dict(self._alerting.results),
            receivers=self._alerting.receivers(),
            checkpoint_at=self._checkpointer.at,
            checkpoint_seconds=self._checkpointer.seconds,
            checkpoint_failures=self._checkpointer.failures,
            state_damaged=dict(self._store.damaged),
            disk_bytes=self._store.nbytes,
            source_up=self.inlet.up,
            process=self.process,
            progress=self._progress(),
            source_fault="" if self.inlet.fault is None else self.inlet.fault.reason,
        )
        self.snapshot = replace(
            snapshot, not_ready=self._checkpointer.fault or self.inlet.why_not_ready() or self._alerting.unheard_fault
        )

    def _progress(self) -> Progress:
        """How far behind judging is."""
        counted, waiting = self.inlet.counted_and_waiting()
        marks = [(model.lateness, model.windows.watermark) for model in self._models.values()]
        behind = [self._intake.stands_at - lateness - mark for lateness, mark in marks if mark is not None]
        busy = self._due is not None
        return self._catch_up.observe(
            self._clock, busy=busy, counted=counted, waiting=waiting, behind_ms=max(0, *behind, 0) if busy else 0
        )
