"""Whether labels come as they used to: their share in a mature window, and how long they take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from alerts.evaluation import Finding
from detectors.bounds import binomial_bounds
from monitor.common.durations import DAY

if TYPE_CHECKING:
    from alerts.evaluation import Status
    from detectors.array_types import Integers
    from monitor.labels.maturity import MatureWindow


LABELS = "labels"
"""The subject of these findings."""
MEMORY_MS = 60 * DAY
"""How far back it is looked for what is usual."""
_LOST = 0.5
"""Less than this part of the usual share matters."""
_SLOWER = 2.0
"""A delay of more than so many times the longest usual one matters."""
LEAST_DAYS = 7
BINS = 72
"""Delays are counted by half octaves of milliseconds, up to two years."""
_NAN = float("nan")


def share_finding(
    rows: int, labelled: int, panes: tuple[Integers, Integers, Integers, Integers], due: MatureWindow, max_delay: int,
    least: int, alpha: float,
) -> Finding:  # fmt: skip
    """The share of a window's predictions that have a label, against that of what was settled before it.

    Args:
        rows, labelled: of the window.
        panes: starts, ends, rows and labels, int64[P] each, of the model.
        due: the window.
        max_delay: after so long, ms, no label is waited for.
        least: on fewer predictions nothing is said.
        alpha: error probability of either bound (Clopper & Pearson 1934).
    """
    starts, ends, all_rows, all_labelled = panes
    before = (ends <= due.start) & (ends + max_delay <= due.at) & (starts >= due.start - MEMORY_MS)
    known, came = int(all_rows[before].sum()), int(all_labelled[before].sum())
    share = labelled / rows if rows else _NAN
    lower, upper = (float(bound) for bound in binomial_bounds(np.array(float(labelled)), np.array(float(rows)), alpha))
    if min(known, rows) < least:
        told = "the usual share of labels is being learned"
        return Finding(LABELS, "share", share, lower, upper, _NAN, "insufficient", told)
    usual = came / known
    bad = upper < _LOST * usual
    detail = f"{share:.1%} of the predictions have a label; {usual:.1%} is usual" if bad else ""
    status: Status = "breached" if bad else "ok"
    return Finding(LABELS, "share", share, lower, upper, _LOST * usual, status, detail, reference=usual)


class Delays:
    """How long labels took, by the day on which they came."""

    def __init__(self) -> None:
        self._days: dict[int, Integers] = {}

    def take(self, times: Integers, delays: Integers) -> None:
        """Takes labels in: when they were known, epoch ms, and how long after their predictions, ms; int64[k] each."""
        days, place = np.unique(times // DAY, return_inverse=True)
        for number, day in enumerate(days.tolist()):
            counts = self._days.setdefault(day, np.zeros(BINS, dtype=np.int64))
            counts += counted(delays[place == number])
        oldest = max(self._days, default=0) - MEMORY_MS // DAY
        for old in [day for day in self._days if day < oldest]:
            del self._days[old]

    def finding(self, at: int, least: int) -> Finding:
        """The median delay of the last whole day on which enough labels came, against those of the days before it.

        Labels come in batches, so their number says little of how sure a median is: the longest of the days before it
        stands for what is usual.

        Args:
            at: event time.
            least: labels that a day must have to say anything.
        """
        today = at // DAY
        full = [day for day in sorted(self._days) if day < today and self._days[day].sum() >= least]
        medians = [median_seconds(self._days[day]) for day in full]
        if len(medians) <= LEAST_DAYS:
            last = medians[-1] if medians else _NAN
            told = "the usual delay of labels is being learned"
            return Finding(LABELS, "median_delay_seconds", last, _NAN, _NAN, _NAN, "insufficient", told)
        last, longest = medians[-1], max(medians[:-1])
        bad = last > _SLOWER * longest
        detail = f"labels took {in_words(last)}; {in_words(longest)} was the longest of the days before" if bad else ""
        status: Status = "breached" if bad else "ok"
        return Finding(
            LABELS, "median_delay_seconds", last, _NAN, _NAN, _SLOWER * longest, status, detail, reference=float(
                np.median(medians[:-1])
            ),
        )  # fmt: skip

    def document(self) -> dict[int, list[int]]:
        """What a checkpoint saves."""
        return {day: counts.tolist() for day, counts in self._days.items()}

    def restore(self, document: dict[int, list[int]]) -> None:
        """Goes on from a checkpoint."""
        self._days = {day: np.array(counts, dtype=np.int64) for day, counts in document.items()}


def counted(delays: Integers) -> Integers:
    """int64[`BINS`]: delays in ms, counted by half octaves; one below a millisecond counts as one."""
    places = np.log2(np.maximum(delays, 1)) * 2
    return np.bincount(np.clip(places, 0, BINS - 1).astype(np.int64), minlength=BINS)


def median_seconds(counts: Integers) -> float:
    """The median delay, s, interpolated within its half octave (so off by no more than a factor of 1.42)."""
    total = np.cumsum(counts)
    half = total[-1] / 2
    place = int(np.searchsorted(total, half))
    within = (half - (total[place] - counts[place])) / counts[place]
    return float(2.0 ** ((place + within) / 2) / 1000)


def in_words(seconds: float) -> str:
    """``45 s``, ``12 min``, ``5.5 h``, ``30 d``."""
    for unit, length in (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.2g} {unit}"
    return f"{seconds:.2g} s"
