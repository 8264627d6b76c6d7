"""Rows by key in immutable, sorted, memory-mapped files: memory does not grow with the number of rows.

This is a log-structured merge tree (O'Neil, Cheng, Gawlick and O'Neil 1996): fresh rows are in memory, each checkpoint
writes them to a new file, and small files are merged into larger ones. A manifest, which the caller saves in its own
transaction, lists the files that count; a file that no saved manifest names is ignored.
"""

from __future__ import annotations

import re
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from monitor.common.durable_files import FOLDER_MODE, fault_of, set_aside, sync_folder
from monitor.common.errors import StateError
from monitor.labels.keyed_file import NEVER as NEVER
from monitor.labels.keyed_file import Entry, Part, UnusableFileError, let_go, merged_parts, open_part, write_part

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Tiers:
    """The sizes at which files are merged.

    Attributes:
        fan: number of neighbouring files of one tier that are merged.
        least: rows; smaller files are the first tier, each further tier is ``fan`` times as large.
        most: rows; the limit of a merged file, so that a merge needs bounded time and memory.
    """

    fan: int = 8
    least: int = 2**14
    most: int = 2**20

    @property
    def limits(self) -> tuple[int, ...]:
        """Rows below which a file belongs to each tier. A file of more than half of ``most`` is never merged."""
        tiers = [self.least]
        while tiers[-1] * self.fan < self.most // 2:
            tiers.append(tiers[-1] * self.fan)
        return (*tiers, self.most // 2 + 1)


class _Manifest(msgspec.Struct):
    format: int
    sequence: int
    before: int
    files: list[Entry]
    protected: list[str]


class KeyedFiles:
    """A map from a key to a time and a payload.

    Of several rows with one key the one with the greatest time counts, of equal times the one added last. The result of
    a look-up is therefore independent of how rows are spread over files, and of which files have been dropped.

    Args:
        folder: of the files; created if it does not exist. Stores with different names can share it.
        name: prefix of the files' names.
        payload: structured dtype of scalar fields; may have none.
        tiers: when files are merged.
    """

    def __init__(self, folder: Path, name: str, payload: np.dtype[np.void], tiers: Tiers | None = None) -> None:
        self._folder, self._name, self._payload = folder, name, payload
        self._tiers = tiers or Tiers()
        self._names = payload.names or ()
        self._columns = [(field, payload[field].newbyteorder("<")) for field in self._names]
        self._mine = re.compile(re.escape(name) + r"-(\d+)\.rows(\.new)?")
        self._files: list[Part] = []  # oldest first
        self._fresh: list[Part] = []  # oldest first, each at least twice as long as the next
        self._sequence = 0
        self._before = NEVER
        self._dropped: set[str] = set()
        self._prepared: set[str] = set()
        self._protected: set[str] = set()
        self._ranges: dict[tuple[str, str], tuple[int, int]] = {}
        self.losses: Counter[str] = Counter()
        """Reason → rows lost at the last load: ``file_missing``, ``file_damaged``, ``block_damaged``."""

    @property
    def rows(self) -> int:
        """Number of rows; superseded and expired ones count until they are merged or dropped."""
        return sum(len(part.keys) for part in (*self._files, *self._fresh))

    @property
    def nbytes(self) -> int:
        """Bytes on disk in the files that count."""
        return sum(len(part.view) for part in self._files if part.view is not None)

    @property
    def crowded(self) -> bool:
        """Whether files wait to be merged."""
        return self._crowd() is not None

    def add(self, keys: NDArray[np.uint64], times: NDArray[np.int64], payload: NDArray[np.void]) -> None:
        """Adds rows.

        Args:
            keys: uint64[n], in any order; of equal rows in one call the later one was added last.
            times: int64[n], ms.
            payload: [n] of the store's dtype.
        """
        if not len(keys):
            return
        fields = tuple(payload[name] for name in self._names)
        self._fresh.append(merged_parts([Part(keys, times, fields, 0, 0)], NEVER))
        # Parts in memory are merged as they double, so that there are few of them however small the batches.
        while len(self._fresh) > 1 and len(self._fresh[-2].keys) < 2 * len(self._fresh[-1].keys):
            self._fresh[-2:] = [merged_parts(self._fresh[-2:], NEVER)]

    def find(
        self, keys: NDArray[np.uint64], since_ms: int = NEVER
    ) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.void]]:
        """Finds the rows of keys.

        Args:
            keys: uint64[n].
            since_ms: earlier rows count as not found, and files with only earlier rows are not read.

        Returns:
            found bool[n]; times int64[n], NEVER where not found; payload [n], zeros where not found.
        """
        since = max(since_ms, self._before, NEVER + 1)
        payload = np.zeros(len(keys), self._payload)
        best = np.full(len(keys), NEVER, dtype=np.int64)
        # In order, so that neighbouring look-ups touch neighbouring pages.
        order = np.argsort(keys)
        needles = keys[order]
        for part in reversed((*self._files, *self._fresh)):
            if part.last < since:
                continue
            wanted = np.flatnonzero(best < part.last)
            if not len(wanted):
                break
            looked = needles[wanted]
            index = np.minimum(np.searchsorted(part.keys, looked), len(part.keys) - 1)
            hit = part.keys[index] == looked
            wanted, index = wanted[hit], index[hit]
            times = part.times[index]
            better = (times >= since) & (times > best[wanted])
            wanted, index = wanted[better], index[better]
            best[wanted] = times[better]
            rows = order[wanted]
            for name, column in zip(self._names, part.fields, strict=True):
                payload[name][rows] = column[index]
            let_go(part)
        times = np.empty(len(keys), dtype=np.int64)
        times[order] = best
        return times > NEVER, times, payload

    def keys_between(self, field: str, low: int, high: int) -> NDArray[np.uint64]:
        """uint64[k], ascending: keys of rows, including superseded ones, whose int64 field is in [low, high)."""
        index = self._names.index(field)
        keys = [np.empty(0, dtype=np.uint64)]
        for part in (*self._files, *self._fresh):
            column = part.fields[index]
            key = (part.file, field)
            least, greatest = self._ranges.get(key) or (int(column.min()), int(column.max()))
            if part.file:
                self._ranges[key] = (least, greatest)
            if least < high and greatest >= low:
                keys.append(part.keys[(column >= low) & (column < high)])
            let_go(part)
        return np.unique(np.concatenate(keys))

    def expire(self, before_ms: int) -> None:
        """Expires rows with an earlier time: they are no longer found, and a checkpoint drops their files."""
        self._before = max(self._before, before_ms)

    def take_before(self, before_ms: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """Removes files that contain only rows earlier than ``before_ms``, as many as one merge would read.

        Returns:
            keys uint64[k] and times int64[k] of their rows, in no order.
        """
        keys, times = [np.empty(0, dtype=np.uint64)], [np.empty(0, dtype=np.int64)]
        room = self._tiers.most
        for part in [part for part in self._files if part.last < before_ms]:
            if len(keys) > 1 and len(part.keys) > room:
                break
            room -= len(part.keys)
            keys.append(part.keys)
            times.append(part.times)
            self._replace([part], [])
        return np.concatenate(keys), np.concatenate(times)

    def prepare(self, merge: bool = True) -> bytes:
        """Writes fresh rows to a file and merges a few files if due; ``Tiers.most`` bounds the work.

        Args:
            merge: False postpones merging.

        Returns:
            The manifest, for ``load``. The caller saves it and then calls ``saved``. A caller that could not save it
            prepares again later.

        Raises:
            StateError: if the disk cannot be written. No row is lost; prepare again later.
        """
        written = self._sequence
        self._replace([part for part in self._files if part.last < self._before], [])
        for part in [part for part in self._files if part.harmed]:
            self._replace([part], [self._write(part)])
        if self._fresh:
            fresh = merged_parts(self._fresh, self._before)
            self._files += [self._write(fresh)] if len(fresh.keys) else []
            self._fresh = []
        if merge and (crowd := self._crowd()) is not None:
            merged = merged_parts(crowd, self._before)
            self._replace(crowd, [self._write(merged)] if len(merged.keys) else [])
        if self._sequence != written:
            self._sync()
        self._prepared = {part.file for part in self._files}
        files = [Entry(part.file, len(part.keys), part.first, part.last) for part in self._files]
        return msgspec.json.encode(_Manifest(_FORMAT, self._sequence, self._before, files, sorted(self._protected)))

    def saved(self) -> None:
        """Marks the last prepared manifest as saved; deletes files that neither it nor a protected one names."""
        for name in self._dropped - self._prepared - self._protected:
            # A file that cannot be deleted now is deleted later, or when the store is loaded again.
            with suppress(OSError):
                (self._folder / name).unlink(missing_ok=True)
                self._dropped.discard(name)

    def protect(self, manifest: bytes | None) -> None:
        """Keeps the files of a manifest that may be loaded again, and releases the files of the one protected before.

        Raises:
            StateError: if it cannot be read.
        """
        self._protected = set() if manifest is None else {entry.file for entry in self._decode(manifest).files}

    def load(self, manifest: bytes | None) -> int:
        """Opens the files of a manifest, None for an empty store, and deletes the files of an unfinished checkpoint.

        Until ``protect`` is called, the files that this manifest names or protected stay: one of the two is the backup.
        A missing or unusable file is left out; an unusable one is renamed to end in ``.damaged``. Intact blocks of a
        partly corrupt file are used, and written to a new file at the next ``prepare``.

        Returns:
            Rows lost; ``losses`` says why.

        Raises:
            StateError: if the manifest cannot be read.
            RetryableError: if the folder cannot be read now.
        """
        known = _Manifest(_FORMAT, 0, NEVER, [], []) if manifest is None else self._decode(manifest)
        self._files, self._fresh, self._ranges, self._dropped = [], [], {}, set()
        self._sequence, self._before = known.sequence, known.before
        self._prepared = {entry.file for entry in known.files}
        self._protected |= self._prepared | set(known.protected)
        self.losses = Counter()
        try:
            self._folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            for path in list(self._folder.iterdir()):
                if (match := self._mine.fullmatch(path.name)) is None:
                    continue
                if path.name in self._protected:
                    self._sequence = max(self._sequence, int(match[1]) + 1)
                    self._dropped |= {path.name} - self._prepared
                else:
                    path.unlink()
            for entry in known.files:
                path = self._folder / entry.file
                try:
                    part = open_part(path, self._columns, entry)
                except FileNotFoundError:
                    self.losses["file_missing"] += entry.rows
                except UnusableFileError:
                    set_aside([path], "")
                    self.losses["file_damaged"] += entry.rows
                else:
                    self._files.append(part)
                    if part.lost:
                        self.losses["block_damaged"] += part.lost
        except OSError as error:
            raise fault_of(self._folder, error) from error
        return self.losses.total()

    def _decode(self, manifest: bytes) -> _Manifest:
        try:
            known = msgspec.json.decode(manifest, type=_Manifest)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise StateError(f"{self._folder}: the list of {self._name} files cannot be read: {error}") from error
        if known.format != _FORMAT:
            raise StateError(f"{self._folder}: {self._name} files of format {known.format}, this reads {_FORMAT}")
        return known

    def _crowd(self) -> list[Part] | None:
        """Neighbouring files to be merged, or None; merging other files would lose the order of rows."""
        for limit in self._tiers.limits:
            run: list[Part] = []
            for part in self._files:
                run = [*run, part] if len(part.keys) < limit else []
                if len(run) == self._tiers.fan:
                    fitting = np.cumsum([len(member.keys) for member in run]) <= self._tiers.most
                    return run[: max(int(fitting.sum()), 2)]
        return None

    def _replace(self, old: Sequence[Part], new: list[Part]) -> None:
        if old:
            gone = {part.file for part in old}
            index = next(index for index, part in enumerate(self._files) if part.file in gone)
            kept = [part for part in self._files if part.file not in gone]
            self._files = [*kept[:index], *new, *kept[index:]]
            self._dropped |= gone
            self._ranges = {key: value for key, value in self._ranges.items() if key[0] not in gone}

    def _write(self, part: Part) -> Part:
        written = write_part(self._folder, f"{self._name}-{self._sequence:08d}.rows", part, self._columns)
        self._sequence += 1
        return written

    def _sync(self) -> None:
        """Flushes the folder's new entries to disk."""
        try:
            sync_folder(self._folder)
        except OSError as error:
            raise StateError(f"{self._folder}: {error.strerror}") from error
