"""Data passed between source, decoder and windows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

REJECT_REASONS = (
    "empty", "malformed", "too_large", "no_model", "no_timestamp", "bad_timestamp", "past", "future", "no_features",
    "no_label", "bad_label", "failed",
)  # fmt: skip
"""Reasons why a row cannot be used."""


class Partition(NamedTuple):
    """One ordered stream of messages: a Kafka partition, or a file (then ``topic`` is its name, partition 0)."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class BrokerTime:
    """When a message was written, epoch ms, by the clock of the broker or else of the producer."""

    at: int
    by_broker: bool


@dataclass(frozen=True, slots=True)
class Messages:
    """Raw messages of one partition, in order; ``written`` is the time of the last one, if known."""

    partition: Partition
    offsets: NDArray[np.int64]
    values: Sequence[bytes | None]
    written: BrokerTime | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """Rows that arrive as columns (Parquet); row i has offset ``first_offset + i``."""

    partition: Partition
    first_offset: int
    rows: int
    columns: Mapping[str, Sequence[object]]


LOSS_REASONS = ("retention", "corrupt", "oversized", "recreated", "gone")
"""Reasons why messages can no longer be read: deleted before they were read; corrupt; larger than
`ingest.max_batch_bytes`; the topic was deleted and created again; it was created again without the partition."""


@dataclass(frozen=True, slots=True)
class Loss:
    """Messages that can no longer be read.

    Attributes:
        reason: one of `LOSS_REASONS`.
        messages: number of lost messages; 0 if unknown (``recreated``, ``gone``).
        resumes: offset at which reading continues.
    """

    partition: Partition
    reason: str
    messages: int
    resumes: int = 0


SOURCE_FAULTS = (
    "unreachable", "authentication", "authorization", "tls", "unknown_topic", "secret", "configuration",
)  # fmt: skip
"""Reasons why a source cannot be read."""


@dataclass(frozen=True, slots=True)
class SourceFault:
    """Why a source cannot be read, in whole or in part: one of `SOURCE_FAULTS`, and a sentence with the address."""

    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class Position:
    """Where reading continues: ``skip`` records of the message at ``offset`` have already been counted."""

    offset: int
    skip: int = 0
    topic_id: str = ""
    clock: int | None = None
    """Greatest event time seen in the partition, epoch ms."""


@dataclass(frozen=True, slots=True)
class Poll:
    """The result of one poll of a source.

    Attributes:
        idle: partitions proven, within the last idle time-out, to contain no unread message.
        lag: messages behind the end, where known.
        assigned: partitions that are new to the reader, and where reading them begins. A partition that was read before
            is assigned again after its topic was deleted and created again.
        up: the source answers.
        fault: fault of the source, which may answer nevertheless; None for no fault.
        finished: the source will bring no more messages (the end of a replayed file).
        done: partitions that will bring no more messages.
    """

    chunks: tuple[Messages | Table, ...] = ()
    partitions: frozenset[Partition] = frozenset()
    idle: frozenset[Partition] = frozenset()
    lag: Mapping[Partition, int] = field(default_factory=dict)
    assigned: Mapping[Partition, Position] = field(default_factory=dict)
    losses: tuple[Loss, ...] = ()
    up: bool = True
    fault: SourceFault | None = None
    finished: bool = False
    done: frozenset[Partition] = frozenset()


@dataclass(frozen=True, slots=True)
class ModelRows:
    """The rows of one model in a chunk.

    Attributes:
        index: int64[n], increasing: numbers of the rows in the chunk.
        times: int64[n], event time, epoch ms.
        codes: int64[n, S], column of each value (`detectors.layout`).
        z: float64[n, S], values in reference standard deviations; NaN where not finite or not numeric.
        versions: model version of each row.
        segments: for each segment column the label of each row (``SEX=1``), None where the value is missing.
        profile: number of the model's reference that the rows were encoded with (`monitor.reference.by_version`).
        outputs: the model's outputs; None where no performance is computed.
        embeddings: subject → float64[n, D], NaN where an embedding cannot be used; None without embeddings.
        raw: the raw values, column by column, while the model is learning its reference.
        unknown: chunk row → names in the record that the model does not know, for rows of the sample
            (`monitor.decode.unknown_fields`); rows outside the sample may also appear.
        bare: bool[n], whether the record contains none of the paths of the model's features, not even with a null;
            None if no record is bare.
    """

    model: str
    index: NDArray[np.int64]
    times: NDArray[np.int64]
    codes: NDArray[np.int64]
    z: NDArray[np.float64]
    versions: NDArray[np.object_]
    segments: tuple[NDArray[np.object_], ...]
    profile: int = 0
    outputs: PredictionOutputs | None = None
    embeddings: Mapping[str, NDArray[np.float64]] | None = None
    raw: tuple[list[object], ...] | None = None
    unknown: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    bare: NDArray[np.bool_] | None = None

    def between(self, first: int, stop: int) -> ModelRows:
        """The rows whose chunk index lies in [first, stop)."""
        low, high = self.index.searchsorted([first, stop])
        if low == 0 and high == len(self.index):
            return self
        return self.take(slice(int(low), int(high)))

    def take(self, selection: slice | NDArray[np.int64]) -> ModelRows:
        """The rows at ``selection``, in its order."""
        return ModelRows(
            self.model,
            self.index[selection],
            self.times[selection],
            self.codes[selection],
            self.z[selection],
            self.versions[selection],
            tuple(labels[selection] for labels in self.segments),
            self.profile,
            None if self.outputs is None else self.outputs.take(selection),
            None if self.embeddings is None else {name: values[selection] for name, values in self.embeddings.items()},
            None if self.raw is None else tuple(_part(column, selection) for column in self.raw),
            self.unknown,
            None if self.bare is None else self.bare[selection],
        )


