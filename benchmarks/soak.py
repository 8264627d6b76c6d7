"""Runs mixed traffic through Apache Kafka for an hour: `make soak`. No row may be lost or counted twice.

The daemon runs in a separate process. Its receiver has outages; it is killed once and stopped once under load. After a
warm-up its memory, descriptors, threads, state and log must not grow.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.soak_traffic import PARTITIONS, REGIONS, Traffic, totals, write_reference
from benchmarks.soak_watch import Verdict, look, verdicts
from tests.servers.found import free_port, missing_for_kafka
from tests.servers.kafka import KafkaBroker
from tests.servers.receiver import WEBHOOK_PATH, Answer, Receiver
from tests.support.daemon_process import DaemonProcess, wait_until

if TYPE_CHECKING:
    from benchmarks.soak_watch import Sample

RATE = 200.0
# Shares of the run.
_KILL, _STOP, _WARM = 0.1, 0.2, 0.4
_LOOK_SECONDS, _OUTAGE_SECONDS = 1.0, 15.0
_QUIET_SECONDS = 12.0

_CONFIG = """
[state]
dir = "{state}"
checkpoint = "1s"
backup = "15s"
[http]
listen = "127.0.0.1:{port}"
[ingest]
idle_partition_timeout = "5s"
[kafka]
bootstrap_servers = ["{bootstrap}"]
predictions = ["predictions"]
labels = ["labels"]
group_id = "soak"
refresh = "5s"
[[models]]
name = "churn"
task = "binary"
reference = "{reference}"
pane = "5s"
windows = ["15s", "30s"]
lateness = "2s"
segments = ["region"]
max_series = 1000
[models.columns]
timestamp = "timestamp"
id = "id"
version = "version"
prediction = "prediction"
score = "score"
label = "churned"
[models.labels]
max_delay = "10s"
[[rules]]
name = "usage drift"
when = "drifted"
subject = "feature:usage"
segment = "all"
notify = ["hook"]
[[receivers]]
name = "hook"
type = "webhook"
url = "{hook}"
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a soak.

    Attributes:
        wanted, counted: rows, late rows and labels as sent and as the daemon counted them.
        figures: quantities that must not grow.
        delivered: notifications that the receiver accepted.
        unread: messages that the daemon has not read.
    """

    wanted: Counter[str]
    counted: dict[str, int]
    figures: list[Verdict]
    delivered: int
    unread: int

    def faults(self) -> list[str]:
        """All faults, one sentence each."""
        faults = [
            f"{name}: {self.wanted[name]:,} sent, {count:,} counted"
            for name, count in self.counted.items()
            if count != self.wanted[name]
        ]
        faults += [
            f"{figure.name}: from {figure.first:,.1f} to {figure.last:,.1f}, {figure.allowed:,.1f} more are allowed"
            for figure in self.figures
            if not figure.flat
        ]
        if self.unread:
            faults.append(f"{self.unread} messages were not read")
        if not self.delivered:
            faults.append("no notification was delivered")
        return faults

    def table(self) -> str:
        """A Markdown table."""
        lines = ["| what | first third | last third | may grow by |", "|---|---|---|---|"]
        numbers = [(figure.name, figure.first, figure.last, figure.allowed) for figure in self.figures]
        lines += [f"| {name} | {first:,.1f} | {last:,.1f} | {allowed:,.1f} |" for name, first, last, allowed in numbers]
        lines += ["", "| what | sent | counted |", "|---|---|---|"]
        lines += [f"| {name} | {self.wanted[name]:,} | {count:,} |" for name, count in self.counted.items()]
        return "\n".join([*lines, "", f"{self.delivered} notifications delivered"])


def soak(minutes: float, home: Path, broker: KafkaBroker) -> Outcome:
    """Runs traffic through a daemon.

    Args:
        minutes: duration.
        home: an empty folder.
        broker: a running one without topics.
    """
    broker.create_topic("predictions", PARTITIONS)
    broker.create_topic("labels")
    write_reference(home / "reference.parquet")
    port, state = free_port(), home / "state"
    with Receiver() as receiver:
        config = _CONFIG.format(
            state=state, port=port, bootstrap=broker.bootstrap, reference=home / "reference.parquet",
            hook=receiver.webhook_url,
        )  # fmt: skip
        daemon = DaemonProcess(home, config, port)
        traffic = Traffic(broker.bootstrap, "predictions", "labels", RATE)
        daemon.start()
        traffic.start()
        try:
            samples = _through(minutes * 60, daemon, state, receiver)
            traffic.finish(_QUIET_SECONDS)
            receiver.always(WEBHOOK_PATH, None)
            return _outcome(daemon, traffic, samples, broker, receiver)
        finally:
            daemon.kill()


def _through(seconds: float, daemon: DaemonProcess, state: Path, receiver: Receiver) -> list[Sample]:
    """Kills and stops the daemon, and stops the receiver; returns the samples after the warm-up."""
    began = time.monotonic()
    samples: list[Sample] = []
    killed = stopped = False
    while (passed := time.monotonic() - began) < seconds:
        down = int(passed / _OUTAGE_SECONDS) % 3 == 1
        receiver.always(WEBHOOK_PATH, Answer(503) if down else None)
        if not killed and passed > _KILL * seconds:
            killed = True
            daemon.kill()
            daemon.start()
        if not stopped and passed > _STOP * seconds:
            stopped = True
            daemon.stop()
            daemon.start()
        if passed > _WARM * seconds:
            samples.append(look(daemon.pid, state, daemon.folder / "leewayd.log"))
        time.sleep(_LOOK_SECONDS)
    return samples


def _outcome(
    daemon: DaemonProcess, traffic: Traffic, samples: list[Sample], broker: KafkaBroker, receiver: Receiver
) -> Outcome:
    wanted = totals(traffic.sent)
    ends = sum(sum(broker.end_offsets(topic).values()) for topic in ("predictions", "labels"))

    def unread() -> int:
        return ends - int(daemon.metric("leeway_source_position_offset"))

    def counted() -> dict[str, int]:
        return {
            "rows": int(daemon.metric("leeway_rows_total")),
            "late": int(daemon.metric("leeway_rows_late_total")),
            "labels": int(daemon.metric("leeway_labels_total", outcome="joined")),
        }

    _settle(lambda: unread() == 0 and all(wanted[name] == count for name, count in counted().items()), 60)
    _settle(lambda: daemon.metric("leeway_outbox_notifications") == 0, 60)
    counts, left = counted(), unread()
    daemon.stop()
    return Outcome(wanted, counts, verdicts(samples), len(receiver.accepted(WEBHOOK_PATH)), left)


def _settle(done, seconds: float) -> None:  # type: ignore[no-untyped-def]  # a condition
    """Waits for a condition; if it stays false, the outcome shows it."""
    try:
        wait_until(done, seconds, "settled")
    except AssertionError:
        return


def main() -> int:
    """Runs for SOAK_MINUTES, prints the table; 1 if anything grew or a row was lost."""
    if (missing := missing_for_kafka()) is not None:
        print(missing)
        return 2
    minutes = float(os.environ.get("SOAK_MINUTES", "60"))
    print(f"{minutes:g} minutes at {RATE:g} messages a second, {len(REGIONS)} segments", flush=True)
    with tempfile.TemporaryDirectory() as folder, KafkaBroker(Path(folder) / "kafka") as broker:
        home = Path(folder) / "soak"
        home.mkdir()
        outcome = soak(minutes, home, broker)
    print(outcome.table())
    faults = outcome.faults()
    print(*(f"FAULT: {fault}" for fault in faults), sep="\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
