"""Small charts as inline SVG without scripts, for print and mail."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_WIDTH, _LEFT, _RIGHT, _TOP, _BOTTOM = 720, 52, 12, 10, 24
_MOST_POINTS = 360
_MUCH = 3.0


@dataclass(frozen=True, slots=True)
class _Frame:
    """Data coordinates → pixels."""

    x0: float
    x1: float
    y1: float
    height: int
    y0: float = 0.0

    def x(self, value: float) -> float:
        span = max(self.x1 - self.x0, 1e-12)
        return _LEFT + (value - self.x0) / span * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        inner = self.height - _TOP - _BOTTOM
        return _TOP + inner * (1 - min(max((value - self.y0) / max(self.y1 - self.y0, 1e-12), 0.0), 1.0))


def _svg(height: int, label: str, elements: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(label, quote=True)}">'
        + "".join(elements)
        + "</svg>"
    )


def _text(x: float, y: float, text: str, anchor: str = "middle", style: str = "tick") -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def number(value: float) -> str:
    """Three significant digits, thousands with a comma."""
    if not np.isfinite(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _ticks(bottom: float, top: float) -> list[float]:
    step = 10 ** np.floor(np.log10(max(top - bottom, 1e-12)))
    for factor in (0.2, 0.25, 0.5, 1.0, 2.0, 2.5, 5.0):
        size = step * factor
        if (top - bottom) / size <= 4:
            return [float(size * index) for index in range(int(np.ceil(bottom / size)), int(top // size) + 1)]
    return [bottom, top]


def _axes(frame: _Frame, ends: NDArray[np.int64]) -> list[str]:
    elements = []
    for value in _ticks(frame.y0, frame.y1):
        y = frame.y(value)
        elements.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        elements.append(_text(_LEFT - 6, y + 4, number(value), "end"))
    long = frame.x1 - frame.x0 > 3 * 86_400_000
    for moment in np.linspace(ends[0], ends[-1], 5):
        shown = datetime.fromtimestamp(moment / 1000, UTC).strftime("%Y-%m-%d" if long else "%d %b %H:%M")
        elements.append(_text(min(max(frame.x(moment), _LEFT + 30), _WIDTH - _RIGHT - 34), frame.height - 6, shown))
    return elements


def _thinned(
    ends: NDArray[np.int64], numbers: NDArray[np.float64], judged: int = 1
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """At most `_MOST_POINTS` points: the worst judged bound of each stretch, so that no alarm is lost."""
    if len(ends) <= _MOST_POINTS:
        return ends, numbers
    chosen = []
    for stretch in np.array_split(np.arange(len(ends)), _MOST_POINTS):
        badness = numbers[stretch, judged] * (1 if judged == 1 else -1)
        chosen.append(stretch[0] if np.isnan(badness).all() else stretch[int(np.nanargmax(badness))])
    return ends[chosen], numbers[chosen]


def _runs(known: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Stretches of points without a gap."""
    indexes = np.flatnonzero(known)
    return [run for run in np.split(indexes, np.flatnonzero(np.diff(indexes) > 1) + 1) if run.size]


