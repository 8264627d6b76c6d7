"""JSON messages → columns of raw values. A message is one record or an array of them.

Two passes: a typed one in C, and a tolerant one that decodes record by record the messages that the first one refuses
(``NaN``, ``1e999``, text in a numeric field, one bad record in an array).
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from monitor.decode.unknown_fields import sampled
from monitor.rows.records import RawColumns

if TYPE_CHECKING:
    from collections.abc import Iterable

    from monitor.rows.records import Messages

Kind = str  # "number", "time" or "any"


class JsonDecoder:
    """Reads the fields at given dotted paths from JSON records.

    Args:
        paths: dotted path → kind of value: ``number`` and ``time`` take the fast path if they have that type.
        max_bytes: larger messages are rejected unread.
        max_rows: messages with more records are rejected whole.
    """

    def __init__(self, paths: dict[str, Kind], max_bytes: int, max_rows: int) -> None:
        self._paths, self._within = _flat_keys([tuple(path.split(".")) for path in paths])
        self._names = list(paths)
        self._max_bytes, self._max_rows = max_bytes, max_rows
        record: Any = dict[str, Any]
        flatten: Callable[[Any], tuple[object, ...]] = self._plain
        if not any(_UNNAMEABLE.search(key) for path in self._paths for key in path):
            record, flatten = _record_type("Record", list(zip(self._paths, paths.values(), strict=True)))
        self._flatten = _looking_within(flatten, self._within) if self._within else flatten
        self._decode = msgspec.json.Decoder(record | list[record]).decode  # made at run time

    def decode(self, messages: Messages) -> RawColumns:
        """All records of ``messages``, in order; an unreadable record is a reject with a reason, never an error."""
        rows: list[tuple[object, ...]] = []
        owners: list[int] = []
        within: list[int] = []
        rejects: dict[int, str] = {}
        blank = (None,) * len(self._paths)
        decode, flatten = self._decode, self._flatten
        for owner, raw in enumerate(messages.values):
            records: Iterable[tuple[object, ...] | str]
            if raw is None:
                records = ("empty",)
            elif len(raw) > self._max_bytes:
                records = ("too_large",)
            else:
                try:
                    decoded = decode(raw)
                except (msgspec.DecodeError, RecursionError, UnicodeError):
                    records = self._tolerant(raw)
                else:
                    if type(decoded) is not list:
                        owners.append(owner)
                        within.append(0)
                        rows.append(flatten(decoded))
                        continue
                    records = map(flatten, decoded) if len(decoded) <= self._max_rows else ("too_large",)
            for index, record in enumerate(records):
                owners.append(owner)
                within.append(index)
                if isinstance(record, str):
                    rejects[len(rows)] = record
                    rows.append(blank)
                else:
                    rows.append(record)
        columns = dict(zip(self._names, zip(*rows, strict=True), strict=True)) if rows else {}
        return RawColumns(
            columns,
            messages.offsets[np.array(owners, dtype=np.int64)],
            np.array(within, dtype=np.int64),
            rejects,
            self._whole(messages, owners, rejects),
            record=lambda row: _record(messages.values[owners[row]], within[row]),
        )

    def _whole(self, messages: Messages, owners: list[int], rejects: dict[int, str]) -> dict[int, Mapping[str, Any]]:
        """Row → record, of the messages in the sample."""
        sample: dict[int, Mapping[str, Any]] = {}
        for owner in np.flatnonzero(sampled(messages.offsets)).tolist():
            raw, first = messages.values[owner], bisect_left(owners, owner)
            if raw is None or first in rejects:
                continue
            try:
                document = msgspec.json.decode(raw)
            except (msgspec.DecodeError, RecursionError, UnicodeError):
                continue  # the tolerant pass may read it, but the record may be malformed
            records = document if isinstance(document, list) else [document]
            sample |= {first + index: record for index, record in enumerate(records) if isinstance(record, dict)}
        return sample

    def _tolerant(self, raw: bytes) -> list[tuple[object, ...] | str]:
        try:
            document = json.loads(raw)
        except (ValueError, RecursionError):
            return ["malformed"]
        records = document if isinstance(document, list) else [document]
        if len(records) > self._max_rows:
            return ["too_large"]
        return [
            _completed(self._plain(record), self._within) if isinstance(record, dict) else "malformed"
            for record in records
        ]

    def _plain(self, record: Mapping[str, Any]) -> tuple[object, ...]:
        return tuple(_at(record, path) for path in self._paths)


_UNNAMEABLE = re.compile(r'["\\\x00-\x1f]')
"""Keys that msgspec does not allow as field names; records with such keys are read as plain objects."""
Within = Sequence[tuple[int, int, tuple[str, ...]]]


def _flat_keys(paths: Sequence[tuple[str, ...]]) -> tuple[list[tuple[str, ...]], Within]:
    """The keys of values if one path is the beginning of another, such as ``addr`` and ``addr.zip``.

    A record with a plain value at ``addr`` cannot have an object there, so ``addr.zip`` is then a separate key.

    Returns:
        For each path its keys, ``("addr.zip",)`` for the longer one; and for each longer path its number, that of the
        shorter one, and the keys below it, where the value is looked for if the shorter path holds an object after all.
    """
    known = {path: number for number, path in enumerate(paths)}
    keys, within = list(paths), []
    for number, path in enumerate(paths):
        for size in range(1, len(path)):
            if path[:size] in known:
                keys[number] = (*path[: size - 1], ".".join(path[size - 1 :]))
                within.append((number, known[path[:size]], path[size:]))
                break
    return keys, within


def _completed(row: tuple[object, ...], within: Within) -> tuple[object, ...]:
    if not within:
        return row
    values = list(row)
    for index, shorter, below in within:
        if values[index] is None:
            values[index] = _at(row[shorter], below)
    return tuple(values)


def _looking_within(
    flatten: Callable[[Any], tuple[object, ...]], within: Within
) -> Callable[[Any], tuple[object, ...]]:
    return lambda record: _completed(flatten(record), within)


def _record(raw: bytes | None, index: int) -> dict[str, Any]:
    """One record of a message; empty if it is not an object."""
    try:
        document = json.loads(raw or b"null")
    except (ValueError, RecursionError):
        return {}
    if isinstance(document, list):
        document = document[index] if index < len(document) else None
    return document if isinstance(document, dict) else {}


def _at(record: Any, path: tuple[str, ...]) -> object:
    for key in path:
        record = record.get(key) if isinstance(record, dict) else None
    return record


_TYPES: dict[Kind, Any] = {"number": float | None, "time": datetime | int | float | None, "any": Any}


def _record_type(
    name: str, leaves: list[tuple[tuple[str, ...], Kind]]
) -> tuple[type[msgspec.Struct], Callable[[Any], tuple[object, ...]]]:
    """A struct type with exactly these fields, and a function that returns its values in the order of ``leaves``."""
    groups: dict[str, list[int]] = {}
    for index, (path, _) in enumerate(leaves):
        groups.setdefault(path[0], []).append(index)
    fields: list[tuple[str, Any, Any]] = []
    inner: list[tuple[int, Callable[[Any], tuple[object, ...]], int]] = []
    order: list[int] = []
    for number, indexes in enumerate(groups.values()):
        if len(indexes) == 1 and len(leaves[indexes[0]][0]) == 1:
            fields.append((f"f{number}", _TYPES[leaves[indexes[0]][1]], None))
        else:
            below, flatten = _record_type(
                f"{name}{number}", [(leaves[index][0][1:], leaves[index][1]) for index in indexes]
            )
            fields.append((f"f{number}", below | None, None))
            inner.append((number, flatten, len(indexes)))
        order += indexes
    rename = {f"f{number}": key for number, key in enumerate(groups)}
    struct = msgspec.defstruct(name, fields, rename=rename, gc=False)
    astuple = msgspec.structs.astuple
    if not inner and order == sorted(order):
        return struct, astuple
    nested = {number: (flatten, size) for number, flatten, size in inner}
    rank = np.argsort(order).tolist()

    def flattened(record: Any) -> tuple[object, ...]:
        values: list[object] = []
        for number, value in enumerate(astuple(record)):
            if number in nested:
                flatten, size = nested[number]
                values.extend((None,) * size if value is None else flatten(value))
            else:
                values.append(value)
        return tuple(values[index] for index in rank)

    return struct, flattened
