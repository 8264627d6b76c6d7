"""Sets up a daemon from a configuration, straight through."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from alerts.delivery import Courier
from alerts.http import Urllib3Transport
from alerts.proxy import proxies_of
from monitor.alerting.alerting import Alerting
from monitor.alerting.receivers import AlertingSetup, make_alerting_setup
from monitor.checks.references import load_all_references, refuse_unknown_features
from monitor.common.errors import SourceError
from monitor.common.logs import Log
from monitor.config.schema import Config
from monitor.daemon.loop import Daemon
from monitor.daemon.recovery import Caution
from monitor.daemon.schedule import Schedule, Tick
from monitor.reference.by_version import ReferencesByVersion
from monitor.sources.files import FileSource
from monitor.sources.kafka import KafkaSource
from monitor.sources.kafka_options import client_options
from monitor.state.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

    from alerts.evaluation import Evaluation
    from monitor.alerting.alerting import Outcome
    from monitor.common.clock import Clock
    from monitor.sources.port import Source

_POLL_SECONDS = 0.2
_STOP_SECONDS = 2.0
"""How long deliveries under way may take to end when the daemon stops."""


def make_source(config: Config, clock: Clock, environment: Mapping[str, str], log: Log) -> Source:
    """The source that the configuration names.

    Raises:
        SourceError: if there is none.
    """
    if config.kafka is not None:
        return KafkaSource(
            config.kafka,
            config.ingest,
            environment=environment,
            monotonic=clock.monotonic,
            wait=clock.wait,
            log=log,
        )
    if config.file is None:
        raise SourceError("neither [kafka] nor [file] is configured")
    return FileSource(
        config.file.predictions + config.file.labels,
        follow=config.file.follow,
        batch=config.ingest.max_poll_messages,
        wait=clock.wait,
    )


@dataclass(frozen=True, slots=True)
class Prepared:
    """The checked and loaded parts of a daemon; it can be made again from them without reading a file."""

    config: Config
    routing: AlertingSetup
    references: Mapping[str, ReferencesByVersion]
    log: Log


def prepare(config: Config, environment: Mapping[str, str], log: Log) -> Prepared:
    """Reads everything that the configuration names: secrets and references.

    Raises:
        LeewayError: if one of them cannot be used.
    """
    if config.kafka is not None:
        client_options(config.kafka, environment)
    routing, references = make_alerting_setup(config, environment, log), load_all_references(config, strict=False)
    refuse_unknown_features(config, references)
    return Prepared(config, routing, references, log)


@dataclass(frozen=True, slots=True)
class Running:
    """A daemon with its deliveries and its schedule."""

    daemon: Daemon
    courier: Courier
    schedule: Schedule

    def turn(self) -> None:
        """One turn of the loop."""
        self.daemon.turn(_POLL_SECONDS, self.schedule.due())

    def close(self) -> None:
        """Stops everything, in the order that loses nothing."""
        self.courier.close(_STOP_SECONDS)
        self.daemon.deliver()
        self.daemon.close()

    def abandon(self) -> None:
        """Stops everything and saves nothing."""
        self.courier.close(0.0)
        self.daemon.abandon()


def start(
    prepared: Prepared,
    *,
    clock: Clock,
    environment: Mapping[str, str],
    caution: Caution | None = None,
    observer: Callable[[Evaluation | None, Outcome], object] | None = None,
) -> Running:
    """A daemon that goes on from the last checkpoint.

    Args:
        prepared: what it is made of.
        clock: time.
        environment: variables of the process.
        caution: how to go on after a failure.
        observer: as `monitor.daemon.loop.Daemon`.

    Raises:
        LeewayError: if the state directory or the source cannot be used.
    """
    config, log = prepared.config, prepared.log
    source = make_source(config, clock, environment, log)
    store = Store(config.state.dir, log)
    transport = Urllib3Transport(allow_private=config.alerts.allow_private, proxies=proxies_of(environment))
    courier = Courier(prepared.routing.sinks, transport, clock.wall)
    try:
        daemon = Daemon(
            config,
            prepared.references,
            source=source,
            store=store,
            alerting=Alerting(prepared.routing, courier, log, random.random),
            clock=clock,
            log=log,
            observer=observer,
        )
        daemon.inlet.be_careful(caution or Caution())
        daemon.start()
    except BaseException:
        store.close()
        raise
    intervals = {Tick.CHECKPOINT: config.state.checkpoint / 1000, Tick.BACKUP: config.state.backup / 1000}
    return Running(daemon, courier, Schedule(intervals, clock.monotonic))
