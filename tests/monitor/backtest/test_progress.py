"""Progress of a replay: it goes up, ends at 100 %, and is quiet where nobody watches a short one."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest

from monitor.backtest.progress import ReplayProgress, replay_progress, share_counted
from monitor.serve.snapshot import PartitionStatus, Progress, Snapshot
from tests.support.snapshots import snapshot

AT = 1_714_744_800_000  # 2024-05-03 14:00 UTC


class Terminal(io.StringIO):
    """Shows what a person sees: a carriage return with an erased line begins the line again."""

    def isatty(self) -> bool:
        return True

    @property
    def screen(self) -> list[str]:
        return [line.rpartition("\r\x1b[K")[2] for line in self.getvalue().split("\n")]


class Replay:
    """A replay on a clock of its own: rows are read in batches, and judged at 1,000 a second."""

    def __init__(self, stream: io.StringIO, width: int | None) -> None:
        self.now = 100.0
        self.shown = ReplayProgress(stream, lambda: self.now, None if width is None else lambda: width)

    def run(self, rows: int, batch: int = 20_000, seconds: float = 0.5) -> None:
        counted = 0
        while counted < rows:
            self.now += seconds
            counted = min(rows, counted + int(1_000 * seconds))
            read = min(rows, -(-counted // batch) * batch)
            self.shown.update(status(counted, read), read / rows)
        self.now += seconds
        self.shown.update(replace(status(rows, rows), ended=True), 1.0)
        self.shown.close()


def status(counted: int, read: int) -> Snapshot:
    model = replace(snapshot().models[0], rows={"7": counted}, late=0, watermark=AT)
    return Snapshot(
        models=(model,),
        partitions=(PartitionStatus("log", 0, counted, None, read, {}),),
        progress=Progress(waiting=read - counted),
    )


def test_without_a_terminal_whole_lines_come_now_and_then() -> None:
    out = io.StringIO()
    Replay(out, None).run(97_000)
    lines = out.getvalue().splitlines()
    assert lines[0] == "  5 %  2024-05-03 14:00 UTC  5,000 of about 97,000 rows  about 92 s left"
    assert lines[1] == " 15 %  2024-05-03 14:00 UTC  15,000 of about 97,000 rows  about 82 s left"
    assert len(lines) == 1 + 9 + 1
    assert lines[-1] == "100 %  2024-05-03 14:00 UTC  97,000 rows"
    shares = [int(line[:3]) for line in lines]
    assert shares == sorted(shares)
    assert "\r" not in out.getvalue()


def test_without_a_terminal_a_short_replay_is_silent() -> None:
    out = io.StringIO()
    Replay(out, None).run(4_000)
    assert out.getvalue() == ""


@pytest.mark.parametrize("width", [80, 40])
def test_a_terminal_shows_one_line_that_is_drawn_again(width: int) -> None:
    out = Terminal()
    Replay(out, width).run(30_000)
    full = "100 %  2024-05-03 14:00 UTC  30,000 rows"
    assert out.screen == [full[: width - 1], ""]
    drawn = out.getvalue().split("\r\x1b[K")
    assert len(drawn) > 50
    assert all(len(line.rstrip("\n")) < width for line in drawn)
    assert not any("left" in line for line in drawn[:4])  # no rate is known yet


def test_a_line_left_by_an_error_is_ended() -> None:
    out = Terminal()
    replay = Replay(out, 80)
    replay.shown.close()
    assert out.getvalue() == ""
    replay.shown.update(status(10, 100), 0.5)
    replay.shown.close()
    replay.shown.close()
    assert out.getvalue().endswith("rows\n")


def test_the_share_counts_what_is_judged_and_is_whole_at_the_end_alone() -> None:
    assert share_counted(status(5_000, 20_000), 0.2) == pytest.approx(0.05)
    assert share_counted(status(20_000, 20_000), 1.0) == 0.99
    assert share_counted(replace(status(20_000, 20_000), ended=True), 1.0) == 1.0
    assert share_counted(Snapshot(), 0.0) == 0.0


def test_the_share_never_goes_back_and_a_stall_shows_no_end() -> None:
    out = io.StringIO()
    replay = Replay(out, None)
    replay.now += 6
    replay.shown.update(status(5_000, 10_000), 0.5)
    replay.now += 11
    replay.shown.update(status(5_000, 20_000), 0.6)
    assert [line[:5] for line in out.getvalue().splitlines()] == [" 25 %", " 25 %"]
    for _ in range(5):
        replay.now += 11
        replay.shown.update(status(5_000, 20_000), 0.6)
    assert "left" not in out.getvalue().splitlines()[-1]


def test_long_times_are_told_in_minutes_and_hours() -> None:
    out = io.StringIO()
    replay = Replay(out, None)
    replay.now += 10
    replay.shown.update(status(100, 100), 0.01)
    replay.now += 3_600
    replay.shown.update(status(200, 200), 0.02)
    first, second = out.getvalue().splitlines()
    assert first.endswith("about 17 min left")
    assert re.search(r"about \d+ h \d+ min left$", second)


def test_a_terminal_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    for stream, term, drawn in ((Terminal(), "xterm", True), (Terminal(), "dumb", False), (io.StringIO(), "", False)):
        monkeypatch.setenv("TERM", term)
        shown = replay_progress(stream, lambda: 0.0)
        shown.update(status(10, 100), 0.5)
        assert bool(stream.getvalue()) == drawn
