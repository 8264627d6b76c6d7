"""A daemon with its parts, made in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.alerting.alerting import Alerting
from monitor.alerting.receivers import make_alerting_setup
from monitor.checks.references import load_all_references
from monitor.daemon.loop import Daemon
from monitor.state.store import Store
from tests.support.clock import FakeTime
from tests.support.logs import SILENT
from tests.support.network import DirectCourier, Network

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from alerts.evaluation import Evaluation
    from alerts.http import Transport
    from monitor.alerting.alerting import Outcome
    from monitor.common.clock import Clock
    from monitor.config.schema import Config
    from monitor.reference.by_version import ReferencesByVersion
    from monitor.sources.port import Source

    Observer = Callable[[Evaluation | None, Outcome], object]


def make_daemon(
    config: Config,
    source: Source,
    *,
    clock: Clock | None = None,
    references: dict[str, ReferencesByVersion] | None = None,
    store: Store | None = None,
    transport: Transport | None = None,
    observer: Observer | None = None,
    log: FilteringBoundLogger = SILENT,
) -> Daemon:
    """A daemon that has not started; what is not given is made.

    Args:
        clock: stands still if it is not given.
        references: loaded as the configuration says if they are not given.
        store: in the state directory of the configuration if it is not given.
        transport: takes the notifications, each attempt at once.
    """
    clock = clock or FakeTime(now=2e9).clock()
    routing = make_alerting_setup(config, {}, log)
    courier = DirectCourier(routing.sinks, transport or Network(), clock.wall)
    return Daemon(
        config,
        load_all_references(config, strict=False) if references is None else references,
        source=source,
        store=store or Store(config.state.dir, log),
        alerting=Alerting(routing, courier, log, lambda: 0.0),
        clock=clock,
        log=log,
        observer=observer,
    )
