"""A backtest of a month with labels: nested JSON, windows of 1h and 24h. `python -m benchmarks.churn [CHECKOUT ...]`.

Further checkouts of this project run on this log first, so that times before and after a change come from one run on
one machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

DAY = 86_400_000
BEGIN = 20_240 * DAY
ROWS, LABELS, DAYS = 97_000, 84_500, 30
_REFERENCE_ROWS = 20_000
_CATEGORIES = {
    "contract": (("month-to-month", "one year", "two year"), (0.55, 0.21, 0.24)),
    "payment": (("electronic check", "mailed check", "transfer", "card"), (0.34, 0.23, 0.22, 0.21)),
    "internet": (("fiber", "dsl", "none"), (0.44, 0.34, 0.22)),
    "region": (tuple(f"r{place:02d}" for place in range(24)), tuple(1 / (place + 1.5) for place in range(24))),
    "device": (("ios", "android", "web", "tv"), (0.35, 0.4, 0.2, 0.05)),
    "paperless": (("yes", "no"), (0.6, 0.4)),
}
CONFIG = """
[state]
dir = "{folder}/state"
[file]
predictions = ["log.jsonl"]
labels = ["labels.jsonl"]
[[models]]
name = "churn"
task = "binary"
reference = "{folder}/reference.parquet"
pane = "1m"
windows = ["1h", "24h"]
[models.columns]
timestamp = "meta.at"
prediction = "out.churns"
score = "out.probability"
id = "meta.request"
version = "meta.version"
label = "churned"
features_at = "in"
exclude = ["customer", "batch"]
[models.labels]
id = "request"
timestamp = "known_at"
max_delay = "10d"
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of a run: process CPU and wall seconds, greatest resident bytes, bytes of JSON, lines."""

    cpu: float
    wall: float
    resident: int
    written: int
    lines: int


def frame(rows: int, seed: int, drifted: float = 0.0) -> tuple[pd.DataFrame, NDArray[np.float64]]:
    """Fifteen features and two excluded columns; and the probability that each customer leaves, float64[rows].

    Args:
        rows: number of rows.
        seed: of the generator.
        drifted: shift of two features at the last row; it grows from 0 at the first.
    """
    dice = np.random.default_rng(seed)
    moved = np.linspace(0.0, drifted, rows)
    columns: dict[str, object] = {
        name: dice.choice(np.array(names), rows, p=np.array(weights) / sum(weights))
        for name, (names, weights) in _CATEGORIES.items()
    }
    tenure = dice.gamma(1.3, 25.0, rows)
    charge = 20.0 + 70.0 * dice.beta(1.2, 1.5, rows) + 8.0 * moved
    columns |= {
        "tenure": np.round(tenure, 1),
        "monthly_charge": np.round(charge, 2),
        "total_charge": np.where(dice.random(rows) < 0.02, np.nan, np.round(tenure * charge, 2)),
        "calls": dice.poisson(1.5 + moved, rows),
        "tickets": np.where(dice.random(rows) < 0.8, 0, dice.poisson(2.0, rows)),
        "age": dice.normal(45, 14, rows).round().clip(18, 95),
        "minutes": np.round(dice.lognormal(4.0, 0.8, rows), 1),
        "data_gb": np.round(dice.lognormal(1.5, 1.0, rows), 2),
        "discount": np.where(dice.random(rows) < 0.7, 0.0, np.round(dice.uniform(0, 30, rows), 1)),
        "customer": [f"c{number:07d}" for number in dice.integers(0, 7_000_000, rows).tolist()],
        "batch": dice.integers(0, 500, rows),
    }
    monthly = columns["contract"] == np.array("month-to-month")
    logit = -2.0 + 1.6 * monthly - 0.02 * tenure + 0.015 * charge + 0.25 * np.asarray(columns["calls"], dtype=float)
    return pd.DataFrame(columns), 1.0 / (1.0 + np.exp(-logit))


def with_outputs(table: pd.DataFrame, chance: NDArray[np.float64], seed: int) -> pd.DataFrame:
    """The table with the model's score and prediction, and the label."""
    dice = np.random.default_rng(seed)
    noisy = np.log(chance / (1 - chance)) + dice.normal(0, 0.4, len(chance))
    score = np.round(1.0 / (1.0 + np.exp(-noisy)), 4)
    return table.assign(
        **{
            "out.probability": score,
            "out.churns": (score >= 0.5).astype(int),
            "churned": (dice.random(len(chance)) < chance).astype(int),
        }
    )


