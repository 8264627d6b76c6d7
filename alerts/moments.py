"""Moments as text. Every number is valid: a moment outside the calendar becomes its first or last moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_FIRST = (datetime(1, 1, 1, tzinfo=UTC) - _EPOCH) // _MILLISECOND
_LAST = (datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC) - _EPOCH) // _MILLISECOND


def moment(milliseconds: int) -> datetime:
    """The moment in UTC; before the year 1 and after 9999, the nearest valid moment. Never raises."""
    return _EPOCH + timedelta(milliseconds=min(max(milliseconds, _FIRST), _LAST))


def utc(milliseconds: int) -> str:
    """``2013-04-02 07:00 UTC``."""
    return f"{moment(milliseconds).replace(tzinfo=None).isoformat(' ', 'minutes')} UTC"


def rfc3339(milliseconds: int) -> str:
    """``2013-04-02T07:00:00Z``; with milliseconds unless they are 0."""
    at = moment(milliseconds).replace(tzinfo=None)
    return f"{at.isoformat(timespec='milliseconds' if at.microsecond else 'seconds')}Z"
