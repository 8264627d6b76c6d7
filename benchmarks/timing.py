"""Measures durations."""

from __future__ import annotations

import time


def best(work, repeats: int = 3) -> float:  # type: ignore[no-untyped-def]  # a function without arguments
    """Seconds of the fastest of ``repeats`` runs."""
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return min(seconds)
