"""A page is rendered once for what it shows, by one thread, and not more often than its cost allows."""

from __future__ import annotations

import gzip
import threading
from dataclasses import dataclass, field

from monitor.serve.page_cache import PageCache


@dataclass
class Desk:
    """Renders pages that take two seconds of a clock that the test moves."""

    now: float = 100.0
    shows: object = field(default_factory=object)
    rendered: int = 0

    def render(self) -> bytes:
        self.now += 2.0
        self.rendered += 1
        return b"page %d" % self.rendered

    def cache(self) -> PageCache:
        return PageCache(self.render, lambda: self.shows, lambda: self.now, threading.Lock())


def test_a_page_is_rendered_once_for_what_it_shows_and_comes_compressed_too() -> None:
    desk = Desk()
    cache = desk.cache()
    pages = {cache.get() for _ in range(50)}
    assert [page.body for page in pages] == [b"page 1"]
    assert gzip.decompress(pages.pop().packed) == b"page 1"
    desk.now += 9.5
    assert cache.get().body == b"page 1"
    desk.now += 1.0  # numbers of the process itself, such as its memory, are not kept for longer
    assert cache.get().body == b"page 2"


def test_something_new_is_shown_but_rendering_takes_a_fifth_of_the_time_at_most() -> None:
    desk = Desk()
    cache = desk.cache()
    cache.get()
    desk.shows = object()
    assert cache.get().body == b"page 1"
    desk.now += 8.0
    assert cache.get().body == b"page 2"
    began, at_first = desk.now, desk.rendered
    while desk.now < began + 100:
        desk.shows = object()
        desk.now += 0.01
        cache.get()
    assert desk.rendered - at_first <= 10


def test_who_asks_during_a_rendering_gets_the_last_page_unless_it_is_old() -> None:
    now, shows = [100.0], [object()]
    rendering, go_on = threading.Event(), threading.Event()
    count = [0]

    def render() -> bytes:
        count[0] += 1
        rendering.set()
        assert go_on.wait(30)
        return b"page %d" % count[0]

    cache = PageCache(render, lambda: shows[0], lambda: now[0], threading.Lock())
    go_on.set()
    cache.get()
    go_on.clear()
    rendering.clear()

    now[0] += 5.0
    shows[0] = object()
    found: list[bytes] = []
    first = threading.Thread(target=lambda: found.append(cache.get().body))
    first.start()
    assert rendering.wait(30)
    assert cache.get().body == b"page 1"  # does not wait
    now[0] += 20.0
    second = threading.Thread(target=lambda: found.append(cache.get().body))
    second.start()
    assert found == []
    go_on.set()
    first.join(30)
    second.join(30)
    assert found == [b"page 2", b"page 2"]
    assert count == [2]


def test_many_who_ask_at_once_wait_for_one_rendering() -> None:
    desk = Desk()
    cache = desk.cache()
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(cache.get().body)) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == [b"page 1"] * 30


def test_a_rendering_that_fails_leaves_the_next_one_its_turn() -> None:
    def render() -> bytes:
        raise RuntimeError("no")

    cache = PageCache(render, lambda: None, lambda: 1.0, threading.Lock())
    for _ in range(2):
        try:
            cache.get()
        except RuntimeError:
            continue
        raise AssertionError("must fail")
