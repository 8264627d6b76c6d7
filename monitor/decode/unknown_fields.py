"""Finds names in records that the model's configuration does not know, such as features added upstream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from monitor.config.model import ModelSection

_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_ONE_IN_16 = np.uint64(60)
MOST_NAMES = 50
"""Most unknown names of one record; more names are data, not a schema."""
_LONGEST = 64


def sampled(offsets: NDArray[np.int64]) -> NDArray[np.bool_]:
    """bool[n]: whether a message is in the sample of one in sixteen whose names are read; depends on its offset only.

    The offset is hashed first (Knuth 1997, section 6.4), because with transactions only every second offset is data.
    """
    return np.asarray((offsets.astype(np.uint64) * _SPREAD) >> _ONE_IN_16 == 0)


def holds_any(record: Mapping[str, Any], paths: Iterable[str]) -> bool:
    """Whether a record has any of ``paths``; a null on the way counts as present."""
    return any(_holds(record, path.split(".")) for path in paths)


def _holds(value: Any, keys: Sequence[str]) -> bool:
    for key in keys:
        if value is None:
            return True
        if not isinstance(value, dict) or key not in value:
            return False
        value = value[key]
    return True


def shown_names(names: Iterable[str], most: int = 5) -> str:
    """Names for a log line: printable, of bounded length and number."""
    printable = sorted({"".join(char if char.isprintable() else "?" for char in name[:_LONGEST]) for name in names})
    more = f" and {len(printable) - most} more" if len(printable) > most else ""
    return (", ".join(printable[:most]) + more) or "nothing"


class UnknownFields:
    """Compares the names in a model's records with the known ones.

    Args:
        model: its configuration.
        paths: dotted paths that are read from its records.
    """

    def __init__(self, model: ModelSection, paths: Iterable[str]) -> None:
        columns = model.columns
        self._above = tuple(columns.features_at.split(".")) if columns.features_at else ()
        prefix = f"{columns.features_at}." if self._above else ""
        further = (columns.id, columns.label, columns.version, columns.model)
        read = [*paths, *columns.exclude, *(name for name in further if name is not None)]
        below = [path.removeprefix(prefix) for path in read if path.startswith(prefix)]
        # `exclude` may contain a name as in the reference.
        self._known = {path.partition(".")[0] for path in below} | set(below) | set(columns.exclude)

    def unknown(self, record: Mapping[str, Any]) -> tuple[str, ...]:
        """Unknown names, in order; if features are nested, only unknown names among the features."""
        value: Any = record
        for key in self._above:
            value = value.get(key) if isinstance(value, dict) else None
        return self._unknown(value) if isinstance(value, dict) else ()

    def unknown_columns(self, names: Sequence[str]) -> tuple[str, ...]:
        """As `unknown`, for a table's columns, which are named by dotted paths."""
        prefix = "".join(f"{key}." for key in self._above)
        return self._unknown(name.removeprefix(prefix) for name in names if name.startswith(prefix))

    def _unknown(self, names: Iterable[str]) -> tuple[str, ...]:
        return tuple(sorted({name[:_LONGEST] for name in names if name not in self._known})[:MOST_NAMES])
