"""A profile: what a model's reference looks like, as counts. No row of the reference is kept in it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from detectors.drift.dispersion import MIN_BLOCKS
from detectors.drift.reference import Dispersion, Reference, independent_rows, prepare
from detectors.drift.seasons import mixed
from detectors.layout import BINS, COLUMNS, Counts, Layout
from monitor.common.array_json import from_json, to_json
from monitor.common.durations import parse_duration
from monitor.common.errors import ReferenceDataError
from monitor.reference.joint import Joint
from monitor.reference.performance import PerformanceProfile
from monitor.reference.performance_file import PerformanceFile, performance_in, performance_out
from monitor.reference.streams import Streams
from monitor.windows.counting import moments_as_fixed, moments_as_float

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

FORMAT = "leewayd-profile"
VERSION = 2


@dataclass(frozen=True, slots=True)
class Profile:
    """A model's reference.

    Attributes:
        layout: subjects and the meaning of their columns.
        columns: for each subject the name of its column in the reference.
        edges: numeric subject → bin edges in the feature's own unit.
        top, others: categorical subject → categories with a bin of their own, and the other known ones.
        open_vocabulary: categorical subject → it held more categories than are listed.
        counts: of all rows.
        segments: segment label → counts of its rows.
        dispersions: window length in ms → how windows of that length differ within the reference.
        first, last: event times of the first and last row, epoch ms; None when the reference carries no times.
        performance: what the reference says of performance.
        season: what windows are compared by (`detectors.drift.seasons.SLOTS`); None for the whole reference at once.
        slots: with a season, counts of the rows of each slot, leading dimension H.
        joints: what is watched together: features, embeddings.
        streams: what is followed pane by pane: scores, the prediction.
    """

    layout: Layout
    columns: tuple[str, ...]
    edges: Mapping[str, tuple[float, ...]]
    top: Mapping[str, tuple[str, ...]]
    others: Mapping[str, tuple[str, ...]]
    open_vocabulary: Mapping[str, bool]
    counts: Counts
    segments: Mapping[str, Counts]
    dispersions: Mapping[int, Dispersion]
    first: int | None
    last: int | None
    performance: PerformanceProfile
    season: str | None = None
    slots: Counts | None = None
    joints: tuple[Joint, ...] = ()
    streams: Streams | None = None

    @property
    def rows(self) -> int:
        """Rows of the reference."""
        return int(self.counts.rows)

    def fingerprint(self) -> str:
        """Changes whenever the meaning of a column of counts does: kept panes of another one cannot be used."""
        parts = [
            self.layout.subjects,
            sorted(self.edges.items()),
            sorted(self.top.items()),
            sorted(self.others.items()),
        ]
        moments = [self.layout.location.tolist(), self.layout.scale.tolist()]
        return hashlib.sha256(msgspec.json.encode([parts, moments])).hexdigest()[:16]

    def seasonal(self, rows: NDArray[np.float64], window_ms: int) -> Reference | None:
        """What a window with so many rows in each slot is compared with; None if the reference lacks its hours."""
        assert self.slots is not None
        counts = mixed(self.slots, rows)
        return None if counts is None else prepare(self.layout, counts, self.dispersion(window_ms))

    def dispersion(self, window_ms: int) -> Dispersion:
        """That of windows of a length, or of the nearest length known; that of independent rows when none is."""
        if not self.dispersions:
            return independent_rows(len(self.layout.subjects))
        nearest = min(self.dispersions, key=lambda known: abs(np.log(known / window_ms)))
        return self.dispersions[nearest]

    def windows_taken_as_independent(self, windows: Sequence[str]) -> list[str]:
        """Window lengths whose rows have to be taken for independent: too few such windows lie in the reference."""
        known = {length: found.blocks for length, found in self.dispersions.items()}
        return [name for name in windows if known.get(parse_duration(name), 0) < MIN_BLOCKS]

    def category(self, subject: str, column: int) -> str | None:
        """The category that a regular column of a categorical subject stands for."""
        names = self.top.get(subject, ())
        return names[column] if column < len(names) else None


class _CountsFile(msgspec.Struct):
    rows: int
    bins: list[list[int]]
    moments: list[list[int]]
    extremes: list[list[float | None]]


class _DispersionFile(msgspec.Struct):
    values: list[float]
    missing: list[float]
    location_sd: list[float | None]
    location_reach: list[float | None]
    blocks: int


class _Header(msgspec.Struct):
    format: str
    version: int


class _ProfileFile(msgspec.Struct):
    format: str
    version: int
    subjects: list[str]
    columns: list[str]
    numeric: list[bool]
    location: list[float]
    scale: list[float]
    centers: list[list[float | None]]
    edges: dict[str, list[float]]
    top: dict[str, list[str]]
    others: dict[str, list[str]]
    open_vocabulary: dict[str, bool]
    counts: _CountsFile
    segments: dict[str, _CountsFile]
    dispersions: dict[str, _DispersionFile]
    first: int | None
    last: int | None
    performance: PerformanceFile
    season: str | None = None
    slots: list[_CountsFile] = msgspec.field(default_factory=list)
    joints: list[msgspec.Raw] = msgspec.field(default_factory=list)
    streams: list[msgspec.Raw] = msgspec.field(default_factory=list)


def make_layout(
    subjects: tuple[str, ...],
    numeric: list[bool],
    location: list[float],
    scale: list[float],
    edges: Mapping[str, tuple[float, ...]],
    top: Mapping[str, tuple[str, ...]],
    centers: NDArray[np.float64],
) -> Layout:
    """The layout of some subjects; ``edges`` in the features' own units."""
    size = len(subjects)
    standard = np.full((size, centers.shape[1] + 1), np.nan)
    width = np.zeros(size, dtype=np.int64)
    for place, subject in enumerate(subjects):
        if numeric[place]:
            own = np.array(edges[subject])
            standard[place, : own.size] = (own - location[place]) / scale[place]
            width[place] = own.size - 1
        else:
            width[place] = len(top[subject])
    return Layout(
        subjects, np.array(numeric, dtype=bool), width, standard, centers, np.array(location), np.array(scale)
    )


