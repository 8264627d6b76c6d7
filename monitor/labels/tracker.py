"""The performance of one model: predictions wait for their labels, labels are credited to the panes of predictions.

All work happens at ticks of event time. A label is joined at the first tick that its partition's clock has reached, and
windows are judged at ticks, so the judged windows and the labels that they contain are a function of the log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from monitor.common.codec import decode, encode
from monitor.common.durations import DAY, HOUR, parse_duration
from monitor.common.window_step import window_step
from monitor.labels.arrival import BINS, MEMORY_MS, Delays, counted
from monitor.labels.classes import all_names
from monitor.labels.credit import LabelCredit
from monitor.labels.document import LabelState, Totals
from monitor.labels.join import LabelJoin
from monitor.labels.kept_files import keep_labels, take_back_labels
from monitor.labels.maturity import Arrivals, MatureWindow, MaturityPolicy, complete, newest_mature
from monitor.labels.outcomes import Outcome
from monitor.labels.panes import LabelledPanes
from monitor.labels.queue import LabelQueue, Waiting
from monitor.rows.records import LabelRows
from monitor.windows.geometry import Window
from monitor.windows.lives import Lifetimes
from monitor.windows.series import SeriesEnd, SeriesKey

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from detectors.array_types import Integers
    from monitor.config.model import ModelSection
    from monitor.labels.panes import LabelledChange, PaneReader
    from monitor.reference.by_version import ReferencesByVersion
    from monitor.reference.scorer import Scorer
    from monitor.rows.records import ModelRows


_NEVER = -(2**62)


class LabelTracker:
    """Performance of one model.

    Args:
        model: its configuration, with labels.
        references: of its versions.
        folder: for waiting predictions.
        reader: of saved panes.
    """

    def __init__(self, model: ModelSection, references: ReferencesByVersion, folder: Path, reader: PaneReader) -> None:
        self._model, self._references = model, references
        profiles = [profile.performance for profile in references.profiles]
        self.scorers: list[Scorer] = [profile.scorer for profile in profiles]
        fields = {name: kind for scorer in self.scorers for name, kind in scorer.prediction_type}
        series = [(f"series{index}", "<i4") for index in range(1 + len(model.segments))]
        self._type = np.dtype([("profile", "<i2"), *series, *fields.items()])
        self._label_type = np.dtype(self.scorers[0].label_type)
        self.names = all_names(profiles, binary=model.task == "binary")
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
        self._queue = LabelQueue(self._join)
        self._credit = LabelCredit(model, references, self._type, self.panes)
        # Times and delays of credited labels; not counted yet.
        self._arrived: list[tuple[Integers, Integers]] = []
        self.judged: dict[str, int] = {}
        self._tick = _NEVER
        self._watermark: int | None = None
        # Windows that end later are not judged: the predictions of a replayed log end here. None if unknown.
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
        # Panes are dropped once no label and no window can reach them; a pane may have become a day long by then.
        lifetimes = Lifetimes(self._kept + max(DAY, self.tick_ms), self.tick_ms)
        return LabelledPanes(self._model.name, self.tick_ms, coarsest, self._reader, lifetimes)

    @property
    def _kept(self) -> int:
        """Time after its end that a pane is kept, ms of event time."""
        labels = self._model.labels
        return max(labels.retention_ms, labels.max_delay) + self.windows[-1].length + DAY

    def add(self, rows: ModelRows) -> NDArray[np.bool_]:
        """Adds predictions; bool[n], whether each is new."""
        self._queue.settle()
        outputs = rows.outputs
        assert outputs is not None
        assert outputs.ids is not None
        payload = self._credit.payload(rows)
        predicted = self._join.add_predictions(outputs.ids, rows.times, payload)
        new = np.flatnonzero(predicted.new)
        if len(new):
            self._credit.count_rows(rows.take(new), payload[new])
        self._arrived.append(self._credit.credit(predicted.pairs))
        self._take_delays()
        return np.asarray(predicted.outcomes != Outcome.DUPLICATE_PREDICTION)

    def offer(self, labels: LabelRows, clocks: Integers) -> None:
        """Queues labels, to be joined once event time has reached their partition's clock at each row."""
        self._queue.add(-(-clocks // self.tick_ms) * self.tick_ms, labels)

    def _take_delays(self) -> None:
        """Counts the delays of labels credited since the last call."""
        arrived, self._arrived = [batch for batch in self._arrived if len(batch[0])], []
        if arrived:
            times, delays = (np.concatenate(arrays) for arrays in zip(*arrived, strict=True))
            self.delays += counted(delays)
            self.recent_delays.take(times, delays)

    def advance(self, watermark: int, ahead: int | None = None) -> Iterator[MatureWindow | SeriesEnd | None]:
        """Yields, tick by tick up to the watermark, each series that ends and each new newest mature window.

        It also yields None from time to time; the caller can stop there and continue later.

        Args:
            watermark: epoch ms of event time.
            ahead: no prediction or label will be added before this time; None if unknown beyond the watermark.
        """
        until = watermark // self.tick_ms * self.tick_ms
        while (tick := self._next_tick(until)) is not None:
            self._tick = tick
            plan = self._queue.plan(tick, until if ahead is None else max(until, ahead))
            if plan is not None:
                self._arrived.append(self._credit.credit_tick(plan))
            self._queue.reach(tick)
            self._age(tick)
            for end, key in self.panes.ends(tick):
                self.panes.end(key)
                self._take_delays()
                yield SeriesEnd(key, end, realised=True)
            for mature in self._mature(tick):
                self._take_delays()
                yield mature
            if plan is not None and plan.passed == len(plan.ticks):
                self._take_delays()
                yield None
        if until > self._tick:
            self._tick = until
            self._queue.reach(until)
        self._watermark = until
        self._take_delays()

    def finish(self, latest: int) -> Iterator[MatureWindow | SeriesEnd | None]:
        """Ends a replay whose last record has event time ``latest``: joins all labels and judges the remaining windows.

        A log that is shorter than the longest delay does not show the final share of labels; then all windows whose
        labels have arrived are judged.
        """
        until = (latest // self.tick_ms + 1) * self.tick_ms
        yield from self.advance(until)
        if self._arrivals().final_share(until, self._patience) is None:
            for window in self.windows:
                after = self.judged.get(window.name)
                for mature in complete(self._arrivals(), window, after, until, self._patience, self._on_boundaries,
                                       self.log_end):  # fmt: skip
                    self.judged[window.name] = mature.end
                    yield mature

    @property
    def unjudged(self) -> int:
        """Number of windows that still wait for labels at the end of the log."""
        if self.log_end is None:
            return 0
        starts = self._arrivals().starts
        waiting = 0
        for window in self.windows if len(starts) else ():
            judged = self.judged.get(window.name, int(starts[0]) // window.step * window.step)
            waiting += max((self.log_end - judged) // window.step, 0)
        return waiting

    def _age(self, now: int) -> int:
        """Merges old panes and drops older ones, by event time only; returns the time before which it dropped panes."""
        before = now - self._kept
        self.panes.coarsen(now)
        self.panes.expire(before, before - MEMORY_MS)
        return before

    def _next_tick(self, until: int) -> int | None:
        """The next tick with work to do; a log may have gaps of years."""
        following = self._tick + self.tick_ms if self._tick > _NEVER else _NEVER
        waiting = self._queue.next_tick(following)
        ticks = [] if waiting is None else [waiting]
        ends = self.panes.totals.ends
        # The first pane that reaches the longest delay at this tick or later.
        first = int(np.searchsorted(ends, following - self.tick_ms - self._model.labels.max_delay, side="right"))
        if first < len(ends):
            ticks.append(-(-(int(ends[first]) + self._model.labels.max_delay) // self.tick_ms) * self.tick_ms)
        ticks += [max(end, following) for end, _ in self.panes.ends(until)[:1]]
        tick = min(ticks, default=None)
        return tick if tick is not None and tick <= until else None

    def _mature(self, tick: int) -> list[MatureWindow]:
        arrivals = self._arrivals()
        windows = []
        for window in self.windows:
            judged = self.judged.get(window.name)
            mature = newest_mature(arrivals, window, judged, tick, self._patience, self._on_boundaries, self.log_end)
            if mature is not None:
                self.judged[window.name] = mature.end
                windows.append(mature)
        return windows

    def _arrivals(self) -> Arrivals:
        return Arrivals(*self.panes.arrays())

    @property
    def _patience(self) -> MaturityPolicy:
        labels = self._model.labels
        return MaturityPolicy(labels.max_delay, MEMORY_MS, labels.maturity, self._model.performance.min_labels)

    def _on_boundaries(self, times: Integers) -> NDArray[np.bool_]:
        """Whether each time is a boundary of panes."""
        return np.asarray(self.panes.pane_starts(times) == times)

    def change(self) -> tuple[LabelledChange, bytes]:
        """Panes and document that the next checkpoint must save.

        Raises:
            StateError: if the files of waiting predictions cannot be written.
        """
        self._queue.settle()
        before = None if self._watermark is None else self._age(self._watermark)
        document = LabelState(
            str(self._type.descr),
            self._prints(),
            [(key.version, key.segment) for key in self._credit.names],
            [(*key, *life) for key, lives in self.panes.lives.items() for life in lives],
            dict(self.panes.saved_totals()),
            self.judged,
            self._tick,
            self.panes.fine_from,
            self.panes.hours_from,
            self._join.prepare(),
            [(w.tick, list(w.rows.ids), w.rows.times.tobytes(), w.rows.values.tobytes()) for w in self._queue.waiting],
            self.delays.tolist(),
            self.recent_delays.document(),
        )
        return self.panes.change(before), encode(document)

    def mark_saved(self) -> None:
        """Marks the last change set as saved."""
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
        """Restores the state from a checkpoint; False if it cannot be used with this configuration."""
        saved = None if document is None else decode(document, LabelState)
        if saved is None or saved.dtype != str(self._type.descr):
            if saved is not None:
                keep_labels(self._folder, saved.dtype)
            self._join.load(None)
            return saved is None
        take_back_labels(self._folder, saved.dtype)
        self._join.load(saved.manifest)
        self._credit.names = {SeriesKey(*pair): number for number, pair in enumerate(saved.names)}
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
            self._queue.waiting.append(Waiting(tick, rows))
        for key, _, _ in series:
            if saved.prints.get(key.version) != self._print(key.version):
                self.panes.drop(key)
        return True

    def totals(self) -> Totals:
        """Totals for display."""
        self._queue.settle()
        join, waiting = self._join, sum(len(batch.rows.index) for batch in self._queue.waiting)
        return Totals(dict(join.counts), waiting, join.losses, join.nbytes, tuple(self.delays.tolist()))
