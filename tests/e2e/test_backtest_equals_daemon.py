"""What a backtest says of a log is what the daemon said when the log came through Kafka, byte for byte."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from monitor.backtest.lines import evaluation_line
from monitor.backtest.replay import replayed, run_backtest
from monitor.checks.load import read_config
from monitor.common.clock import system_clock
from monitor.daemon.service import set_up
from tests.support.census import census, config_text, keyless, messages
from tests.support.logs import SILENT

if TYPE_CHECKING:
    from collections.abc import Callable

    from alerts.evaluation import Evaluation
    from monitor.alerting.alerting import Outcome
    from tests.servers.kafka import KafkaBroker

pytestmark = pytest.mark.kafka

RULES = """
[[rules]]
name = "drift"
when = "drifted"
for = "2d"
"""


def test_backtest_and_daemon_find_the_same(kafka: KafkaBroker, topic: Callable[..., str], tmp_path: Path) -> None:
    name, values = topic(), messages(census()[:30_000])
    path = tmp_path / "config.toml"
    path.write_text(config_text(name, kafka.bootstrap, tmp_path / "state", 0, RULES))
    config, log = read_config(path), SILENT
    kafka.produce(name, keyless(values))

    live: list[bytes] = []
    changes: list[object] = []

    def observe(evaluation: Evaluation | None, outcome: Outcome) -> None:
        if evaluation is not None:
            live.append(evaluation_line(evaluation))
        changes.extend(outcome.transitions)

    running = set_up(config, clock=system_clock(), environment={}, log=log, observer=observe)
    give_up = time.monotonic() + 300
    while (counted := sum(running.daemon.snapshot.models[0].rows.values())) < len(values):
        assert time.monotonic() < give_up, f"{counted} of {len(values)} rows counted"
        running.turn()
    running.close()

    file = tmp_path / "log.jsonl"
    file.write_bytes(b"\n".join(values))
    lines: list[bytes] = []
    clock = system_clock()
    history = run_backtest(
        replayed(config, [file], None),
        now=clock.wall(),
        monotonic=clock.monotonic,
        log=log,
        write=lines.append,
        progress=lambda *_: None,
    )
    replay = [line for line in lines if line.startswith(b'{"type":"evaluation"')]
    assert len(live) > 500
    # The log's end closes windows that the daemon still holds open.
    assert replay[: len(live)] == live
    assert len(replay) - len(live) < 200

    def told(found: list[object]) -> list[object]:
        return [(change.key, change.state, change.at) for change in found]  # type: ignore[attr-defined]

    assert told(list(history.transitions))[: len(changes)] == told(changes)