def encode_profile(profile: Profile) -> bytes:
    """The profile as one JSON document."""
    layout = profile.layout
    document = _ProfileFile(
        FORMAT,
        VERSION,
        list(layout.subjects),
        list(profile.columns),
        layout.numeric.tolist(),
        layout.location.tolist(),
        layout.scale.tolist(),
        # Trailing unused bins are left out; NaN has no place in JSON.
        [
            _or_null(layout.centers[place, : layout.width[place]]) if layout.numeric[place] else []
            for place in _places(layout)
        ],
        {key: list(values) for key, values in profile.edges.items()},
        {key: list(values) for key, values in profile.top.items()},
        {key: list(values) for key, values in profile.others.items()},
        dict(profile.open_vocabulary),
        _counts_out(profile.counts),
        {key: _counts_out(counts) for key, counts in profile.segments.items()},
        {str(window): _dispersion_out(found) for window, found in profile.dispersions.items()},
        profile.first,
        profile.last,
        performance_out(profile.performance),
        profile.season,
        [] if profile.slots is None else [_counts_out(_slot(profile.slots, h)) for h in range(len(profile.slots.rows))],
        [msgspec.Raw(to_json(joint)) for joint in profile.joints],
        [] if profile.streams is None else [msgspec.Raw(to_json(profile.streams))],
    )
    return msgspec.json.encode(document)


