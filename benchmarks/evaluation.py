"""One evaluation: all subjects of all window lengths, for windows of any number of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from benchmarks import peers
from benchmarks.timing import best
from detectors.drift.judge import Settings, judge
from detectors.drift.reference import Reference, independent_rows, prepare
from detectors.layout import Counts
from monitor.config.model import ColumnsSection, ModelSection
from monitor.decode.encoder import Encoder
from monitor.reference.build import build_profile
from monitor.reference.tables import DataTable
from monitor.windows.counting import count_groups, moments_as_float

if TYPE_CHECKING:
    from collections.abc import Iterator

    from monitor.reference.profile import Profile

NUMERIC, CATEGORICAL, WINDOWS = 200, 20, 3


def frame(rows: int, seed: int) -> pd.DataFrame:
    """Numeric features of several shapes, categorical ones with up to 50 categories."""
    dice = np.random.default_rng(seed)
    columns: dict[str, object] = {}
    for index in range(NUMERIC):
        columns[f"n{index}"] = dice.normal(0, 1, rows) if index % 2 else dice.lognormal(0, 1, rows)
    for index in range(CATEGORICAL):
        columns[f"c{index}"] = np.minimum(dice.zipf(1.7, rows), 50).astype(str)
    columns["prediction"] = dice.integers(0, 2, rows)
    return pd.DataFrame(columns)


def counted(profile: Profile, rows: int) -> Counts:
    """Three windows of ``rows`` rows."""
    windows = []
    for window in range(WINDOWS):
        table = frame(rows, seed=100 + window)
        codes, z = Encoder(profile).encode([table[name].tolist() for name in profile.columns])
        counts = count_groups(codes, z, np.zeros(rows, dtype=np.int64), 1)
        windows.append((counts.rows[0], counts.bins[0], moments_as_float(counts.moments[0]), counts.extremes[0]))
    return Counts(*(np.stack(arrays) for arrays in zip(*windows, strict=True)))


def measure() -> Iterator[tuple[str, str]]:
    section = ModelSection(
        name="m", task="binary", reference="none", columns=ColumnsSection(timestamp="t", prediction="prediction")
    )  # type: ignore[arg-type]  # pydantic makes it a path
    profile = build_profile(DataTable(frame(50_000, seed=1)), section)
    size = len(profile.layout.subjects)
    reference: Reference = prepare(profile.layout, profile.counts, independent_rows(size))
    settings = Settings(alpha=1e-6)
    seconds = {}
    for rows in (1_000, 100_000):
        windows = counted(profile, rows)
        seconds[rows] = best(lambda windows=windows: judge(reference, windows, settings), repeats=10)
        yield (f"judging {size} subjects in {WINDOWS} windows of {rows:,} rows", f"{seconds[rows] * 1000:.1f} ms")
    yield ("a hundred times the rows take", f"{seconds[100_000] / seconds[1_000]:.2f} of the time")
    yield from peers.measure(frame(50_000, seed=1), frame(10_000, seed=100), seconds[100_000])
