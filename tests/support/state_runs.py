"""The daemon over the logs of `tests.data.state_v2.make`: stopped, damaged and started again at will."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from alerts.delivery import Courier
from alerts.http import HttpRequest, HttpResponse
from monitor.alerting.alerting import Alerting
from monitor.alerting.receivers import make_alerting_setup
from monitor.checks.references import load_all_references
from monitor.common.clock import Clock
from monitor.daemon.loop import Daemon
from monitor.daemon.schedule import Tick
from monitor.state.store import Store
from tests.data.state_v2.make import HOUR, HOURS, SECRETS, Source, config, logs
from tests.support.paths import DATA

if TYPE_CHECKING:
    from monitor.config.schema import Config
    from monitor.state.checkpoint import LoadedState

FIXTURE = DATA / "state_v2" / "state.zip"
LOGS = logs()


def unpack(folder: Path) -> None:
    """The state directory that af0f601 wrote, as it would be there."""
    (folder / "state").mkdir(parents=True, mode=0o755)
    with zipfile.ZipFile(FIXTURE) as archive:
        archive.extractall(folder / "state")


def files(folder: Path) -> dict[str, bytes]:
    """All files, by name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def holds_raw_rows(folder: Path, model: str) -> list[str]:
    """Names of the files that hold the raw value of a model as a learner saves it."""
    needle = struct.pack(">d", SECRETS[model])
    return [name for name, raw in files(folder).items() if needle in raw]


@dataclass
class Site:
    """One machine.

    Attributes:
        home: the state is in ``home/state``.
        wall: the wall clock, epoch seconds.
        only: names of the models that the configuration names; None for all.
        delivered: notifications that the receiver took.
    """

    home: Path
    wall: float = 2e9
    only: frozenset[str] | None = None
    text: io.StringIO = field(default_factory=io.StringIO)
    delivered: list[dict[str, Any]] = field(default_factory=list)

    @property
    def state(self) -> Path:
        return self.home / "state"

    @property
    def log(self) -> Any:
        return structlog.wrap_logger(structlog.PrintLogger(self.text))

    def settings(self) -> Config:
        """The configuration, with the models that it names now."""
        found = config(self.home)
        if self.only is None:
            return found
        return found.model_copy(update={"models": [model for model in found.models if model.name in self.only]})

    def _receive(self, request: HttpRequest) -> HttpResponse:
        self.delivered.append(json.loads(request.body))
        return HttpResponse(200, {}, b"ok")

    def start(self) -> Daemon:
        """A daemon that has started."""
        settings = self.settings()
        clock = Clock(lambda: self.wall, lambda: 0.0, lambda _: None)
        routing = make_alerting_setup(settings, {}, self.log)
        self.courier = Courier(routing.sinks, self._receive, clock.wall)
        self.source = Source(LOGS)
        self.store = Store(self.state, self.log)
        try:
            daemon = Daemon(
                settings, load_all_references(settings, strict=False), source=self.source, store=self.store,
                alerting=Alerting(routing, self.courier, self.log, lambda: 0.0), clock=clock, log=self.log,
            )  # fmt: skip
            daemon.start()
        except BaseException:
            self.store.close()
            raise
        return daemon

    def run(self, until: int = HOURS * HOUR, backups: bool = True) -> Daemon:
        """Reads the logs up to an event time, with a checkpoint every fifth turn, and stops in an orderly way."""
        daemon = self.start()
        self.source.until = until
        turns = 0
        while not self.source.read or turns % 10:
            ticks = {Tick.CHECKPOINT} if turns % 5 == 0 else set()
            daemon.turn(0.0, frozenset(ticks | ({Tick.BACKUP} if backups and turns % 15 == 14 else set())))
            turns += 1
            assert turns < 1_000
        self.courier.close(5.0)
        daemon.deliver()
        daemon.close()
        return daemon

    def saved(self) -> LoadedState:
        """What a daemon would load."""
        store = Store(self.state, self.log)
        try:
            return store.load("look")
        finally:
            store.close()


def totals(saved: LoadedState) -> dict[str, object]:
    """What must be the same however the state came about: rows counted, and how far they were read."""
    found: dict[str, object] = {name: (dict(model.rows), model.late) for name, model in saved.models.items()}
    return found | {part.topic: (where.offset, where.skip) for part, where in saved.positions.items()}
