"""Durations as people write them: ``90s``, ``15m``, ``1h``, ``24h``, ``7d``, ``1h30m``."""

from __future__ import annotations

import re

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_UNITS = {"ms": 1, "s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}
_PART = re.compile(r"(\d+)(ms|s|m|h|d|w)")


def parse_duration(text: str) -> int:
    """Milliseconds of a duration such as ``15m`` or ``1h30m``.

    Raises:
        ValueError: if ``text`` is no such duration.
    """
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is no duration; write a number and a unit, such as 90s, 15m, 1h, 7d")
    return sum(int(number) * _UNITS[unit] for number, unit in parts)


def format_duration(milliseconds: int) -> str:
    """The shortest exact text of a duration: 86,400,000 is ``1d``, 5,400,000 is ``1h30m``."""
    if milliseconds == 0:
        return "0s"
    text, rest = "", milliseconds
    for unit in ("d", "h", "m", "s", "ms"):
        count, rest = divmod(rest, _UNITS[unit])
        if count:
            text += f"{count}{unit}"
    return text