def times_of(rows: int, days: float, begin: int, seed: int) -> NDArray[np.int64]:
    """int64[rows]: ascending event times, with little traffic at night."""
    dice = np.random.default_rng(seed)
    hours = np.arange(24)
    weight = np.cumsum(1.2 + np.sin((hours - 9) / 24 * 2 * np.pi))
    hour = np.interp(dice.random(rows) * weight[-1], np.concatenate([[0.0], weight]), np.arange(25)) / 24
    times = begin + ((dice.integers(0, max(int(days), 1), rows) + hour) * DAY * days / max(int(days), 1)).astype(int)
    return np.sort(times).astype(np.int64)


def write(folder: Path, rows: int = ROWS, labels: int = LABELS, days: float = DAYS) -> None:
    """Writes configuration, reference, log and labels: ``leewayd.toml reference.parquet log.jsonl labels.jsonl``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "leewayd.toml").write_text(CONFIG.format(folder=folder), encoding="utf-8")
    table = with_outputs(*frame(_REFERENCE_ROWS, 1), 2)
    table["meta.at"] = pd.to_datetime(times_of(_REFERENCE_ROWS, 30, BEGIN - 40 * DAY, 3), unit="ms", utc=True)
    table.to_parquet(folder / "reference.parquet")
    table, times = with_outputs(*frame(rows, 4, drifted=0.6), 5), times_of(rows, days, BEGIN, 6)
    inputs = [name for name in table.columns if "." not in name and name != "churned"]
    with (folder / "log.jsonl").open("w", encoding="utf-8") as out:
        for number, (at, record) in enumerate(zip(times.tolist(), table.to_dict("records"), strict=True)):
            features = {name: None if record[name] != record[name] else record[name] for name in inputs}
            meta = {"request": f"req-{number:08d}", "at": at, "version": "7", "host": f"web-{number % 6}"}
            scored = {"probability": record["out.probability"], "churns": record["out.churns"]}
            out.write(json.dumps({"meta": meta, "in": features, "out": scored}) + "\n")
    dice = np.random.default_rng(7)
    chosen = dice.permutation(rows)[:labels]
    known = times[chosen] + (dice.uniform(1.5, 10.0, len(chosen)) * DAY).astype(np.int64)
    order = np.argsort(known, kind="stable")
    with (folder / "labels.jsonl").open("w", encoding="utf-8") as out:
        for row, at in zip(chosen[order].tolist(), known[order].tolist(), strict=True):
            label = {"request": f"req-{row:08d}", "known_at": at, "churned": int(table["churned"].iat[row])}
            out.write(json.dumps(label) + "\n")


def run(folder: Path, checkout: Path, out: Path, further: tuple[str, ...] = ()) -> Cost:
    """Runs one backtest with the code of a checkout, in a separate process."""
    # As a user starts it, except for the path of the code.
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    command = [sys.executable, "-m", "monitor", "backtest", str(folder / "leewayd.toml"), "-i",
               str(folder / "log.jsonl"), "--labels", str(folder / "labels.jsonl"), "--json", str(out),
               *further]  # fmt: skip
    began = time.perf_counter()
    process = subprocess.Popen(command, env=environment, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)  # noqa: S603
    assert process.stderr is not None
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{checkout}: the backtest ended with {process.returncode}: {errors.decode()[-2000:]}")
    wall = time.perf_counter() - began
    lines = 0
    if out.suffix == ".jsonl":
        with out.open("rb") as file:
            lines = sum(1 for _ in file)
    return Cost(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss * 1024, out.stat().st_size, lines)


def measure(
    before: tuple[Path, ...] = (), rows: int = ROWS, labels: int = LABELS, days: float = DAYS
) -> Iterator[tuple[str, str]]:
    own = Path(__file__).resolve().parent.parent
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, rows, labels, days)
        what = f"backtest of {rows:,} rows over {days:g} days, {labels:,} labels, windows 1h and 24h"
        for checkout in before:
            yield f"{what}, by {checkout.name}", _shown(run(folder, checkout, folder / "before.jsonl"))
        yield what, _shown(run(folder, own, folder / "after.jsonl"))
        for detail in ("judged", "changed"):
            cost = run(folder, own, folder / "detail.jsonl.zst", ("--json-detail", detail))
            yield f"{what}, --json-detail {detail}, compressed", _shown(cost)


def _shown(cost: Cost) -> str:
    return (
        f"{cost.cpu:.0f} s CPU, {cost.wall:.0f} s wall, {cost.written / 1e6:,.0f} MB of JSON, "
        f"{cost.resident / 2**20:.0f} MiB resident"
    )


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", nargs="*", type=Path, help="another checkout that runs before this one")
    parser.add_argument("--days", type=float, default=DAYS)
    chosen = parser.parse_args()
    share = chosen.days / DAYS
    print("| what | measured |\n|---|---|")
    before = tuple(path.resolve() for path in chosen.checkout)
    for what, measured in measure(before, int(ROWS * share), int(LABELS * share), chosen.days):
        print(f"| {what} | {measured} |", flush=True)


if __name__ == "__main__":
    main()
