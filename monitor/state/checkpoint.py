"""What is saved and loaded: the durable part of the daemon's state as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from alerts.outbox import OutboxEntry
from monitor.labels.panes import LabelledChange
from monitor.windows.panes import Pane
from monitor.rows.records import Partition, Position


@dataclass(frozen=True, slots=True)
class LoadedSeries:
    """One series of a model.

    Attributes:
        panes: by pane length in ms.
        fingerprint: of the reference that its counts were made by.
        flagged: starts of days in which a window was found drifted.
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
        shape: windows, pane and lateness; kept panes of another shape cannot be used.
        evaluated: window → end of the last one judged.
        rows, late, overflow: totals since the state began.
        later: (version, segment, first, last) of lives that series have begun after their present one
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
    """Everything, as loaded at start.

    Attributes:
        names: of the models that anything is kept of, those that the configuration no longer names among them.
        damage: what was wrong with the state, in a sentence; empty if nothing was.
        lost: it was damaged and no backup could be used: everything that the source still holds is to be read again.
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
    """What changed in one model: ``model`` holds only dirty panes and ledgers.

    Attributes:
        oldest: pane length → panes that end before this event time are dropped; None for none.
        ended: (version, segment) of series that are gone.
        fresh: drop everything kept of the model first.
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
