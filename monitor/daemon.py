"""The loop: reads, counts, judges, alerts, saves. The only thing that changes state; other threads talk by queues.

One turn, straight through::

    source.poll → router.decode → intake.offer → intake.drain → Evaluator.judge → Alerting.observe → store.commit
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from monitor.config_labels import label_sources, reads_labels
from monitor.errors import StateError
from monitor.event_time import rfc3339
from monitor.intake import Intake
from monitor.learner import Learner
from monitor.maturity import Mature
from monitor.records import REJECT_REASONS
from monitor.references import single
from monitor.router import Router, make_routers
from monitor.routes import LearningRoute, ModelRoute
from monitor.saved import Checkpoint
from monitor.schedule import Tick
from monitor.snapshot import EvaluationKey, PartitionStatus, Snapshot
from monitor.watched import WatchedModel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from structlog.typing import FilteringBoundLogger

    from alerts.evaluation import Evaluation
    from detectors.layout import Counts
    from monitor.alerting import Alerting, Outcome
    from monitor.clock import Clock
    from monitor.config import Config, ModelSection
    from monitor.records import Partition, Poll
    from monitor.references import References
    from monitor.source import Source
    from monitor.store import Store
    from monitor.windows import Due, SeriesKey

_SHOW_SECONDS = 0.5


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
        learned: folder for references that are learned.
        observer: told of every evaluation and what it led to, in order; without an evaluation, of what the end of a
            series led to. For the demo and for backtests.
    """

    def __init__(
        self,
        config: Config,
        references: dict[str, References],
        *,
        source: Source,
        store: Store,
        alerting: Alerting,
        clock: Clock,
        log: FilteringBoundLogger,
        learned: Path,
        observer: Callable[[Evaluation | None, Outcome], object] | None = None,
    ) -> None:
        self._config, self._source, self._store = config, source, store
        self._references, self._learned = references, learned
        self._alerting, self._clock, self._log, self._observer = alerting, clock, log, observer
        self._models: dict[str, WatchedModel] = {}
        self._learners: dict[str, Learner] = {}
        self._label_topics = label_sources(config)
        self._learning: dict[str, LearningRoute] = {}
        for section in config.models:
            if section.name in references:
                self._models[section.name] = self._watch(section, references[section.name])
            else:
                route = self._learning[section.name] = LearningRoute(section)
                self._learners[section.name] = Learner(section, route.columns)
        self._intake = Intake({**self._models, **self._learners}, self._on_reject)
        self._intake.taken = self._adopt_learned
        self._routers = self._make_routers()
        self._evaluations: dict[EvaluationKey, Evaluation] = {}
        self._realised: dict[EvaluationKey, Evaluation] = {}
        topics = [] if config.kafka is None else config.kafka.predictions + config.kafka.labels
        # Counters stand at zero from the start, so that a rate sees the first reject.
        self._rejects = Counter({(topic, reason): 0 for topic in topics for reason in REJECT_REASONS})
        self._messages: Counter[Partition] = Counter()
        self._lost: dict[Partition, Counter[str]] = {}
        self._lag: Mapping[Partition, int] = {}
        self._partitions: frozenset[Partition] = frozenset()
        self._source_up = False
        self._checkpoint_at: float | None = None
        self._checkpoint_seconds = 0.0
        self._checkpoint_failures = 0
        self._state_fault = ""
        self._shown_at = -1.0
        self.snapshot = Snapshot()
        self.finished = False

    def _watch(self, section: ModelSection, references: References) -> WatchedModel:
        return WatchedModel(
            section,
            references,
            labelled=reads_labels(self._config, section),
            folder=self._config.state.dir,
            reader=self._store,
        )

    def _make_routers(self) -> dict[str, Router]:
        routes: dict[str, ModelRoute | LearningRoute] = {name: model.route for name, model in self._models.items()}
        labels = {name: route for name, model in self._models.items() if (route := model.label_route) is not None}
        return make_routers(self._config, routes | self._learning, labels)

    def _protect(self) -> None:
        """Keeps the files that the backup would need if it had to be loaded."""
        documents = self._store.backed_up()
        for name, model in self._models.items():
            if model.performance is not None:
                model.performance.protect(documents.get(f"performance/{name}"))

    def start(self) -> None:
        """Goes on from the last checkpoint.

        Raises:
            SourceError: if the source can never work as configured.
        """
        saved = self._store.load(rfc3339(self._clock.now_ms()).replace(":", ""))
        self._protect()
        for name, model in self._models.items():
            if lacking := model.windows_taken_as_independent():
                self._log.warning("rows taken for independent", model=name, windows=lacking)
            if name in saved.models:
                model.restore(saved.models[name], saved.documents)
                if model.fresh:
                    self._log.warning("windows begun anew", model=name, why="another pane, lateness or windows")
                if model.labels_begun_anew:
                    self._log.warning("labels begun anew", model=name, why="another task or other segments")
            elif model.performance is not None:
                model.performance.restore(None)
            if model.performance is not None and model.performance.lost:
                self._log.error("waiting predictions lost", model=name, rows=model.performance.lost)
        for name, learner in self._learners.items():
            if f"learned/{name}" in saved.documents:
                learner.restore(saved.documents[f"learned/{name}"])
        self._alerting.restore(saved.documents, saved.outbox)
        self._intake.positions.update(saved.positions)
        self._source.start(saved.positions)
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
        poll = self._source.poll(timeout_seconds, self._intake.crowded())
        self._take_in(poll)
        judged = self._judge_due()
        if poll.finished and not self.finished and not self._intake.crowded():
            self.finish()
            judged = True
        if Tick.CHECKPOINT in ticks or self._alerting.urgent:
            self.checkpoint()
        if Tick.BACKUP in ticks:
            self._back_up()
        self._alerting.deliver(self._clock.now_ms())
        now = self._clock.monotonic()
        if judged or now - self._shown_at >= _SHOW_SECONDS or now < self._shown_at:
            self._show()

    def _take_in(self, poll: Poll) -> None:
        self._source_up = poll.up
        self._lag = poll.lag
        self._partitions = poll.partitions
        # Predictions do not wait for labels, but while both are caught up with: then time goes on for both together.
        # While no predictions come, labels tell the time.
        read = {p for p in poll.partitions if p.topic in self._label_topics and poll.lag.get(p) == 0}
        waited_for = poll.partitions - poll.idle
        self._intake.active = waited_for - read or waited_for
        for partition, position in poll.assigned.items():
            self._intake.forget(partition)
            self._intake.positions[partition] = position
        for loss in poll.losses:
            self._lost.setdefault(loss.partition, Counter())[loss.reason] += max(loss.messages, 1)
        now = self._clock.now_ms()
        for chunk in poll.chunks:
            router = self._routers.get(chunk.partition.topic) or self._routers[""]
            decoded = router.decode(chunk, now)
            self._messages[chunk.partition] += decoded.next_offset - int(
                decoded.offsets[0] if len(decoded.offsets) else decoded.next_offset
            )
            self._intake.offer(decoded)

    def _judge_due(self) -> bool:
        judged = False
        for name, due in self._intake.drain():
            self._judge(self._models[name], due)
            judged = True
        return judged

    def _adopt_learned(self) -> None:
        for name in [name for name, learner in self._learners.items() if learner.needed <= 0]:
            self._adopt(name)

    def _adopt(self, name: str) -> None:
        """A model has learned its reference: from now on it is watched like any other."""
        learner, route = self._learners.pop(name), self._learning.pop(name)
        references = single(learner.keep(self._learned))
        model = self._models[name] = self._watch(learner.model, references)
        if model.performance is not None:
            model.performance.restore(None)
        self._references[name] = references
        self._routers = self._make_routers()
        self._intake.hand_over(name, model, lambda rows: model.route.encoded(rows, route.paths))
        for later in learner.later:
            model.add(model.route.encoded(later.rows, route.paths), *later[1:])
        for labels, clocks in learner.labels:
            model.offer(labels, clocks)
        self._log.info("reference learned", model=name, rows=references.profiles[0].rows)

    def finish(self) -> None:
        """The end of a replay: judges the windows that are still open, as if time had gone on."""
        for name, due in self._intake.flush():
            self._judge(self._models[name], due)
        self.finished = True
        self._log.info("replay finished")
        self.checkpoint()

    def _judge(self, model: WatchedModel, due: Due | Mature) -> None:
        evaluations = model.judge(due, self._clock)
        now = self._clock.now_ms()
        for evaluation in evaluations:
            key = EvaluationKey(evaluation.model, evaluation.version, evaluation.segment, evaluation.window)
            (self._realised if evaluation.realised else self._evaluations)[key] = evaluation
            outcome = self._alerting.observe(evaluation, now)
            if self._observer is not None:
                self._observer(evaluation, outcome)
        if not isinstance(due, Mature):
            for ended in model.windows.ended:
                model.forget(ended)
                self._end_series(self._evaluations, model.name, ended, due.end, now)
            for ended in model.labelled_ended():
                self._end_series(self._realised, model.name, ended, due.end, now)

    def _end_series(
        self, shown: dict[EvaluationKey, Evaluation], model: str, key: SeriesKey, at: int, now: int
    ) -> None:
        """Nothing more will be said of a series: of its windows, or of its performance."""
        gone = [found for found in shown if found[:3] == (model, *key)]
        for found in gone:
            del shown[found]
        if gone:
            realised = shown is self._realised
            outcome = self._alerting.end_series(model, key.version, key.segment, at, now, realised=realised)
            if self._observer is not None:
                self._observer(None, outcome)
            self._log.info("series ended", model=model, version=key.version, segment=key.segment, realised=realised)

    def _on_reject(self, partition: Partition, reason: str, value: bytes | None) -> None:
        self._rejects[partition.topic, reason] += 1
        if value is not None:
            self._source.reject(partition, reason, value)

    def checkpoint(self) -> None:
        """Saves everything in one transaction, then tells the source. A failure keeps the last checkpoint in force."""
        began = self._clock.monotonic()
        self._source.settle()
        entries, finished = self._alerting.changes()
        positions = dict(self._intake.positions)
        models = {name: model.changes() for name, model in self._models.items()}
        try:
            labelled = {name: found for name, model in self._models.items() if (found := model.labelled()) is not None}
            documents = self._documents() | {f"performance/{name}": part[1] for name, part in labelled.items()}
            panes = {name: part[0] for name, part in labelled.items()}
            self._store.commit(Checkpoint(positions, models, documents, entries, finished, panes))
        except StateError as error:
            self._checkpoint_failures += 1
            if not self._state_fault:
                self._log.error("checkpoint failed", error=str(error))
            self._state_fault = "the state cannot be saved"
            return
        if self._state_fault:
            self._log.info("checkpoints recovered")
            self._state_fault = ""
        for model in self._models.values():
            model.mark_saved()
        for learner in self._learners.values():
            learner.changed = False
        self._alerting.mark_saved()
        self._checkpoint_at = self._clock.wall()
        self._checkpoint_seconds = self._clock.monotonic() - began
        self._source.commit(positions)

    def _documents(self) -> dict[str, bytes]:
        documents = self._alerting.documents()
        for model in self._models.values():
            documents |= model.documents()
        return documents | {
            f"learned/{name}": learner.document() for name, learner in self._learners.items() if learner.changed
        }

    def _back_up(self) -> None:
        try:
            self._store.back_up()
            self._protect()
        except StateError as error:
            self._log.error("backup failed", error=str(error))

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
        self._source.close()
        self._store.close()
        self._log.info("daemon stopped")

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
            partitions=tuple(
                PartitionStatus(
                    partition.topic,
                    partition.partition,
                    self._intake.positions[partition].offset,
                    self._lag.get(partition),
                    self._messages[partition],
                    {
                        reason: self._lost.get(partition, Counter())[reason]
                        for reason in ("retention", "corrupt", "recreated")
                    },
                )
                for partition in sorted(self._partitions)
                if partition in self._intake.positions
            ),
            rejects=dict(self._rejects),
            alerts=self._alerting.counts(versions),
            outbox=self._alerting.waiting(),
            notifications=dict(self._alerting.results),
            receivers=self._alerting.receivers(),
            checkpoint_at=self._checkpoint_at,
            checkpoint_seconds=self._checkpoint_seconds,
            checkpoint_failures=self._checkpoint_failures,
            disk_bytes=self._store.nbytes,
            source_up=self._source_up,
        )
        self.snapshot = replace(snapshot, not_ready=self._why_not_ready())

    def _why_not_ready(self) -> str:
        if self._state_fault:
            return self._state_fault
        if not self._source_up:
            return "the source cannot be reached"
        if not self._partitions:
            return "no partition of the configured topics was found"
        return self._alerting.unheard_fault
