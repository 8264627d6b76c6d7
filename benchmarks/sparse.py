"""Sparse traffic: one row an hour, panes of a minute, windows of an hour and a week. `python -m benchmarks.sparse`."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import churn

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS = 1_500


def write(folder: Path, rows: int = ROWS) -> None:
    """The log of `benchmarks.churn`, with a row an hour and without labels to speak of."""
    churn.write(folder, rows, labels=0, days=rows / 24)
    config = (folder / "leewayd.toml").read_text(encoding="utf-8")
    config = config.replace('windows = ["1h", "24h"]', 'windows = ["1h", "7d"]')
    (folder / "leewayd.toml").write_text(config, encoding="utf-8")


def measure(before: tuple[Path, ...] = (), rows: int = ROWS) -> Iterator[tuple[str, str]]:
    """What a backtest takes by each checkout, and last by this one."""
    what = f"backtest of {rows:,} rows, one an hour, panes of 1m, windows 1h and 7d"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, rows)
        for checkout in (*before, Path(__file__).resolve().parent.parent):
            cost = churn.run(folder, checkout, folder / "out.jsonl")
            told = f"{cost.cpu:.1f} s CPU, {cost.lines:,} lines, {cost.resident / 2**20:.0f} MiB resident"
            yield f"{what}, by {checkout.name}" if checkout in before else what, told


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", nargs="*", type=Path, help="another checkout that runs before this one")
    parser.add_argument("--rows", type=int, default=ROWS)
    chosen = parser.parse_args()
    print("| what | measured |\n|---|---|")
    for what, measured in measure(tuple(path.resolve() for path in chosen.checkout), chosen.rows):
        print(f"| {what} | {measured} |", flush=True)


if __name__ == "__main__":
    main()
