"""Delays between delivery attempts. Pure: randomness is an argument."""

from __future__ import annotations

_FIRST_DELAY, _GREATEST_DELAY = 1.0, 300.0
LONGEST_WISH = 3600.0
"""Upper limit on ``Retry-After``, in seconds."""


def next_delay(attempts: int, fraction: float, wish_seconds: float | None) -> float:
    """Seconds until the next attempt: a random share of a ceiling that doubles from 1 s to 5 min.

    Full jitter spreads the retries of daemons that lost a receiver at one moment. The delay is at least 1 s, and at
    least the receiver's ``Retry-After``.

    Args:
        attempts: number of attempts so far, from 1.
        fraction: random, from 0 to 1.
        wish_seconds: the receiver's ``Retry-After``; respected up to an hour.
    """
    ceiling = min(_GREATEST_DELAY, _FIRST_DELAY * 2.0 ** min(attempts - 1, 30))
    return max(_FIRST_DELAY, ceiling * fraction, min(wish_seconds or 0.0, LONGEST_WISH))


def waits(moment: int, now: int) -> bool:
    """Whether a moment is in the future.

    A moment further ahead than the longest delay counts as past, so a wall clock that was set back delays no attempt.

    Args:
        moment, now: epoch ms.
    """
    return 0 < moment - now <= LONGEST_WISH * 1000
