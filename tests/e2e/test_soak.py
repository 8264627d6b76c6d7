"""Three minutes of `make soak`: mixed traffic, a receiver that comes and goes, a kill and a stop."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.soak import soak
from benchmarks.soak_watch import MIB, Sample, verdicts
from tests.servers.kafka import KafkaBroker


@pytest.mark.kafka
@pytest.mark.slow
def test_three_minutes_of_everything_lose_no_row_and_grow_by_nothing(tmp_path: Path) -> None:
    home = tmp_path / "soak"
    home.mkdir()
    with KafkaBroker(tmp_path / "kafka") as broker:
        outcome = soak(3, home, broker)
    assert outcome.faults() == [], outcome.table()
    assert outcome.wanted["rows"] > 20_000
    assert outcome.wanted["rejects"] > 200


def samples(memory_a_second: float, log_a_second: float) -> list[Sample]:
    return [
        Sample(at, int(200 * MIB + at * memory_a_second), 40, 12, 5 * MIB + at % 7 * MIB // 4, int(at * log_a_second))
        for at in range(120)
    ]


def test_a_leak_is_found_and_a_steady_process_is_not_called_one() -> None:
    assert all(part.flat for part in verdicts(samples(0, 100)))
    leaking = [part.name for part in verdicts(samples(0.5 * MIB, 100)) if not part.flat]
    assert leaking == ["resident memory, MiB"]
    chatty = [part.name for part in verdicts(samples(0, 10_000)) if not part.flat]
    assert chatty == ["log, KiB a minute"]
