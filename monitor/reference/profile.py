"""A profile: a model's reference as counts. It contains no row of the reference."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.drift.dispersion import MIN_BLOCKS
from detectors.drift.reference import Dispersion, Reference, independent_rows, prepare
from detectors.drift.seasons import mixed
from detectors.layout import BINS, COLUMNS, Counts, Layout
from monitor.common.codec import from_json, to_json, to_plain_json
from monitor.common.durations import parse_duration
from monitor.common.errors import ReferenceDataError
from monitor.reference.joint import JointModel
from monitor.reference.performance import PerformanceProfile
from monitor.reference.performance_file import PerformanceFile, performance_in, performance_out
from monitor.reference.streams import Streams
from monitor.windows.counting import moments_as_fixed, moments_as_float

if TYPE_CHECKING:
    from pathlib import Path

Integers = NDArray[np.int64]
Array = NDArray[np.float64]
FORMAT = "leewayd-profile"
VERSION = 2


@dataclass(frozen=True, slots=True)
class Profile:
    """A model's reference.

    Attributes:
        layout: subjects and the meaning of their columns.
        columns: for each subject the name of its column in the reference.
        edges: numeric subject → bin edges in the feature's own unit.
        top, others: categorical subject → categories with their own bin, and the other known ones.
        open_vocabulary: categorical subject → whether the reference has more categories than are listed.
        counts: of all rows.
        segments: segment label → counts of its rows.
        dispersions: window length in ms → how much windows of that length differ within the reference.
        first, last: event times of the first and last row, epoch ms; None if the reference has no times.
        performance: performance on the reference.
        season: name of the season (`detectors.drift.seasons.SLOTS`); None to compare windows with all rows.
        slots: with a season, counts of the rows of each slot, leading dimension H.
        joints: joint models of features and of embeddings.
        streams: series of pane means for sequential tests: scores, the prediction.
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
    joints: tuple[JointModel, ...] = ()
    streams: Streams | None = None

    @property
    def rows(self) -> int:
        """Rows of the reference."""
        return int(self.counts.rows)

    def fingerprint(self) -> str:
        """A hash that changes whenever the meaning of a column of counts changes.

        Saved panes with another fingerprint cannot be used.
        """
        fields = [
            self.layout.subjects,
            sorted(self.edges.items()),
            sorted(self.top.items()),
            sorted(self.others.items()),
        ]
        moments = [self.layout.location.tolist(), self.layout.scale.tolist()]
        return hashlib.sha256(msgspec.json.encode([fields, moments])).hexdigest()[:16]

    def seasonal(self, rows: NDArray[np.float64], window_ms: int) -> Reference | None:
        """The reference for a window with ``rows`` in each slot; None if the reference lacks these hours."""
        assert self.slots is not None
        counts = mixed(self.slots, rows)
        return None if counts is None else prepare(self.layout, counts, self.dispersion(window_ms))

    def dispersion(self, window_ms: int) -> Dispersion:
        """The dispersion of windows of a length, or of the nearest known length; without any, of independent rows."""
        if not self.dispersions:
            return independent_rows(len(self.layout.subjects))
        nearest = min(self.dispersions, key=lambda known: abs(np.log(known / window_ms)))
        return self.dispersions[nearest]

    def windows_taken_as_independent(self, windows: Sequence[str]) -> list[str]:
        """Window lengths for which rows are assumed independent: the reference contains too few such windows."""
        known = {length: dispersion.blocks for length, dispersion in self.dispersions.items()}
        return [name for name in windows if known.get(parse_duration(name), 0) < MIN_BLOCKS]

    def category(self, subject: str, column: int) -> str | None:
        """The category that a regular column of a categorical subject stands for."""
        names = self.top.get(subject, ())
        return names[column] if column < len(names) else None


class _CountsFile(msgspec.Struct):
    """`Counts` with moments in fixed point, which are exact in text."""

    rows: int
    bins: Integers
    moments: Integers
    extremes: Array


class _Header(msgspec.Struct):
    format: str
    version: int


class _ProfileFile(msgspec.Struct):
    """`Profile` as readable JSON: the layout as its inputs, unused bins left out, one list for each slot."""

    format: str
    version: int
    subjects: tuple[str, ...]
    columns: tuple[str, ...]
    numeric: list[bool]
    location: list[float]
    scale: list[float]
    centers: list[Array]
    edges: dict[str, tuple[float, ...]]
    top: dict[str, tuple[str, ...]]
    others: dict[str, tuple[str, ...]]
    open_vocabulary: dict[str, bool]
    counts: _CountsFile
    segments: dict[str, _CountsFile]
    dispersions: dict[int, Dispersion]
    first: int | None
    last: int | None
    performance: PerformanceFile
    season: str | None = None
    slots: list[_CountsFile] = []
    joints: list[msgspec.Raw] = []
    streams: list[msgspec.Raw] = []


