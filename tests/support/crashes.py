"""The daemon through crashes: every evaluation as it was told, and that what is told again is the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerts.delivery import Courier
from monitor.alerting.alerting import Alerting
from monitor.alerting.receivers import make_alerting_setup
from monitor.backtest.lines import evaluation_line
from monitor.checks.references import load_all_references
from monitor.daemon.loop import Daemon
from monitor.state.store import Store
from tests.monitor.daemon.test_restarts import SILENT, AbortedError, FakeTime, Network

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from alerts.evaluation import Evaluation
    from monitor.alerting.alerting import Outcome
    from monitor.config.schema import Config
    from tests.monitor.daemon.test_restarts import ScriptedSource


def told_through_crashes(
    settings: Config, source: Callable[[int | None], ScriptedSource], fails: Sequence[int], checkpoint_every: int = 1
) -> tuple[list[bytes], int]:
    """Every line in the order in which it was first told, and how often a crash came in between.

    Args:
        settings: the configuration; its state outlives the crashes.
        source: makes one that fails at a poll.
        fails: the poll at which each run fails; a last one goes on to the end.
        checkpoint_every: turns between checkpoints.
    """
    lines: dict[tuple[object, ...], bytes] = {}
    crashes = 0

    def observe(evaluation: Evaluation | None, outcome: Outcome) -> None:
        if evaluation is not None:
            line = evaluation_line(evaluation)
            key = (evaluation.realised, evaluation.version, evaluation.segment, evaluation.window, evaluation.end)
            # What a crash makes the daemon judge again must come out the same.
            assert lines.setdefault(key, line) == line

    for fail_at in [*fails, None]:
        time = FakeTime(now=2e9)
        routing, store = make_alerting_setup(settings, {}, SILENT), Store(settings.state.dir, SILENT)
        daemon = Daemon(
            settings,
            load_all_references(settings),
            source=source(fail_at),
            store=store,
            alerting=Alerting(routing, Courier(routing.sinks, Network(), time.clock().wall), SILENT, lambda: 0.0),
            clock=time.clock(),
            log=SILENT,
            observer=observe,
        )
        daemon.start()
        turn = 0
        try:
            while not daemon.finished:
                daemon.turn(0.0)
                turn += 1
                if turn % checkpoint_every == 0:
                    daemon.checkpoint()
        except AbortedError:
            crashes += 1
            store.close()
            continue
        daemon.close()
    return list(lines.values()), crashes
