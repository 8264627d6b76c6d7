"""Pieces of HTML that the sections of the report share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from monitor.backtest.history import TrackKey


def table(head: Sequence[str], rows: Iterable[Sequence[str]], right: frozenset[int] = frozenset()) -> str:
    """A table that scrolls on a narrow screen.

    Args:
        head, rows: cells as HTML.
        right: columns of numbers.
    """

    def cells(row: Sequence[str], tag: str) -> str:
        return "".join(
            f"<{tag}{' class=right' if index in right else ''}>{cell}</{tag}>" for index, cell in enumerate(row)
        )

    lines = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    shown = "".join(("<div class=scroll><table><thead><tr>", cells(head, "th"), "</tr></thead><tbody>"))
    return f"{shown}{lines}</tbody></table></div>"


def where(key: TrackKey, many_models: bool) -> str:
    """Names the series and window; leaves out a single model, the default version and the segment ``all``."""
    names = [key.model] if many_models else []
    names += [f"version {key.version}"] if key.version != "-" else []
    names += [key.segment] if key.segment != "all" else []
    return ", ".join([*names, f"window {key.window}"])
