"""Chunks of one topic → rows of the models that it feeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from monitor.categories import canonical, label
from monitor.decoder import JsonDecoder, RawColumns
from monitor.encoder import Encoder
from monitor.event_time import to_milliseconds
from monitor.records import Decoded, Messages, ModelRows
from monitor.reference_build import in_reference
from monitor.windows import UNVERSIONED

_UNHASHABLE = (list, dict, np.ndarray)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from monitor.config import IngestSection, ModelSection
    from monitor.profile import Profile
    from monitor.records import Table


class ModelRoute:
    """Where one model's values stand in a record."""

    def __init__(self, model: ModelSection, profile: Profile) -> None:
        columns = model.columns
        self.name = model.name
        self.encoder = Encoder(profile)
        outputs = {"prediction": columns.prediction, **columns.scores()}
        # A feature is found by its name in the reference, under `features_at` if records nest their features.
        prefix = f"{columns.features_at}." if columns.features_at else ""
        configured = {in_reference(name, profile.columns): name for name in columns.features or []}
        self.paths = [
            outputs.get(subject) or prefix + configured.get(column, column)
            for subject, column in zip(profile.layout.subjects, profile.columns, strict=True)
        ]
        self.numeric = profile.layout.numeric.tolist()
        self.timestamp, self.version, self.model = columns.timestamp, columns.version, columns.model
        by_column = dict(zip(profile.columns, self.paths, strict=True))
        self.segments = [
            (name, by_column.get(str(in_reference(name, profile.columns)), name)) for name in model.segments
        ]

    def kinds(self) -> dict[str, str]:
        """Every path that this model reads → its kind for `monitor.decoder`."""
        kinds = {path: "number" if numeric else "any" for path, numeric in zip(self.paths, self.numeric, strict=True)}
        kinds |= {path: "any" for _, path in self.segments}
        kinds |= {path: "any" for path in (self.version, self.model) if path is not None}
        return kinds | {self.timestamp: "time"}


class Router:
    """Decodes the chunks of one topic.

    Args:
        routes: the models that the topic feeds.
        limits: sizes beyond which messages are refused.
        keep_rejected: keep rejected messages for a dead-letter topic.
    """

    def __init__(self, routes: Sequence[ModelRoute], limits: IngestSection, keep_rejected: bool) -> None:
        self._routes = routes
        kinds: dict[str, str] = {}
        for route in routes:
            for path, kind in route.kinds().items():
                kinds[path] = kind if kinds.get(path, kind) == kind else "any"
        self._paths = tuple(kinds)
        self._json = JsonDecoder(kinds, limits.max_message_bytes, limits.max_rows_per_message)
        self._keep_rejected = keep_rejected
        self._skew = limits.max_future_skew

    def decode(self, chunk: Messages | Table, now: int) -> Decoded:
        """Rows of every model; what cannot be used is a reject with its reason.

        Args:
            chunk: as polled.
            now: wall clock, epoch ms; rows from further ahead than the allowed skew are rejects.
        """
        if isinstance(chunk, Messages):
            raw = self._json.decode(chunk)
            next_offset = int(chunk.offsets[-1]) + 1
        else:
            blank: Sequence[object] = (None,) * chunk.rows
            raw = RawColumns(
                {path: chunk.columns.get(path, blank) for path in self._paths},
                np.arange(chunk.first_offset, chunk.first_offset + chunk.rows),
                np.zeros(chunk.rows, dtype=np.int64),
                {},
            )
            next_offset = chunk.first_offset + chunk.rows
        size = len(raw.offsets)
        times = np.zeros(size, dtype=np.int64)
        rejects = dict(raw.rejects)
        models = [rows for route in self._routes if (rows := self._rows(route, raw, times, rejects, now)) is not None]
        if any(route.model for route in self._routes):
            taken = np.zeros(size, dtype=bool)
            for rows in models:
                taken[rows.index] = True
            for row in np.flatnonzero(~taken).tolist():
                rejects.setdefault(row, "no_model")
        values: dict[int, bytes] = {}
        if self._keep_rejected and isinstance(chunk, Messages):
            place = np.searchsorted(chunk.offsets, raw.offsets)
            values = {row: value for row in rejects if (value := chunk.values[int(place[row])]) is not None}
        return Decoded(chunk.partition, raw.offsets, raw.within, times, rejects, values, tuple(models), next_offset)

    def _rows(
        self,
        route: ModelRoute,
        raw: RawColumns,
        times: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
        rejects: dict[int, str],
        now: int,
    ) -> ModelRows | None:
        """The rows of one model; fills in their ``times`` and adds the rejects."""
        if not raw.columns:
            return None
        mine: Sequence[int] = range(len(raw.offsets))
        if route.model is not None:
            mine = [row for row in mine if _is(raw.columns[route.model][row], route.name)]
        stamps = raw.columns[route.timestamp]
        kept: list[int] = []
        ahead = now + self._skew
        for row in mine:
            if row in raw.rejects:
                continue
            value = stamps[row]
            try:
                time = to_milliseconds(value)
            except (ValueError, OverflowError):
                rejects[row] = "no_timestamp" if value is None else "bad_timestamp"
                continue
            if time > ahead:
                rejects[row] = "future"
                continue
            times[row] = time
            kept.append(row)
        if not kept:
            return None
        whole = len(kept) == len(raw.offsets)

        def values(path: str) -> Sequence[object]:
            column = raw.columns[path]
            return column if whole else [column[row] for row in kept]

        codes, z = route.encoder.encode([values(path) for path in route.paths])
        index = np.array(kept, dtype=np.int64)
        return ModelRows(
            route.name,
            index,
            times[index],
            codes,
            z,
            _versions(None if route.version is None else values(route.version), len(kept)),
            tuple(_labels(name, values(path)) for name, path in route.segments),
        )


def _is(value: object, name: str) -> bool:
    try:
        return canonical(value) == name
    except TypeError:
        return False


def _versions(values: Sequence[object] | None, size: int) -> np.ndarray[tuple[int, ...], np.dtype[np.object_]]:
    out = np.empty(size, dtype=object)
    if values is None:
        out[:] = UNVERSIONED
    else:
        known: dict[object, str] = {}
        for row, value in enumerate(values):
            if isinstance(value, _UNHASHABLE):
                out[row] = UNVERSIONED
                continue
            if value not in known:
                known[value] = label(value) or UNVERSIONED
            out[row] = known[value]
    return out


def _labels(name: str, values: Sequence[object]) -> np.ndarray[tuple[int, ...], np.dtype[np.object_]]:
    known: dict[object, str | None] = {}
    out = np.empty(len(values), dtype=object)
    for row, value in enumerate(values):
        if isinstance(value, _UNHASHABLE):
            continue
        if value not in known:
            text = label(value)
            known[value] = None if text is None else f"{name}={text}"
        out[row] = known[value]
    return out
