"""One whole evaluation of the daemon: drift, data quality, attribution, features together, scores over time."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.evaluation import frame
from monitor.common.clock import system_clock
from monitor.config.model import ColumnsSection, ModelSection
from monitor.config.schema import IngestSection
from monitor.daemon.model import MonitoredModel
from monitor.decode.topics import TopicDecoder
from monitor.reference.build import build_profile
from monitor.reference.by_version import single
from monitor.reference.tables import DataTable
from monitor.rows.records import Partition, Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from monitor.labels.panes import Counts
    from monitor.windows.series import SeriesKey

HOUR = 3_600_000
DAY = 24 * HOUR
BEGIN = 20_000 * DAY
WINDOWS = ("1h", "6h", "24h")
_BATCH = 10_000


class _NoPanes:
    """No labels, no saved panes."""

    def labelled_panes(self, model: str, key: SeriesKey, start: int, end: int) -> Sequence[tuple[int, Counts]]:
        return []


def measure() -> Iterator[tuple[str, str]]:
    section = ModelSection(
        name="m",
        task="binary",
        reference="none",  # type: ignore[arg-type]  # pydantic makes it a path
        windows=list(WINDOWS),
        columns=ColumnsSection(timestamp="t", prediction="prediction"),
    )
    table = frame(50_000, seed=1)
    # A reference with event times has design effects to apply.
    table["t"] = np.linspace(BEGIN - 60 * DAY, BEGIN, len(table)).astype(np.int64)
    references = single(build_profile(DataTable(table), section))
    seconds = {}
    for rows in (12_000, 1_200_000):
        seconds[rows], made, findings = _evaluation(section, references, rows)
        yield (
            f"a whole evaluation, 220 features in {len(WINDOWS)} windows, {rows // 24:,} to {rows:,} rows each",
            f"{seconds[rows] * 1000:.0f} ms, {findings // made:,} findings a window",
        )
    yield ("a hundred times the rows take", f"{seconds[1_200_000] / seconds[12_000]:.2f} of the time")


def _evaluation(section: ModelSection, references, rows: int) -> tuple[float, int, int]:  # type: ignore[no-untyped-def]  # References
    """Seconds of an evaluation of all window lengths at the end of a day of so many rows (mean of the last hour)."""
    with tempfile.TemporaryDirectory() as folder:
        model = MonitoredModel(
            section, references, labelled=False, folder=Path(folder), reader=_NoPanes(), clock=system_clock()
        )
        router, place = TopicDecoder([model.route], IngestSection(), keep_rejected=False), Partition("p", 0)
        many = -(-rows // _BATCH)
        size = rows // many
        for batch in range(many):
            table = frame(size, seed=200 + batch % 8)
            first = BEGIN + DAY * batch // many
            table["t"] = np.linspace(first, first + DAY // many - 1, size).astype(np.int64)
            columns = {name: table[name].tolist() for name in table.columns}
            decoded = router.decode(Table(place, batch * size, size, columns), BEGIN + 2 * DAY)
            for part in decoded.models:
                model.add(part, part.times, decoded.offsets[part.index], place)
        made, findings, ends = 0, 0, set[int]()
        spent, began = 0.0, time.perf_counter()
        for step in model.advance(BEGIN + DAY + model.lateness):
            elapsed = time.perf_counter() - began
            # The last hour, as a whole: windows that end one after another are judged together.
            if isinstance(step, tuple) and step[0].end > BEGIN + DAY - HOUR:
                spent += elapsed
                ends.add(step[0].end)
                made += len(step)
                findings += sum(len(evaluation.findings) for evaluation in step)
            began = time.perf_counter()
        return spent / len(ends), made, findings
