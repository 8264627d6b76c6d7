"""What an attempt to deliver came to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Delivered:
    """The receiver has it."""


@dataclass(frozen=True, slots=True)
class Retry:
    """It may work later.

    Attributes:
        after_seconds: what the receiver asked for.
        answered: False if no answer came, which is a fault of the connection.
    """

    reason: str
    after_seconds: float | None = None
    answered: bool = True


@dataclass(frozen=True, slots=True)
class Refused:
    """A fault of the receiver, such as a wrong token: every notification would fare alike until a person mends it."""

    reason: str


@dataclass(frozen=True, slots=True)
class Dead:
    """A fault of this one message: it will never work."""

    reason: str


Outcome = Delivered | Retry | Refused | Dead

_AGAIN = frozenset({408, 425, 429})
# Who we are, where we knock: not what the message says.
_RECEIVER = frozenset({401, 402, 403, 404, 405, 407, 410, 421, 426, 451})


def by_status(status: int, headers: Mapping[str, str], now: float) -> Outcome:
    """The usual reading of HTTP.

    2xx is delivered; 408, 425, 429 and 5xx may work later; redirects, 401, 403, 404, 410 and their like are faults of
    the receiver; the other 4xx are faults of the message. Redirects are not followed: an alert that wanders to another
    host is an attack or a mistake.

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
    """Seconds of a ``Retry-After`` header (RFC 9110, 10.2.3): seconds or a date; a date that is past gives 0.

    None if it is absent or senseless, a negative number for one.
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
    except (ValueError, TypeError, OverflowError, IndexError):  # the standard library's parser knows them all
        return None
