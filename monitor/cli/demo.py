"""The demo: replays a real prediction log through the real pipeline, and prints events as they happen."""

from __future__ import annotations

import json
import tempfile
import threading
import tomllib
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from alerts.moments import utc
from monitor.checks.load import parse_config
from monitor.common.errors import LeewayError
from monitor.daemon.service import set_up, stop_on_signals
from monitor.rows.records import Table
from monitor.sources.files import FileSource
from monitor.sources.kafka_client import Access, publish

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rich.console import Console
    from structlog.typing import FilteringBoundLogger

    from alerts.evaluation import Evaluation
    from alerts.lifecycle import Transition
    from monitor.alerting.alerting import Outcome
    from monitor.common.clock import Clock
    from monitor.config.schema import Config, LogSection
    from monitor.serve.snapshot import Snapshot

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "flights"


_PATIENCE_SECONDS = 60.0
"""A broker that delivers no row for this long has lost the missing rows."""


class Patience:
    """Waits for all rows of the log from a broker, for a limited time.

    Args:
        total: rows of the log.
        monotonic: seconds.
    """

    def __init__(self, total: int, monotonic: Callable[[], float]) -> None:
        self._total, self._monotonic = total, monotonic
        self._rows, self._since = -1, monotonic()

    def complete(self, rows: int, bootstrap: str, fault: str) -> bool:
        """Whether all rows have arrived.

        Args:
            rows: number of rows that have arrived.
            bootstrap: address of the broker.
            fault: why the broker cannot be read now; empty if it can.

        Raises:
            LeewayError: if rows are missing and none has arrived for a minute.
        """
        now = self._monotonic()
        if rows != self._rows:
            self._rows, self._since = rows, now
        if rows < self._total and now - self._since > _PATIENCE_SECONDS:
            raise LeewayError(
                f"Kafka at {bootstrap} has delivered {rows:,} of the {self._total:,} rows sent, and none for "
                f"{_PATIENCE_SECONDS:.0f} s: {fault or 'it has lost the other rows, or its retention is too short'}"
            )
        return rows >= self._total


@dataclass(slots=True)
class _Story:
    """The events of the demo so far."""

    fired: list[str] = field(default_factory=list)
    received: list[tuple[str, dict[str, object]]] = field(default_factory=list)


