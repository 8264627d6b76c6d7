"""Counts predictions and their labels in the panes of the predictions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from detectors.array_types import Integers
from monitor.labels.classes import all_classes, translation
from monitor.labels.panes import AHEAD, LABELLED, ROWS
from monitor.labels.queue import Plan
from monitor.windows.series import ALL, OVERFLOW, SeriesKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from monitor.config.model import ModelSection
    from monitor.labels.outcomes import Pairs
    from monitor.labels.panes import LabelledPanes
    from monitor.reference.by_version import ReferencesByVersion
    from monitor.rows.records import ModelRows

Credit = tuple[SeriesKey, Integers, Integers]
"""A series, the starts of some of its panes int64[k], and the counts to add to them int64[k, V]."""


@dataclass(frozen=True, slots=True)
class _Prepared:
    """Cached credits of a plan for each tick; valid until panes are merged."""

    plan: Plan
    coarse: tuple[int | None, int | None]
    credits: list[list[Credit]]


class LabelCredit:
    """Counts rows and joined pairs of one model.

    Args:
        model: its configuration.
        references: of its versions.
        kept: structured dtype of the stored fields of a prediction.
        panes: the panes to add counts to.
    """

    def __init__(
        self, model: ModelSection, references: ReferencesByVersion, kept: np.dtype[np.void], panes: LabelledPanes
    ) -> None:
        self._model, self._type, self._panes = model, kept, panes
        profiles = [profile.performance for profile in references.profiles]
        self._scorers = [profile.scorer for profile in profiles]
        # Labels are numbered among all classes; each profile has its own numbers.
        classes = all_classes(profiles)
        self._numbers = [translation(classes, profile) for profile in profiles]
        self._columns = [f"series{index}" for index in range(1 + len(model.segments))]
        self.names: dict[SeriesKey, int] = {}
        self._prepared: _Prepared | None = None

    def payload(self, rows: ModelRows) -> NDArray[np.void]:
        """The fields of predictions that are stored until their labels arrive."""
        assert rows.outputs is not None
        payload = np.zeros(len(rows.index), dtype=self._type)
        payload["profile"] = rows.profile
        payload["series0"] = self._numbered(rows.versions, None)
        for index, labels in enumerate(rows.segments):
            payload[f"series{index + 1}"] = self._numbered(rows.versions, labels)
        self._scorers[rows.profile].keep(rows.outputs, payload)
        return payload

    def _numbered(self, versions: NDArray[np.object_], labels: NDArray[np.object_] | None) -> Integers:
        """int64[n]: the number of each row's series, −1 if it has none or its segment is beyond the cap."""
        out = np.full(len(versions), -1, dtype=np.int64)
        segments = [ALL] * len(versions) if labels is None else labels.tolist()
        for row, (version, segment) in enumerate(zip(versions.tolist(), segments, strict=True)):
            if segment is None:
                continue
            key = SeriesKey(version, segment)
            number = self.names.get(key)
            if number is None:
                if len(self.names) >= self._model.max_series:
                    if segment != ALL:
                        continue
                    key = SeriesKey(OVERFLOW, ALL)
                number = self.names.setdefault(key, len(self.names))
            out[row] = number
        return out

    def count_rows(self, rows: ModelRows, payload: NDArray[np.void]) -> None:
        """Counts predictions."""
        scorer, starts = self._scorers[rows.profile], self._panes.pane_starts(rows.times)

        def count(chosen: Integers, groups: Integers, size: int) -> Integers:
            vectors = np.zeros((size, 2 + scorer.width + scorer.estimated_width), dtype=np.int64)
            vectors[:, ROWS] = np.bincount(groups, minlength=size)
            if scorer.estimates:
                vectors[:, 2 + scorer.width :] = scorer.estimated(rows.take(chosen), groups, size)
            return vectors

        none = np.zeros(len(starts), dtype=np.int64)
        for column in self._columns:
            for _, credit in self._grouped(none, payload[column], starts, count):
                self._panes.add(*credit)

    def credit(self, pairs: Pairs) -> tuple[Integers, Integers]:
        """Counts joined pairs in the panes of their predictions, and subtracts the old counts of corrected labels.

        Returns:
            When labels that are not corrections became known, and their delays, int64[k] each.
        """
        for credits_of_tick in self._credits(pairs, np.zeros(len(pairs.times), dtype=np.int64), 1):
            for credit in credits_of_tick:
                self._panes.add(*credit)
        return _delays(pairs, 0, len(pairs.times))

    def credit_tick(self, plan: Plan) -> tuple[Integers, Integers]:
        """As `credit`, for the pairs of a plan at its current tick."""
        coarse = (self._panes.fine_from, self._panes.hours_from)
        prepared = self._prepared
        if prepared is None or prepared.plan is not plan or prepared.coarse != coarse:
            ticks = np.repeat(np.arange(len(plan.ticks)), np.diff(plan.bounds))
            prepared = self._prepared = _Prepared(plan, coarse, self._credits(plan.pairs, ticks, len(plan.ticks)))
        for credit in prepared.credits[plan.passed]:
            self._panes.add(*credit)
        return _delays(plan.pairs, *plan.bounds[plan.passed : plan.passed + 2].tolist())

    def _credits(self, pairs: Pairs, ticks: Integers, size: int) -> list[list[Credit]]:
        """The counts that joined pairs add to panes, for each tick number, int64[k] from 0 to ``size`` − 1."""
        added: list[list[Credit]] = [[] for _ in range(size)]
        for profile in range(len(self._scorers)):
            own = np.flatnonzero(pairs.predictions["profile"] == profile)
            if len(own):
                for tick, credit in self._of_profile(pairs, ticks[own], own, profile):
                    added[tick].append(credit)
        return added

    def _of_profile(self, pairs: Pairs, ticks: Integers, own: Integers, profile: int) -> list[tuple[int, Credit]]:
        scorer, predictions, replaced = self._scorers[profile], pairs.predictions[own], pairs.replaced[own]
        labels, old = (self._own(values[own], profile) for values in (pairs.labels, pairs.old_labels))
        starts = self._panes.pane_starts(pairs.times[own])

        def count(chosen: Integers, groups: Integers, size: int) -> Integers:
            fresh, back = ~replaced[chosen], np.flatnonzero(replaced[chosen])
            counts = scorer.realised(predictions[chosen], labels[chosen], groups, size)
            if len(back):
                counts = counts - scorer.realised(predictions[chosen[back]], old[chosen[back]], groups[back], size)
            vectors = np.zeros((size, 2 + scorer.width + scorer.estimated_width), dtype=np.int64)
            vectors[:, LABELLED] = np.bincount(groups[fresh], minlength=size)
            vectors[:, 2 : 2 + scorer.width] = counts
            return vectors

        return [
            credit for column in self._columns for credit in self._grouped(ticks, predictions[column], starts, count)
        ]

    def _own(self, labels: NDArray[np.void], profile: int) -> NDArray[np.void]:
        """Labels in the class numbers of one profile."""
        numbers = self._numbers[profile]
        if numbers is None:
            return labels
        translated = labels.copy()
        translated["value"] = numbers[labels["value"].astype(np.int64)]
        return translated

    def _grouped(
        self, ticks: Integers, series: Integers, starts: Integers, count: Callable[[Integers, Integers, int], Integers]
    ) -> list[tuple[int, Credit]]:
        """Rows int64[n] of ticks and numbered series (−1 for none) in panes, counted group by group."""
        known = np.flatnonzero(series >= 0)
        if not len(known):
            return []
        order = np.lexsort((starts[known], series[known], ticks[known]))
        keys = np.stack([ticks[known], series[known], starts[known]])[:, order]
        fresh = np.append(True, (np.diff(keys, axis=1) != 0).any(axis=0))
        groups = np.empty(len(order), dtype=np.int64)
        groups[order] = np.cumsum(fresh) - 1
        keys = keys[:, fresh]
        vectors = count(known, groups, keys.shape[1])
        edges = np.flatnonzero(np.append(True, (np.diff(keys[:2], axis=1) != 0).any(axis=0))).tolist()
        names, added = list(self.names), list[tuple[int, Credit]]()
        for first, stop in zip(edges, [*edges[1:], keys.shape[1]], strict=True):
            tick, number = keys[:2, first].tolist()
            key = names[number]
            # Versions beyond the cap share one series across references: it counts rows and is never judged.
            own = vectors[first:stop, :AHEAD] if key.version == OVERFLOW else vectors[first:stop]
            added.append((tick, (key, keys[2, first:stop], own)))
        return added


def _delays(pairs: Pairs, first: int, stop: int) -> tuple[Integers, Integers]:
    fresh = ~pairs.replaced[first:stop]
    times, delays = pairs.times[first:stop][fresh], pairs.delays[first:stop][fresh]
    return times + delays, delays
