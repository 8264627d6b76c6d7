"""At which steps a model's windows slide, and so which pane lengths are kept.

A window of 24 h over 1-minute panes would keep 1,440 panes for every series. It slides by about a hundredth of its
length instead, over panes of that length; short windows keep the base panes. A hundred panes a window is all that is
kept, whatever its length.
"""

from __future__ import annotations

from dataclasses import dataclass

from monitor.common.durations import DAY

SLACK_PANES = 16
"""How many base panes a partition may be ahead of the slowest one; further rows wait (`monitor.daemon.ordering`)."""


@dataclass(frozen=True, slots=True)
class Window:
    """One window length of a model: ``length`` and ``step`` in ms."""

    name: str
    length: int
    step: int


def ring_capacities(
    windows: tuple[Window, ...], pane: int, lateness: int, rolling: int | None = None
) -> dict[int, int]:
    """Pane length → how many panes of it are kept; with a rolling reference, days for as long as that."""
    slack = lateness + SLACK_PANES * pane
    capacities: dict[int, int] = {}
    for window in windows:
        # Room for the longest window, the panes still open behind the watermark, and those opened ahead of it.
        needed = window.length // window.step + slack // window.step + 2
        capacities[window.step] = max(needed, capacities.get(window.step, 0))
    if rolling is not None:
        needed = (rolling + windows[-1].length) // DAY + slack // DAY + 3
        capacities[DAY] = max(needed, capacities.get(DAY, 0))
    return capacities
