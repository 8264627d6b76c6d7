"""A reference learned from the first rows of live traffic, for a model that has none."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.common.codec import decode, encode
from monitor.config.model import ModelSection
from monitor.decode.first_usable import Seen
from monitor.reference.build import build_profile
from monitor.reference.tables import table_of
from monitor.rows.records import LabelRows
from monitor.windows.geometry import SLACK_PANES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from monitor.daemon.model import Step
    from monitor.evaluate.record_faults import Rejects
    from monitor.reference.profile import Profile
    from monitor.rows.records import ModelRows, Partition


class Later(NamedTuple):
    """Rows that came after the last one that was learned from, to be counted once there is a reference."""

    rows: ModelRows
    clocks: NDArray[np.int64]
    offsets: NDArray[np.int64]
    partition: Partition


_NUMBERS = (int, float)
_SCALARS = (str, int, float)


class LearnedRows(msgspec.Struct, array_like=True):
    """Names of the columns, values of each, and event times."""

    columns: tuple[str, ...]
    values: list[list[Any]]
    times: list[int]


@dataclass(slots=True)
class ReferenceLearner:
    """Stands in for a model's windows until enough rows have come.

    Attributes:
        model: its configuration; ``learn_rows`` are needed.
        columns: names of the raw columns.
        values: of each column, in order of arrival; ``times``: event time of each row, epoch ms.
        later: rows beyond those that are needed.
        labels: what came meanwhile, with the partition's clock at each row.
        changed: since it was last saved.
        seen: where usable records have come from.
    """

    model: ModelSection
    columns: tuple[str, ...]
    values: list[list[object]] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    later: list[Later] = field(default_factory=list)
    labels: list[tuple[LabelRows, NDArray[np.int64]]] = field(default_factory=list)
    changed: bool = False
    seen: Seen = field(default_factory=Seen)

    def __post_init__(self) -> None:
        self.values = self.values or [[] for _ in self.columns]

    @property
    def name(self) -> str:
        """The model's name."""
        return self.model.name

    @property
    def lateness(self) -> int:
        """As `monitor.daemon.model.MonitoredModel`."""
        return self.model.lateness

    @property
    def needed(self) -> int:
        """How many rows are still to come."""
        assert self.model.learn_rows is not None
        return self.model.learn_rows - len(self.times)

    def horizon(self, floor: int) -> int:
        """As `monitor.daemon.model.MonitoredModel.horizon`."""
        return floor + SLACK_PANES * self.model.pane

    def advance(self, clock: int) -> Iterator[Step]:
        """Nothing falls due."""
        return iter(())

    def finish(self, latest: int) -> Iterator[Step]:
        """Nothing falls due."""
        return iter(())

    def offer(self, labels: LabelRows, clocks: NDArray[np.int64]) -> None:
        """Labels wait for their predictions, which are not counted yet."""
        self.labels.append((labels, clocks))

    def add(self, rows: ModelRows, clocks: NDArray[np.int64], offsets: NDArray[np.int64], partition: Partition) -> None:
        """Takes rows in; those that are not needed any more wait in ``later``."""
        assert rows.raw is not None
        self.seen.take(rows, partition)
        size = len(rows.index)
        taken = min(self.needed, size)
        for held, column in zip(self.values, rows.raw, strict=True):
            held += column[:taken]
        self.times += rows.times[:taken].tolist()
        self.changed = self.changed or taken > 0
        if taken < size:
            rest = slice(taken, size)
            self.later.append(Later(rows.take(rest), clocks[rest], offsets[rest], partition))

    def reject(self, rejects: Rejects) -> None:
        """Nothing is judged yet."""

    def profile(self) -> Profile:
        """The reference, once nothing more is needed."""
        named = dict(zip(self.columns, self.values, strict=True))
        named = _usable(named, self.model)
        named[self.model.columns.timestamp] = list(self.times)
        return build_profile(table_of(named), self.model)

    def document(self) -> bytes:
        """The state, encoded."""
        return encode(LearnedRows(self.columns, self.values, self.times))

    def restore(self, document: bytes) -> None:
        """Goes on from a checkpoint; rows of other columns are of no use."""
        saved = decode(document, LearnedRows)
        if saved.columns == self.columns:
            self.values, self.times = saved.values, saved.times


def _usable(named: dict[str, list[object]], model: ModelSection) -> dict[str, list[object]]:
    """Live values as a training file would hold them: what is of no use in a column counts as missing.

    A file with text in a numeric column is refused, but traffic cannot be: the daemon would stop at one bad record.
    """
    columns = model.columns
    lists = {*columns.embeddings, *((columns.prediction, columns.label) if model.task == "ranking" else ())}
    numeric = {name for name, kind in columns.types.items() if kind == "numeric"}
    numeric |= {columns.prediction, str(columns.label)} if model.task == "regression" else set()
    return {
        name: values
        if name in lists
        else [value if isinstance(value, _NUMBERS if name in numeric else _SCALARS) else None for value in values]
        for name, values in named.items()
    }
