"""Saves the state of a running daemon and restores it. Only the loop's thread uses it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from alerts.moments import rfc3339
from monitor.alerting.alerting import Alerting
from monitor.common.errors import LeewayError, RetryableError, StateError
from monitor.daemon.learner import ReferenceLearner
from monitor.daemon.model import MonitoredModel
from monitor.daemon.ordering import EventTimeBuffer
from monitor.daemon.saved_documents import read_document
from monitor.sources.port import Source
from monitor.state.checkpoint import Checkpoint
from monitor.state.learned import LearnedReferences
from monitor.state.model_files import models_with_files, remove_files
from monitor.state.removed import DOCUMENT, Removed

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from monitor.common.clock import Clock
    from monitor.config.schema import Config
    from monitor.reference.profile import Profile
    from monitor.state.checkpoint import LoadedState
    from monitor.state.store import Store


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that a checkpoint holds; the daemon changes the two tables as models learn their references."""

    models: Mapping[str, MonitoredModel]
    learners: Mapping[str, ReferenceLearner]
    alerting: Alerting
    intake: EventTimeBuffer
    source: Source


class Checkpointer:
    """Saves and restores.

    Args:
        config: validated.
        store: where state is kept.
        parts: what is saved.
        clock: time.
        log: past-tense events.

    Attributes:
        at: when the state was last saved, epoch seconds; None if not since the process began.
        seconds: how long that took. failures: how often it could not be saved.
        fault: why the state cannot be saved; empty if it can.
    """

    def __init__(
        self, config: Config, store: Store, parts: Parts, clock: Clock, log: FilteringBoundLogger
    ) -> None:  # fmt: skip
        self._config, self._store, self._parts, self._clock, self._log = config, store, parts, clock, log
        self.learned = LearnedReferences(store.folder, store.damaged, log)
        self._removed = Removed()
        self._scrub: set[str] = set()
        self._backed_up_rows: set[str] = set()
        self._stamp = ""
        self.at: float | None = None
        self.seconds, self.failures, self.fault = 0.0, 0, ""

    @property
    def urgent(self) -> bool:
        """Whether something must not wait for the next tick."""
        return self._parts.alerting.urgent or self.learned.urgent

    def load(self) -> tuple[LoadedState, dict[str, Profile]]:
        """The saved state, and learned references that replace the loaded ones.

        Raises:
            LeewayError: if the state cannot be used.
        """
        self._stamp = rfc3339(self._clock.now_ms()).replace(":", "")
        saved = self._store.load(self._stamp, read_document)
        self._protect()
        self._look_at_models(saved)
        learning = {section.name: section for section in self._config.models if section.learn_rows is not None}
        return saved, self.learned.settle(learning, self._parts.models.keys(), saved.documents, self._stamp)

    def restore(self, saved: LoadedState) -> None:
        """Restores models and learners, and reports losses."""
        for name, model in self._parts.models.items():
            if lacking := model.windows_taken_as_independent():
                self._log.warning("assuming independent rows", model=name, windows=lacking)
            if name in saved.models:
                if saved.models[name].rows and f"seen/{name}" not in saved.documents:
                    model.seen.assume(saved.positions)  # saved by a version that did not know it
                model.restore(saved.models[name], saved.documents)
                if model.fresh:
                    self._log.warning("window state reset", model=name, why="another pane, lateness or windows")
                if model.labels_begun_anew:
                    self._log.warning("label state reset", model=name, why="another task or other segments")
            elif model.performance is not None:
                model.performance.restore(None)
            self._report_damage(model, saved)
        for name, learner in self._parts.learners.items():
            if f"learned/{name}" in saved.documents and f"reference/{name}" not in saved.documents:
                learner.restore(saved.documents[f"learned/{name}"])
            if f"seen/{name}" in saved.documents:
                learner.seen.restore(saved.documents[f"seen/{name}"])

    def _report_damage(self, model: MonitoredModel, saved: LoadedState) -> None:
        notices = []
        if saved.lost:
            notices.append(
                "the saved state was damaged, and so was its backup: windows fill again from what the source has"
            )
        elif saved.damage:
            notices.append("the saved state was damaged: the backup was loaded, and what came since is read again")
        losses = {} if model.performance is None else model.performance.totals().lost
        for reason, rows in losses.items():
            self._log.error("waiting predictions lost", model=model.name, reason=reason, rows=rows)
            self._store.damaged["label_block" if reason == "block_damaged" else "label_file"] += 1
        if rows := sum(losses.values()):
            notices.append(f"{rows:,} rows of the predictions that wait for labels were lost to damage")
        if notices:
            model.damage.report("; ".join(notices))

    def _look_at_models(self, saved: LoadedState) -> None:
        """Finds the models that the configuration no longer names, and drops what has been kept of them long enough."""
        if DOCUMENT in saved.documents:
            self._removed.restore(saved.documents[DOCUMENT])
        configured = {section.name for section in self._config.models}
        kept = {*saved.names, *models_with_files(self._store.folder)}
        # Rows that a reference was learned from, and that only the backup still holds.
        self._scrub |= self._backed_up_rows - saved.documents.keys()
        for name in sorted(self._removed.look(kept, configured, self._clock.now_ms())):
            keep = self._config.state.keep_removed // 1000
            self._log.warning("model not configured any more", model=name, state_kept_seconds=keep)
        self._drop_removed()

    def _drop_removed(self) -> None:
        names = self._removed.due(self._clock.now_ms(), self._config.state.keep_removed)
        if not names:
            return
        try:
            drop_models(self._store, names)
        except (LeewayError, OSError) as error:
            self._log.error("state of removed models not dropped", models=sorted(names), error=str(error))
            return
        self._removed.gone(names)
        self._protect()
        self._log.warning("state of removed models dropped", models=sorted(names))

    def save(self) -> bool:
        """Saves everything in one transaction, then informs the source; whether it could be saved.

        A failure keeps the last checkpoint in force.

        Raises:
            RetryableError: if the database turned out to be damaged.
        """
        parts, began = self._parts, self._clock.monotonic()
        parts.source.settle()
        entries, finished = parts.alerting.changes()
        positions = dict(parts.intake.positions)
        models = {name: model.changes() for name, model in parts.models.items()}
        gone = self.learned.gone()
        try:
            labelled = {name: found for name, model in parts.models.items() if (found := model.labelled()) is not None}
            documents = self._documents() | {f"performance/{name}": part[1] for name, part in labelled.items()}
            panes = {name: part[0] for name, part in labelled.items()}
            self._store.commit(
                Checkpoint(positions, models, documents, entries, finished, panes, tuple(sorted(gone)))
            )  # fmt: skip
        except StateError as error:
            self.failures += 1
            if not self.fault:
                self._log.error("checkpoint failed", error=str(error))
            self.fault = "the state cannot be saved"
            return False
        if self.fault:
            self._log.info("checkpoints recovered")
            self.fault = ""
        parts.intake.allow(parts.intake.room)
        for model in parts.models.values():
            model.mark_saved()
        for learner in parts.learners.values():
            learner.changed = False
        parts.alerting.mark_saved()
        self._removed.changed = False
        self.learned.mark_saved()
        self.at = self._clock.wall()
        self.seconds = self._clock.monotonic() - began
        parts.source.commit(positions)
        self._scrub |= {name for name in gone if name.startswith("learned/")}
        self._scrub_rows()
        return True

    def _documents(self) -> dict[str, bytes]:
        parts = self._parts
        documents = parts.alerting.documents() | self.learned.documents()
        for model in parts.models.values():
            documents |= model.documents()
        for name, learner in parts.learners.items():
            documents[f"seen/{name}"] = learner.seen.document()
            if learner.changed:
                documents[f"learned/{name}"] = learner.document()
        if self._removed.changed:
            documents[DOCUMENT] = self._removed.document()
        return documents

    def _scrub_rows(self) -> None:
        """Takes the raw rows of references that have been learned from every file at once."""
        if not self._scrub:
            return
        try:
            self._store.forget(self._scrub)
        except StateError as error:
            self._log.error("raw rows not erased yet", documents=sorted(self._scrub), error=str(error))
            return
        self._log.info("raw rows erased", documents=sorted(self._scrub), set_aside=self._store.set_aside)
        self._scrub.clear()
        self._protect()

    def back_up(self) -> None:
        """Keeps a second generation of what was saved last."""
        self._drop_removed()
        try:
            self._store.back_up()
        except StateError as error:
            self._log.error("backup failed", error=str(error))
            return
        self._protect()

    def _protect(self) -> None:
        """Keeps the files that the backup would need if it had to be loaded."""
        documents = self._store.backed_up()
        self._backed_up_rows = {name for name in documents if name.startswith("learned/")}
        for name, model in self._parts.models.items():
            if model.performance is not None:
                model.performance.protect(documents.get(f"performance/{name}"))


def drop_models(store: Store, names: set[str]) -> tuple[dict[str, int], list[str]]:
    """Deletes everything that is kept of some models.

    Returns:
        Table → rows that were there, and the names of the files that were.

    Raises:
        StateError: if the database could not be changed.
        RetryableError: if a file could not be deleted; the database holds nothing of the models any more.
    """
    rows = store.drop(names)
    files = []
    try:
        for name in sorted(names):
            files += remove_files(store.folder, name)
    except OSError as error:
        raise RetryableError(f"{error.filename}: {error.strerror}") from error
    return rows, files
