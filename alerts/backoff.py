"""When to try again. Pure: randomness is an argument."""

from __future__ import annotations

_FIRST_DELAY, _GREATEST_DELAY = 1.0, 300.0
LONGEST_WISH = 3600.0
"""Seconds: the longest ``Retry-After`` that is obeyed in full."""


def next_delay(attempts: int, fraction: float, wish_seconds: float | None) -> float:
    """Seconds until the next attempt: a random share of a ceiling that doubles from 1 s to 5 min.

    Full jitter, so that daemons that lost a receiver together do not come back to it together; but never
    under 1 s, and never sooner than the receiver asked.

    Args:
        attempts: made so far, from 1.
        fraction: random, from 0 to 1.
        wish_seconds: the receiver's ``Retry-After``; obeyed up to an hour.
    """
    ceiling = min(_GREATEST_DELAY, _FIRST_DELAY * 2.0 ** min(attempts - 1, 30))
    return max(_FIRST_DELAY, ceiling * fraction, min(wish_seconds or 0.0, LONGEST_WISH))


def waits(moment: int, now: int) -> bool:
    """Whether a moment is still to come.

    A wall clock that was set back holds nothing up: a moment further ahead than any delay can reach is taken for past.

    Args:
        moment, now: epoch ms.
    """
    return 0 < moment - now <= LONGEST_WISH * 1000
