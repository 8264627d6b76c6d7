"""Hints on the fault of a rejected record: paths, names and types, never a value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.common.file_kind import kind_of
from monitor.decode.label_reader import LabelReader
from monitor.decode.unknown_fields import shown_names
from monitor.rows.records import Messages

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from monitor.decode.readers import ModelReader, RawReader
    from monitor.rows.records import RawColumns, Table

    Route = ModelReader | RawReader | LabelReader

_TYPES = {
    bool: "true or false", int: "a number", float: "a number", str: "text", dict: "an object", list: "an array",
    tuple: "an array",
}  # fmt: skip


def hints_of(
    raw: RawColumns, rejects: Mapping[int, str], routes: Sequence[Route], chunk: Messages | Table
) -> dict[str, str]:
    """Reason → a hint on the first record rejected for this reason.

    Args:
        raw: the chunk, decoded.
        rejects: row → reason.
        routes: of the models that the topic feeds.
        chunk: as read.
    """
    first: dict[str, int] = {}
    for row in sorted(rejects):
        first.setdefault(rejects[row], row)
    hints = {reason: _hint(reason, raw, row, routes, chunk) for reason, row in first.items()}
    return {reason: hint for reason, hint in hints.items() if hint}


def no_features(raw: RawColumns, row: int, paths: Sequence[str]) -> str:
    """The paths searched in a record without features, and its top-level names."""
    names = raw.names or (() if raw.record is None else raw.record(row))
    return f"looked for {shown_names(paths)}; the record has {shown_names(names)}"


def _hint(reason: str, raw: RawColumns, row: int, routes: Sequence[Route], chunk: Messages | Table) -> str:
    if reason == "malformed" and isinstance(chunk, Messages):
        return _malformed(chunk, int(raw.offsets[row]))
    if reason in ("no_timestamp", "bad_timestamp", "future"):
        path, value = _found(raw, row, [route.timestamp for route in routes])
        if reason == "future":
            return f"at {path!r}: further ahead of the clock than max_future_skew allows"
        return f"at {path!r}: found {kind(value)}"
    if reason == "no_model":
        path, value = _found(raw, row, [str(route.model) for route in routes if route.model is not None])
        return f"at {path!r}: found {'another name' if isinstance(value, str) else kind(value)}"
    if reason in ("no_label", "bad_label"):
        path, value = _found(raw, row, [route.label for route in routes if isinstance(route, LabelReader)])
        return f"at {path!r}: found {kind(value)}{' that is no label of the reference' * (reason == 'bad_label')}"
    return ""


def kind(value: object) -> str:
    """The type of a value, in words."""
    return "nothing" if value is None else _TYPES.get(type(value), "a date")


def _found(raw: RawColumns, row: int, paths: Sequence[str]) -> tuple[str, object]:
    """The first of ``paths`` with a value in a record, and the value; else the first path."""
    pairs = [(path, raw.columns[path][row]) for path in paths if path in raw.columns]
    return next(
        (pair for pair in pairs if pair[1] is not None), pairs[0] if pairs else (paths[0] if paths else "", None)
    )


def _malformed(chunk: Messages, offset: int) -> str:
    value = next((value for value, at in zip(chunk.values, chunk.offsets.tolist(), strict=True) if at == offset), None)
    return f"found {kind_of((value or b'')[:16]) or 'no JSON object'}"
