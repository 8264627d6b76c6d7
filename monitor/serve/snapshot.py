"""The daemon's published status: one immutable value, replaced as a whole, so other threads read it without a lock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from alerts.evaluation import Evaluation
from alerts.status import AlertGroup, ReceiverStatus
from monitor.labels.document import Totals


class EvaluationKey(NamedTuple):
    """Key of an evaluation: one window of one series."""

    model: str
    version: str
    segment: str
    window: str


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """One model's health; times are epoch ms, durations seconds; ``labels`` is None where none are read.

    Attributes:
        insufficient: number of ``evaluations`` with too little data to judge anything.
        first, last: event time of the first and the last row; None before any.
        labels_read: usable label records.
        repeated: rows that repeat an earlier id; counted again, because no labels are read.
        unjudged: performance windows that still wait for labels after a replay.
    """

    name: str
    rows: Mapping[str, int]
    late: int
    overflow: int
    watermark: int | None
    series: int
    unseen: Mapping[str, int]
    invalid: Mapping[str, int]
    evaluations: int
    evaluation_seconds: float
    last_evaluation_seconds: float
    nbytes: int
    labels: Totals | None = None
    insufficient: int = 0
    first: int | None = None
    last: int | None = None
    labels_read: int = 0
    repeated: int = 0
    unjudged: int = 0


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """One partition's progress; ``lag`` is None while unknown, ``position`` after the partition was removed."""

    topic: str
    partition: int
    position: int | None
    lag: int | None
    messages: int
    lost: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """The process around the daemon.

    Attributes:
        failures: failed turns; after each, the daemon restarts from its last checkpoint.
        reload_failed: the last attempt to reload the configuration failed.
        reloaded_at: when the configuration in force was loaded, epoch seconds.
    """

    failures: int = 0
    reload_failed: bool = False
    reloaded_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far judging is behind reading.

    Attributes:
        busy: some rows have been read, but their windows are not judged yet.
        behind_ms: event time between the last judgement and the watermark, ms.
        waiting: messages that are not counted yet.
        seconds: until no message waits, at the rate of the last minute; None while unknown.
    """

    busy: bool = False
    behind_ms: int = 0
    waiting: int = 0
    seconds: float | None = 0.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The content of /metrics and /readyz."""

    evaluations: Mapping[EvaluationKey, Evaluation] = field(default_factory=dict)
    realised: Mapping[EvaluationKey, Evaluation] = field(default_factory=dict)
    models: tuple[ModelStatus, ...] = ()
    partitions: tuple[PartitionStatus, ...] = ()
    rejects: Mapping[tuple[str, str], int] = field(default_factory=dict)
    hints: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """Topic and reason of a reject → the fault in the first rejected record."""
    label_topics: frozenset[str] = frozenset()
    learned_rows: int = 0
    """Rows that models have used to learn their references."""
    ended: bool = False
    """A replay has reached the end of its log."""
    alerts: Mapping[AlertGroup, int] = field(default_factory=dict)
    outbox: Mapping[str, tuple[int, int | None]] = field(default_factory=dict)
    notifications: Mapping[tuple[str, str], int] = field(default_factory=dict)
    receivers: Mapping[str, ReceiverStatus] = field(default_factory=dict)
    checkpoint_at: float | None = None
    checkpoint_seconds: float = 0.0
    checkpoint_failures: int = 0
    state_damaged: Mapping[str, int] = field(default_factory=dict)
    disk_bytes: int = 0
    source_up: bool = False
    process: ProcessStatus = field(default_factory=ProcessStatus)
    progress: Progress = field(default_factory=Progress)
    source_fault: str = ""
    """Why the source cannot be read, one of `monitor.rows.records.SOURCE_FAULTS`; empty when it can."""
    not_ready: str = "starting"
    """Why the daemon is not ready; empty when it is."""
