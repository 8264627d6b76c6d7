"""Wall-clock work, as ticks on a queue that the daemon's loop reads. The only module that knows APScheduler."""

from __future__ import annotations

import queue
from enum import Enum
from typing import TYPE_CHECKING

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

if TYPE_CHECKING:
    from collections.abc import Mapping


class Tick(Enum):
    """Work that is due."""

    CHECKPOINT = "checkpoint"
    BACKUP = "backup"


class Schedule:
    """Puts ticks on a queue at fixed intervals; a tick that is still waiting is not put twice.

    Args:
        intervals: tick → seconds.
    """

    def __init__(self, intervals: Mapping[Tick, float]) -> None:
        self._due: queue.SimpleQueue[Tick] = queue.SimpleQueue()
        self._scheduler = BackgroundScheduler(timezone="UTC", job_defaults={"coalesce": True, "max_instances": 1})
        for tick, seconds in intervals.items():
            self._scheduler.add_job(self._due.put, IntervalTrigger(seconds=seconds, timezone="UTC"), args=(tick,))

    def start(self) -> None:
        """Starts the scheduler's thread."""
        self._scheduler.start()

    def due(self) -> frozenset[Tick]:
        """The ticks that have come since the last call."""
        ticks = set()
        while True:
            try:
                ticks.add(self._due.get_nowait())
            except queue.Empty:
                return frozenset(ticks)

    def close(self) -> None:
        """Stops the thread."""
        self._scheduler.shutdown(wait=False)