def _part(column: list[object], selection: slice | NDArray[np.int64]) -> list[object]:
    return column[selection] if isinstance(selection, slice) else [column[row] for row in selection.tolist()]


@dataclass(frozen=True, slots=True)
class Decoded:
    """A chunk, decoded. Row i is either a record or a reject.

    Attributes:
        offsets: int64[N], offset of the message that each row came in.
        within: int64[N], index of the row in its message (a message may contain an array of records).
        times: int64[N], event time, epoch ms; meaningless for rejects.
        rejects: row → reason.
        values: raw message of each rejected row, kept only when a dead-letter topic wants them.
        next_offset: offset of the partition after this chunk.
        hints: reason → fault of the first reject with this reason in the chunk, in words; contains no value.
        feeds, label_feeds: the models whose predictions, and whose labels, the topic contains.
        owners: rejected row → the model that the record names; a record without a model's name concerns every model.
        foreign: rejected rows that name a model which does not read the topic.
    """

    partition: Partition
    offsets: NDArray[np.int64]
    within: NDArray[np.int64]
    times: NDArray[np.int64]
    rejects: Mapping[int, str]
    values: Mapping[int, bytes]
    models: tuple[ModelRows, ...]
    next_offset: int
    labels: tuple[LabelRows, ...] = ()
    hints: Mapping[str, str] = field(default_factory=dict)
    feeds: tuple[str, ...] = ()
    label_feeds: tuple[str, ...] = ()
    owners: Mapping[int, str] = field(default_factory=dict)
    foreign: frozenset[int] = frozenset()

    def first(self) -> tuple[int, int] | None:
        """Offset and event time of the first record; None if all rows are rejects."""
        row = next((row for row in range(len(self.times)) if row not in self.rejects), None)
        return None if row is None else (int(self.offsets[row]), int(self.times[row]))


@dataclass(frozen=True, slots=True)
class RawColumns:
    """Columns of raw values, one row for each record.

    Attributes:
        columns: path → its values; None for rejected rows.
        offsets, within: origin of each row (`monitor.rows.records.Decoded`).
        rejects: row → reason.
    """

    columns: Mapping[str, Sequence[object]]
    offsets: NDArray[np.int64]
    within: NDArray[np.int64]
    rejects: dict[int, str]
    records: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    """Row → the whole record, for a sample of the messages (`monitor.decode.unknown_fields`)."""
    names: Sequence[str] = ()
    """All columns of a table; empty for messages."""
    record: Callable[[int], Mapping[str, Any]] | None = None
    """Returns the whole record of a row; None for tables."""


@dataclass(frozen=True, slots=True)
class PredictionOutputs:
    """Outputs of n rows.

    Attributes:
        ids: raw prediction ids; None where they are not needed.
        scores: float64[n, K], one for each class (binary: of the positive class, K = 1); NaN if missing; K = 0 without
            scores.
        predicted: float64[n], the value, or the number of the class (`UNKNOWN` for a class that the reference lacks,
            but NaN for a binary model); NaN if missing.
        low, high: float64[n], limits of the prediction; NaN if missing.
        items: uint64[n, k], hashes of the ranked items, 0 after the last item; k = 0 unless the task is ranking.
    """

    ids: Sequence[object] | None
    scores: NDArray[np.float64]
    predicted: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    items: NDArray[np.uint64]

    def take(self, selection: slice | NDArray[np.int64]) -> PredictionOutputs:
        """The rows at ``selection``, in its order."""
        ids = self.ids
        if ids is not None:
            ids = ids[selection] if isinstance(selection, slice) else [ids[row] for row in selection.tolist()]
        return PredictionOutputs(
            ids,
            self.scores[selection],
            self.predicted[selection],
            self.low[selection],
            self.high[selection],
            self.items[selection],
        )


@dataclass(frozen=True, slots=True)
class LabelRows:
    """The labels of one model in a chunk.

    Attributes:
        index: int64[n], increasing: numbers of the rows in the chunk.
        times: int64[n], when each label became known, epoch ms.
        ids: raw prediction ids.
        values: [n], structured as `monitor.reference.scorer.Scorer.label_type`; a class is given by its number.
    """

    model: str
    index: NDArray[np.int64]
    times: NDArray[np.int64]
    ids: Sequence[object]
    values: NDArray[np.void]

    def take(self, selection: slice | NDArray[np.int64]) -> LabelRows:
        """The rows at ``selection``, in its order."""
        ids = self.ids[selection] if isinstance(selection, slice) else [self.ids[row] for row in selection.tolist()]
        return LabelRows(self.model, self.index[selection], self.times[selection], ids, self.values[selection])

    def between(self, first: int, stop: int) -> LabelRows:
        """The rows whose chunk index lies in [first, stop)."""
        low, high = self.index.searchsorted([first, stop])
        return self.take(slice(int(low), int(high)))
