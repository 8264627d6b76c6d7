"""The performance of one model: predictions wait for their labels, labels are credited to the panes of predictions.

Everything happens at ticks of event time. A label is taken in at the first tick that its partition's clock has reached,
and windows are judged at ticks, so what was judged, and on which labels, is a function of the log.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from monitor.arrays import decode, encode
from monitor.durations import DAY, HOUR, parse_duration
from monitor.kept_labels import keep_labels, take_back_labels
from monitor.label_classes import all_classes, all_names, translation
from monitor.label_findings import BINS, MEMORY_MS, Delays, counted
from monitor.label_join import LabelJoin, Outcome
from monitor.label_state import LabelState, Totals
from monitor.labelled_panes import AHEAD, LABELLED, ROWS, LabelledPanes
from monitor.lives import Lifetimes
from monitor.maturity import Arrivals, Mature, Patience, complete, newest_mature
from monitor.pyramid import Window
from monitor.records import LabelRows
from monitor.window_step import window_step
from monitor.windows import ALL, OVERFLOW, SeriesEnd, SeriesKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from monitor.config import ModelSection
    from monitor.label_join import Pairs
    from monitor.labelled_panes import LabelledChange, PaneReader
    from monitor.records import ModelRows
    from monitor.references import References
    from monitor.scoring import Scorer

    Integers = NDArray[np.int64]

_NEVER = -(2**62)


@dataclass(slots=True)
class _Waiting:
    tick: int
    rows: LabelRows


class Performance:
    """Performance of one model.

    Args:
        model: its configuration, with labels.
        references: what its versions are compared with.
        folder: for the predictions that wait.
        reader: of saved panes.
    """

    def __init__(self, model: ModelSection, references: References, folder: Path, reader: PaneReader) -> None:
        self._model, self._references = model, references
        profiles = [profile.performance for profile in references.profiles]
        self.scorers: list[Scorer] = [profile.scorer for profile in profiles]
        fields = {name: kind for scorer in self.scorers for name, kind in scorer.prediction_type}
        places = [(f"series{place}", "<i4") for place in range(1 + len(model.segments))]
        self._type = np.dtype([("profile", "<i2"), *places, *fields.items()])
        self._label_type = np.dtype(self.scorers[0].label_type)
        # Labels carry the numbers of these classes; each profile has numbers of its own.
        classes = all_classes(profiles)
        self.names = all_names(profiles, binary=model.task == "binary")
        self._numbers = [translation(classes, profile) for profile in profiles]
        self.windows = tuple(
            Window(name, length, window_step(length, model.pane))
            for name, length in sorted(
                ((name, parse_duration(name)) for name in model.performance_windows), key=lambda item: item[1]
            )
        )
        self.tick_ms = min(window.step for window in self.windows)
        self._folder, self._reader = folder, reader
        self._join = self._new_join()
        self.panes = self._new_panes()
        self._names: dict[SeriesKey, int] = {}
        self._waiting: list[_Waiting] = []
        self.judged: dict[str, int] = {}
        self._tick = _NEVER
        self._watermark: int | None = None
        # No window that ends later is judged: the predictions of a replayed log end there. None while they go on.
        self.log_end: int | None = None
        self.delays, self.recent_delays = np.zeros(BINS, dtype=np.int64), Delays()

    def _new_join(self) -> LabelJoin:
        labels = self._model.labels
        return LabelJoin(
            self._folder, self._type, self._label_type, retention_ms=labels.retention_ms, sample=labels.sample
        )

    def _new_panes(self) -> LabelledPanes:
        shortest = self.windows[0].length
        steps = (self.tick_ms, *(step for step in (HOUR, DAY) if step % self.tick_ms == 0))
        coarsest = max(step for step in steps if step >= self.tick_ms and shortest % step == 0)
        # Panes go once no label and no window can reach them; a pane may have become a day long by then.
        lifetimes = Lifetimes(self._kept + max(DAY, self.tick_ms), self.tick_ms)
        return LabelledPanes(self._model.name, self.tick_ms, coarsest, self._reader, lifetimes)

    @property
    def _kept(self) -> int:
        """How long after its end a pane is kept, ms of event time."""
        labels = self._model.labels
        return max(labels.retention_ms, labels.max_delay) + self.windows[-1].length + DAY

    def add(self, rows: ModelRows) -> NDArray[np.bool_]:
        """Takes predictions in; bool[n] of those that are not there already."""
        outputs = rows.outputs
        assert outputs is not None
        assert outputs.ids is not None
        payload = np.zeros(len(rows.index), dtype=self._type)
        payload["profile"] = rows.profile
        payload["series0"] = self._numbered(rows.versions, None)
        for place, labels in enumerate(rows.segments):
            payload[f"series{place + 1}"] = self._numbered(rows.versions, labels)
        scorer = self.scorers[rows.profile]
        scorer.keep(outputs, payload)
        found = self._join.add_predictions(outputs.ids, rows.times, payload)
        new = np.flatnonzero(found.new)
        if len(new):
            self._count_rows(rows.take(new), payload[new], scorer)
        self._credit(found.pairs)
        return np.asarray(found.outcomes != Outcome.DUPLICATE_PREDICTION)

    def _numbered(self, versions: NDArray[np.object_], labels: NDArray[np.object_] | None) -> Integers:
        """int64[n]: the number of each row's series, −1 where it has none or a segment is beyond the cap."""
        out = np.full(len(versions), -1, dtype=np.int64)
        segments = [ALL] * len(versions) if labels is None else labels.tolist()
        for row, (version, segment) in enumerate(zip(versions.tolist(), segments, strict=True)):
            if segment is None:
                continue
            key = SeriesKey(version, segment)
            number = self._names.get(key)
            if number is None:
                if len(self._names) >= self._model.max_series:
                    if segment != ALL:
                        continue
                    key = SeriesKey(OVERFLOW, ALL)
                number = self._names.setdefault(key, len(self._names))
            out[row] = number
        return out

    def _count_rows(self, rows: ModelRows, payload: NDArray[np.void], scorer: Scorer) -> None:
        starts = self.panes.pane_starts(rows.times)

        def count(held: Integers, groups: Integers, size: int) -> Integers:
            vectors = np.zeros((size, 2 + scorer.width + scorer.estimated_width), dtype=np.int64)
            vectors[:, ROWS] = np.bincount(groups, minlength=size)
            if scorer.estimates:
                vectors[:, 2 + scorer.width :] = scorer.estimated(rows.take(held), groups, size)
            return vectors

        for column in self._columns:
            self._add_groups(payload[column], starts, count)

    @property
    def _columns(self) -> list[str]:
        return [f"series{place}" for place in range(1 + len(self._model.segments))]

    def _add_groups(
        self, series: Integers, starts: Integers, count: Callable[[Integers, Integers, int], Integers]
    ) -> None:
        held = np.flatnonzero(series >= 0)
        if not len(held):
            return
        keys, place = np.unique(np.stack([series[held], starts[held]], axis=1), axis=0, return_inverse=True)
        vectors = count(held, place.reshape(-1), len(keys))
        names = list(self._names)
        for number in np.unique(keys[:, 0]).tolist():
            mine, key = keys[:, 0] == number, names[number]
            # Versions beyond the cap share one series, whatever their references: it is never judged, and counts rows.
            own = vectors[mine, :AHEAD] if key.version == OVERFLOW else vectors[mine]
            self.panes.add(key, keys[mine, 1], own)

    def offer(self, labels: LabelRows, clocks: Integers) -> None:
        """Takes labels in that are to be joined once event time has reached their partition's clock at each row."""
        ticks = -(-clocks // self.tick_ms) * self.tick_ms
        edges = np.flatnonzero(np.diff(ticks)) + 1
        for first, stop in zip([0, *edges.tolist()], [*edges.tolist(), len(ticks)], strict=True):
            if stop > first:
                self._waiting.append(_Waiting(int(ticks[first]), labels.take(slice(first, stop))))

    def _join_until(self, tick: int) -> None:
        due = [waiting.rows for waiting in self._waiting if waiting.tick <= tick]
        if not due:
            return
        self._waiting = [waiting for waiting in self._waiting if waiting.tick > tick]
        for rows in due:
            self._credit(self._join.add_labels(rows.ids, rows.times, rows.values).pairs)

    def _credit(self, pairs: Pairs) -> None:
        """Counts joined pairs in the panes of their predictions; what a corrected label was counted for goes."""
        if not len(pairs.times):
            return
        times, delays = pairs.times[~pairs.replaced], pairs.delays[~pairs.replaced]
        self.delays += counted(delays)
        self.recent_delays.take(times + delays, delays)
        for place in range(len(self.scorers)):
            mine = np.flatnonzero(pairs.predictions["profile"] == place)
            if len(mine):
                self._credit_profile(pairs, mine, place)

    def _credit_profile(self, pairs: Pairs, mine: Integers, place: int) -> None:
        scorer, predictions, replaced = self.scorers[place], pairs.predictions[mine], pairs.replaced[mine]
        labels, old = (self._own(part[mine], place) for part in (pairs.labels, pairs.old_labels))
        starts = self.panes.pane_starts(pairs.times[mine])

        def count(held: Integers, groups: Integers, size: int) -> Integers:
            fresh, back = ~replaced[held], np.flatnonzero(replaced[held])
            counts = scorer.realised(predictions[held], labels[held], groups, size)
            if len(back):
                counts = counts - scorer.realised(predictions[held[back]], old[held[back]], groups[back], size)
            vectors = np.zeros((size, 2 + scorer.width + scorer.estimated_width), dtype=np.int64)
            vectors[:, LABELLED] = np.bincount(groups[fresh], minlength=size)
            vectors[:, 2 : 2 + scorer.width] = counts
            return vectors

        for column in self._columns:
            self._add_groups(predictions[column], starts, count)

    def _own(self, labels: NDArray[np.void], place: int) -> NDArray[np.void]:
        """Labels in the class numbers of one profile."""
        numbers = self._numbers[place]
        if numbers is None:
            return labels
        translated = labels.copy()
        translated["value"] = numbers[labels["value"].astype(np.int64)]
        return translated

    def advance(self, watermark: int) -> Iterator[Mature | SeriesEnd | None]:
        """Yields each series that ends and each window that has become the newest mature one, tick by tick up to the
        watermark, and None after each tick: it can be left off there, and gone on with later."""
        until = watermark // self.tick_ms * self.tick_ms
        while (tick := self._next_tick(until)) is not None:
            self._tick = tick
            self._join_until(tick)
            self._join.advance(tick)
            self._age(tick)
            for end, key in self.panes.ends(tick):
                self.panes.end(key)
                yield SeriesEnd(key, end, realised=True)
            yield from self._mature(tick)
            yield None
        if until > self._tick:
            self._tick = until
            self._join.advance(until)
        self._watermark = until

    def finish(self, latest: int) -> Iterator[Mature | SeriesEnd | None]:
        """The end of a replay, whose last record has this event time: joins all labels, and judges what they tell.

        A log that is shorter than the longest delay cannot show which share of labels comes in the end; then the
        windows are judged of which the labels have come.
        """
        until = (latest // self.tick_ms + 1) * self.tick_ms
        yield from self.advance(until)
        if self._arrivals().final_share(until, self._patience) is None:
            for window in self.windows:
                after = self.judged.get(window.name)
                for found in complete(self._arrivals(), window, after, until, self._patience, self._on_boundaries,
                                      self.log_end):  # fmt: skip
                    self.judged[window.name] = found.end
                    yield found

    @property
    def unjudged(self) -> int:
        """Windows of the log that still wait for labels when it has ended."""
        if self.log_end is None:
            return 0
        starts = self._arrivals().starts
        waiting = 0
        for window in self.windows if len(starts) else ():
            judged = self.judged.get(window.name, int(starts[0]) // window.step * window.step)
            waiting += max((self.log_end - judged) // window.step, 0)
        return waiting

    def _age(self, now: int) -> int:
        """Makes old panes coarser and drops older ones, by event time alone; those that end before this are gone."""
        before = now - self._kept
        self.panes.coarsen(now)
        self.panes.expire(before, before - MEMORY_MS)
        return before

    def _next_tick(self, until: int) -> int | None:
        """The next tick at which anything can happen; a log may be silent for years."""
        following = self._tick + self.tick_ms if self._tick > _NEVER else _NEVER
        # A label that comes behind its time is taken in at the next tick.
        ticks = [max(waiting.tick, following) for waiting in self._waiting]
        ends = self.panes.totals.ends
        # The first pane whose labels will have had the longest delay at a tick from now on.
        place = int(np.searchsorted(ends, following - self.tick_ms - self._model.labels.max_delay, side="right"))
        if place < len(ends):
            ticks.append(-(-(int(ends[place]) + self._model.labels.max_delay) // self.tick_ms) * self.tick_ms)
        ticks += [max(end, following) for end, _ in self.panes.ends(until)[:1]]
        tick = min(ticks, default=None)
        return tick if tick is not None and tick <= until else None

    def _mature(self, tick: int) -> list[Mature]:
        arrivals = self._arrivals()
        found = []
        for window in self.windows:
            judged = self.judged.get(window.name)
            mature = newest_mature(arrivals, window, judged, tick, self._patience, self._on_boundaries, self.log_end)
            if mature is not None:
                self.judged[window.name] = mature.end
                found.append(mature)
        return found

    def _arrivals(self) -> Arrivals:
        return Arrivals(*self.panes.arrays())

    @property
    def _patience(self) -> Patience:
        labels = self._model.labels
        return Patience(labels.max_delay, MEMORY_MS, labels.maturity, self._model.performance.min_labels)

    def _on_boundaries(self, times: Integers) -> NDArray[np.bool_]:
        """Whether no pane lies across each time."""
        return np.asarray(self.panes.pane_starts(times) == times)

    def change(self) -> tuple[LabelledChange, bytes]:
        """Panes and document that the next checkpoint must save.

        Raises:
            StateError: if the files of waiting predictions cannot be written.
        """
        before = None if self._watermark is None else self._age(self._watermark)
        document = LabelState(
            str(self._type.descr),
            self._prints(),
            [(key.version, key.segment) for key in self._names],
            [(*key, *life) for key, lives in self.panes.lives.items() for life in lives],
            dict(self.panes.saved_totals()),
            self.judged,
            self._tick,
            self.panes.fine_from,
            self.panes.hours_from,
            self._join.prepare(),
            [(w.tick, list(w.rows.ids), w.rows.times.tobytes(), w.rows.values.tobytes()) for w in self._waiting],
            self.delays.tolist(),
            self.recent_delays.document(),
        )
        return self.panes.change(before), encode(document)

    def mark_saved(self) -> None:
        """What `change` told has been saved."""
        self.panes.mark_saved()
        self._join.saved()

    def protect(self, document: bytes | None) -> None:
        """Keeps the files that a backup of the state would need."""
        self._join.protect(None if document is None else decode(document, LabelState).manifest)

    def _prints(self) -> dict[str, str]:
        return {key.version: self._print(key.version) for key in self.panes.lives}

    def _print(self, version: str) -> str:
        profile = self._references.of(version)
        return f"{profile.performance.fingerprint()}/{self.tick_ms}/{self._model.segments}"

    def restore(self, document: bytes | None) -> bool:
        """Goes on from a checkpoint; False if what was kept cannot be used with this configuration."""
        saved = None if document is None else decode(document, LabelState)
        if saved is None or saved.dtype != str(self._type.descr):
            if saved is not None:
                keep_labels(self._folder, saved.dtype)
            self._join.load(None)
            return saved is None
        take_back_labels(self._folder, saved.dtype)
        self._join.load(saved.manifest)
        self._names = {SeriesKey(*pair): number for number, pair in enumerate(saved.names)}
        series = [(SeriesKey(version, segment), first, last) for version, segment, first, last in saved.series]
        self.panes.restore(saved.totals, series)
        self.panes.fine_from, self.panes.hours_from = saved.fine_from, saved.hours_from
        self.judged, self._tick = dict(saved.judged), saved.tick
        self.delays[: len(saved.delays)] = saved.delays
        self.recent_delays.restore(saved.delays_by_day)
        for tick, ids, times, values in saved.waiting:
            stamps = np.frombuffer(times, dtype=np.int64)
            index = np.arange(len(stamps))
            rows = LabelRows(self._model.name, index, stamps, ids, np.frombuffer(values, dtype=self._label_type))
            self._waiting.append(_Waiting(tick, rows))
        for key, _, _ in series:
            if saved.prints.get(key.version) != self._print(key.version):
                self.panes.drop(key)
        return True

    def totals(self) -> Totals:
        """What is shown of the labels."""
        join, waiting = self._join, sum(len(part.rows.index) for part in self._waiting)
        return Totals(dict(join.counts), waiting, join.losses, join.nbytes, tuple(self.delays.tolist()))
