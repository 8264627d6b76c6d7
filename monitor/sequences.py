"""Small changes that last: scores, predictions and errors followed pane by pane."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from alerts.evaluation import Finding
from detectors import adaptive, sequential
from detectors.adaptive import Adaptive, AdaptiveState, adaptive_for, adaptive_step
from detectors.layout import BINS, without_value
from detectors.sequential import Cusum, CusumState, Spread, cusum_for, pane_scores, step
from monitor.arrays import from_json, to_json
from monitor.event_time import rfc3339

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alerts.evaluation import Status
    from detectors.layout import Counts, Layout

Integers = NDArray[np.int64]
Array = NDArray[np.float64]
MOST_CLASSES = 5
"""Classes of a prediction whose shares are followed."""
MONTH_MS = 30 * 86_400_000
_NAN = float("nan")
_LEAST_PANES = 5


@dataclass(frozen=True, slots=True)
class Streams:
    """What is followed, as the reference fixes it.

    Attributes:
        pane: ms.
        subjects: subject of each stream, such as ``score`` or ``prediction``.
        places: int64[S], place in the layout.
        columns: int64[S], the column whose share is followed; −1 for the mean of a numeric subject.
        location, scale: float64[S], mean and standard deviation of x in the reference; 0 and 1 for numeric subjects,
            which are counted in reference standard deviations already.
        names: of the classes; empty for numeric subjects.
        spread: how much panes of the reference vary.
    """

    pane: int
    subjects: tuple[str, ...]
    places: Integers
    columns: Integers
    location: Array
    scale: Array
    names: tuple[str, ...]
    spread: Spread

    def sums(self, counts: Counts) -> tuple[Array, Array, Array]:
        """n, Σx, Σx² of each stream, float64[S] (with leading dimensions of the counts): x of a class is 0 or 1."""
        bins = counts.bins[..., self.places, :]
        rows = np.asarray(counts.rows, dtype=np.float64)[..., None]
        valid = rows - without_value(bins)
        own = np.take_along_axis(bins, np.broadcast_to(self.columns, bins.shape[:-1])[..., None], axis=-1)[..., 0]
        numeric = self.columns < 0
        moments = counts.moments[..., self.places, :]
        return (
            valid,
            np.where(numeric, moments[..., 0], own.astype(np.float64)),
            np.where(numeric, moments[..., 1], own.astype(np.float64)),
        )

    def standardised(self, n: Array, total: Array, squares: Array) -> tuple[Array, Array, Array]:
        """The same of z: x less its reference mean, in reference standard deviations."""
        mean, scale = self.location, self.scale
        return n, (total - n * mean) / scale, (squares - 2 * mean * total + n * mean**2) / scale**2


def streams_of(
    layout: Layout,
    counts: Counts,
    pane: int,
    blocks: Counts | None,
    effects: Array,
    category: Mapping[str, tuple[str, ...]],
) -> Streams:
    """Which streams a reference has: its scores, and its prediction.

    Args:
        layout, counts: of the reference.
        pane: ms.
        blocks: counts of the reference's panes in their order, with one leading dimension; None without event times.
        effects: float64[S], design effect of each subject's rows.
        category: categorical subject → names of its regular columns.
    """
    subjects: list[str] = []
    places: list[int] = []
    columns: list[int] = []
    names: list[str] = []
    for place, subject in enumerate(layout.subjects):
        if subject.startswith("feature:"):
            continue
        if layout.numeric[place]:
            chosen, told = [-1], [""]
        else:
            order = np.argsort(-counts.bins[place, :BINS], kind="stable")
            known = category[subject]
            # One share of two says all.
            most = 1 if len(known) == 2 else MOST_CLASSES
            chosen = [int(column) for column in order[:most] if 0 < counts.bins[place, column] < int(counts.rows)]
            told = [known[column] for column in chosen]
        subjects += [subject] * len(chosen)
        places += [place] * len(chosen)
        columns += chosen
        names += told
    held = np.array(places, dtype=np.int64), np.array(columns, dtype=np.int64)
    valid = (np.asarray(counts.rows) - without_value(counts.bins))[held[0]]
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = np.where(held[1] < 0, np.nan, counts.bins[held[0], held[1]] / valid)
        skew = (1 - 2 * shares) / np.sqrt(shares * (1 - shares))
    share = np.nan_to_num(shares)
    scale = np.where(held[1] < 0, 1.0, np.sqrt(np.maximum(share * (1 - share), 1e-12)))
    kept = tuple(subjects), *held, share, scale, tuple(names)
    bare = Streams(pane, *kept, sequential.plain_spread(len(subjects)))
    unknown = np.full(len(subjects), np.nan)
    effect = effects[held[0]]
    with np.errstate(divide="ignore"):
        plain = Spread(effect, unknown, unknown, np.zeros(len(subjects)), np.sqrt(effect / valid), skew)
    spread = plain
    if blocks is not None:
        spread = _measured(np.asarray(blocks.rows), *bare.standardised(*bare.sums(blocks))[:2], plain)
    return Streams(pane, *kept, spread)


def stream_of_errors(errors: Array, pane: int, blocks: Integers | None) -> Streams | None:
    """The stream of a model's errors on its reference; None where they do not vary.

    Args:
        errors: float64[m], 0 or 1 of a classifier, or the absolute error.
        pane: ms.
        blocks: int64[m], number of the pane that each row lies in, in their order; None without event times.
    """
    mean, scale = float(errors.mean()), float(errors.std())
    if not len(errors) or scale == 0:
        return None
    z = (errors - mean) / scale
    one = np.ones(1)
    plain = Spread(one, one * _NAN, one * _NAN, one * 0, one / np.sqrt(len(z)), one * float((z**3).mean()))
    spread = plain
    if blocks is not None:
        rows = np.bincount(blocks)
        spread = _measured(
            rows, rows[:, None].astype(np.float64), np.bincount(blocks, weights=z).astype(np.float64)[:, None], plain
        )
    none = np.array([-1], dtype=np.int64)
    return Streams(pane, ("performance",), none, none, one * mean, one * scale, ("",), spread)


def _measured(rows: Integers, n: Array, total: Array, plain: Spread) -> Spread:
    """How much the panes of the reference vary, and how alike neighbours are.

    Args:
        rows: int64[P] of each pane.
        n, total: float64[P, S], values and Σz.
        plain: what holds where too few panes are known.
    """
    used = rows >= 0.2 * np.median(rows[rows > 0])
    n, total = n[used], total[used]
    size = len(n)
    if size < _LEAST_PANES:
        return plain
    with np.errstate(invalid="ignore", divide="ignore"):
        means = total / n
        centred = means - np.nanmean(means, axis=0)
        sd = np.nanstd(means, axis=0, ddof=1)
        rows = size / np.nansum(1 / n, axis=0)
        lag = np.nansum(centred[1:] * centred[:-1], axis=0) / np.nansum(centred**2, axis=0)
        # Few panes tell little of their persistence: the upper end of its interval (Bartlett 1946).
        persistence = np.clip(np.nan_to_num(lag) + 1 / np.sqrt(size), 0.0, 0.95)
        inflated = np.sqrt((1 + persistence) / (1 - persistence))
        error = np.where(sd > 0, sd / np.sqrt(size) * inflated, plain.reference_error)
    known = np.isfinite(sd) & (sd > 0)
    return Spread(
        plain.effect,
        np.where(known, sd, np.nan),
        np.where(known, rows, np.nan),
        persistence,
        np.maximum(np.nan_to_num(error), plain.reference_error),
        plain.skew,
    )


@dataclass(frozen=True, slots=True)
class _Followed:
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


@dataclass(slots=True)
class Sequences:
    """Follows the streams of every version of a model.

    Attributes:
        streams: of the reference.
        min_effect: shifts up to so many reference standard deviations are nobody's concern.
        keep: for how long a change point stays a finding, ms.
        arl_panes: panes between false alarms of one detector on one stream.
    """

    streams: Streams
    min_effect: float
    keep: int
    arl_panes: float
    states: dict[str, _Followed] = field(default_factory=dict)
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

    def _fresh(self, pane: int) -> _Followed:
        size = len(self.streams.subjects)
        none = np.full(size, sequential.NEVER, dtype=np.int64)
        return _Followed(
            pane, np.zeros(size), np.zeros(size), np.zeros(size), sequential.start(size), adaptive.start(size),
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

    def _closed(self, state: _Followed, pane: int) -> _Followed:
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
        return _Followed(
            pane, zero, zero.copy(), zero.copy(), cusum, window, found, alarms.value, alarms.direction, alarms.change_at
        )

    def findings(self, version: str, at: int, held_back: str, bad: Status = "drifted") -> tuple[Finding, ...]:
        """What the detectors say of a version now; ``bad`` is the status of what they have found."""
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
                detail = f"{of} has {verb} a little and stayed so since about {rfc3339(int(state.change_at[place]))}"
            found.append(Finding(subject, f"cusum{suffix}", value, value, _NAN, limit, status, detail))
            before, after = float(state.adaptive.before[place]), float(state.adaptive.after[place])
            lately = state.found_at[place] != sequential.NEVER and at - int(state.found_at[place]) < self.keep
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
        """What a checkpoint saves."""
        return to_json(self.states)

    def restore(self, document: bytes) -> None:
        """Goes on from a checkpoint; states of other streams are of no use."""
        size = len(self.streams.subjects)
        self.states = {
            version: state for version, state in read_states(document).items() if len(state.n) == size
        }  # fmt: skip


def read_states(document: bytes) -> dict[str, _Followed]:
    """What `Sequences.document` gave, decoded."""
    return from_json(document, dict[str, _Followed])
