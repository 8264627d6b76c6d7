"""A crash or a failure at every step of every turn: state and deliveries equal those of an undisturbed run."""

from __future__ import annotations

import time
from functools import wraps
from typing import TYPE_CHECKING, Any

import pytest

from alerts.delivery import Courier
from monitor.alerting.alerting import Alerting
from monitor.alerting.receivers import make_alerting_setup
from monitor.common.errors import RetryableError
from monitor.daemon.model import MonitoredModel
from monitor.daemon.ordering import EventTimeBuffer
from monitor.daemon.service import Service
from monitor.daemon.setup import Prepared
from monitor.decode.topics import TopicDecoder
from monitor.reference.by_version import single
from monitor.state.store import Store
from tests.support.logs import SILENT
from tests.support.machine import PARTS, Machine, comparable
from tests.support.sources import ScriptedSource

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from monitor.reference.profile import Profile
    from monitor.rows.records import Partition

STEPS: list[tuple[type, str]] = [
    (ScriptedSource, "poll"), (TopicDecoder, "decode"), (EventTimeBuffer, "offer"), (MonitoredModel, "add"),
    (MonitoredModel, "judge"),
    (Alerting, "observe"), (Alerting, "changes"), (Store, "commit"), (ScriptedSource, "commit"),
    (Alerting, "mark_saved"), (Alerting, "deliver"), (Courier, "submit"),
]  # fmt: skip
"""Every step of a turn; a fault comes before one, or after it."""


class KilledError(BaseException):
    """The process is gone: nothing is caught, closed or saved."""


class Faults:
    """Counts the places where a fault may come, and lets it come at one of them."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.passed, self.at, self.kind = 0, 0, KilledError
        for owner, name in STEPS:
            patch.setattr(owner, name, self._wrapped(getattr(owner, name)))

    def _wrapped(self, step: Any) -> Any:
        @wraps(step)
        def wrapped(*arguments: Any, **options: Any) -> Any:
            self._place()
            found = step(*arguments, **options)
            self._place()
            return found

        return wrapped

    def _place(self) -> None:
        self.passed += 1
        if self.passed == self.at:
            raise self.kind

    def arm(self, at: int, kind: Any) -> None:
        self.passed, self.at, self.kind = 0, at, kind


class Site(Machine):
    """Where the whole process runs."""

    def serve(self, patch: pytest.MonkeyPatch) -> None:
        """Runs to the end of the log, through failures; a kill goes through."""
        stores: list[Store] = []

        def make_store(*arguments: Any) -> Store:
            stores.append(Store(*arguments))
            return stores[-1]

        patch.setattr("monitor.daemon.setup.Store", make_store)
        patch.setattr("monitor.daemon.setup.make_source", lambda *_, **__: ScriptedSource(self.logs))
        patch.setattr("monitor.daemon.setup.Urllib3Transport", lambda *_, **__: self.network)
        routing = make_alerting_setup(self.config, {}, SILENT)
        http = self.config.http.model_copy(update={"listen": "127.0.0.1:0"})
        prepared = Prepared(self.config.model_copy(update={"http": http}), routing, {"m": single(self.profile)}, SILENT)
        service = Service(prepared, clock=self.time.clock(), environment={})
        turns = 0
        try:
            while not (service.daemon.finished and service.daemon.settled):
                turns += 1
                assert turns < 5_000
                self.time.now += 2.0
                service.turn()
                if service.daemon.finished:
                    time.sleep(0.01)  # for the threads that deliver
            service.close()
        except KilledError:
            self.lose_power(stores[-1])
            service.server.close()
            raise


@pytest.fixture(scope="module")
def short(logs: dict[Partition, list[bytes]]) -> dict[Partition, list[bytes]]:
    """The first twenty minutes: drift begins in the fifteenth."""
    return {part: logs[part][:600] for part in PARTS}


def run(site: Site, faults: Faults, at: int, kind: Any, patch: pytest.MonkeyPatch) -> None:
    faults.arm(at, kind)
    for _ in range(3):
        try:
            site.serve(patch)
        except (KilledError, RetryableError):  # the second: the stop itself failed, and the next start repeats it
            faults.arm(0, kind)
        else:
            return
    raise AssertionError("it does not come to its end")


def step_of(seed: int, count: int, places: int) -> Iterator[int]:
    """Places spread over the whole run, each stretch of it with one."""
    for number in range(count):
        low, high = number * places // count, (number + 1) * places // count
        yield 1 + low + (seed * 7919 + number * 104_729) % max(high - low, 1)


@pytest.mark.parametrize("kind", [KilledError, ZeroDivisionError])
@pytest.mark.parametrize("count", [12, pytest.param(150, marks=pytest.mark.slow)])
def test_a_fault_between_any_two_steps_changes_nothing(
    folder: Path, profile: Profile, short: dict[Partition, list[bytes]], kind: Any, count: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        faults = Faults(patch)
        smooth = Site(folder, profile, short, f"smooth-{kind.__name__}-{count}")
        faults.arm(0, kind)
        smooth.serve(patch)
        places = faults.passed
        wanted = comparable(smooth.saved())
        keys = {body["idempotency_key"] for body in smooth.network.bodies}
        assert keys
        for at in step_of(count, count, places):
            site = Site(folder, profile, short, f"{kind.__name__}-{count}-{at}")
            run(site, faults, at, kind, patch)
            assert comparable(site.saved()) == wanted, at
            # At least once, under the same keys: a receiver can tell a repetition from news.
            assert {body["idempotency_key"] for body in site.network.bodies} == keys, at
