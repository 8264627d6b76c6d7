"""The whole pipeline on Apache Kafka: the census log through a daemon in a separate process."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers.found import free_port, missing_for_kafka
from tests.servers.kafka import KafkaBroker
from tests.support.census import census, config_text, keyless, messages
from tests.support.daemon_process import DaemonProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST_SECONDS = 1800.0


def measure() -> Iterator[tuple[str, str]]:
    if (missing := missing_for_kafka()) is not None:
        yield ("through Kafka", f"not measured: {missing}")
        return
    with tempfile.TemporaryDirectory() as folder, KafkaBroker(Path(folder) / "kafka") as broker:
        values = messages(census())
        broker.create_topic("predictions")
        broker.produce("predictions", keyless(values))
        # Four years of 143 rows a day: with windows that slide by the day, judging is most of the work; with one that
        # slides by the 4 days, reading and counting is.
        yield from measure_road(broker, Path(folder) / "often", len(values), '["7d", "28d"]')
        yield from measure_road(broker, Path(folder) / "seldom", len(values), '["364d"]')


def measure_road(broker: KafkaBroker, home: Path, rows: int, windows: str) -> Iterator[tuple[str, str]]:
    port = free_port()
    home.mkdir()
    config = config_text("predictions", broker.bootstrap, home / "state", port, windows=windows)
    daemon = DaemonProcess(home, config, port)
    began = time.monotonic()
    daemon.start()
    # Rendering the page takes the daemon's own time, so it is read once a second.
    daemon.wait_for("leeway_rows_total", rows, seconds=_MOST_SECONDS, every=1.0)
    seconds = time.monotonic() - began
    judging, judged = (daemon.metric(f"leeway_evaluation{name}_total") for name in ("_seconds", "s"))
    memory, kept, disk = (
        value / 2**20
        for value in (
            daemon.metric("process_resident_memory_bytes"),
            daemon.metric("leeway_state_bytes", kind="memory"),
            daemon.metric("leeway_state_bytes", kind="disk"),
        )
    )
    what = f"{rows:,} rows through Kafka, windows {windows}"
    yield (f"{what}: start-up included", f"{seconds:.1f} s, {rows / seconds:,.0f} rows/s")
    yield (f"{what}: judging {judged:,.0f} windows of 18 subjects", f"{judging:.1f} s")
    yield (f"{what}: memory", f"{memory:.0f} MiB resident, {kept:.1f} MiB windows, {disk:.1f} MiB state on disk")
    daemon.stop()
