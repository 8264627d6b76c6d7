"""Saves and restores a model's windows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.common.durations import DAY
from monitor.state.checkpoint import LoadedModel, LoadedSeries, ModelDelta
from monitor.windows.lives import Life
from monitor.windows.series import SeriesKey

if TYPE_CHECKING:
    from monitor.reference.by_version import ReferencesByVersion
    from monitor.windows.windows import ModelWindows


def shape_of(windows: ModelWindows) -> str:
    """A text that changes whenever saved panes can no longer be used."""
    lengths = [(window.length, window.step) for window in windows.windows]
    return f"pane={windows.pane} lateness={windows.lateness} windows={lengths} rolling={windows.rolling}"


def _fingerprint(windows: ModelWindows, references: ReferencesByVersion, profile: int) -> str:
    return references.fingerprints[profile] + windows.specs[profile].fingerprint


def restore(windows: ModelWindows, saved: LoadedModel, references: ReferencesByVersion) -> bool:
    """Restores saved counts into empty windows; False if they belong to other windows.

    The totals continue in both cases. Counts of another shape would be wrong, so the windows then start empty. A series
    whose version has another reference now starts empty, too.
    """
    windows.tally.rows = dict(saved.rows)
    windows.tally.late, windows.tally.overflow = saved.late, saved.overflow
    if saved.shape != shape_of(windows):
        return False
    windows.watermark = saved.watermark
    windows.evaluated = dict(saved.evaluated)
    later: dict[SeriesKey, list[Life]] = {}
    for version, segment, first, last in saved.later:
        later.setdefault(SeriesKey(version, segment), []).append(Life(first, last))
    for stored in saved.series:
        key = SeriesKey(stored.version, stored.segment)
        profile = references.place(stored.version)
        if stored.fingerprint != _fingerprint(windows, references, profile):
            windows.ended.append(key)
            continue
        lives = (Life(stored.started, stored.latest), *later.get(key, ()))
        series = windows.series[key] = windows.new_series(key, profile, lives)
        series.flagged = set(stored.flagged)
        for step, panes in stored.panes.items():
            for pane in panes:
                series.rings[step].add(pane)
            series.rings[step].mark_clean()
    windows.offsets.restore(saved.offsets)
    return True


def changes(windows: ModelWindows, references: ReferencesByVersion, *, fresh: bool) -> ModelDelta:
    """The changes of a model for the next checkpoint; call `mark_saved` once they are saved.

    Args:
        windows: the model's windows.
        references: of its series.
        fresh: the earlier saved state cannot be used and must be deleted.
    """
    series = tuple(
        LoadedSeries(
            key.version,
            key.segment,
            state.started,
            state.lives[0].last,
            {step: ring.dirty_panes() for step, ring in state.rings.items() if ring.dirty.any()},
            _fingerprint(windows, references, state.profile),
            tuple(sorted(state.flagged)),
        )
        for key, state in windows.series.items()
        if state.touched or any(ring.dirty.any() for ring in state.rings.values())
    )
    oldest = None
    if windows.watermark is not None:
        reach = dict.fromkeys(windows.capacities, windows.longest)
        if windows.rolling is not None:
            reach[DAY] = windows.memory
        oldest = {step: windows.watermark - back - windows.pane for step, back in reach.items()}
    model = LoadedModel(
        shape_of(windows),
        windows.watermark,
        dict(windows.evaluated),
        dict(windows.tally.rows),
        windows.tally.late,
        windows.tally.overflow,
        series,
        windows.offsets.changes(),
        tuple((*key, *life) for key, state in windows.series.items() for life in state.lives[1:]),
    )
    return ModelDelta(model, oldest, tuple((key.version, key.segment) for key in windows.ended), fresh)


def mark_saved(windows: ModelWindows) -> None:
    """Marks the last change set as saved."""
    for series in windows.series.values():
        series.touched = False
        for ring in series.rings.values():
            ring.mark_clean()
    windows.offsets.mark_saved()
    windows.ended.clear()
