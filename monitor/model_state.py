"""A model's windows to and from what is saved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.panes import PaneRing
from monitor.saved import ModelChange, SavedModel, SavedSeries
from monitor.windows import Series, SeriesKey

if TYPE_CHECKING:
    from monitor.records import Partition
    from monitor.windows import ModelWindows


def shape_of(windows: ModelWindows) -> str:
    """Changes whenever kept panes could not be used as they are."""
    return f"pane={windows.pane} lateness={windows.lateness} windows={[(w.length, w.step) for w in windows.windows]}"


def restore(windows: ModelWindows, saved: SavedModel, fingerprint: str) -> bool:
    """Puts saved counts into empty windows; False if they were made with another reference or other windows.

    The totals go on in either case; counts of another shape would be wrong, so the windows then fill anew.
    """
    windows.tally.rows = dict(saved.rows)
    windows.tally.late, windows.tally.overflow = saved.late, saved.overflow
    if saved.fingerprint != fingerprint or saved.shape != shape_of(windows):
        return False
    windows.watermark = saved.watermark
    windows.evaluated = dict(saved.evaluated)
    for stored in saved.series:
        rings = {step: PaneRing(step, size, windows.subjects) for step, size in windows.capacities.items()}
        for step, panes in stored.panes.items():
            for pane in panes:
                rings[step].add(pane)
            rings[step].mark_clean()
        windows.series[SeriesKey(stored.version, stored.segment)] = Series(rings, stored.started, stored.latest)
    for step, ledger in saved.offsets.items():
        windows.offsets[step] = {start: dict(ranges) for start, ranges in ledger.items()}
    return True


def changes(windows: ModelWindows, fingerprint: str, *, fresh: bool) -> ModelChange:
    """What the next checkpoint must save of a model; `mark_saved` afterwards, once it is saved.

    Args:
        windows: the model's windows.
        fingerprint: of its profile.
        fresh: what was saved before cannot be used and is to be dropped.
    """
    series = tuple(
        SavedSeries(
            key.version,
            key.segment,
            state.started,
            state.latest,
            {step: ring.dirty_panes() for step, ring in state.rings.items() if ring.dirty.any()},
        )
        for key, state in windows.series.items()
        if any(ring.dirty.any() for ring in state.rings.values())
    )
    offsets: dict[int, dict[int, dict[Partition, tuple[int, int]]]] = {}
    for step, start in windows.dirty_offsets:
        ranges = windows.offsets[step].get(start)
        if ranges is not None:
            offsets.setdefault(step, {})[start] = dict(ranges)
    oldest = None if windows.watermark is None else windows.watermark - windows.longest - windows.pane
    model = SavedModel(
        fingerprint,
        shape_of(windows),
        windows.watermark,
        dict(windows.evaluated),
        dict(windows.tally.rows),
        windows.tally.late,
        windows.tally.overflow,
        series,
        offsets,
    )
    return ModelChange(model, oldest, tuple((key.version, key.segment) for key in windows.ended), fresh)


def mark_saved(windows: ModelWindows) -> None:
    """What `changes` told has been saved."""
    for series in windows.series.values():
        for ring in series.rings.values():
            ring.mark_clean()
    windows.dirty_offsets.clear()
    windows.ended.clear()
