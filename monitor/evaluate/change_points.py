"""Small changes that last: scores, predictions and errors followed pane by pane."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from alerts.evaluation import Finding
from alerts.moments import rfc3339
from detectors.array_types import Array, Integers
from detectors.sequential import adaptive, cusum
from detectors.sequential.adaptive import Adaptive, AdaptiveState, adaptive_for, adaptive_step
from detectors.sequential.cusum import Cusum, CusumState, cusum_for, pane_scores, step
from monitor.common.codec import decode, encode
from monitor.reference.streams import Streams

if TYPE_CHECKING:
    from alerts.evaluation import Status
    from detectors.layout import Counts

MONTH_MS = 30 * 86_400_000
_NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Followed:
    """The state of one version."""

    pane: int
    n: Array
    total: Array
    squares: Array
    cusum: CusumState
    adaptive: AdaptiveState
    found_at: Integers
    value: Array
    direction: NDArray[np.int8]
    change_at: Integers


States = dict[str, Followed]
"""The states of one model, by version."""


@dataclass(slots=True)
class ChangePoints:
    """Follows the streams of every version of a model.

    Attributes:
        streams: of the reference.
        min_effect: smaller shifts are ignored, in reference standard deviations.
        keep: for how long a change point stays a finding, ms.
        arl_panes: panes between false alarms of one detector on one stream.
    """

    streams: Streams
    min_effect: float
    keep: int
    arl_panes: float
    states: dict[str, Followed] = field(default_factory=dict)
    changed: bool = False

    @property
    def cusum(self) -> Cusum:
        """Its parameters."""
        return cusum_for(self._run_length)

    @property
    def adwin(self) -> Adaptive:
        """Its parameters."""
        return adaptive_for(self._run_length, self.min_effect)

    @property
    def _run_length(self) -> float:
        """Panes between false alarms, within what the detectors' formulas hold for.

        A generous budget, or panes of months, ask for less than that: the detectors then raise fewer false alarms than
        they might.
        """
        return min(max(self.arl_panes, 50.0), 1e12)

    def _fresh(self, pane: int) -> Followed:
        size = len(self.streams.subjects)
        none = np.full(size, cusum.NEVER, dtype=np.int64)
        return Followed(
            pane, np.zeros(size), np.zeros(size), np.zeros(size), cusum.start(size), adaptive.start(size),
            none, np.zeros(size), np.zeros(size, dtype=np.int8), none.copy(),
        )  # fmt: skip

    def take(self, version: str, start: int, counts: Counts) -> None:
        """Takes in the next piece of event time of a version, no longer than a pane and not across its end."""
        self.take_sums(version, start, *self.streams.sums(counts))

    def take_sums(self, version: str, start: int, n: Array, total: Array, squares: Array) -> None:
        """The same by n, Σx, Σx² of each stream; a piece belongs to the pane that it begins in."""
        pane = start // self.streams.pane * self.streams.pane
        state = self.states.get(version) or self._fresh(pane)
        if state.pane != pane:
            state = self._closed(state, pane)
        self.states[version] = replace(state, n=state.n + n, total=state.total + total, squares=state.squares + squares)
        self.changed = True

    def pass_by(self, version: str, start: int) -> None:
        """A piece of event time that holds no rows."""
        pane = start // self.streams.pane * self.streams.pane
        state = self.states.get(version)
        if state is None or state.pane != pane:
            self.states[version] = self._fresh(pane) if state is None else self._closed(state, pane)
            self.changed = True

    def _closed(self, state: Followed, pane: int) -> Followed:
        """A pane is whole: the detectors look at it."""
        spread = self.streams.spread
        n, total, squares = self.streams.standardised(state.n, state.total, state.squares)
        scores = pane_scores(n, total, squares, spread)
        with np.errstate(invalid="ignore", divide="ignore"):
            tolerance = self.min_effect / scores.error
        cusum, alarms = step(
            state.cusum, scores.u, state.pane, self.cusum, scores.reference_error, tolerance, scores.skew
        )
        window, changes = adaptive_step(state.adaptive, n, total, squares, state.pane, self.adwin, spread)
        found = np.where(changes.fired, state.pane + self.streams.pane, state.found_at)
        zero = np.zeros(len(n))
        return Followed(
            pane, zero, zero.copy(), zero.copy(), cusum, window, found, alarms.value, alarms.direction, alarms.change_at
        )

    def findings(self, version: str, at: int, held_back: str, bad: Status = "drifted") -> tuple[Finding, ...]:
        """The findings of the detectors for a version; ``bad`` is the status of a change."""
        state = self.states.get(version)
        if state is None:
            return ()
        found: list[Finding] = []
        limit = self.cusum.limit
        for place, subject in enumerate(self.streams.subjects):
            name = f" {self.streams.names[place]!r}" if self.streams.names[place] else ""
            of = f"{subject}: the share of{name}" if name else f"{subject}: the mean"
            of = "the model's error" if subject == "performance" else of
            suffix = f":{self.streams.names[place]}" if name else ""
            status: Status = "insufficient" if held_back else "ok"
            detail = held_back
            value = float(state.value[place])
            if not held_back and value >= limit:
                status = bad
                verb = "risen" if state.direction[place] > 0 else "fallen"
                detail = f"{of} has {verb} slightly since about {rfc3339(int(state.change_at[place]))}"
            found.append(Finding(subject, f"cusum{suffix}", value, value, _NAN, limit, status, detail))
            before, after = float(state.adaptive.before[place]), float(state.adaptive.after[place])
            lately = state.found_at[place] != cusum.NEVER and at - int(state.found_at[place]) < self.keep
            status, detail = ("insufficient", held_back) if held_back else ("ok", "")
            if not held_back and lately:
                status = bad
                verb = "rose" if after > before else "fell"
                since = rfc3339(int(state.adaptive.change_at[place]))
                detail = f"{of} {verb} by {abs(after - before):.2f} standard deviations at about {since}"
            size = abs(after - before) if lately else 0.0
            found.append(Finding(subject, f"adwin{suffix}", size, size, _NAN, self.min_effect, status, detail))
        return tuple(found)

    def forget(self, version: str) -> None:
        """Drops a version that is gone."""
        self.states.pop(version, None)

    def document(self) -> bytes:
        """The state, encoded."""
        return encode(self.states)

    def restore(self, document: bytes) -> None:
        """Goes on from a checkpoint; states of other streams are of no use."""
        size = len(self.streams.subjects)
        states = decode(document, States)
        self.states = {version: state for version, state in states.items() if len(state.n) == size}
