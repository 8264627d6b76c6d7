"""Converts chunks of one topic to rows of the models that it feeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from detectors.array_types import Integers
from monitor.common.event_time import to_milliseconds
from monitor.decode.json import JsonDecoder
from monitor.decode.readers import at, versions_of
from monitor.decode.reject_hints import hints_of, no_features
from monitor.rows.categories import canonical
from monitor.rows.records import Decoded, Messages, RawColumns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from monitor.config.schema import Config, IngestSection
    from monitor.decode.label_reader import LabelReader
    from monitor.decode.readers import ModelReader, RawReader
    from monitor.rows.records import LabelRows, ModelRows, Table


@dataclass(frozen=True, slots=True)
class _Timed:
    """Rows of one model in a chunk.

    Attributes:
        index: int64[n], rows with a valid event time.
        times: int64[n], epoch ms.
        rejects: row → reason, for the others.
    """

    index: Integers
    times: Integers
    rejects: dict[int, str]


class TopicDecoder:
    """Decodes the chunks of one topic.

    Args:
        routes: the models that the topic feeds.
        limits: sizes beyond which messages are refused.
        keep_rejected: keep rejected messages for a dead-letter topic.
        labels: the models whose labels the topic holds.
    """

    def __init__(
        self,
        routes: Sequence[ModelReader | RawReader],
        limits: IngestSection,
        keep_rejected: bool,
        labels: Sequence[LabelReader] = (),
    ) -> None:
        self._routes, self._labels = routes, labels
        kinds: dict[str, str] = {}
        for route in (*routes, *labels):
            for path, kind in route.kinds().items():
                kinds[path] = kind if kinds.get(path, kind) == kind else "any"
        self._paths = tuple(kinds)
        self._json = JsonDecoder(kinds, limits.max_message_bytes, limits.max_rows_per_message)
        self._keep_rejected = keep_rejected
        self._skew, self._max_past = limits.max_future_skew, limits.max_past

    def decode(self, chunk: Messages | Table, now: int) -> Decoded:
        """Rows of every model; an unusable record is a reject with a reason.

        Args:
            chunk: as polled.
            now: the present, epoch ms (`monitor.daemon.present`); rows further ahead than the allowed skew are
                rejects, and so are rows older than `max_past` or than the epoch.
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
                names=tuple(chunk.columns),
            )
            next_offset = chunk.first_offset + chunk.rows
        size = len(raw.offsets)
        times, rejects, models, labels = self._read(raw, now)
        owners: dict[int, str] = {}
        foreign: frozenset[int] = frozenset()
        if any(route.model for route in (*self._routes, *self._labels)):
            taken = np.zeros(size, dtype=bool)
            for index in (*(rows.index for rows in models), *(rows.index for rows in labels)):
                taken[index] = True
            for row in np.flatnonzero(~taken).tolist():
                rejects.setdefault(row, "no_model")
            owners, foreign = self._whose(raw, rejects)
        bare = [(route, rows) for rows in models if rows.bare is not None for route in self._routes
                if route.name == rows.model]  # fmt: skip
        values: dict[int, bytes] = {}
        if self._keep_rejected and isinstance(chunk, Messages):
            message = np.searchsorted(chunk.offsets, raw.offsets)
            doubtful = {row for _, rows in bare for row in rows.index[rows.bare].tolist()}
            values = {
                row: value for row in (*rejects, *doubtful) if (value := chunk.values[int(message[row])]) is not None
            }
        hints = hints_of(raw, rejects, (*self._routes, *self._labels), chunk)
        if bare:
            route, rows = bare[0]
            hints["no_features"] = no_features(raw, int(rows.index[rows.bare][0]), route.features)
        return Decoded(
            chunk.partition, raw.offsets, raw.within, times, rejects, values, tuple(models), next_offset, tuple(labels),
            hints, tuple(route.name for route in self._routes), tuple(route.name for route in self._labels), owners,
            foreign,
        )  # fmt: skip

    def _whose(self, raw: RawColumns, rejects: Mapping[int, str]) -> tuple[dict[int, str], frozenset[int]]:
        """Rejected row → the model that its record names; and rows that name a model which reads other topics."""
        owners: dict[int, str] = {}
        foreign = set()
        routes = [route for route in (*self._routes, *self._labels) if route.model is not None]
        for row in rejects if raw.columns else ():
            names = [(route.name, _name(raw.columns[str(route.model)][row])) for route in routes]
            own = next((model for model, name in names if name == model), None)
            if own is not None:
                owners[row] = own
            elif any(name is not None for _, name in names):
                foreign.add(row)
        return owners, frozenset(foreign)

    def _read(self, raw: RawColumns, now: int) -> tuple[Integers, dict[int, str], list[ModelRows], list[LabelRows]]:
        """Event times int64[N], rejects, and the rows and labels of every model."""
        times, rejects = np.zeros(len(raw.offsets), dtype=np.int64), dict(raw.rejects)
        models: list[ModelRows] = []
        labels: list[LabelRows] = []
        for reader in self._routes if raw.columns else ():
            timed = self._timed(reader, raw, now)
            times[timed.index] = timed.times
            rejects |= timed.rejects
            if size := len(timed.index):
                column = None if reader.version is None else at(raw.columns[reader.version], timed.index.tolist())
                models += reader.rows(raw, times, timed.index, versions_of(column, size))
        for label_reader in self._labels if raw.columns else ():
            timed = self._timed(label_reader, raw, now)
            times[timed.index] = timed.times
            rows, unusable = label_reader.rows(raw, times, timed.index)
            rejects |= timed.rejects | unusable
            labels.append(rows)
        return times, rejects, models, labels

    def _timed(self, reader: ModelReader | RawReader | LabelReader, raw: RawColumns, now: int) -> _Timed:
        """The rows of one model that have a valid event time."""
        rows: Sequence[int] = range(len(raw.offsets))
        if reader.model is not None:
            rows = [row for row in rows if _is(raw.columns[reader.model][row], reader.name)]
        stamps = raw.columns[reader.timestamp]
        valid: dict[int, int] = {}
        rejects: dict[int, str] = {}
        ahead, oldest = now + self._skew, max(now - self._max_past, 0)
        for row in rows:
            if row in raw.rejects:
                continue
            value = stamps[row]
            try:
                time = to_milliseconds(value)
            except (ValueError, OverflowError):
                rejects[row] = "no_timestamp" if value is None else "bad_timestamp"
                continue
            if oldest <= time <= ahead:
                valid[row] = time
            else:
                rejects[row] = "past" if time < oldest else "future"
        index, times = (np.fromiter(part, dtype=np.int64, count=len(valid)) for part in (valid, valid.values()))
        return _Timed(index, times, rejects)


