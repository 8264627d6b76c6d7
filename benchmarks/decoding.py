"""From JSON messages to columns of the counts matrix, on the census log."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.timing import best
from monitor.checks.load import parse_config
from monitor.config.schema import IngestSection
from monitor.decode.json import JsonDecoder
from monitor.decode.readers import ModelReader
from monitor.decode.topics import TopicDecoder
from monitor.reference.build import load_references
from monitor.rows.records import Messages, Partition
from tests.support.census import REFERENCE, census, messages

if TYPE_CHECKING:
    from collections.abc import Iterator

BATCH, ROWS = 5_000, 100_000


def measure() -> Iterator[tuple[str, str]]:
    values = messages(census()[:ROWS])
    chunks = [
        Messages(Partition("t", 0), np.arange(first, first + BATCH), values[first : first + BATCH])
        for first in range(0, ROWS, BATCH)
    ]
    config = parse_config(
        {
            "kafka": {"bootstrap_servers": ["x:1"], "predictions": ["t"]},
            "models": [
                {
                    "name": "income", "task": "binary", "reference": str(REFERENCE), "segments": ["SEX"],
                    "columns": {
                        "timestamp": "timestamp", "id": "id", "prediction": "prediction",
                        "score": "predicted_probability", "label": "employed",
                    },
                }
            ],
        },
        REFERENCE.parent,
    )  # fmt: skip
    route = ModelReader(config.models[0], load_references(config.models[0]), with_ids=False)
    decoder = JsonDecoder(route.kinds(), 1_000_000, 10_000)
    router = TopicDecoder([route], IngestSection(), keep_rejected=False)
    paths = list(route.kinds())

    def plain() -> None:
        for chunk in chunks:
            for value in chunk.values:
                record = json.loads(value or b"")
                tuple(record.get(path) for path in paths)

    typed = best(lambda: [decoder.decode(chunk) for chunk in chunks])
    standard = best(plain)
    whole = best(lambda: [router.decode(chunk, 2**45) for chunk in chunks])
    size = sum(map(len, values)) / ROWS
    yield (f"JSON records of {size:.0f} bytes to raw columns", f"{ROWS / typed:,.0f} rows/s")
    yield (
        "these records with json.loads and look-ups",
        f"{ROWS / standard:,.0f} rows/s ({typed / standard:.2f} of the time)",
    )
    yield (f"JSON records to encoded rows, {len(paths)} fields", f"{ROWS / whole:,.0f} rows/s")
