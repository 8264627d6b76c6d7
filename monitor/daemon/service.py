"""The process: a daemon that is made again after a failure or for a new configuration, and the server beside it."""

from __future__ import annotations

import os
import signal
import threading
import traceback
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from monitor.common.errors import ConfigError, LeewayError, RetryableError
from monitor.common.logs import lines_dropped
from monitor.config.difference import changed_options
from monitor.daemon.recovery import Recovery
from monitor.daemon.setup import Prepared, Running, prepare, start
from monitor.serve.http_server import HttpServer
from monitor.serve.liveness import Liveness
from monitor.serve.metrics import Telemetry
from monitor.serve.sd_notify import READY, STOPPING, notify, reloading
from monitor.serve.snapshot import ProcessStatus, Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from structlog.typing import FilteringBoundLogger

    from alerts.evaluation import Evaluation
    from monitor.alerting.alerting import Outcome
    from monitor.common.clock import Clock
    from monitor.config.schema import Config, HttpSection, LogSection
    from monitor.daemon.loop import Daemon

_IDLE_SECONDS = 0.2


class Service:
    """Everything that runs.

    Args:
        prepared: configuration, secrets and references.
        clock: time.
        environment: variables of the process.
        make_log: a logger as configured.
        observer: as `monitor.daemon.loop.Daemon`.

    Raises:
        LeewayError: if the state directory, the source or the listening address cannot be used.
    """

    def __init__(
        self,
        prepared: Prepared,
        *,
        clock: Clock,
        environment: Mapping[str, str],
        make_log: Callable[[LogSection], FilteringBoundLogger] | None = None,
        observer: Callable[[Evaluation | None, Outcome], object] | None = None,
    ) -> None:
        self._prepared, self._clock, self._environment = prepared, clock, environment
        self._make_log, self._observer = make_log, observer
        self._recovery = Recovery()
        self._status = ProcessStatus(reloaded_at=clock.wall())
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="reload")
        self._loading: Future[Prepared] | None = None
        self._running: Running | None = None
        self.server, self._liveness = self._serve(prepared.config.http)
        try:
            self._running = self._start(prepared)
        except BaseException:
            self.server.close()
            raise

    @property
    def daemon(self) -> Daemon:
        """The daemon that runs now."""
        assert self._running is not None
        return self._running.daemon

    @property
    def reloading(self) -> bool:
        """Whether a new configuration is being read, or waits for the next turn."""
        return self._loading is not None

    @property
    def _log(self) -> FilteringBoundLogger:
        return self._prepared.log

    def _snapshot(self) -> Snapshot:
        return Snapshot() if self._running is None else self._running.daemon.snapshot

    def _serve(self, section: HttpSection) -> tuple[HttpServer, Liveness]:
        liveness = Liveness(self._clock, section.hang_after / 1000, self._environment, os.getpid())
        telemetry = Telemetry(
            version("leewayd"),
            self._snapshot,
            section.max_metric_series,
            monotonic=self._clock.monotonic,
            liveness=liveness,
            log_lines_dropped=lines_dropped,
        )
        host, _, port = section.listen.rpartition(":")
        routes = {"/metrics": telemetry.page, "/healthz": telemetry.healthy, "/readyz": telemetry.ready}
        try:
            server = HttpServer(
                host,
                int(port),
                routes,
                max_connections=section.max_connections,
                head_seconds=section.header_timeout / 1000,
            )
        except OSError as error:
            raise LeewayError(f"cannot listen on {section.listen}: {error.strerror}") from error
        self._log.info("http server started", port=server.port)
        return server, liveness

    def _start(self, prepared: Prepared) -> Running:
        running = start(
            prepared,
            clock=self._clock,
            environment=self._environment,
            caution=self._recovery.caution,
            observer=self._observer,
        )
        running.daemon.display.process = self._status
        return running

    def turn(self) -> None:
        """One turn of the loop; after one that failed, the daemon is made again from its last checkpoint.

        Raises:
            RetryableError: if a turn fails whatever is read.
        """
        self._reload_when_loaded()
        assert self._running is not None
        try:
            self._running.turn()
            self._settle_step(self._running.daemon)
        except LeewayError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, what is in memory cannot be trusted any more
            self._recover(error, self._running)
        self._liveness.progress()

    def _recover(self, error: Exception, running: Running) -> None:
        attempt = running.daemon.inlet.attempt
        kind, place = type(error).__name__, _place(error)
        self._status = replace(self._status, failures=self._status.failures + 1)
        self._log.error("turn failed", error=kind, at=place, rows=attempt.rows)
        if not self._recovery.failed(attempt):
            raise RetryableError(f"a turn fails without any row: {kind} at {place}; the state is that of the last "
                                 "checkpoint")  # fmt: skip
        self._again(running)

    def _again(self, running: Running) -> None:
        """Makes the daemon again from its last checkpoint."""
        running.abandon()
        self._running = None
        try:
            self._running = self._start(self._prepared)
        except LeewayError as error:
            raise RetryableError(str(error)) from error

    def _settle_step(self, daemon: Daemon) -> None:
        """After a step with a limit: saves it, or learns from a trial which row is at fault."""
        if not self._recovery.careful:
            if self._recovery.failing and daemon.checkpointer.at is not None:
                self._recovery.succeeded(daemon.inlet.attempt)
            return
        if not daemon.step_done:
            return
        attempt, trial = daemon.inlet.attempt, self._recovery.caution.trial is not None
        if not trial and not daemon.checkpoint():
            return
        culprit = self._recovery.succeeded(attempt)
        if culprit is not None:
            self._log.error(
                "row set aside", topic=culprit.partition.topic, partition=culprit.partition.partition,
                offset=culprit.offset,
            )  # fmt: skip
        if trial:
            assert self._running is not None
            self._again(self._running)
        else:
            daemon.inlet.be_careful(self._recovery.caution)

    def reload(self, read: Callable[[], Config]) -> None:
        """Loads configuration, secrets and references again, beside the loop, which takes them over when they are
        there; what cannot be used leaves everything as it is.

        Args:
            read: gives the new configuration.
        """
        if self._loading is None:
            self._log.info("configuration is loaded again")
            notify(self._environment, *reloading(self._clock.monotonic()))
            self._loading = self._loader.submit(self._load, read)

    def _load(self, read: Callable[[], Config]) -> Prepared:
        config = read()
        log = self._log
        if self._make_log is not None and config.log != self._prepared.config.log:
            log = self._make_log(config.log)
        return prepare(config, self._environment, log)

    def _reload_when_loaded(self) -> None:
        if self._loading is None or not self._loading.done():
            return
        loading, self._loading = self._loading, None
        try:
            prepared = loading.result()
        except LeewayError as error:
            self._refuse(str(error).splitlines())
        except Exception as error:  # noqa: BLE001 - a fault in loading must not end a daemon that works
            self._refuse([f"{type(error).__name__} at {_place(error)}"])
        else:
            self._take_over(prepared)
        notify(self._environment, READY)

    def _refuse(self, problems: list[str]) -> None:
        self._status = replace(self._status, reload_failed=True)
        self.daemon.display.process = self._status
        self._log.error("configuration not reloaded", problems=problems)

    def _take_over(self, prepared: Prepared) -> None:
        old = self._prepared
        assert self._running is not None
        self._running.close()
        self._running = None
        try:
            self._running = self._start(prepared)
            if prepared.config.http != old.config.http:
                self._serve_again(prepared.config.http)
        except LeewayError as error:
            self._refuse_started(old, str(error).splitlines())
            return
        self._prepared = prepared
        self._status = replace(self._status, reload_failed=False, reloaded_at=self._clock.wall())
        self._running.daemon.display.process = self._status
        self._log.info("configuration reloaded", changed=changed_options(old.config, prepared.config))

    def _refuse_started(self, old: Prepared, problems: list[str]) -> None:
        """The new configuration cannot be started with: the old one goes on."""
        if self._running is not None:
            self._running.abandon()
        try:
            self._running = self._start(old)
        except LeewayError as error:
            raise RetryableError(str(error)) from error
        self._refuse(problems)

    def _serve_again(self, section: HttpSection) -> None:
        """Serves by another section; if its address cannot be used, the old server stays."""
        old = self._prepared.config.http
        if section.listen == old.listen:
            self.server.close()  # a second one cannot listen there beside it
        try:
            fresh, liveness = self._serve(section)
        except LeewayError:
            if section.listen == old.listen:
                self.server, self._liveness = self._serve(old)
            raise
        self.server.close()
        self.server, self._liveness = fresh, liveness

    def close(self) -> None:
        """Stops everything, in the order that loses nothing.

        Raises:
            RetryableError: if what came since the last checkpoint could not be finished; it is read again.
        """
        self._loader.shutdown(wait=False, cancel_futures=True)
        try:
            if self._running is not None:
                self._running.close()
        except LeewayError:
            raise
        except Exception as error:
            assert self._running is not None
            self._running.abandon()
            raise RetryableError(f"the stop failed: {type(error).__name__} at {_place(error)}") from error
        finally:
            self.server.close()

    def abandon(self) -> None:
        """Stops everything and saves nothing."""
        self._loader.shutdown(wait=False, cancel_futures=True)
        if self._running is not None:
            self._running.abandon()
        self.server.close()


