"""Caches a page that is expensive to render: one thread renders it, once for each snapshot."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

# Shortest time between two renderings, in multiples of the rendering time: rendering uses a fifth of a core at most.
_REST = 4.0
# A request during rendering gets the last page if it is at most this old; seconds.
_STALE = 10.0


@dataclass(frozen=True, slots=True)
class Page:
    """A rendered page.

    Attributes:
        shows: the object it was rendered from.
        body, packed: the bytes, and the bytes compressed by gzip.
        at: when it was ready, in monotonic seconds.
        seconds: rendering time.
    """

    shows: object
    body: bytes
    packed: bytes
    at: float
    seconds: float


class PageCache:
    """The newest page; safe to use from many threads.

    Args:
        render: renders the page.
        current: returns the object that the page shows now; a different object makes the page outdated.
        monotonic: seconds.
        lock: held while rendering; several caches may share one.
    """

    def __init__(
        self, render: Callable[[], bytes], current: Callable[[], object], monotonic: Callable[[], float],
        lock: threading.Lock,
    ) -> None:  # fmt: skip
        self._render, self._current, self._monotonic, self._lock = render, current, monotonic, lock
        self._page: Page | None = None

    def get(self) -> Page:
        """The page; rendered now if it is outdated and no other thread renders it."""
        page = self._page
        if page is not None and self._is_fresh(page):
            return page
        must_wait = page is None or self._monotonic() - page.at > _STALE
        if not self._lock.acquire(blocking=must_wait):
            assert page is not None
            return page
        try:
            page = self._page  # another thread may have rendered it while this one waited
            if page is None or not self._is_fresh(page):
                page = self._page = self._rendered()
            return page
        finally:
            self._lock.release()

    def _is_fresh(self, page: Page) -> bool:
        age = self._monotonic() - page.at
        return age < _REST * page.seconds or (page.shows is self._current() and age <= _STALE)

    def _rendered(self) -> Page:
        shows, began = self._current(), self._monotonic()
        body = self._render()
        packed = gzip.compress(body, compresslevel=1, mtime=0)
        ready = self._monotonic()
        return Page(shows, body, packed, ready, ready - began)
