"""The snapshot of the daemon: one immutable value, replaced as a whole, read by other threads without a lock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from alerts.evaluation import Evaluation
from alerts.status import AlertGroup, ReceiverStatus
from monitor.labels.document import Totals


class EvaluationKey(NamedTuple):
    """Identifies an evaluation: one window of one series."""

    model: str
    version: str
    segment: str
    window: str


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """One model's health; times are epoch ms, durations seconds; ``labels`` is None if no labels are read.

    Attributes:
        insufficient: number of ``evaluations`` with too little data for every finding.
        first, last: event time of the first and the last row; None before the first row.
        labels_read: usable label records.
        repeated: rows that repeat the id of another row and were counted again, because no labels are read.
        unjudged: windows of performance that still wait for labels at the end of a replay.
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
    """One partition's progress; ``lag`` is None while unknown, ``position`` once the partition is gone."""

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
        failures: turns that failed, after each of which the daemon restarted from its last checkpoint.
        reload_failed: the last attempt to load the configuration again did not succeed.
        reloaded_at: when the configuration in force was loaded, epoch seconds.
    """

    failures: int = 0
    reload_failed: bool = False
    reloaded_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of judging.

    Attributes:
        busy: whether rows have been read whose windows are not judged yet.
        behind_ms: event time that all partitions have reached and that is not judged yet, ms.
        waiting: messages that are not counted yet.
        seconds: estimated time until no message waits, at the rate of the last minute; None if unknown.
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
    """Topic and reason of a reject → hint on the first one."""
    label_topics: frozenset[str] = frozenset()
    learned_rows: int = 0
    """Rows that models have used to learn their reference."""
    ended: bool = False
    """Whether a replay has reached the end of its log."""
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