def _place(error: Exception) -> str:
    """Where an exception was raised; its message may hold values, and is left out."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno} in {frames[-1].name}" if frames else "?"


def set_up(
    config: Config,
    *,
    clock: Clock,
    environment: Mapping[str, str],
    log: FilteringBoundLogger,
    make_log: Callable[[LogSection], FilteringBoundLogger] | None = None,
    observer: Callable[[Evaluation | None, Outcome], object] | None = None,
) -> Service:
    """Everything that runs, started.

    Raises:
        LeewayError: if a reference, a secret, the state directory or the listening address cannot be used.
    """
    prepared = prepare(config, environment, log)
    return Service(prepared, clock=clock, environment=environment, make_log=make_log, observer=observer)


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def run(
    read: Callable[[], Config],
    *,
    clock: Clock,
    environment: Mapping[str, str],
    make_log: Callable[[LogSection], FilteringBoundLogger],
    once: bool,
) -> Snapshot:
    """Runs until a signal comes; with ``once``, until a replay has ended and everything is delivered.

    SIGHUP loads the configuration again.

    Args:
        read: gives the configuration; called again for a reload.
        clock: time.
        environment: variables of the process.
        make_log: a logger as configured.
        once: stop at the end of a replay.

    Returns:
        Where it stands at the end.

    Raises:
        LeewayError: if it cannot start.
    """
    stop, hang_up = stop_on_signals(), threading.Event()
    signal.signal(signal.SIGHUP, lambda *_: hang_up.set())
    config = read()
    if once and (config.file is None or config.file.follow):
        raise ConfigError(["--exit needs [file] without follow: other sources have no end"])
    service = set_up(config, clock=clock, environment=environment, log=make_log(config.log), make_log=make_log)
    notify(environment, READY)
    try:
        while not stop.is_set():
            service.turn()
            if hang_up.is_set():
                hang_up.clear()
                service.reload(read)
            if service.daemon.finished:
                if once and service.daemon.settled:
                    break
                stop.wait(_IDLE_SECONDS)
    except BaseException:
        # Whatever it was, what is in memory may be half a step: the last checkpoint stands.
        notify(environment, STOPPING)
        service.abandon()
        raise
    snapshot = service.daemon.snapshot
    notify(environment, STOPPING)
    service.close()
    return snapshot
