"""Reads the values of each model from records, and makes its rows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from detectors.layout import MISSING
from monitor.decode.encoder import Encoder
from monitor.decode.unknown_fields import UnknownFields, holds_any, sampled
from monitor.reference.joint import read_embedding
from monitor.reference.tables import in_reference
from monitor.rows.categories import label
from monitor.rows.outputs import OutputReader
from monitor.rows.records import ModelRows, RawColumns
from monitor.windows.series import UNVERSIONED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from detectors.array_types import Integers
    from monitor.config.model import ModelSection
    from monitor.reference.by_version import ReferencesByVersion
    from monitor.reference.profile import Profile

    Texts = NDArray[np.object_]

_UNHASHABLE = (list, dict, np.ndarray)


class RawReader:
    """Reads the raw values of a model that is still learning its reference."""

    def __init__(self, model: ModelSection) -> None:
        columns = model.columns
        prefix = f"{columns.features_at}." if columns.features_at else ""
        further = (columns.id, columns.lower, columns.upper, columns.label, *columns.embeddings)
        outputs = (columns.prediction, *columns.scores().values(), *(name for name in further if name is not None))
        named = {name: prefix + name for name in columns.features or []} | {name: name for name in outputs}
        named |= {name: named.get(name, name) for name in model.segments}
        self.name = model.name
        self.columns, self.paths = tuple(named), tuple(named.values())
        self.timestamp, self.version, self.model = columns.timestamp, columns.version, columns.model
        self.segments = [(name, named[name]) for name in model.segments]
        self.features = tuple(prefix + name for name in columns.features or []) + tuple(columns.embeddings)

    def kinds(self) -> dict[str, str]:
        """Every path that this model reads → its kind for `monitor.decode.json`."""
        others = [path for path in (self.version, self.model) if path is not None]
        return dict.fromkeys((*self.paths, *others), "any") | {self.timestamp: "time"}

    def rows(self, raw: RawColumns, times: Integers, index: Integers, versions: Texts) -> list[ModelRows]:
        """The rows of a chunk at ``index``, with their raw values."""
        rows = index.tolist()
        values = tuple(list(at(raw.columns[path], rows)) for path in self.paths)
        segments = tuple(_labels(name, at(raw.columns[path], rows)) for name, path in self.segments)
        none = np.zeros((len(rows), 0))
        of_features = [column for path, column in zip(self.paths, values, strict=True) if path in self.features]
        empty = np.array([all(value is None for value in row) for row in zip(*of_features, strict=True)], dtype=bool)
        return [
            ModelRows(
                self.name, index, times[index], none.astype(np.int64), none, versions, segments, raw=values,
                bare=holds_none(raw, index, empty, self.features),
            )
        ]  # fmt: skip


class ModelReader:
    """Reads and encodes one model's values."""

    def __init__(self, model: ModelSection, references: ReferencesByVersion, *, with_ids: bool) -> None:
        columns = model.columns
        self.name, self.references = model.name, references
        self.encoders = [Encoder(profile) for profile in references.profiles]
        self.readers = [
            OutputReader(model, profile.performance.classes, profile.performance.names, with_ids=with_ids)
            for profile in references.profiles
        ]
        self.embeddings = {f"embedding:{path}": path for path in columns.embeddings}
        # Paths of each profile's subjects in a record.
        self.paths = [_paths(model, profile) for profile in references.profiles]
        self.timestamp, self.version, self.model = columns.timestamp, columns.version, columns.model
        first = references.profiles[0]
        by_column = dict(zip(first.columns, self.paths[0], strict=True))
        self.segments = [(name, by_column.get(str(in_reference(name, first.columns)), name)) for name in model.segments]
        self._names = UnknownFields(model, self.kinds())
        self._feature_places = [
            [index for index, subject in enumerate(profile.layout.subjects) if subject.startswith("feature:")]
            for profile in references.profiles
        ]
        # A record is usable if it contains a feature of any of the model's references.
        self.features = tuple(
            dict.fromkeys(
                [
                    paths[index]
                    for paths, indexes in zip(self.paths, self._feature_places, strict=True)
                    for index in indexes
                ]
                + list(columns.embeddings)
            )
        )

    def kinds(self) -> dict[str, str]:
        """Every path that this model reads → its kind for `monitor.decode.json`."""
        kinds: dict[str, str] = {}
        for profile, paths in zip(self.references.profiles, self.paths, strict=True):
            for path, numeric in zip(paths, profile.layout.numeric.tolist(), strict=True):
                kind = "number" if numeric else "any"
                kinds[path] = kind if kinds.get(path, kind) == kind else "any"
        kinds |= {path: "any" for _, path in self.segments}
        kinds |= {path: "any" for path in (self.version, self.model) if path is not None}
        kinds |= dict.fromkeys(self.embeddings.values(), "any")
        for reader in self.readers:
            kinds |= {path: kinds.get(path, "any") for path in reader.paths}
        return kinds | {self.timestamp: "time"}

    def rows(self, raw: RawColumns, times: Integers, index: Integers, versions: Texts) -> list[ModelRows]:
        """The rows of a chunk at ``index``, grouped by the reference that they are encoded with."""
        if len(self.encoders) == 1:
            return [self._encoded(0, raw, times, index, versions)]
        profiles = np.array([self.references.place(version) for version in versions.tolist()])
        return [
            self._encoded(profile, raw, times, index[profiles == profile], versions[profiles == profile])
            for profile in np.unique(profiles).tolist()
        ]

    def _encoded(self, profile: int, raw: RawColumns, times: Integers, index: Integers, versions: Texts) -> ModelRows:
        rows = index.tolist()
        codes, z = self.encoders[profile].encode([at(raw.columns[path], rows) for path in self.paths[profile]])
        segments = tuple(_labels(name, at(raw.columns[path], rows)) for name, path in self.segments)
        outputs = self.readers[profile].read(raw, rows)
        embeddings = self._embedded(profile, raw, rows)
        empty = (codes[:, self._feature_places[profile]] == MISSING).all(axis=1)
        for path in self.embeddings.values():
            empty &= [value is None for value in at(raw.columns[path], rows)]
        return ModelRows(
            self.name, index, times[index], codes, z, versions, segments, profile, outputs, embeddings,
            unknown=self._unknown(raw, index), bare=holds_none(raw, index, empty, self.features),
        )  # fmt: skip

    def _unknown(self, raw: RawColumns, index: Integers) -> dict[int, tuple[str, ...]]:
        if raw.names:
            names = self._names.unknown_columns(raw.names)
            return dict.fromkeys(index[sampled(raw.offsets[index])].tolist(), names)
        own = set(index.tolist()) if raw.records else ()
        return {row: self._names.unknown(record) for row, record in raw.records.items() if row in own}

    def _embedded(self, profile: int, raw: RawColumns, rows: Sequence[int]) -> dict[str, NDArray[np.float64]] | None:
        embeddings = {
            joint.subject: read_embedding(at(raw.columns[path], rows), len(joint.embedder.location))
            for joint in self.references.profiles[profile].joints
            if joint.embedder is not None and (path := self.embeddings[joint.subject])
        }
        return embeddings or None

    def encoded(self, rows: ModelRows, paths: Sequence[str]) -> ModelRows:
        """Encodes rows of a `RawReader` with the reference that has been learned since; ``paths`` are its paths."""
        assert rows.raw is not None
        known = dict(zip(paths, rows.raw, strict=True))
        codes, z = self.encoders[0].encode([known[path] for path in self.paths[0]])
        whole = RawColumns(known, rows.index, np.zeros(len(rows.index), dtype=np.int64), {})
        outputs = self.readers[0].read(whole, range(len(rows.index)))
        embeddings = self._embedded(0, whole, range(len(rows.index)))
        return replace(rows, codes=codes, z=z, outputs=outputs, embeddings=embeddings, raw=None)


