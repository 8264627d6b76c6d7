"""Records of a model that could not be used, by event time: their share of a window is data quality of its own.

A reject counts in the pane of its own event time where it has one, else where its partition's clock stood when it was
read; one that comes before its partition tells any time, or too late for its pane, counts in no window. So what a
window says is a function of the log, as it is of rows. Names, not values, are kept.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from msgspec.structs import replace

from alerts.evaluation import Finding
from detectors.array_types import Integers
from detectors.bounds import binomial_bounds
from monitor.common.codec import decode, encode
from monitor.common.durations import DAY, HOUR

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alerts.evaluation import Status
    from monitor.rows.records import Decoded


MAX_SHARE = 0.05
"""A larger share of a window's records is a breach."""
_TIMED = frozenset({"no_features", "no_label", "bad_label"})
"""Reasons that are found after the event time was read."""
_BEFORE_ALL = -(2**61)
_FINE_MS = 2 * DAY
_NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Rejects:
    """Some rejects of one model, in the order of their partition.

    Attributes:
        times: int64[n], event time, or that of the partition's clock, epoch ms.
        clocks: int64[n], the partition's clock at each.
        reasons: of each.
        labels: these are label records.
    """

    times: Integers
    clocks: Integers
    reasons: tuple[str, ...]
    labels: bool


def rejects_by_model(decoded: Decoded, first: int, stop: int, clocks: Integers) -> Iterator[tuple[str, Rejects]]:
    """The rejects among the rows from ``first`` to ``stop`` of a chunk that have a time, by the models they concern."""
    rows = [
        row for row, reason in decoded.rejects.items()
        if first <= row < stop and row not in decoded.foreign and (reason in _TIMED or clocks[row] > _BEFORE_ALL)
    ]  # fmt: skip
    for names, labels in ((decoded.feeds, False), (decoded.label_feeds, True)) if rows else ():
        for name in names:
            mine = np.array([row for row in rows if decoded.owners.get(row, name) == name], dtype=np.int64)
            if len(mine):
                reasons = tuple(decoded.rejects[row] for row in mine.tolist())
                timed = np.array([reason in _TIMED for reason in reasons])
                times = np.where(timed, decoded.times[mine], clocks[mine])
                # Before its partition has a clock, such a record's own time stands for it.
                yield name, Rejects(times, np.where(clocks[mine] > _BEFORE_ALL, clocks[mine], times), reasons, labels)


class FaultCounts(msgspec.Struct):
    """The counts of one model.

    Attributes:
        first_reject, first_bare, first_label: when each was first met, epoch ms.
        rejects: start of a pane → reason → prediction records. ``bare``: start of a pane → rows without any feature.
        labels: usable ones, rejects, and those whose value is no label of the reference, by when their partition's
            clock passes the end of a pane: then they are joined.
    """

    first_reject: int | None
    first_bare: int | None
    first_label: int | None
    rejects: dict[int, dict[str, int]]
    bare: dict[int, int]
    labels: dict[int, tuple[int, int, int]]


