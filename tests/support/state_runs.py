"""The daemon over the logs of `tests.data.state_v2.make`: stopped, damaged and started again at will."""

from __future__ import annotations

import io
import json
import shutil
import struct
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alerts.http import HttpRequest, HttpResponse
from monitor.common.clock import Clock
from monitor.daemon.loop import Daemon
from monitor.daemon.schedule import Tick
from monitor.state.store import Store
from tests.data.state_v2.make import HOUR, HOURS, SECRETS, Source, config, logs
from tests.support.daemons import make_daemon
from tests.support.logs import log_into
from tests.support.paths import DATA

if TYPE_CHECKING:
    from monitor.config.schema import Config
    from monitor.state.checkpoint import LoadedState
    from tests.support.daemons import Observer

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
        observer: takes evaluations and what came of them.
    """

    home: Path
    wall: float = 2e9
    only: frozenset[str] | None = None
    text: io.StringIO = field(default_factory=io.StringIO)
    delivered: list[dict[str, Any]] = field(default_factory=list)
    observer: Observer | None = None

    @property
    def state(self) -> Path:
        return self.home / "state"

    @property
    def log(self) -> Any:
        return log_into(self.text)

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
        self.source = Source(LOGS)
        self.store = Store(self.state, self.log)
        try:
            daemon = make_daemon(
                settings,
                self.source,
                clock=Clock(lambda: self.wall, lambda: 0.0, lambda _: None),
                store=self.store,
                transport=self._receive,
                observer=self.observer,
                log=self.log,
            )
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
        daemon.deliver()
        daemon.close()
        return daemon

    def lose_power(self, home: Path) -> Site:
        """Another machine with the files as they are now; nothing is saved or closed in an orderly way before."""
        shutil.copytree(self.state, home / "state")
        self.store.close()
        return Site(home, self.wall, self.only)

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
