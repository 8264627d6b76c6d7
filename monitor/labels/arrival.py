"""Checks the arrival of labels: their share in a mature window, and their delay."""

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
"""Length of the history that defines the usual share and delay."""
_LOST = 0.5
"""A share below this fraction of the usual one is a fault."""
_SLOWER = 2.0
"""A delay above this multiple of the longest usual one is a fault."""
LEAST_DAYS = 7
BINS = 72
"""Delays are counted by half octaves of milliseconds, up to two years."""
_NAN = float("nan")


def share_finding(
    rows: int, labelled: int, panes: tuple[Integers, Integers, Integers, Integers], due: MatureWindow, max_delay: int,
    least: int, alpha: float,
) -> Finding:  # fmt: skip
    """The share of a window's predictions that have a label, compared with the share in the panes before it.

    Args:
        rows, labelled: of the window.
        panes: starts, ends, rows and labels, int64[P] each, of the model.
        due: the window.
        max_delay: longest delay of a label, ms.
        least: predictions that a judgement needs.
        alpha: error probability of either bound (Clopper & Pearson 1934).
    """
    starts, ends, all_rows, all_labelled = panes
    before = (ends <= due.start) & (ends + max_delay <= due.at) & (starts >= due.start - MEMORY_MS)
    known, came = int(all_rows[before].sum()), int(all_labelled[before].sum())
    share = labelled / rows if rows else _NAN
    lower, upper = (float(bound) for bound in binomial_bounds(np.array(float(labelled)), np.array(float(rows)), alpha))
    if min(known, rows) < least:
        detail = "the usual share of labels is being learned"
        return Finding(LABELS, "share", share, lower, upper, _NAN, "insufficient", detail)
    usual = came / known
    bad = upper < _LOST * usual
    detail = f"{share:.1%} of the predictions have a label; {usual:.1%} is usual" if bad else ""
    status: Status = "breached" if bad else "ok"
    return Finding(LABELS, "share", share, lower, upper, _LOST * usual, status, detail, reference=usual)


class Delays:
    """Delays of labels by the day of their arrival."""

    def __init__(self) -> None:
        self._days: dict[int, Integers] = {}

    def take(self, times: Integers, delays: Integers) -> None:
        """Counts labels; int64[k] each.

        Args:
            times: when they became known, epoch ms.
            delays: time since their predictions, ms.
        """
        days, group = np.unique(times // DAY, return_inverse=True)
        for number, day in enumerate(days.tolist()):
            counts = self._days.setdefault(day, np.zeros(BINS, dtype=np.int64))
            counts += counted(delays[group == number])
        oldest = max(self._days, default=0) - MEMORY_MS // DAY
        for old in [day for day in self._days if day < oldest]:
            del self._days[old]

    def finding(self, at: int, least: int) -> Finding:
        """The median delay of the last whole day with enough labels, compared with the medians of earlier days.

        Labels arrive in batches, so their number does not determine how precise a median is. The longest median of the
        earlier days is therefore the usual delay.

        Args:
            at: event time.
            least: labels that a day needs.
        """
        today = at // DAY
        full = [day for day in sorted(self._days) if day < today and self._days[day].sum() >= least]
        medians = [median_seconds(self._days[day]) for day in full]
        if len(medians) <= LEAST_DAYS:
            last = medians[-1] if medians else _NAN
            detail = "the usual delay of labels is being learned"
            return Finding(LABELS, "median_delay_seconds", last, _NAN, _NAN, _NAN, "insufficient", detail)
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
        """The document that a checkpoint saves."""
        return {day: counts.tolist() for day, counts in self._days.items()}

    def restore(self, document: dict[int, list[int]]) -> None:
        """Restores the counts from a checkpoint."""
        self._days = {day: np.array(counts, dtype=np.int64) for day, counts in document.items()}


def counted(delays: Integers) -> Integers:
    """int64[`BINS`]: delays in ms, counted by half octaves; one below a millisecond counts as one."""
    octaves = np.log2(np.maximum(delays, 1)) * 2
    return np.bincount(np.clip(octaves, 0, BINS - 1).astype(np.int64), minlength=BINS)


def median_seconds(counts: Integers) -> float:
    """The median delay, s, interpolated within its half octave (so off by no more than a factor of 1.42)."""
    total = np.cumsum(counts)
    half = total[-1] / 2
    index = int(np.searchsorted(total, half))
    within = (half - (total[index] - counts[index])) / counts[index]
    return float(2.0 ** ((index + within) / 2) / 1000)


def in_words(seconds: float) -> str:
    """``45 s``, ``12 min``, ``5.5 h``, ``30 d``."""
    for unit, length in (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.2g} {unit}"
    return f"{seconds:.2g} s"