class _Receiver:
    """Plays the retraining service and the pager: accepts any POST of JSON and stores it."""

    def __init__(self, heard: Callable[[str, dict[str, object]], object]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers.get("Content-Length", 0))
                heard(self.path, json.loads(self.rfile.read(size)))
                self.send_response(202)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
                """Logs nothing: the demo prints received requests."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def run_demo(
    *,
    exit_when_done: bool,
    kafka: str | None,
    listen: str | None,
    clock: Clock,
    environment: Mapping[str, str],
    make_log: Callable[[LogSection], FilteringBoundLogger],
    console: Console,
) -> tuple[bool, Snapshot]:
    """Replays the log and prints its events; then serves until Ctrl-C unless ``exit_when_done``.

    Args:
        exit_when_done: return at the end of the log.
        kafka: bootstrap server of a broker to send the log through.
        listen: address of /metrics, instead of the example's address.
        clock, environment: of the process.
        make_log: makes a logger.
        console: where events are printed.

    Returns:
        Whether drift was found, an alert fired and retraining was called; and the final snapshot.
    """
    if not (EXAMPLE / "demo.toml").exists():
        raise LeewayError(f"{EXAMPLE} does not exist: the demo runs from a checkout of the project")
    story = _Story()
    with tempfile.TemporaryDirectory(prefix="leewayd-demo-") as folder:
        progress = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[rows]:>8,} rows"),
            TimeElapsedColumn(), console=console, transient=False,
        )  # fmt: skip

        def heard(path: str, body: dict[str, object]) -> None:
            story.received.append((path, body))
            _print_received(progress.console, path, body)

        receiver = _Receiver(heard)
        try:
            config = _demo_config(Path(folder), receiver.url, kafka, listen)
            _introduce(console, config)
            log = make_log(config.log)
            if config.kafka is not None:
                with console.status("sending the log to Kafka"):
                    _publish(config, clock)
            snapshot = _play(config, clock, environment, log, console, progress, story, exit_when_done)
        finally:
            receiver.close()
    complete = bool(story.fired) and any(path == "/retrain" for path, _ in story.received)
    if not complete:
        console.print("[red]The demo is incomplete: the retraining receiver got no notification of drift.[/]")
    return complete, snapshot


def _demo_config(folder: Path, receiver: str, kafka: str | None, listen: str | None) -> Config:
    raw = tomllib.loads((EXAMPLE / "demo.toml").read_text(encoding="utf-8"))
    raw["state"]["dir"] = str(folder / "state")
    if listen is not None:
        raw["http"]["listen"] = listen
    for section in raw["receivers"]:
        section["url"] = receiver + ("/retrain" if section["name"] == "retrain" else "/page")
    if kafka is not None:
        del raw["file"]
        topic = f"leewayd-demo-{folder.name[-8:]}"
        raw["kafka"] = {"bootstrap_servers": [kafka], "predictions": [topic], "group_id": topic}
        raw["ingest"] = {"idle_partition_timeout": "5s"}
    return parse_config(raw, EXAMPLE)


def _publish(config: Config, clock: Clock) -> None:
    assert config.kafka is not None
    source = FileSource([EXAMPLE / "predictions.parquet"], follow=False, batch=5_000, wait=clock.wait)
    source.start({})

    def messages() -> Iterator[bytes]:
        while True:
            poll = source.poll(0.0, frozenset())
            for table in poll.chunks:
                assert isinstance(table, Table)
                names = list(table.columns)
                for row in zip(*table.columns.values(), strict=True):
                    yield json.dumps(dict(zip(names, row, strict=True))).encode()
            if poll.finished:
                return

    publish(Access(config.kafka, {}), config.kafka.predictions[0], messages())


def _introduce(console: Console, config: Config) -> None:
    way = f"Kafka topic {config.kafka.predictions[0]}" if config.kafka else "a Parquet file"
    console.print()
    console.print("[bold]leewayd demo[/]: will a flight out of New York arrive late?")
    console.print(f"A model trained on January to March 2013; its log of April to December comes from {way}.")
    console.print(f"Metrics: http://{config.http.listen}/metrics   Health: http://{config.http.listen}/readyz")
    console.print()


def _play(
    config: Config,
    clock: Clock,
    environment: Mapping[str, str],
    log: FilteringBoundLogger,
    console: Console,
    progress: Progress,
    story: _Story,
    exit_when_done: bool,
) -> Snapshot:
    stop = stop_on_signals()
    rows_total = pq.read_metadata(EXAMPLE / "predictions.parquet").num_rows
    task = progress.add_task("reading", total=rows_total, rows=0)

    def observe(evaluation: Evaluation | None, outcome: Outcome) -> None:
        for change in outcome.transitions:
            if change.state == "firing":
                story.fired.append(change.key.rule)
            _print_transition(progress.console, change)

    patience = Patience(rows_total, clock.monotonic)
    running = set_up(config, clock=clock, environment=environment, log=log, observer=observe)
    try:
        with progress:
            while not stop.is_set():
                running.turn()
                status = running.daemon.snapshot.models[0]
                rows = sum(status.rows.values())
                day = "" if status.watermark is None else utc(status.watermark)[:10]
                progress.update(task, completed=rows, rows=rows, description=f"event time {day or 'unknown'}")
                if config.kafka is not None and not running.daemon.finished:
                    source, fault = config.kafka.bootstrap_servers[0], running.daemon.snapshot.source_fault
                    came = rows + status.late + sum(running.daemon.snapshot.rejects.values())
                    if patience.complete(came, source, fault):
                        running.daemon.finish()
                if running.daemon.finished and running.daemon.settled:
                    break
        _conclude(console, config, story)
        if not exit_when_done:
            console.print("Serving until Ctrl-C.")
            while not stop.is_set():
                running.turn()
                stop.wait(0.2)
    finally:
        running.close()
    return running.daemon.snapshot


def _print_transition(console: Console, change: Transition) -> None:
    state, rule = change.state, change.key.rule
    if state == "pending":
        return
    colour = {"firing": "red", "resolved": "green"}[state]
    when = utc(change.at)
    console.print(f"[{colour}]{state.upper():8}[/] {when}  {rule}, window {change.key.window}", highlight=False)
    if state == "firing":
        for finding in change.evidence.findings[:3]:
            console.print(f"                                  {finding.detail}", highlight=False, markup=False)


def _print_received(console: Console, path: str, body: dict[str, object]) -> None:
    window = body["window"]
    assert isinstance(window, dict)
    event = "retraining called" if path == "/retrain" else "person paged"
    console.print(
        f"[cyan]WEBHOOK [/] {body['at']}  {event}: {escape(str(body['summary']))} ({window['rows']} rows of evidence)",
        highlight=False,
    )


def _conclude(console: Console, config: Config, story: _Story) -> None:
    calls = sum(path == "/retrain" for path, _ in story.received)
    pages = sum(path == "/page" and body["event"] == "alert.firing" for path, body in story.received)
    console.print()
    console.print(
        f"[bold]Nine months in one sitting.[/] Alerts: {len(story.fired)}, calls for retraining: {calls}, "
        f"pages: {pages}."
    )
    console.print(f"See http://{config.http.listen}/metrics and {EXAMPLE.name}/demo.toml; next steps are in README.md.")
