"""Checkpoints: the durable part of the daemon's state as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from alerts.outbox import OutboxEntry
from monitor.labels.panes import LabelledChange
from monitor.rows.records import Partition, Position
from monitor.windows.panes import Pane


@dataclass(frozen=True, slots=True)
class LoadedSeries:
    """One series of a model.

    Attributes:
        panes: by pane length in ms.
        fingerprint: of the reference that its counts belong to.
        flagged: starts of days with a window judged drifted.
    """

    version: str
    segment: str
    started: int
    latest: int
    panes: Mapping[int, list[Pane]]
    fingerprint: str
    flagged: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """One model.

    Attributes:
        shape: windows, pane and lateness; saved panes of another shape cannot be used.
        evaluated: window → end of the last judged one.
        rows, late, overflow: totals since the state began.
        later: (version, segment, first, last) of lives of series that begin after their present life
            (`monitor.windows.lives`).
        offsets: pane length → pane start → partition → first and last offset.
    """

    shape: str
    watermark: int | None
    evaluated: Mapping[str, int]
    rows: Mapping[str, int]
    late: int
    overflow: int
    series: tuple[LoadedSeries, ...] = ()
    offsets: Mapping[int, Mapping[int, Mapping[Partition, tuple[int, int]]]] = field(default_factory=dict)
    later: tuple[tuple[str, str, int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class LoadedState:
    """The whole state, as loaded at start.

    Attributes:
        names: of all models in the state, including models that the configuration no longer names.
        damage: why the state is corrupt, in a sentence; empty if it is intact.
        lost: the state is corrupt and no backup could be used: all messages of the source must be read again.
    """

    positions: Mapping[Partition, Position] = field(default_factory=dict)
    models: Mapping[str, LoadedModel] = field(default_factory=dict)
    documents: Mapping[str, bytes] = field(default_factory=dict)
    outbox: tuple[OutboxEntry, ...] = ()
    names: frozenset[str] = field(default=frozenset(), compare=False)
    damage: str = field(default="", compare=False)
    lost: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class ModelDelta:
    """The changes of one model: ``model`` contains only dirty panes and ledgers.

    Attributes:
        oldest: pane length → panes that end before this event time are dropped; None to drop none.
        ended: (version, segment) of series that have ended.
        fresh: delete everything saved of the model first.
    """

    model: LoadedModel
    oldest: Mapping[int, int] | None
    ended: tuple[tuple[str, str], ...] = ()
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One transaction; ``gone`` names documents to be deleted."""

    positions: Mapping[Partition, Position]
    models: Mapping[str, ModelDelta]
    documents: Mapping[str, bytes]
    outbox: tuple[OutboxEntry, ...] = ()
    delivered: tuple[str, ...] = ()
    labelled: Mapping[str, LabelledChange] = field(default_factory=dict)
    gone: tuple[str, ...] = ()
