"""Outcomes of attempts to deliver."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Delivered:
    """The receiver accepted the notification."""


@dataclass(frozen=True, slots=True)
class Retry:
    """A later attempt may succeed.

    Attributes:
        after_seconds: delay that the receiver asked for.
        answered: False if no answer came, which is a fault of the connection.
    """

    reason: str
    after_seconds: float | None = None
    answered: bool = True


@dataclass(frozen=True, slots=True)
class Refused:
    """A fault of the receiver, such as a wrong token: every notification would fail until a person repairs it."""

    reason: str


@dataclass(frozen=True, slots=True)
class Dead:
    """A fault of this message: no later attempt can succeed."""

    reason: str


Outcome = Delivered | Retry | Refused | Dead

_AGAIN = frozenset({408, 425, 429})
# Credentials or address are at fault, not the message.
_RECEIVER = frozenset({401, 402, 403, 404, 405, 407, 410, 421, 426, 451})


def by_status(status: int, headers: Mapping[str, str], now: float) -> Outcome:
    """The outcome that an HTTP status means by default.

    2xx is delivered; 408, 425, 429 and 5xx may work later; redirects, 401, 403, 404, 410 and similar are faults of the
    receiver; other 4xx are faults of the message. Redirects are not followed: an alert redirected to another host is
    an attack or a mistake.

    Args:
        status: of the answer.
        headers: of the answer, names in lower case.
        now: epoch seconds, for a ``Retry-After`` that is a date.
    """
    if 200 <= status < 300:
        return Delivered()
    if status in _AGAIN or status >= 500:
        return Retry(f"HTTP {status}", retry_after(headers.get("retry-after"), now))
    if status < 400 or status in _RECEIVER:
        return Refused(f"HTTP {status}")
    return Dead(f"HTTP {status}")


def retry_after(value: str | None, now: float) -> float | None:
    """Seconds of a ``Retry-After`` header (RFC 9110, 10.2.3), which holds seconds or a date; a past date gives 0.

    None if it is absent or invalid, such as a negative number.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdecimal():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(moment.timestamp() - now, 0.0)
    except (ValueError, TypeError, OverflowError, IndexError):  # the standard library's parser raises all four
        return None
