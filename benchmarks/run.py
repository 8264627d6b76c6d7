"""Runs every benchmark and prints one table: `make bench`."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version

from benchmarks import decoding, evaluation, road, scraping, sparse, whole


def main() -> None:
    """Prints a Markdown table."""
    print(
        f"Python {platform.python_version()}, numpy {version('numpy')}, {os.cpu_count()} cores, {platform.machine()}\n"
    )
    print("| what | measured |\n|---|---|")
    for benchmark in (decoding, evaluation, whole, sparse, scraping, road):
        for what, measured in benchmark.measure():
            print(f"| {what} | {measured} |", flush=True)


if __name__ == "__main__":
    main()
