"""Event times as records write them: epoch s, ms, µs or ns, RFC 3339 text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from alerts.moments import rfc3339 as rfc3339

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_NAIVE = datetime(1970, 1, 1)  # noqa: DTZ001 - the epoch for texts without a zone
_MILLISECOND = timedelta(milliseconds=1)
ANY_AGE = 2**62
"""An age in ms that no event time reaches."""
# The size of a number since 1970 decides its unit (s, ms, µs, ns); each limit lies in the year 5138.
_SECONDS_BELOW, _MILLISECONDS_BELOW, _MICROSECONDS_BELOW = 1e11, 1e14, 1e17


def to_milliseconds(value: object) -> int:
    """Epoch milliseconds, rounded down; times without a zone are UTC.

    Raises:
        ValueError: if ``value`` is no time.
    """
    if isinstance(value, datetime):
        return (value - (_EPOCH if value.tzinfo else _EPOCH_NAIVE)) // _MILLISECOND
    if isinstance(value, bool):
        raise ValueError("no time")
    if isinstance(value, int | float):
        size = abs(value)
        if size < _SECONDS_BELOW:
            return int(value * 1000 // 1)
        if size < _MILLISECONDS_BELOW:
            return int(value // 1)
        if size < _MICROSECONDS_BELOW:
            return int(value // 1000)
        if size < 1e20:
            return int(value // 1_000_000)
        raise ValueError("no time")
    if isinstance(value, str):
        try:
            return to_milliseconds(msgspec.convert(value, datetime))
        except msgspec.ValidationError as error:
            raise ValueError("no time") from error
    raise ValueError("no time")
