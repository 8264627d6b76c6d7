"""Chooses the reference of a window: the given one, its hours of the day or week, the last days, or a learned one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from alerts.evaluation import Finding
from alerts.moments import rfc3339
from detectors.drift.dispersion import MIN_BLOCKS
from detectors.drift.reference import Reference, prepare
from detectors.drift.seasons import slot_rows
from monitor.common.durations import DAY, format_duration
from monitor.evaluate.burn_in import BurnIn
from monitor.reference.profile import Profile
from monitor.windows.series import ALL, OVERFLOW

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from detectors.drift.reference import Dispersion
    from detectors.layout import Counts
    from monitor.config.model import ModelSection
    from monitor.reference.by_version import ReferencesByVersion
    from monitor.windows.series import DueWindow, Series, SeriesKey

_NAN = float("nan")
MIN_ROLLING_ROWS = 1_000
"""Fewer rows make no rolling reference."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The reference of one window.

    Attributes:
        profile, reference: what it is compared with.
        held_back: why nothing may be concluded; empty when it may.
        findings: on the reference itself, where it may be another than the model's or version's own.
        rolling: it is made of the last days.
    """

    profile: Profile
    reference: Reference
    held_back: str
    findings: tuple[Finding, ...]
    rolling: bool = False


class ReferenceChooser:
    """Chooses the reference of each window of a model.

    Args:
        model: its configuration.
        references: as given.
    """

    def __init__(self, model: ModelSection, references: ReferencesByVersion) -> None:
        self._references, self._rolling, self._min_rows = references, model.drift.rolling, model.drift.min_rows
        # Prepared once for each profile, segment and window length; segments of a reference are bounded in number.
        self._static: dict[tuple[int, str, int], Reference | None] = {}
        self._seasonal: dict[tuple[SeriesKey, int], tuple[bytes, Reference | None]] = {}
        self._recent: dict[tuple[SeriesKey, int], tuple[object, Reference | None]] = {}
        burn_in = model.drift.burn_in
        self.burn_ins = (
            {}
            if burn_in is None
            else {
                place: BurnIn(burn_in, len(profile.layout.subjects))
                for place, profile in enumerate(references.profiles)
                if profile.windows_taken_as_independent(model.windows)
            }
        )

    def foreseeable(self, key: SeriesKey, series: Series, due: DueWindow) -> bool:
        """Whether windows of a series can be chosen for before those ahead of them are judged, and share a reference.

        A burn-in learns from one window to the next; a seasonal reference is made for each window.
        """
        place = series.profile
        return not (key.segment == ALL and self._references.profiles[place].season is not None) and not (
            place in self.burn_ins and self._learns(place, due) and not self.burn_ins[place].over(due.end)
        )

    def choose(self, key: SeriesKey, series: Series, due: DueWindow, counts: Counts | None) -> Choice:
        """The reference of a series' window.

        Args:
            key, series, due: the window.
            counts: of it, for the burn-in; None for a window of which judging is not due yet (`foreseeable`).
        """
        place, length = series.profile, due.window.length
        profile = self._references.profiles[place]
        plain = self._given(place, ALL, length)
        assert plain is not None
        if key.version == OVERFLOW:
            reason = "versions and segments beyond max_series are counted together and not judged"
            return Choice(profile, plain, reason, self._findings(key, ""))
        reference = plain if key.segment == ALL else self._given(place, key.segment, length)
        stands_in, recent = "", None
        held_back = ""
        if reference is None:
            reference, held_back = plain, "the reference holds no rows of this segment"
        elif series.started > due.start:
            held_back = "the series is younger than the window"
        if profile.season is not None and key.segment == ALL and not held_back:
            starts, rows = series.rings[due.window.step].pane_rows(due.start, due.end)
            own = self._of_hours(key, profile, length, slot_rows(starts, rows, due.window.step, profile.season))
            if own is None and rows.sum():
                held_back = "the reference holds no rows of these hours"
            reference = own or reference
        if self._rolling is not None:
            recent = self._last_days(key, series, due, profile)
            if recent is None:
                stands_in = (
                    f"the last {format_duration(self._rolling)} hold too few rows of days without drift; "
                    "the configured reference is used instead"
                )
            reference = recent or reference
        if place in self.burn_ins and counts is not None:
            held_back = held_back or self._burn_in(place, key, series, due, counts)
        return Choice(profile, reference, held_back, self._findings(key, stands_in), recent is not None)

    def _of_hours(self, key: SeriesKey, profile: Profile, length: int, rows: NDArray[np.float64]) -> Reference | None:
        """The reference's same hours; made again when the rows of the window's hours are others than before."""
        held = self._seasonal.get((key, length))
        if held is None or held[0] != rows.tobytes():
            held = self._seasonal[key, length] = (rows.tobytes(), profile.seasonal(rows, length))
        return held[1]

    def _given(self, place: int, segment: str, length: int) -> Reference | None:
        profile = self._references.profiles[place]
        if segment != ALL and segment not in profile.segments:
            return None
        name = (place, segment, length)
        if name not in self._static:
            counts = profile.counts if segment == ALL else profile.segments[segment]
            self._static[name] = prepare(profile.layout, counts, self._dispersion(place, length))
        return self._static[name]

    def _dispersion(self, place: int, length: int) -> Dispersion:
        known = self._references.profiles[place].dispersion(length)
        if place in self.burn_ins and known.blocks < MIN_BLOCKS:
            return self.burn_ins[place].dispersion(length)
        return known

    def _burn_in(self, place: int, key: SeriesKey, series: Series, due: DueWindow, counts: Counts) -> str:
        burn_in = self.burn_ins[place]
        if not self._learns(place, due):
            return ""
        burn_in.begin(series.started)
        if burn_in.over(due.end):
            return ""
        if key.segment == ALL and burn_in.add(due.window.length, due.start, counts):
            # References prepared earlier were based on fewer windows.
            self._static.clear()
        return f"burn-in until {rfc3339(burn_in.until())}: learning how much windows vary"

    def _learns(self, place: int, due: DueWindow) -> bool:
        """Whether the reference lacks the dispersion of windows of a length."""
        return self._references.profiles[place].dispersion(due.window.length).blocks < MIN_BLOCKS

    def _last_days(self, key: SeriesKey, series: Series, due: DueWindow, profile: Profile) -> Reference | None:
        """The whole days before the window, within reach, in which nothing was found."""
        assert self._rolling is not None
        today = due.start // DAY * DAY
        days = frozenset(range(today - self._rolling // DAY * DAY, today, DAY)) - series.flagged
        name = (key, due.window.length)
        held = self._recent.get(name)
        if held is None or held[0] != days:
            counts = series.rings[DAY].panes_at(days)
            enough = int(counts.rows) >= max(MIN_ROLLING_ROWS, 10 * self._min_rows)
            dispersion = self._dispersion(series.profile, due.window.length)
            found = prepare(profile.layout, counts, dispersion) if enough else None
            held = self._recent[name] = (days, found)
        return held[1]

    def _findings(self, key: SeriesKey, stands_in: str) -> tuple[Finding, ...]:
        if self._rolling is None and not self._references.versions:
            return ()
        told = self._references.stands_in(key.version) or stands_in
        return (Finding("reference", "fallback", float(bool(told)), _NAN, _NAN, _NAN, "ok", told),)

    def flag(self, choice: Choice, series: Series, due: DueWindow) -> None:
        """Keeps the days of a window that was found drifted out of the rolling reference.

        Only what has drifted from the last days themselves: traffic that lies apart from the given reference from its
        first day on, or has done so for longer than the rolling reference reaches, is the new normal.
        """
        if choice.rolling:
            series.flagged.update(range(due.start // DAY * DAY, due.end, DAY))
            series.touched = True

    def forget(self, key: SeriesKey) -> None:
        """Drops what was prepared for a series that has ended."""
        for kept in (self._recent, self._seasonal):
            for name in [name for name in kept if name[0] == key]:
                del kept[name]
