"""The daemon through crashes: every evaluation as it was first reported, and that a repetition equals it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from monitor.backtest.lines import alert_line, evaluation_line
from monitor.checks.references import load_all_references
from monitor.daemon.schedule import Tick
from monitor.state.store import Store
from tests.support.daemons import make_daemon
from tests.support.logs import SILENT
from tests.support.sources import AbortedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from alerts.evaluation import Evaluation
    from monitor.alerting.alerting import Outcome
    from monitor.config.schema import Config
    from tests.support.sources import ScriptedSource


class Reported(NamedTuple):
    """Lines in the order in which they were first reported, and the number of crashes."""

    evaluations: list[bytes]
    alerts: list[bytes]
    crashes: int


def report_through_crashes(
    settings: Config, source: Callable[[int | None], ScriptedSource], fails: Sequence[int], checkpoint_every: int = 1
) -> Reported:
    """Runs the daemon to the end of its log, through crashes.

    Args:
        settings: the configuration; its state outlives the crashes.
        source: makes one that fails at a poll.
        fails: the poll at which each run fails; a last one goes on to the end.
        checkpoint_every: turns between checkpoints.
    """
    lines: dict[tuple[object, ...], bytes] = {}
    alerts: dict[bytes, None] = {}
    crashes = 0

    def observe(evaluation: Evaluation | None, outcome: Outcome) -> None:
        if evaluation is not None:
            line = evaluation_line(evaluation)
            key = (evaluation.realised, evaluation.version, evaluation.segment, evaluation.window, evaluation.end)
            # What a crash makes the daemon judge again must come out alike.
            assert lines.setdefault(key, line) == line
        alerts.update(dict.fromkeys(alert_line(change, change.reason) for change in outcome.transitions))

    references = load_all_references(settings)
    for fail_at in [*fails, None]:
        store = Store(settings.state.dir, SILENT)
        daemon = make_daemon(
            settings, source(fail_at), references=dict(references), store=store, observer=observe
        )  # fmt: skip
        daemon.start()
        turn = 0
        try:
            while not daemon.finished:
                turn += 1
                daemon.turn(0.0, frozenset({Tick.CHECKPOINT} if turn % checkpoint_every == 0 else ()))
        except AbortedError:
            crashes += 1
            store.close()
            continue
        daemon.close()
    return Reported(list(lines.values()), list(alerts), crashes)