def interval_chart(
    ends: NDArray[np.int64],
    numbers: NDArray[np.float64],
    threshold: float,
    label: str,
    from_zero: bool = True,
    judged: int = 1,
) -> str:
    """A statistic over time with its interval and threshold; the judged bound is bold.

    Args:
        ends: int64[N], epoch ms.
        numbers: float64[N, 3], value, lower and upper bound; NaN with too little data.
        threshold: of the judged bound; NaN for none.
        label: text for screen readers.
        from_zero: whether the axis begins at 0; otherwise it spans the data.
        judged: column of the bound that is compared with the threshold: 1, lower, where more is worse; 2, upper.
    """
    ends, numbers = _thinned(ends, numbers, judged)
    shown = numbers[np.isfinite(numbers[:, 0])]
    if not len(shown):
        return '<p class="quiet">Never enough data.</p>'
    if from_zero:
        low, top = 0.0, max(float(np.nanmax(shown[:, 0])) * 1.25, 2 * float(np.nan_to_num(threshold)), 1e-6)
    else:
        low, top = _seen(shown, threshold)
    frame = _Frame(float(ends[0]), float(ends[-1]), top, 200, low)
    elements = _axes(frame, ends)
    for run in _runs(np.asarray(np.isfinite(numbers).all(axis=1))):
        upper = " ".join(f"{frame.x(ends[index]):.1f},{frame.y(numbers[index, 2]):.1f}" for index in run)
        lower = " ".join(f"{frame.x(ends[index]):.1f},{frame.y(numbers[index, 1]):.1f}" for index in run[::-1])
        elements.append(f'<polygon class="band" points="{upper} {lower}"/>')
    for column, style in ((0, "value"), (judged, "judged")):
        for run in _runs(np.isfinite(numbers[:, column])):
            points = " ".join(f"{frame.x(ends[index]):.1f},{frame.y(numbers[index, column]):.1f}" for index in run)
            elements.append(f'<polyline class="{style}" points="{points}"/>')
    if not np.isnan(threshold):
        y = frame.y(threshold)
        elements.append(f'<line class="threshold" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
    return _svg(200, label, elements)


def _seen(numbers: NDArray[np.float64], threshold: float) -> tuple[float, float]:
    """The range of an axis: all values, the threshold, and the bounds except the widest tenth."""
    lower, upper = (numbers[np.isfinite(numbers[:, column]), column] for column in (1, 2))
    edges = [numbers[:, 0].min(), numbers[:, 0].max(), threshold]
    edges += [np.quantile(lower, 0.1)] if lower.size else []
    edges += [np.quantile(upper, 0.9)] if upper.size else []
    low, high = float(np.nanmin(edges)), float(np.nanmax(edges))
    room = max(0.08 * (high - low), 1e-6)
    return low - room, high + room


def area_chart(ends: NDArray[np.int64], values: NDArray[np.float64], label: str) -> str:
    """A quantity over time, such as rows in a window."""
    numbers = np.repeat(values[:, None], 3, axis=1)
    ends, numbers = _thinned(ends, numbers)
    frame = _Frame(float(ends[0]), float(ends[-1]), max(float(numbers.max()), 1.0) * 1.1, 120)
    points = " ".join(f"{frame.x(end):.1f},{frame.y(row[0]):.1f}" for end, row in zip(ends, numbers, strict=True))
    floor = frame.y(0)
    area = f"{frame.x(ends[0]):.1f},{floor:.1f} {points} {frame.x(ends[-1]):.1f},{floor:.1f}"
    return _svg(120, label, [*_axes(frame, ends), f'<polygon class="band" points="{area}"/>'])


def spans_chart(spans: Sequence[tuple[str, Sequence[tuple[int, int]]]], first: int, last: int, label: str) -> str:
    """Spans of time by name: one line for each name, one bar for each span (epoch ms)."""
    height = _TOP + 26 * len(spans) + _BOTTOM
    frame = _Frame(float(first), float(last), 1.0, height)
    elements = []
    for index, (name, own) in enumerate(spans):
        y = _TOP + 26 * index
        elements.append(_text(_LEFT, y + 9, name, "start", "name"))
        elements.append(f'<rect class="rail" x="{_LEFT}" y="{y + 13}" width="{_WIDTH - _LEFT - _RIGHT}" height="7"/>')
        for start, end in own:
            width = max(frame.x(end) - frame.x(start), 2.0)
            elements.append(
                f'<rect class="firing" x="{frame.x(start):.1f}" y="{y + 13}" width="{width:.1f}" height="7"/>'
            )
    for moment in np.linspace(first, last, 5):
        shown = datetime.fromtimestamp(moment / 1000, UTC).strftime("%Y-%m-%d")
        elements.append(_text(min(max(frame.x(moment), _LEFT + 30), _WIDTH - _RIGHT - 34), height - 6, shown))
    return _svg(height, label, elements)


def density_chart(
    edges: NDArray[np.float64], reference: NDArray[np.float64], window: NDArray[np.float64], label: str
) -> str:
    """The densities of the reference and the window over common bins, overlaid.

    Args:
        edges: float64[K + 1].
        reference, window: float64[K], shares.
        label: text for screen readers.
    """
    widths = np.maximum(np.diff(edges), 1e-12)
    densities = [shares / widths for shares in (reference, window)]
    first, last = 0, len(reference)
    if last >= 20:
        # The outermost quantile bins reach far into the tails and would compress the rest; they are cut unless the
        # window has many values there.
        first += int(window[0] < _MUCH / last)
        last -= int(window[-1] < _MUCH / last)
    densities, sides = [shares[first:last] for shares in densities], edges[first : last + 1]
    frame = _Frame(float(sides[0]), float(sides[-1]), max(float(np.max(densities)), 1e-12) * 1.05, 170)
    elements = []
    for heights, style in zip(densities, ("reference", "window"), strict=True):
        corners = [f"{frame.x(sides[0]):.1f},{frame.y(0):.1f}"]
        for left, right, height in zip(sides[:-1], sides[1:], heights, strict=True):
            corners.append(f"{frame.x(left):.1f},{frame.y(height):.1f} {frame.x(right):.1f},{frame.y(height):.1f}")
        corners.append(f"{frame.x(sides[-1]):.1f},{frame.y(0):.1f}")
        elements.append(f'<polygon class="{style}" points="{" ".join(corners)}"/>')
    elements += [
        _text(min(max(frame.x(value), _LEFT + 12), _WIDTH - _RIGHT - 16), 164, number(float(value)))
        for value in np.linspace(sides[0], sides[-1], 5)
    ]
    return _svg(170, label, elements)


def pairs_chart(names: Sequence[str], reference: Sequence[float], window: Sequence[float], label: str) -> str:
    """Shares of categories in the reference and the window, as pairs of bars."""
    height = _TOP + 34 * len(names)
    widest = max([*reference, *window, 1e-9])
    room = _WIDTH - 200 - 60
    elements = []
    for index, name in enumerate(names):
        y = _TOP + 34 * index
        elements.append(_text(190, y + 17, name if len(name) <= 26 else name[:25] + "…", "end", "name"))
        for share, style, down in ((reference[index], "reference", 2), (window[index], "window", 15)):
            width = share / widest * room
            elements.append(f'<rect class="{style}" x="200" y="{y + down}" width="{width:.1f}" height="12"/>')
            elements.append(_text(206 + width, y + down + 10, f"{share:.1%}", "start"))
    return _svg(height, label, elements)
