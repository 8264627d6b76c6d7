"""A page that is expensive to render, cached as bytes: one thread renders it once for each state of its content."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

# Pause after rendering, in multiples of the rendering time: rendering takes at most a fifth of a core, however often
# clients request the page.
_REST = 4.0
# Requests during rendering get the previous page if it is at most this old; seconds.
_STALE = 10.0


@dataclass(frozen=True, slots=True)
class Page:
    """A rendered page.

    Attributes:
        shows: the object that it was rendered from.
        body, packed: the bytes, plain and compressed by gzip.
        at: when it was ready, in monotonic seconds.
        seconds: duration of rendering.
    """

    shows: object
    body: bytes
    packed: bytes
    at: float
    seconds: float


class PageCache:
    """The newest page; many threads may request it.

    Args:
        render: makes the page.
        current: returns the object that the page shows now; a different object means that the page is out of date.
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
        """The page; renders it first if it is out of date and no other thread renders it."""
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