def _paths(model: ModelSection, profile: Profile) -> list[str]:
    columns = model.columns
    outputs = {"prediction": columns.prediction, **columns.scores()}
    # The path of a feature is its name in the reference, under `features_at` if records nest their features.
    prefix = f"{columns.features_at}." if columns.features_at else ""
    configured = {in_reference(name, profile.columns): name for name in columns.features or []}
    return [
        outputs.get(subject) or prefix + configured.get(column, column)
        for subject, column in zip(profile.layout.subjects, profile.columns, strict=True)
    ]


def holds_none(
    raw: RawColumns, index: Integers, empty: NDArray[np.bool_], paths: Sequence[str]
) -> NDArray[np.bool_] | None:
    """bool[n], whether a record has none of ``paths``; None if every record has one.

    Args:
        raw: the chunk.
        index: int64[n], its rows.
        empty: bool[n], whether all values there are missing; only these records are examined.
        paths: dotted.
    """
    if not empty.any() or not paths:
        return None
    if raw.names:
        return empty if not any(path in raw.names for path in paths) else None
    if raw.record is None:
        return None
    bare = np.zeros(len(index), dtype=np.bool_)
    for position in np.flatnonzero(empty).tolist():
        bare[position] = not holds_any(raw.record(int(index[position])), paths)
    return bare if bare.any() else None


def at(column: Sequence[object], rows: Sequence[int]) -> Sequence[object]:
    """The values of a column at ``rows``."""
    return column if len(rows) == len(column) else [column[row] for row in rows]


def versions_of(values: Sequence[object] | None, size: int) -> Texts:
    """object[size]: the version of each row."""
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


def _labels(name: str, values: Sequence[object]) -> Texts:
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
