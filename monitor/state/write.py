"""Writes a checkpoint as rows of the state's database, within the caller's transaction."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from monitor.state.read import ModelRow
from monitor.state.tables import BY_MODEL, model_of, put

if TYPE_CHECKING:
    import sqlite3

    from monitor.labels.panes import LabelledChange
    from monitor.state.checkpoint import Checkpoint, LoadedModel, ModelDelta
    from monitor.windows.panes import Pane


def write_checkpoint(database: sqlite3.Connection, checkpoint: Checkpoint, places: int) -> int:
    """Writes a checkpoint.

    Args:
        places: the last assigned place in the outbox.

    Returns:
        The new last assigned place.
    """
    database.execute("DELETE FROM positions")
    put(
        database, "positions",
        [
            (topic, number, position.offset, position.skip, position.topic_id, position.clock)
            for (topic, number), position in checkpoint.positions.items()
        ],
    )  # fmt: skip
    for name, change in checkpoint.models.items():
        _drop_old(database, name, change)
        _write_model(database, name, change.model)
    for name, labelled in checkpoint.labelled.items():
        _write_labelled(database, name, labelled)
    put(database, "documents", list(checkpoint.documents.items()))
    database.executemany("DELETE FROM documents WHERE name = ?", [(name,) for name in checkpoint.gone])
    known = dict(database.execute("SELECT id, place FROM outbox")) if checkpoint.outbox else {}
    for entry in checkpoint.outbox:
        place = known.get(entry.id, places + 1)
        places = max(places, place)
        put(database, "outbox", [(entry.id, place, msgspec.json.encode(entry))])
    database.executemany("DELETE FROM outbox WHERE id = ?", [(entry,) for entry in checkpoint.delivered])
    return places


def _drop_old(database: sqlite3.Connection, name: str, change: ModelDelta) -> None:
    if change.fresh:
        for table in ("panes", "series", "ledger"):
            database.execute(f"DELETE FROM {table} WHERE model = ?", (name,))  # noqa: S608 - table names are ours
    for step, oldest in (change.oldest or {}).items():
        for table in ("panes", "ledger"):
            database.execute(
                f"DELETE FROM {table} WHERE model = ? AND step = ? AND start + step <= ?",  # noqa: S608
                (name, step, oldest),
            )
    for version, segment in change.ended:
        for table in ("panes", "series"):
            database.execute(
                f"DELETE FROM {table} WHERE model = ? AND version = ? AND segment = ?",  # noqa: S608
                (name, version, segment),
            )


def _write_model(database: sqlite3.Connection, name: str, model: LoadedModel) -> None:
    row = ModelRow(
        model.shape, model.watermark, dict(model.evaluated), dict(model.rows), model.late, model.overflow,
        list(model.later),
    )  # fmt: skip
    put(database, "models", [(name, msgspec.json.encode(row))])
    for series in model.series:
        key = (name, series.version, series.segment)
        flagged = msgspec.json.encode(series.flagged)
        put(database, "series", [(*key, series.started, series.latest, series.fingerprint, flagged)])
        put(
            database, "panes",
            [
                (*key, step, pane.start, pane.bins.shape[0], len(pane.extra), _pack(pane))
                for step, panes in series.panes.items()
                for pane in panes
            ],
        )  # fmt: skip
    put(
        database, "ledger",
        [
            (name, step, start, msgspec.json.encode([(*partition, *ends) for partition, ends in ranges.items()]))
            for step, starts in model.offsets.items()
            for start, ranges in starts.items()
        ],
    )  # fmt: skip


def _write_labelled(database: sqlite3.Connection, name: str, change: LabelledChange) -> None:
    one = "DELETE FROM labelled WHERE model = ? AND version = ? AND segment = ?"
    database.executemany(one, [(name, *key) for key in change.dropped])
    database.executemany(f"{one} AND start = ?", [(name, *key, start) for key, start in change.gone])
    if change.before is not None:
        database.execute("DELETE FROM labelled WHERE model = ? AND start + step <= ?", (name, change.before))
    put(
        database, "labelled",
        [(name, *key, start, step, zlib.compress(vector.tobytes(), 1)) for key, start, step, vector in change.panes],
    )  # fmt: skip


def _pack(pane: Pane) -> bytes:
    arrays = (pane.bins, pane.moments, pane.extremes, pane.extra)
    pieces = (np.int64(pane.rows).tobytes(), *(array.tobytes() for array in arrays))
    # Counts are mostly zeros; level 1 compresses them about fifteenfold at little cost.
    return zlib.compress(b"".join(pieces), 1)


def erase_models(database: sqlite3.Connection, names: set[str]) -> dict[str, int]:
    """Deletes all rows of models; returns table → deleted rows. Works in every format."""
    erased: dict[str, int] = {}
    for table in BY_MODEL:
        marks = [(name,) for name in sorted(names)]
        erased[table] = database.executemany(f"DELETE FROM {table} WHERE model = ?", marks).rowcount  # noqa: S608
    erased["models"] = database.executemany("DELETE FROM models WHERE name = ?", marks).rowcount
    documents = [(name,) for (name,) in database.execute("SELECT name FROM documents") if model_of(name) in names]
    database.executemany("DELETE FROM documents WHERE name = ?", documents)
    erased["documents"] = len(documents)
    return erased


def erase_documents(database: sqlite3.Connection, names: set[str]) -> None:
    """Deletes documents. Works in every format."""
    database.executemany("DELETE FROM documents WHERE name = ?", [(name,) for name in sorted(names)])
