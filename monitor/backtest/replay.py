"""Replays a log through configuration and rules, on its own clock, to find what would have fired and when."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from alerts.messages import summary
from monitor.alerting.alerting import Alerting
from monitor.alerting.receivers import make_alerting_setup
from monitor.backtest.detail import JsonDetail, Selection
from monitor.backtest.history import History
from monitor.backtest.lines import alert_line, evaluation_line, notification_line
from monitor.checks.references import load_all_references, refuse_unknown_features
from monitor.common.clock import Clock
from monitor.common.errors import ConfigError
from monitor.common.event_time import ANY_AGE
from monitor.config.labels import label_problems
from monitor.config.schema import FileSection
from monitor.daemon.loop import Daemon
from monitor.sources.files import FileSource
from monitor.state.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from alerts.evaluation import Evaluation
    from alerts.outbox import OutboxEntry, Report
    from monitor.alerting.alerting import Outcome
    from monitor.config.schema import Config
    from monitor.serve.snapshot import Snapshot

_BATCH = 20_000


@dataclass(slots=True)
class _Undelivered:
    """Accepts notifications and sends nothing: a backtest must not notify anyone."""

    taken: list[str] = field(default_factory=list)

    def submit(self, entry: OutboxEntry) -> None:
        """Forgets it."""

    def reports(self) -> list[Report]:
        """Always empty."""
        return []


def replayed(config: Config, inputs: list[Path], model: str | None, labels: list[Path] | None = None) -> Config:
    """The configuration with the given files instead of its source.

    Args:
        config: of the production daemon.
        inputs: ``.jsonl`` or ``.parquet`` files of predictions.
        labels: ``.jsonl`` or ``.parquet`` files of labels.
        model: the only model to replay; needed if several models would read every record.

    Raises:
        ConfigError: if the model of a record is ambiguous.
    """
    names = [section.name for section in config.models]
    if model is not None and model not in names:
        raise ConfigError([f"no model {model!r}; there are {', '.join(names)}"])
    models = [section.model_copy(update={"topics": []}) for section in config.models if model in (None, section.name)]
    if len(models) > 1 and any(section.columns.model is None for section in models):
        raise ConfigError([f"several models and no columns.model: give --model, one of {', '.join(names)}"])
    kept = {section.name for section in models}
    rules = [
        rule.model_copy(update={"models": [name for name in rule.models if name in kept]})
        for rule in config.rules
        if not rule.models or kept & set(rule.models)
    ]
    source = FileSection(predictions=inputs, labels=labels or [])
    # A log may have any age; production refuses rows older than max_past.
    ingest = config.ingest.model_copy(update={"max_past": ANY_AGE})
    changed = config.model_copy(
        update={"kafka": None, "file": source, "models": models, "rules": rules, "ingest": ingest}
    )
    if problems := label_problems(changed):
        raise ConfigError(problems)
    return changed


def run_backtest(
    config: Config,
    *,
    now: float,
    monotonic: Callable[[], float],
    log: FilteringBoundLogger,
    write: Callable[[bytes], object] | None,
    progress: Callable[[Snapshot, float], object],
    detail: JsonDetail = JsonDetail.ALL,
    whole: Config | None = None,
) -> History:
    """Replays the files of ``config.file`` to their end.

    Args:
        config: made by `replayed`.
        now: wall clock, epoch seconds, frozen: rows further ahead are rejects, as in production.
        monotonic: seconds; only for the duration of evaluations.
        log: past-tense events.
        write: called with each JSON line, in order; None to write no lines.
        progress: called after each turn with the share of the log that has been counted.
        detail: which evaluations are written.
        whole: the configuration with all models, whose rules are checked; None for ``config`` itself.

    Returns:
        The data of the report.

    Raises:
        LeewayError: if a reference or the log cannot be used.
    """
    assert config.file is not None
    routing = make_alerting_setup(config, None, log)
    references = load_all_references(config)
    refuse_unknown_features(whole or config, references)
    alerting = Alerting(routing, _Undelivered(), log, lambda: 0.0)
    history = History(references, routing.rules)
    selection = Selection(detail)

    def observe(evaluation: Evaluation | None, outcome: Outcome) -> None:
        if evaluation is not None:
            history.references.setdefault(evaluation.model, daemon.models.monitored[evaluation.model].references)
            history.evaluated(evaluation, daemon.window_counts)
        history.changed(outcome)
        if write is None:
            return
        if evaluation is not None and (selected := selection.of(evaluation)) is not None:
            write(evaluation_line(selected))
        for change in outcome.transitions:
            write(alert_line(change, summary(change, routing.rules[change.key.rule])))
        for notice in outcome.notices:
            write(notification_line(notice, alerting.outbox[notice.id].payload))

    with tempfile.TemporaryDirectory(prefix="leewayd-backtest-") as folder:
        paths = config.file.predictions + config.file.labels
        source = FileSource(paths, follow=False, batch=_BATCH, wait=lambda _: None)
        daemon = Daemon(
            config,
            references,
            source=source,
            store=Store(Path(folder), log),
            alerting=alerting,
            clock=Clock(lambda: now, monotonic, lambda _: None),
            log=log,
            observer=observe,
        )
        daemon.start()
        while not daemon.finished:
            daemon.turn(0.0)
            progress(daemon.snapshot, source.share)
        daemon.close()
        history.finished(daemon.snapshot)
    return history