def save_profile(profile: Profile, path: Path) -> None:
    """Writes the profile to a file, whole or not at all."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_bytes(encode_profile(profile))
    fresh.replace(path)


def _slot(slots: Counts, place: int) -> Counts:
    return Counts(slots.rows[place], slots.bins[place], slots.moments[place], slots.extremes[place])


def _places(layout: Layout) -> range:
    return range(len(layout.subjects))


def _counts_out(counts: Counts) -> _CountsFile:
    fixed = moments_as_fixed(counts.moments)
    extremes = [[value if np.isfinite(value) else None for value in pair] for pair in counts.extremes.tolist()]
    return _CountsFile(int(counts.rows), counts.bins.tolist(), fixed.tolist(), extremes)


def _counts_in(stored: _CountsFile, subjects: int) -> Counts:
    extremes = [
        [none if value is None else value for value, none in zip(pair, (np.inf, -np.inf), strict=True)]
        for pair in stored.extremes
    ]
    return Counts(
        np.array(stored.rows, dtype=np.int64),
        np.array(stored.bins, dtype=np.int64).reshape(subjects, COLUMNS),
        moments_as_float(np.array(stored.moments, dtype=np.int64).reshape(subjects, 2)),
        np.array(extremes, dtype=np.float64).reshape(subjects, 2),
    )


def _stacked(slots: list[Counts]) -> Counts:
    return Counts(
        np.stack([slot.rows for slot in slots]),
        np.stack([slot.bins for slot in slots]),
        np.stack([slot.moments for slot in slots]),
        np.stack([slot.extremes for slot in slots]),
    )


def _or_null(values: NDArray[np.float64]) -> list[float | None]:
    """JSON has no NaN."""
    return [value if np.isfinite(value) else None for value in values.tolist()]


def _or_nan(values: list[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _dispersion_out(found: Dispersion) -> _DispersionFile:
    sd, reach = _or_null(found.location_sd), _or_null(found.location_reach)
    return _DispersionFile(found.values.tolist(), found.missing.tolist(), sd, reach, found.blocks)


def _dispersion_in(stored: _DispersionFile) -> Dispersion:
    sd, reach = _or_nan(stored.location_sd), _or_nan(stored.location_reach)
    return Dispersion(np.array(stored.values), np.array(stored.missing), sd, reach, stored.blocks)


def is_profile(path: Path) -> bool:
    """Whether a file is a built profile, and not a table."""
    if path.suffix.lower() != ".json":
        return False
    with path.open("rb") as file:
        return file.read(200).lstrip().startswith(b'{"format":"' + FORMAT.encode())


def load_profile(path: Path) -> Profile:
    """A profile written by `save_profile`.

    Raises:
        ReferenceDataError: if it is damaged or of another version.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ReferenceDataError(f"{path}: {error.strerror}") from error
    return decode_profile(raw, str(path))


def decode_profile(raw: bytes, source: str) -> Profile:
    """The inverse of `encode_profile`.

    Args:
        raw: JSON.
        source: where it comes from, for errors.

    Raises:
        ReferenceDataError: if it is damaged or of another version.
    """
    try:
        found = msgspec.json.decode(raw, type=_Header)
        if found.version != VERSION:
            raise ReferenceDataError(
                f"{source}: profile version {found.version}, this leewayd reads {VERSION}; build it again"
            )
        stored = msgspec.json.decode(raw, type=_ProfileFile)
        size = len(stored.subjects)
        subjects = tuple(stored.subjects)
        edges = {key: tuple(values) for key, values in stored.edges.items()}
        top = {key: tuple(values) for key, values in stored.top.items()}
        centers = np.full((size, BINS), np.nan)
        for place, row in enumerate(stored.centers):
            centers[place, : len(row)] = _or_nan(row)
        return Profile(
            make_layout(subjects, stored.numeric, stored.location, stored.scale, edges, top, centers),
            tuple(stored.columns),
            edges,
            top,
            {key: tuple(values) for key, values in stored.others.items()},
            stored.open_vocabulary,
            _counts_in(stored.counts, size),
            {key: _counts_in(counts, size) for key, counts in stored.segments.items()},
            {int(window): _dispersion_in(found) for window, found in stored.dispersions.items()},
            stored.first,
            stored.last,
            performance_in(stored.performance),
            stored.season,
            _stacked([_counts_in(slot, size) for slot in stored.slots]) if stored.slots else None,
            tuple(from_json(joint, Joint) for joint in stored.joints),
            from_json(stored.streams[0], Streams) if stored.streams else None,
        )
    except (msgspec.DecodeError, ValueError, KeyError, IndexError) as error:
        raise ReferenceDataError(f"{source}: not a profile, or a damaged one: {error}") from error
