"""Durations as people write them: ``90s``, ``15m``, ``1h``, ``24h``, ``7d``, ``1h30m``."""

from __future__ import annotations

import re

from monitor.common.nearest import quoted, shown

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
LONGEST = 36_525 * DAY
"""A hundred years: no duration of a configuration is longer, so that sums of them and of times fit into 64 bits."""

_UNITS = {"ms": 1, "s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}
_PART = re.compile(r"([0-9]{1,18})(ms|s|m|h|d|w)")
_LOOSE_PART = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*([a-z]+)", re.IGNORECASE)
_WORDS = {
    **dict.fromkeys(("ms", "msec", "msecs", "millis", "millisecond", "milliseconds"), "ms"),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), "m"),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), "h"),
    **dict.fromkeys(("d", "day", "days"), "d"),
    **dict.fromkeys(("w", "wk", "week", "weeks"), "w"),
}


def parse_duration(text: str) -> int:
    """Milliseconds of a duration such as ``15m`` or ``1h30m``.

    Raises:
        ValueError: if ``text`` is no such duration, with the nearest one, or if it is longer than `LONGEST`.
    """
    terms = _PART.findall(text)
    if not terms or "".join(number + unit for number, unit in terms) != text:
        raise ValueError(f"got {quoted(text)}; {_hint(text)}")
    total = sum(int(number) * _UNITS[unit] for number, unit in terms)
    if total > LONGEST:
        raise ValueError(f"got {quoted(text)}; the longest duration is {format_duration(LONGEST)}, a hundred years")
    return total


def duration_of(value: object) -> int:
    """Milliseconds of a value in a configuration.

    Raises:
        ValueError: if it is no duration; a bare number has no unit, and is refused with its two likely spellings.
    """
    if isinstance(value, str):
        return parse_duration(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f'got {shown(value)}; give a duration in quotes, such as "90s", "15m" or "1h"')
    raise ValueError(f"got {shown(value)}; {_spellings(value)}")


def _hint(text: str) -> str:
    stripped = text.strip()
    if stripped.startswith("-"):
        return "a duration must not be negative"
    if re.fullmatch(r"\d+(\.\d+)?", stripped):
        return _spellings(float(stripped))
    terms = _LOOSE_PART.findall(stripped)
    bare = re.sub(r"[\s,]+|\band\b", "", _LOOSE_PART.sub("", stripped))
    if terms and not bare and all(word.lower() in _WORDS for _, word in terms):
        nearest = sum(round(float(number) * _UNITS[_WORDS[word.lower()]]) for number, word in terms)
        if 0 < nearest <= LONGEST:
            return f'did you mean "{format_duration(nearest)}"?'
    return 'write a number and a unit, such as "90s", "15m", "1h" or "7d"'


def _spellings(number: float) -> str:
    """The likely meanings of a number without a unit: seconds, and what they are in greater units, or else minutes."""
    if number < 0:
        return "a duration must not be negative"
    milliseconds = round(number * SECOND) if number * SECOND < LONGEST else 0
    if milliseconds < 1:
        return 'a duration needs a unit, such as "90s", "15m" or "1h"'
    plain = f"{milliseconds // SECOND}s" if milliseconds % SECOND == 0 else f"{milliseconds}ms"
    other = format_duration(milliseconds)
    if other == plain or len(_PART.findall(other)) > 1:
        other = format_duration(round(number * MINUTE)) if number < 120 else plain
    spellings = f'"{plain}" or "{other}"' if other != plain else f'such as "{plain}"'
    return f"a duration needs a unit: {spellings}"


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
