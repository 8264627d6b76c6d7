"""Summarises the records that a command has read: rows, rejects by reason, labels, windows, time span.

It also decides whether the records were usable. It never contains a value of a record.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING

from alerts.moments import utc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from monitor.serve.snapshot import ModelStatus, Snapshot

_LEAST = 0.5
"""A command fails if the share of usable records is smaller."""

_ELSEWHERE = "no_model"
_HELP = {
    "empty": "the messages are empty",
    "malformed": "records must be JSON objects, one on each line, or Parquet",
    "too_large": "raise ingest.max_message_bytes or max_rows_per_message",
    "no_model": "check columns.model and the names of the models",
    "no_timestamp": "check columns.timestamp",
    "bad_timestamp": "times are epoch numbers or RFC 3339 text, such as 2026-01-04T00:00:00Z",
    "future": "check the unit of the times and the clock",
    "no_features": "check columns.features_at and the names of the features",
    "no_label": "check labels.label",
    "bad_label": "labels must be classes or numbers as the reference has them",
}


@dataclass(frozen=True, slots=True)
class Read:
    """Records of one kind.

    Attributes:
        usable: rows counted, including late and repeated ones; labels with a valid value.
        rejects: reason → number of rejects.
        hints: reason → hint on the first reject.
    """

    usable: int
    rejects: Mapping[str, int]
    hints: Mapping[str, str]

    @property
    def rejected(self) -> int:
        """All rejects."""
        return sum(self.rejects.values())

    @property
    def failed(self) -> int:
        """Rejects, without records of other models if the log contains any usable record."""
        return self.rejected - (self.rejects.get(_ELSEWHERE, 0) if self.usable else 0)

    @property
    def useless(self) -> bool:
        """Whether less than half of the records could be used."""
        return self.failed > 0 and self.usable < _LEAST * (self.usable + self.failed)


def predictions_read(snapshot: Snapshot) -> Read:
    """The outcome of prediction records."""
    usable = sum(sum(model.rows.values()) + model.late + _repeated(model) for model in snapshot.models)
    return _read(snapshot, usable + snapshot.learned_rows, labels=False)


def labels_read(snapshot: Snapshot) -> Read:
    """The outcome of label records."""
    return _read(snapshot, sum(model.labels_read for model in snapshot.models), labels=True)


def _read(snapshot: Snapshot, usable: int, *, labels: bool) -> Read:
    rejects: Counter[str] = Counter()
    hints: dict[str, str] = {}
    for (topic, reason), count in sorted(snapshot.rejects.items()):
        if count and (topic in snapshot.label_topics) == labels:
            rejects[reason] += count
            if hint := snapshot.hints.get((topic, reason), ""):
                hints.setdefault(reason, hint)
    return Read(usable, dict(rejects.most_common()), hints)


def _repeated(model: ModelStatus) -> int:
    return 0 if model.labels is None else model.labels.outcomes.get("duplicate_prediction", 0)


def summary_lines(snapshot: Snapshot) -> list[tuple[str, str]]:
    """A title and a text for each line; the title is empty if the line continues a topic."""
    rows, models = predictions_read(snapshot), snapshot.models
    late = sum(model.late for model in models)
    counted = sum(sum(model.rows.values()) for model in models)
    lines = [("rows", f"{counted:,} counted, {late:,} late, {rows.rejected:,} rejected")]
    if snapshot.learned_rows:
        lines.append(("", f"{snapshot.learned_rows:,} used to learn a reference"))
    lines += _rejects(rows)
    repeated = [(model, _repeated(model), model.repeated) for model in models]
    if exact := sum(known for _, known, _ in repeated):
        lines.append(("", f"{exact:,} repeated the id of another row, and were not counted again"))
    if twice := sum(seen for _, _, seen in repeated):
        lines.append(("", f"{twice:,} repeated the id of another row, and were counted again"))
    if any(model.labels is not None for model in models):
        lines += _labels(snapshot)
    judged, lacking = sum(model.evaluations for model in models), sum(model.insufficient for model in models)
    lines.append(("windows", f"{judged:,} judged, {lacking:,} with too little data"))
    first = min((model.first for model in models if model.first is not None), default=None)
    last = max((model.last for model in models if model.last is not None), default=None)
    lines.append(("time", "none" if first is None or last is None else f"{utc(first)} to {utc(last)}"))
    if last is not None and snapshot.ended:
        lines.append(("", "the log ends at this time; windows that end later were not judged"))
        if waiting := sum(model.unjudged for model in models):
            lines.append(("", f"{waiting:,} windows of performance still wait for labels"))
    return lines


def shown(lines: Sequence[tuple[str, str]], width: int) -> str:
    """The lines as text, wrapped to a width in characters."""
    room = max(len(title) for title, _ in lines) + 2
    texts = []
    for title, text in lines:
        wrapped = wrap(text, max(width - room, 20)) or [""]
        texts += [f"{title:<{room}}{wrapped[0]}", *(" " * room + more for more in wrapped[1:])]
    return "\n".join(texts)


def _labels(snapshot: Snapshot) -> list[tuple[str, str]]:
    labels, outcomes = labels_read(snapshot), Counter[str]()
    for model in snapshot.models:
        outcomes.update({} if model.labels is None else model.labels.outcomes)
    joined = outcomes["joined"] + outcomes["corrected"]
    read = f"{labels.usable + labels.rejected:,} read, {joined:,} joined, {labels.rejected:,} unusable"
    lines = [("labels", read), *_rejects(labels)]
    if unknown := outcomes["early"] + outcomes["unknown"]:
        lines.append(("", f"{unknown:,} have no prediction in the log"))
    return lines


def _rejects(read: Read) -> list[tuple[str, str]]:
    """Reasons, the most frequent first."""
    ranked = sorted(read.rejects.items(), key=lambda pair: (-pair[1], pair[0]))
    return [("", f"{count:,} {reason}{_hint(read, reason)}") for reason, count in ranked]


def _hint(read: Read, reason: str) -> str:
    return f" {read.hints[reason]}" if reason in read.hints else ""


def useless_sentence(snapshot: Snapshot) -> str:
    """One sentence on why the records are unusable and what to do; empty if at least half are usable."""
    for noun, read in (("records", predictions_read(snapshot)), ("labels", labels_read(snapshot))):
        if read.useless:
            reason = max(read.rejects, key=lambda name: (read.rejects[name], name))
            total = read.usable + read.rejected
            return f"{read.rejected:,} of {total:,} {noun} rejected: {reason}{_hint(read, reason)}; {_HELP[reason]}"
    if not predictions_read(snapshot).usable:
        return "the log holds no records; check the input"
    return ""