def _is(value: object, name: str) -> bool:
    return _name(value) == name


def _name(value: object) -> str | None:
    try:
        return canonical(value)
    except TypeError:
        return None


def make_decoders(
    config: Config, routes: Mapping[str, ModelReader | RawReader], labels: Mapping[str, LabelReader]
) -> dict[str, TopicDecoder]:
    """Topic, or name of a file, → its decoder; ``""`` stands for any file of predictions.

    Args:
        config: validated.
        routes: model name → reader of its values.
        labels: name of each model whose labels are read → reader of its labels.
    """
    limits = config.ingest
    if config.kafka is None:
        files = [] if config.file is None else [path.name for path in config.file.labels]
        router = TopicDecoder([], limits, keep_rejected=False, labels=list(labels.values()))
        # Files feed every model.
        return {"": TopicDecoder(list(routes.values()), limits, keep_rejected=False), **dict.fromkeys(files, router)}
    keep, decoders = config.kafka.dead_letter is not None, {}
    for topic in config.kafka.predictions:
        fed = [routes[model.name] for model in config.models if topic in (model.topics or [topic])]
        decoders[topic] = TopicDecoder(fed, limits, keep_rejected=keep)
    for topic in config.kafka.labels:
        named = {model.name for model in config.models if topic in (model.labels.topics or [topic])}
        readers = [route for name, route in labels.items() if name in named]
        decoders[topic] = TopicDecoder([], limits, keep_rejected=keep, labels=readers)
    return decoders