class RecordFaults:
    """Rejects, rows without any feature, and what became of label records, pane by pane, for one model.

    Args:
        pane: length of a pane, ms.
    """

    def __init__(self, pane: int) -> None:
        self._pane = pane
        self._counts = FaultCounts(None, None, None, {}, {}, {})
        # Heaps of the times of labels: of all, and of those that are still to be counted by the hour.
        self._by_age: list[int] = []
        self._fine: list[int] = []
        self.changed = False

    def reject(self, panes: Integers, reasons: list[str]) -> None:
        """Prediction records were rejected: int64[n], the start of each one's pane."""
        for start, reason in zip(panes.tolist(), reasons, strict=True):
            counts = self._counts.rejects.setdefault(start, {})
            counts[reason] = counts.get(reason, 0) + 1
            self._counts.first_reject = _earlier(self._counts.first_reject, start)
            self.changed = True

    def take_bare(self, panes: Integers) -> None:
        """Rows without any feature were counted: int64[n], the start of each one's pane."""
        for start, count in Counter(panes.tolist()).items():
            self._counts.bare[start] = self._counts.bare.get(start, 0) + count
            self._counts.first_bare = _earlier(self._counts.first_bare, start)
            self.changed = True

    def take_labels(self, clocks: Integers, reasons: tuple[str, ...] | None = None) -> None:
        """Label records came: int64[n], their partition's clock at each; and why each is a reject, if they are."""
        ticks, place = np.unique(-(-clocks // self._pane) * self._pane, return_inverse=True)
        strange = np.array([reason == "bad_label" for reason in reasons or ()], dtype=np.int64)
        for number, tick in enumerate(ticks.tolist()):
            mine = place == number
            added = (int(mine.sum()), 0, 0) if reasons is None else (0, int(mine.sum()), int(strange[mine].sum()))
            self._add_labels(tick, added)
        if reasons is not None and len(ticks):
            self._counts.first_label = _earlier(self._counts.first_label, int(ticks[0]))
        self.changed = self.changed or len(clocks) > 0

    def _add_labels(self, tick: int, counts: tuple[int, int, int]) -> None:
        labels = self._counts.labels
        if tick not in labels:
            heappush(self._by_age, tick)
            if tick % HOUR:
                heappush(self._fine, tick)
        labels[tick] = _sum(labels.get(tick, (0, 0, 0)), counts)

    def advance(self, oldest: int, oldest_labels: int, now: int) -> None:
        """No window will begin before ``oldest``, nor one of performance before ``oldest_labels``."""
        for kept in (self._counts.rejects, self._counts.bare):
            for start in [start for start in kept if start < oldest]:
                del kept[start]
                self.changed = True
        labels = self._counts.labels
        while self._by_age and self._by_age[0] < oldest_labels:
            self.changed |= labels.pop(heappop(self._by_age), None) is not None
        # Old ones are kept by the hour, or there would be one for each minute of weeks.
        while self._fine and self._fine[0] <= now - _FINE_MS:
            tick = heappop(self._fine)
            counts = labels.pop(tick, None)
            if counts is not None:
                self._add_labels(-(-tick // HOUR) * HOUR, counts)
                self.changed = True

    def findings(self, start: int, end: int, rows: int, alpha: float, min_rows: int) -> tuple[Finding, ...]:
        """Findings of the window [start, end); a fault that has never occurred before its end has no finding.

        Args:
            start, end: epoch ms.
            rows: of all versions of the model.
            alpha: error probability of a bound (Clopper & Pearson 1934).
            min_rows: on fewer records nothing is said.
        """
        found = []
        if self._counts.first_reject is not None and self._counts.first_reject < end:
            reasons = self._reasons(start, end)
            rejected = sum(reasons.values())
            told = "records were rejected: " + ", ".join(f"{name} {n:,}" for name, n in reasons.most_common(3))
            found.append(_share("rejected", rejected, rows + rejected, told, alpha, min_rows))
        if self._counts.first_bare is not None and self._counts.first_bare < end:
            bare = self._count_bare(start, end)
            found.append(_share("featureless", bare, rows, "records hold no feature of the model", alpha, min_rows))
        if self._counts.first_label is not None and self._counts.first_label <= end:
            usable, rejected, _ = self._count_labels(start, end)
            told = "label records were rejected"
            found.append(_share("labels_rejected", rejected, usable + rejected, told, alpha, min_rows))
        return tuple(found)

    def fault(self, findings: tuple[Finding, ...], min_missing: float) -> str:
        """Why a retraining on such a window would learn a broken feed; empty if it would not.

        Args:
            findings: of the window.
            min_missing: the change of the missing share that counts as drift: rows without features may cause it.
        """
        for finding in findings:
            if finding.statistic == "rejected" and finding.status == "breached":
                return finding.detail
            if finding.statistic == "featureless" and finding.value > min_missing:
                return f"{finding.value:.1%} of records hold no feature of the model"
        return ""

    def strange_labels(self, start: int, at: int) -> str:
        """Why labels that came from ``start`` to ``at`` cannot measure performance; empty if they can."""
        if self._counts.first_label is None or self._counts.first_label > at:
            return ""
        usable, _, strange = self._count_labels(start, at)
        share = strange / (usable + strange) if strange else 0.0
        return f"{share:.1%} of labels are not a class or number of the reference" if share > MAX_SHARE else ""

    def _reasons(self, start: int, end: int) -> Counter[str]:
        counted = (Counter(counts) for pane, counts in self._counts.rejects.items() if start <= pane < end)
        return sum(counted, Counter[str]())

    def _count_bare(self, start: int, end: int) -> int:
        return sum(count for pane, count in self._counts.bare.items() if start <= pane < end)

    def _count_labels(self, start: int, end: int) -> tuple[int, int, int]:
        held = [counts for tick, counts in self._counts.labels.items() if start < tick <= end]
        usable, rejected, strange = (sum(counts[place] for counts in held) for place in range(3))
        return usable, rejected, strange

    def document(self) -> bytes:
        """The state, encoded."""
        # In order, so that a log leaves equal bytes whatever the batches.
        rejects = {start: dict(sorted(counts.items())) for start, counts in sorted(self._counts.rejects.items())}
        bare, labels = dict(sorted(self._counts.bare.items())), dict(sorted(self._counts.labels.items()))
        return encode(replace(self._counts, rejects=rejects, bare=bare, labels=labels))

    def restore(self, document: bytes) -> None:
        """Goes on from a checkpoint."""
        self._counts = decode(document, FaultCounts)
        self._by_age = sorted(self._counts.labels)
        self._fine = [tick for tick in self._by_age if tick % HOUR]


def _earlier(known: int | None, start: int) -> int:
    return start if known is None else min(start, known)


def _sum(left: tuple[int, int, int], right: tuple[int, int, int]) -> tuple[int, int, int]:
    return left[0] + right[0], left[1] + right[1], left[2] + right[2]


def _share(statistic: str, count: int, records: int, told: str, alpha: float, min_rows: int) -> Finding:
    if not records:
        return Finding("quality", statistic, _NAN, _NAN, _NAN, MAX_SHARE, "insufficient", "no records")
    low, high = binomial_bounds(np.array(float(count)), np.array(float(records)), alpha)
    share, lower = count / records, float(low)
    status: Status = "breached" if lower > MAX_SHARE else "ok"
    detail = f"{share:.1%} of {told}" if status == "breached" else ""
    if records < min_rows:
        status, detail = "insufficient", "too few records"
    return Finding("quality", statistic, share, lower, float(high), MAX_SHARE, status, detail)
