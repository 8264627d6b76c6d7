"""Windows that lack messages say so, and no others; also after a restart."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from monitor.backtest.lines import evaluation_line
from monitor.common.durations import MINUTE
from monitor.rows.records import Loss, Messages, Partition, Poll, Position
from monitor.windows.gaps import Gaps
from tests.support.clock import FakeTime
from tests.support.config import make_config
from tests.support.daemons import make_daemon

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alerts.evaluation import Evaluation
    from monitor.alerting.alerting import Outcome

PART = Partition("p", 0)


def overlaps(gaps: Gaps, start: int, end: int) -> bool:
    return bool(gaps.findings(start, end, alarm=True))


def test_a_gap_lies_between_the_event_times_before_and_after_it() -> None:
    gaps = Gaps()
    gaps.lost(Loss(PART, "retention", 30, 50), before=1_000, latest=5_000)
    assert overlaps(gaps, 900, 1_001)
    assert overlaps(gaps, 9_000, 9_100)  # nothing has come since
    gaps.seen(PART, 20, 1_100)  # read before the gap and decoded after it was found
    gaps.seen(Partition("p", 1), 50, 1_200)
    assert overlaps(gaps, 9_000, 9_100)
    gaps.seen(PART, 50, 2_000)
    gaps.seen(PART, 51, 3_000)
    assert [overlaps(gaps, start, start + 500) for start in (0, 500, 501, 1_500, 2_000, 2_001)] == [
        False, False, True, True, True, False,
    ]  # fmt: skip
    (finding,) = gaps.findings(500, 1_500, alarm=True)
    assert (finding.subject, finding.statistic, finding.value, finding.status) == (
        "quality", "lost_messages", 30.0, "breached",
    )  # fmt: skip
    assert "30 messages of p partition 0 were lost" in finding.detail
    (shown,) = gaps.findings(500, 1_500, alarm=False)
    assert shown.status == "ok"


def test_a_partition_that_is_gone_leaves_a_gap_up_to_the_latest_event_time_and_no_number() -> None:
    gaps = Gaps()
    gaps.lost(Loss(PART, "gone", 0), before=1_000, latest=5_000)
    (finding,) = gaps.findings(4_000, 5_000, alarm=True)
    assert math.isnan(finding.value)
    assert "an unknown number of messages" in finding.detail
    assert not overlaps(gaps, 5_001, 6_000)


def test_a_loss_before_any_row_leaves_all_time_before_the_first_row_incomplete() -> None:
    gaps = Gaps()
    gaps.lost(Loss(PART, "corrupt", 3, 3), before=None, latest=None)
    gaps.seen(PART, 3, 700)
    assert overlaps(gaps, -100, 0)
    assert overlaps(gaps, 600, 701)
    assert not overlaps(gaps, 701, 800)


def test_the_same_loss_met_again_counts_once_and_old_gaps_are_forgotten() -> None:
    gaps = Gaps()
    for _ in range(2):
        gaps.lost(Loss(PART, "retention", 30, 50), before=1_000, latest=5_000)
    again = Gaps()
    again.restore(gaps.document())
    again.seen(PART, 50, 2_000)
    (finding,) = again.findings(0, 9_000, alarm=True)
    assert finding.value == 30
    again.expire(2_000)
    assert overlaps(again, 0, 9_000)
    again.expire(2_001)
    assert not overlaps(again, 0, 9_000)


class Scripted:
    """One partition, a message each second; offsets from 600 to 899 are lost."""

    def __init__(self, values: list[bytes], upto: int, lost: tuple[int, int] | None) -> None:
        self.values, self.upto, self.gap = values, upto, lost
        self.next = 0

    def start(self, positions: Mapping[Partition, Position], *, everything: bool = False) -> None:
        self.next = positions[PART].offset if PART in positions else 0
        self.known = PART in positions

    def poll(self, timeout_seconds: float, paused: frozenset[Partition]) -> Poll:
        assigned = {} if self.known else {PART: Position(0)}
        self.known = True
        losses: tuple[Loss, ...] = ()
        chunks = []
        if PART not in paused and self.next < self.upto:
            if self.gap is not None and self.gap[0] <= self.next < self.gap[1]:
                losses = (Loss(PART, "retention", self.gap[1] - self.next, self.gap[1]),)
                self.next = self.gap[1]
            else:
                stop = min(self.next + 100, self.upto)
                chunks = [Messages(PART, np.arange(self.next, stop), self.values[self.next : stop])]
                self.next = stop
        done = self.next >= self.upto
        return Poll(
            tuple(chunks), frozenset({PART}), frozenset(), {PART: self.upto - self.next}, assigned, losses,
            done=frozenset({PART}) if done else frozenset(),
        )  # fmt: skip

    def reject(self, partition: Partition, reason: str, value: bytes) -> None: ...

    def settle(self) -> None: ...

    def commit(self, positions: Mapping[Partition, Position]) -> None: ...

    def close(self) -> None: ...


@pytest.mark.parametrize("restart_at", [None, 300, 600, 900, 1_000])
def test_the_windows_that_lack_messages_are_marked_whatever_restart_comes_between(
    restart_at: int | None, tmp_path: Path
) -> None:
    reference = pd.DataFrame({"age": [20.0, 30.0, 40.0, 50.0] * 100, "p": [0, 1] * 200})
    reference.to_parquet(tmp_path / "reference.parquet")
    begin = 1_700_000_000_000 // MINUTE * MINUTE
    values = [json.dumps({"age": 30.0, "p": 1, "t": begin + place * 1_000}).encode() for place in range(1_800)]
    model = {"pane": "1m", "windows": ["2m", "10m"], "lateness": "0s"}
    config = make_config(tmp_path, model, kafka={"bootstrap_servers": ["never:9092"], "predictions": ["p"]})
    seen: dict[tuple[str, int], Evaluation] = {}

    def observe(evaluation: Evaluation | None, outcome: Outcome) -> None:
        if evaluation is not None:
            seen[evaluation.window, (evaluation.end - begin) // MINUTE] = evaluation

    for upto in [*([] if restart_at is None else [restart_at]), 1_800]:
        source = Scripted(values, upto, (600, 900))
        daemon = make_daemon(config, source, clock=FakeTime(now=1_700_010_000.0).clock(), observer=observe)
        daemon.start()
        for _ in range(60):
            daemon.turn(0.0)
            daemon.checkpoint()
        daemon.close()
    # Messages of the seconds 600 to 899 are lost: the last before is of second 599, the first after of 900.
    for (window, end), evaluation in seen.items():
        length = 2 if window == "2m" else 10
        incomplete = end - length <= 15 and end > 9
        assert (evaluation.lost != "") == incomplete, (window, end)
        assert (b'"lost_messages"' in evaluation_line(evaluation)) == incomplete
    assert seen["10m", 12].lost.startswith("the window is incomplete: 300 messages of p partition 0 were lost")
    assert daemon.snapshot.partitions[0].lost["retention"] in (0, 300)
