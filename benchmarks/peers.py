"""Measures the comparison by peers, if installed: `pip install evidently nannyml`.

They run in this process. Neither leewayd nor its tests depend on them.
"""

from __future__ import annotations

import time
from importlib.util import find_spec
from typing import TYPE_CHECKING

from scipy.stats import ks_2samp

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd


def measure(reference: pd.DataFrame, window: pd.DataFrame, ours: float) -> Iterator[tuple[str, str]]:
    """Seconds of one window against a reference, as a multiple of ours for three windows."""
    numeric = [name for name in reference.columns if name.startswith("n")]

    def scipy_loop() -> None:
        for name in numeric:
            ks_2samp(reference[name], window[name])

    def line(what: str, seconds: float) -> tuple[str, str]:
        rows = f"{len(window):,} rows"
        return (
            f"{what}, one window of {rows}",
            f"{seconds * 1000:,.0f} ms, {seconds / ours:,.0f} times ours for three",
        )

    yield line(f"scipy's ks_2samp for {len(numeric)} features", _seconds(scipy_loop))
    if find_spec("evidently") is None:
        yield ("Evidently", "not installed")
    else:
        yield line(
            f"Evidently's DataDriftPreset, {len(reference.columns)} columns",
            _seconds(lambda: _evidently(reference, window)),
        )
    if find_spec("nannyml") is None:
        yield ("NannyML", "not installed")
    else:
        yield line(
            "NannyML's UnivariateDriftCalculator, fit and calculate", _seconds(lambda: _nannyml(reference, window))
        )


def _seconds(work) -> float:  # type: ignore[no-untyped-def]  # a function without arguments
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _evidently(reference: pd.DataFrame, window: pd.DataFrame) -> None:
    from evidently import Report
    from evidently.presets import DataDriftPreset

    Report([DataDriftPreset()]).run(window, reference)


def _nannyml(reference: pd.DataFrame, window: pd.DataFrame) -> None:
    import nannyml

    calculator = nannyml.UnivariateDriftCalculator(
        column_names=[name for name in reference.columns if name != "prediction"], chunk_size=len(window)
    )
    calculator.fit(reference)
    calculator.calculate(window)