_AS_THEY_ARE = ("columns", "edges", "top", "others", "open_vocabulary", "dispersions", "first", "last", "season")
"""Fields of a profile that are stored unchanged."""


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
    for index, subject in enumerate(subjects):
        if numeric[index]:
            own = np.array(edges[subject])
            standard[index, : own.size] = (own - location[index]) / scale[index]
            width[index] = own.size - 1
        else:
            width[index] = len(top[subject])
    return Layout(
        subjects, np.array(numeric, dtype=bool), width, standard, centers, np.array(location), np.array(scale)
    )


def encode_profile(profile: Profile) -> bytes:
    """The profile as one JSON document."""
    layout = profile.layout
    file = _ProfileFile(
        format=FORMAT,
        version=VERSION,
        subjects=layout.subjects,
        numeric=layout.numeric.tolist(),
        location=layout.location.tolist(),
        scale=layout.scale.tolist(),
        centers=[row[:width] for row, width in zip(layout.centers, layout.width * layout.numeric, strict=True)],
        counts=_counts_out(profile.counts),
        segments={key: _counts_out(counts) for key, counts in profile.segments.items()},
        performance=performance_out(profile.performance),
        slots=[] if profile.slots is None else [_counts_out(slot) for slot in _split(profile.slots)],
        joints=[msgspec.Raw(to_json(joint)) for joint in profile.joints],
        streams=[] if profile.streams is None else [msgspec.Raw(to_json(profile.streams))],
        **{name: getattr(profile, name) for name in _AS_THEY_ARE},
    )
    return to_plain_json(file)


def save_profile(profile: Profile, path: Path) -> None:
    """Writes the profile to a file, whole or not at all."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_bytes(encode_profile(profile))
    fresh.replace(path)


def _split(slots: Counts) -> list[Counts]:
    return [Counts(*arrays) for arrays in zip(slots.rows, slots.bins, slots.moments, slots.extremes, strict=True)]


def _stacked(slots: list[Counts]) -> Counts:
    return Counts(*(np.stack([getattr(slot, field.name) for slot in slots]) for field in fields(Counts)))


def _counts_out(counts: Counts) -> _CountsFile:
    return _CountsFile(int(counts.rows), counts.bins, moments_as_fixed(counts.moments), counts.extremes)


def _counts_in(stored: _CountsFile, subjects: int) -> Counts:
    return Counts(
        np.array(stored.rows, dtype=np.int64),
        stored.bins.reshape(subjects, COLUMNS),
        moments_as_float(stored.moments.reshape(subjects, 2)),
        # Null where no extreme exists.
        np.where(np.isnan(stored.extremes), [np.inf, -np.inf], stored.extremes).reshape(subjects, 2),
    )


def is_profile(path: Path) -> bool:
    """Whether a file is a profile and not a table."""
    if path.suffix.lower() != ".json":
        return False
    with path.open("rb") as file:
        return file.read(200).lstrip().startswith(b'{"format":"' + FORMAT.encode())


def load_profile(path: Path) -> Profile:
    """A profile written by `save_profile`.

    Raises:
        ReferenceDataError: if it is corrupt or of another version.
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
        source: its origin, for errors.

    Raises:
        ReferenceDataError: if it is corrupt or of another version.
    """
    try:
        header = from_json(raw, _Header, strict=True)
        if header.version != VERSION:
            raise ReferenceDataError(
                f"{source}: profile version {header.version}, this leewayd reads {VERSION}; build it again"
            )
        file = from_json(raw, _ProfileFile, strict=True)
        size = len(file.subjects)
        centers = np.full((size, BINS), np.nan)
        for index, row in enumerate(file.centers):
            centers[index, : len(row)] = row
        return Profile(
            layout=make_layout(file.subjects, file.numeric, file.location, file.scale, file.edges, file.top, centers),
            counts=_counts_in(file.counts, size),
            segments={key: _counts_in(counts, size) for key, counts in file.segments.items()},
            performance=performance_in(file.performance),
            slots=_stacked([_counts_in(slot, size) for slot in file.slots]) if file.slots else None,
            joints=tuple(from_json(joint, JointModel) for joint in file.joints),
            streams=from_json(file.streams[0], Streams) if file.streams else None,
            **{name: getattr(file, name) for name in _AS_THEY_ARE},
        )
    except (ValueError, KeyError, IndexError) as error:
        raise ReferenceDataError(f"{source}: not a profile, or a corrupt one: {error}") from error
