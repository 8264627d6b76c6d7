"""Sets up the daemon from a configuration, straight through, and runs it until it is told to stop."""

from __future__ import annotations

import random
import signal
import threading
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

from alerts.delivery import Courier
from alerts.http import Urllib3Transport
from alerts.proxy import proxies_of
from monitor.alerting import Alerting
from monitor.daemon import Daemon
from monitor.errors import LeewayError, ReferenceDataError, SourceError
from monitor.http_server import HttpServer
from monitor.learner import learned_path
from monitor.reference_build import load_reference, load_references
from monitor.references import single
from monitor.routing import make_routing
from monitor.schedule import Schedule, Tick
from monitor.source_file import FileSource
from monitor.source_kafka import KafkaSource
from monitor.store import Store
from monitor.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from structlog.typing import FilteringBoundLogger

    from alerts.evaluation import Evaluation
    from monitor.alerting import Outcome
    from monitor.clock import Clock
    from monitor.config import Config
    from monitor.references import References
    from monitor.source import Source

_POLL_SECONDS = 0.2


def load_all_references(config: Config) -> dict[str, References]:
    """The references of every model; one that is still to be learned is not there.

    Raises:
        ReferenceDataError: with the faults of all of them.
    """
    references, problems = {}, []
    for model in config.models:
        try:
            if model.learn_rows is None:
                references[model.name] = load_references(model)
            elif (path := learned_path(config.state.dir, model.name)).exists():
                references[model.name] = single(load_reference(model, path))
        except LeewayError as error:
            problems += [f'model "{model.name}": {line}' for line in str(error).splitlines()]
    if problems:
        raise ReferenceDataError("\n".join(problems))
    return references


def make_source(config: Config, clock: Clock, log: FilteringBoundLogger) -> Source:
    """The source that the configuration names."""
    if config.kafka is not None:
        return KafkaSource(config.kafka, config.ingest, monotonic=clock.monotonic, wait=clock.wait, log=log)
    if config.file is None:
        raise SourceError("neither [kafka] nor [file] is configured")
    return FileSource(
        config.file.predictions + config.file.labels,
        follow=config.file.follow,
        batch=config.ingest.max_poll_messages,
        wait=clock.wait,
    )


@dataclass(slots=True)
class Running:
    """A daemon with its threads: start it, turn it until done, close it."""

    daemon: Daemon
    server: HttpServer
    schedule: Schedule
    courier: Courier

    def turn(self) -> None:
        """One turn of the loop."""
        self.daemon.turn(_POLL_SECONDS, self.schedule.due())

    def close(self) -> None:
        """Stops everything, in the order that loses nothing."""
        self.schedule.close()
        self.courier.close(2.0)
        self.daemon.deliver()
        self.daemon.close()
        self.server.close()


def set_up(
    config: Config,
    *,
    clock: Clock,
    environment: Mapping[str, str],
    log: FilteringBoundLogger,
    observer: Callable[[Evaluation | None, Outcome], object] | None = None,
) -> Running:
    """Everything that runs, started.

    Raises:
        LeewayError: if a reference, a secret, the state directory or the listening address cannot be used.
    """
    routing = make_routing(config, environment, log)
    references = load_all_references(config)
    store = Store(config.state.dir, log)
    transport = Urllib3Transport(allow_private=config.alerts.allow_private, proxies=proxies_of(environment))
    courier = Courier(routing.sinks, transport, clock.wall)
    daemon = Daemon(
        config,
        references,
        source=make_source(config, clock, log),
        store=store,
        alerting=Alerting(routing, courier, log, random.random),
        clock=clock,
        log=log,
        learned=config.state.dir,
        observer=observer,
    )
    telemetry = Telemetry(version("leewayd"), lambda: daemon.snapshot, config.http.max_metric_series)
    host, _, port = config.http.listen.rpartition(":")
    routes = {"/metrics": telemetry.page, "/healthz": telemetry.healthy, "/readyz": telemetry.ready}
    try:
        server = HttpServer(
            host,
            int(port),
            routes,
            max_connections=config.http.max_connections,
            head_seconds=config.http.header_timeout / 1000,
        )
    except OSError as error:
        store.close()
        raise LeewayError(f"cannot listen on {config.http.listen}: {error.strerror}") from error
    log.info("http server started", port=server.port)
    try:
        daemon.start()
    except LeewayError:
        server.close()
        store.close()
        raise
    schedule = Schedule({Tick.CHECKPOINT: config.state.checkpoint / 1000, Tick.BACKUP: config.state.backup / 1000})
    schedule.start()
    return Running(daemon, server, schedule, courier)


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def run(config: Config, *, clock: Clock, environment: Mapping[str, str], log: FilteringBoundLogger, once: bool) -> None:
    """Runs until a signal comes; with ``once``, until a replay has ended and everything is delivered.

    Raises:
        LeewayError: if it cannot start.
    """
    stop = stop_on_signals()
    running = set_up(config, clock=clock, environment=environment, log=log)
    try:
        while not stop.is_set():
            running.turn()
            if running.daemon.finished:
                if once and running.daemon.settled:
                    break
                stop.wait(_POLL_SECONDS)
    finally:
        running.close()
