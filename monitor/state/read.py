"""Decodes the rows of the state's database. All rows are decoded at the start, while the backup is still usable."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from alerts.outbox import OutboxEntry
from detectors.layout import COLUMNS
from monitor.rows.records import Partition, Position
from monitor.state.checkpoint import LoadedModel, LoadedSeries, LoadedState
from monitor.state.tables import StoreDamagedError, every_row, model_of, unsealed
from monitor.windows.panes import Pane

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from numpy.typing import NDArray

    from monitor.windows.series import SeriesKey

UNDECODABLE = (zlib.error, msgspec.MsgspecError, ValueError, TypeError, KeyError, IndexError, OverflowError)


class ModelRow(msgspec.Struct):
    """The document of a model in the table ``models``."""

    shape: str
    watermark: int | None
    evaluated: dict[str, int]
    rows: dict[str, int]
    late: int
    overflow: int
    later: list[tuple[str, str, int, int]] = []


def read_state(database: sqlite3.Connection, written: int) -> LoadedState:
    """Decodes the whole state.

    Args:
        written: the format of the database.

    Raises:
        StoreDamagedError: if a row fails its checksum or cannot be decoded.
    """
    try:
        positions = {
            Partition(topic, number): Position(offset, skip, topic_id, clock)
            for topic, number, offset, skip, topic_id, clock in every_row(database, "positions", written)
        }
        models = _models(database, written)
        documents: dict[str, bytes] = dict(every_row(database, "documents", written))
        waiting = sorted(every_row(database, "outbox", written), key=lambda row: row[1])
        outbox = tuple(msgspec.json.decode(document, type=OutboxEntry) for _, _, document in waiting)
        labelled = set()
        for model, *_, counts in every_row(database, "labelled", written):
            labelled.add(model)
            if written < 3:
                unpack_labelled(counts)
    except UNDECODABLE as error:
        raise StoreDamagedError(f"a row cannot be decoded: {error}") from error
    names = set(models) | labelled | {name for document in documents if (name := model_of(document)) is not None}
    return LoadedState(positions, models, documents, outbox, frozenset(names))


def _models(database: sqlite3.Connection, written: int) -> dict[str, LoadedModel]:
    panes: dict[tuple[str, str, str], dict[int, list[Pane]]] = {}
    for *key, step, start, subjects, extra, counts in every_row(database, "panes", written):
        pane = _unpack(start, subjects, extra, counts)
        panes.setdefault((key[0], key[1], key[2]), {}).setdefault(step, []).append(pane)
    for steps in panes.values():
        for ordered in steps.values():
            ordered.sort(key=lambda pane: pane.start)
    series: dict[str, list[LoadedSeries]] = {}
    for model, version, segment, started, latest, fingerprint, flagged in every_row(database, "series", written):
        kept = panes.get((model, version, segment), {})
        days = msgspec.json.decode(flagged, type=tuple[int, ...])
        series.setdefault(model, []).append(LoadedSeries(version, segment, started, latest, kept, fingerprint, days))
    offsets: dict[str, dict[int, dict[int, dict[Partition, tuple[int, int]]]]] = {}
    for model, step, start, ranges in every_row(database, "ledger", written):
        offsets.setdefault(model, {}).setdefault(step, {})[start] = {
            Partition(topic, number): (first, last)
            for topic, number, first, last in msgspec.json.decode(ranges, type=list[tuple[str, int, int, int]])
        }
    models = {}
    for name, document in every_row(database, "models", written):
        row = msgspec.json.decode(document, type=ModelRow)
        models[name] = LoadedModel(
            row.shape, row.watermark, row.evaluated, row.rows, row.late, row.overflow, tuple(series.get(name, ())),
            offsets.get(name, {}), tuple(row.later),
        )  # fmt: skip
    return models


def read_labelled(
    database: sqlite3.Connection, model: str, key: SeriesKey, start: int, end: int
) -> list[tuple[int, NDArray[np.int64]]]:
    """(start, vector) of the labelled panes of a series that begin in [start, end).

    Raises:
        StoreDamagedError: if a pane fails its checksum.
    """
    rows = database.execute(
        "SELECT * FROM labelled WHERE model = ? AND version = ? AND segment = ? AND start >= ? AND start < ?",
        (model, *key, start, end),
    )
    return [(begin, unpack_labelled(packed)) for _, _, _, begin, _, packed in unsealed("labelled", rows)]


def unpack_labelled(packed: bytes) -> NDArray[np.int64]:
    """int64[V], the counts of a labelled pane."""
    return np.frombuffer(zlib.decompress(packed), dtype=np.int64)


def _unpack(start: int, subjects: int, extra: int, packed: bytes) -> Pane:
    raw = zlib.decompress(packed)
    rows, rest = int(np.frombuffer(raw[:8], dtype=np.int64)[0]), raw[8:]
    size, pairs = subjects * COLUMNS * 8, subjects * 2 * 8
    further = size + 2 * pairs
    if len(rest) != further + extra * 8:
        raise StoreDamagedError("a pane has the wrong size")
    return Pane(
        start,
        rows,
        np.frombuffer(rest[:size], dtype=np.int64).reshape(subjects, COLUMNS).copy(),
        np.frombuffer(rest[size : size + pairs], dtype=np.int64).reshape(subjects, 2).copy(),
        np.frombuffer(rest[size + pairs : further], dtype=np.float64).reshape(subjects, 2).copy(),
        np.frombuffer(rest[further:], dtype=np.int64).copy(),
    )


def check_documents(
    saved: LoadedState, readable: Callable[[str, bytes], object], *, sealed: bool
) -> tuple[str, Exception] | None:
    """The first document that cannot be decoded, and why; None if all can.

    Args:
        saved: as read.
        readable: decodes a document, and raises if it cannot.
        sealed: the checksums are correct, so a document that cannot be decoded is intact.

    Raises:
        StoreDamagedError: at a document that cannot be decoded, unless ``sealed``.
    """
    for name, document in saved.documents.items():
        try:
            readable(name, document)
        except UNDECODABLE as error:
            if not sealed:
                raise StoreDamagedError(f"document {name} cannot be decoded: {error}") from error
            return name, error
    return None
