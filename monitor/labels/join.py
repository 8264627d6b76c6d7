"""Joins late labels to their predictions by id.

Every outcome is a function of the rows in their order and of the watermark between them: batches, checkpoints, merges
and restarts do not change it. Four stores hold the state, each keyed by a hash of the id:

===============  ===================================  ====================================================
store            time of a row                        payload
===============  ===================================  ====================================================
``predictions``  the prediction's event time          the fields that the caller needs to count it
``labels``       the event time of its prediction     the label that counts, and when it became known
``early``        when the label was known, or later   a label without a prediction, or the mark that it got one
``expired``      the prediction's event time          nothing
===============  ===================================  ====================================================
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from monitor.common.errors import StateError
from monitor.labels.keyed_file import NEVER
from monitor.labels.keyed_files import KeyedFiles, Tiers
from monitor.labels.latest import fields_of, latest, same, with_fields
from monitor.labels.outcomes import Foreseen, Labelled, Outcome, Pairs, Predicted
from monitor.rows.ids import hash_ids as hash_ids

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from detectors.array_types import Flags, Hashes, Integers, Records


_FORMAT = 1


class _Manifest(msgspec.Struct):
    format: int
    watermark: int
    horizon: int
    counts: dict[str, int]
    stores: dict[str, msgspec.Raw]


class LabelJoin:
    """Joins the labels of one model to its predictions.

    Args:
        folder: of the files; this join alone uses it.
        prediction: structured dtype of the stored fields of a prediction; scalar fields.
        label: structured dtype of a label; scalar fields, none of them called ``at`` or ``held``.
        retention_ms: how long after its event time a prediction waits for its label, by the watermark.
        sample: share of the ids that are joined, chosen by their hash, so that predictions and labels always agree.
        tiers: when files are merged.
    """

    def __init__(
        self, folder: Path, prediction: np.dtype[np.void], label: np.dtype[np.void], *, retention_ms: int,
        sample: float = 1.0, tiers: Tiers | None = None,
    ) -> None:  # fmt: skip
        self._label = label
        self._known = with_fields(label, [("at", "<i8")])
        self._waiting = with_fields(label, [("at", "<i8"), ("held", "?")])
        self._predictions = KeyedFiles(folder, "predictions", prediction, tiers)
        self._labels = KeyedFiles(folder, "labels", self._known, tiers)
        self._early = KeyedFiles(folder, "early", self._waiting, tiers)
        self._expired = KeyedFiles(folder, "expired", np.dtype([]), tiers)
        self._stores = {
            "predictions": self._predictions, "labels": self._labels, "early": self._early, "expired": self._expired,
        }  # fmt: skip
        self._folder, self._retention, self._sample = folder, retention_ms, sample
        self._counts = np.zeros(len(Outcome), dtype=np.int64)
        self._watermark = self._horizon = NEVER
        self._turn = 0

    @property
    def counts(self) -> Mapping[str, int]:
        """Outcomes since the state began. An early label is counted again when it is joined or expires."""
        return {outcome.name.lower(): int(self._counts[outcome]) for outcome in Outcome}

    @property
    def nbytes(self) -> int:
        """Bytes on disk."""
        return sum(store.nbytes for store in self._stores.values())

    def load(self, manifest: bytes | None) -> int:
        """The state of a manifest, None for an empty one; see ``KeyedFiles.load``.

        Returns:
            Rows lost; ``losses`` says why.

        Raises:
            StateError: if the manifest cannot be read.
            RetryableError: if the folder cannot be read now.
        """
        known = self._decode(manifest)
        self._watermark, self._horizon = known.watermark, known.horizon
        self._counts[:] = [known.counts.get(outcome.name.lower(), 0) for outcome in Outcome]
        return sum(store.load(_raw(known, name)) for name, store in self._stores.items())

    @property
    def losses(self) -> Counter[str]:
        """Reason → rows lost at the last load; see ``KeyedFiles``."""
        return sum((store.losses for store in self._stores.values()), Counter())

    def prepare(self) -> bytes:
        """Writes new rows to files; see ``KeyedFiles.prepare``. At most one store merges files in a call.

        Raises:
            StateError: if the disk cannot be written. Nothing is lost; prepare again later.
        """
        keys, times = self._predictions.take_before(self._horizon)
        kept = times >= self._forgotten
        self._expired.add(keys[kept], times[kept], np.zeros(int(kept.sum()), dtype=[]))
        names = list(self._stores)
        # The stores take turns, so that the files of none accumulate.
        turns = names[self._turn :] + names[: self._turn]
        crowded = next((name for name in turns if self._stores[name].crowded), None) if not len(keys) else None
        if crowded is not None:
            self._turn = (names.index(crowded) + 1) % len(names)
        stores = {name: msgspec.Raw(store.prepare(name == crowded)) for name, store in self._stores.items()}
        return msgspec.json.encode(_Manifest(_FORMAT, self._watermark, self._horizon, dict(self.counts), stores))

    def saved(self) -> None:
        """Marks the last prepared manifest as saved."""
        for store in self._stores.values():
            store.saved()

    def protect(self, manifest: bytes | None) -> None:
        """Keeps the files of a manifest that may be loaded again: the manifest of the backup.

        Raises:
            StateError: if it cannot be read.
        """
        known = self._decode(manifest)
        for name, store in self._stores.items():
            store.protect(_raw(known, name))

    def advance(self, watermark_ms: int) -> None:
        """Advances event time, never back; predictions and early labels that are too old expire."""
        self._watermark = max(self._watermark, watermark_ms)
        horizon = max(self._horizon, self._watermark - self._retention)
        if horizon == self._horizon:
            return
        due = self._early.keys_between("at", self._horizon, horizon)
        if len(due):
            known, _, rows = self._early.find(due, self._horizon)
            given_up = known & rows["held"] & (rows["at"] >= self._horizon) & (rows["at"] < horizon)
            self._counts[Outcome.UNKNOWN] += int(given_up.sum())
        self._horizon = horizon
        self._labels.expire(horizon)
        self._early.expire(horizon)
        self._predictions.expire(self._forgotten)
        self._expired.expire(self._forgotten)

    def add_predictions(self, ids: Sequence[object], times: Integers, payload: Records) -> Predicted:
        """Adds predictions.

        Args:
            ids: raw values, length n.
            times: int64[n], event times, ms.
            payload: [n], of the dtype ``prediction``.
        """
        keys, outcomes = self._admit(ids, Outcome.UNUSABLE_PREDICTION, Outcome.UNSAMPLED_PREDICTION)
        taken = np.flatnonzero(outcomes < 0)
        unique, firsts, group = np.unique(keys[taken], return_index=True, return_inverse=True)
        at = times[taken]
        known, _, _ = self._predictions.find(unique, self._horizon)
        # The first row of an id that is not too old counts; all rows before it are too old.
        start = np.full(len(unique), len(taken), dtype=np.int64)
        usable = np.flatnonzero(at >= self._horizon)
        np.minimum.at(start, group[usable], usable)
        start[known] = -1
        index = np.arange(len(taken))
        outcome = np.where(index > start[group], Outcome.DUPLICATE_PREDICTION, Outcome.EXPIRED_PREDICTION)
        outcome[index == start[group]] = Outcome.PREDICTED
        outcomes[taken] = outcome
        new = outcomes == Outcome.PREDICTED
        self._counts += np.bincount(outcomes, minlength=len(Outcome))
        self._predictions.add(keys[new], times[new], payload[new])
        old = taken[(outcome == Outcome.EXPIRED_PREDICTION) & (at >= self._forgotten)]
        self._expired.add(keys[old], times[old], np.zeros(len(old), dtype=[]))
        pairs = self._meet(unique[~known], taken[firsts[~known]], new, times, payload)
        return Predicted(new, outcomes, pairs)

    def _meet(self, keys: Hashes, first: Integers, new: Flags, times: Integers, payload: Records) -> Pairs:
        """Joins early labels to new predictions, whose rows are ``first``; an expired early label is dropped."""
        _, marked, early = self._early.find(keys, self._horizon)
        met = early["held"] & (early["at"] >= self._horizon)
        self._early.add(keys[met], marked[met], np.zeros(int(met.sum()), self._waiting))
        joined = met & new[first]
        self._counts[Outcome.JOINED] += int(joined.sum())
        self._counts[Outcome.EXPIRED] += int((met & ~joined).sum())
        chosen = np.flatnonzero(joined)[np.argsort(first[joined])]
        rows, early = first[chosen], early[chosen]
        labels = fields_of(early, self._label)
        self._labels.add(keys[chosen], times[rows], fields_of(early, self._known))
        nothing = np.zeros(len(rows), self._label)
        return Pairs(
            times[rows], early["at"] - times[rows], payload[rows], labels, nothing, np.zeros(len(rows), dtype=np.bool_)
        )

    def add_labels(self, ids: Sequence[object], times: Integers, values: Records) -> Labelled:
        """Adds labels; arguments as for `foresee`."""
        foreseen = self.foresee(ids, times, values)
        assert foreseen is not None
        self.keep(foreseen)
        return foreseen.labelled

    def keep(self, foreseen: Foreseen) -> None:
        """Adds the labels of the last `foresee`; no other row may have been added since."""
        self._counts += np.bincount(foreseen.labelled.outcomes, minlength=len(Outcome))
        self._keep(*foreseen.kept)

    def foresee(
        self, ids: Sequence[object], times: Integers, values: Records, until_ms: int | None = None
    ) -> Foreseen | None:
        """Computes the outcomes of labels without changing the state.

        Args:
            ids: raw values, length n.
            times: int64[n], when each label became known, ms. The greatest one counts, of equal ones the later row.
            values: [n], of the dtype ``label``. NaN equals NaN.
            until_ms: the watermark may advance up to this time between the rows; None if it does not.

        Returns:
            None if a row that the labels depend on would expire meanwhile.
        """
        keys, outcomes = self._admit(ids, Outcome.UNUSABLE, Outcome.UNSAMPLED)
        taken = np.flatnonzero(outcomes < 0)
        unique, group = np.unique(keys[taken], return_inverse=True)
        known, predicted, predictions = self._predictions.find(unique, self._forgotten)
        live = known & (predicted >= self._horizon)
        gone = known & ~live
        lost, lost_at, _ = self._expired.find(unique[~known], self._forgotten)
        gone[~known] = lost
        waits = ~live & ~gone
        # The label that counts so far for each id: the joined label of a prediction, or the early label of other ids.
        count = len(unique)
        current = np.zeros(count + len(taken), self._known)
        current["at"][:count] = NEVER
        joined, _, rows = self._labels.find(unique[live], self._horizon)
        current[np.flatnonzero(live)[joined]] = rows[joined]
        _, marked, early = self._early.find(unique[waits], self._horizon)
        waiting = early["held"] & (early["at"] >= self._horizon)
        current[np.flatnonzero(waits)[waiting]] = fields_of(early[waiting], self._known)
        current["at"][count:] = times[taken]
        for name in self._label.names or ():
            current[name][count:] = values[name][taken]
        at = current["at"]
        before, last = latest(np.concatenate([np.arange(count), group]), at, count)
        before = before[count:]
        # An early label that is too old on arrival expires at once and does not count for the next one.
        floor = np.where(waits, max(self._horizon, NEVER + 1), NEVER + 1)
        some = at[before] >= floor[group]
        now = at[count:]
        outcome = np.where(live[group], Outcome.JOINED, np.where(now >= floor[group], Outcome.EARLY, Outcome.UNKNOWN))
        rest = np.where(now >= at[before], Outcome.CORRECTED, Outcome.OUTDATED)
        rest[same(fields_of(current[before], self._label), values[taken])] = Outcome.DUPLICATE
        outcome[some] = rest[some]
        outcome[gone[group]] = Outcome.EXPIRED
        outcomes[taken] = outcome
        if until_ms is not None and self._parts(until_ms, (predicted, at, marked), (predicted, lost_at)):
            return None
        paired = np.flatnonzero(live[group] & ((outcome == Outcome.JOINED) | (outcome == Outcome.CORRECTED)))
        rows_of_pairs = group[paired]
        old = fields_of(current[before[paired]], self._label)
        replaced = outcome[paired] == Outcome.CORRECTED
        old[~replaced] = np.zeros((), self._label)
        pairs = Pairs(
            predicted[rows_of_pairs],
            now[paired] - predicted[rows_of_pairs],
            predictions[rows_of_pairs],
            values[taken[paired]],
            old,
            replaced,
        )
        kept = (unique, current, last, live, predicted, waits, marked)
        return Foreseen(Labelled(outcomes, pairs), taken[paired], kept)

    def _parts(self, until_ms: int, waiting: Sequence[Integers], forgotten: Sequence[Integers]) -> bool:
        """Whether any of these times would expire or be forgotten while the watermark advances to ``until_ms``."""
        horizon = max(self._horizon, until_ms - self._retention)
        moves = ((waiting, self._horizon, horizon), (forgotten, self._forgotten, max(horizon - self._retention, NEVER)))
        return any(((times >= low) & (times < high)).any() for kind, low, high in moves for times in kind)

    def _keep(
        self,
        keys: Hashes,
        current: Records,
        last: Integers,
        live: Flags,
        predicted: Integers,
        waits: Flags,
        marked: Integers,
    ) -> None:
        """Stores the labels that count now, unless they are already stored."""
        count = len(keys)
        changed = (last >= count) & (
            (current["at"][last] != current["at"][:count])
            | ~same(fields_of(current[last], self._label), fields_of(current[:count], self._label))
        )
        joined = changed & live
        self._labels.add(keys[joined], predicted[joined], current[last[joined]])
        floor = np.full(count, NEVER, dtype=np.int64)
        floor[waits] = marked
        early = changed & waits & (current["at"][last] >= self._horizon)
        rows = np.zeros(int(early.sum()), self._waiting)
        for name in self._known.names or ():
            rows[name] = current[name][last[early]]
        rows["held"] = True
        # Not before the mark that an earlier label of this id got its prediction, because the mark would then count.
        self._early.add(keys[early], np.maximum(rows["at"], floor[early]), rows)

    @property
    def _forgotten(self) -> int:
        """Event time before which expired predictions are no longer distinguished from unknown ones."""
        return max(self._horizon - self._retention, NEVER)

    def _admit(self, ids: Sequence[object], unusable: Outcome, unsampled: Outcome) -> tuple[Hashes, NDArray[np.int8]]:
        keys, usable = hash_ids(ids)
        outcomes = np.full(len(keys), -1, dtype=np.int8)
        if self._sample < 1.0:
            outcomes[keys >= np.uint64(max(self._sample, 0.0) * 2.0**64)] = unsampled
        outcomes[~usable] = unusable
        return keys, outcomes

    def _decode(self, manifest: bytes | None) -> _Manifest:
        if manifest is None:
            return _Manifest(_FORMAT, NEVER, NEVER, {}, {})
        try:
            known = msgspec.json.decode(manifest, type=_Manifest)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise StateError(f"{self._folder}: the list of label files cannot be read: {error}") from error
        if known.format != _FORMAT:
            raise StateError(f"{self._folder}: labels of format {known.format}, this leewayd reads {_FORMAT}")
        return known


def _raw(known: _Manifest, name: str) -> bytes | None:
    return bytes(known.stores[name]) if name in known.stores else None
