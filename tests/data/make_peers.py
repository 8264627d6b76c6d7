"""Makes ``peers.json``: what NannyML 0.13.1 and Evidently 0.7.23 say of fixed samples, with the bins that they used.

    python make_peers.py [OUT]

It needs an environment of its own with ``nannyml==0.13.1 evidently==0.7.23 pandas<3`` (and today statsmodels and
setuptools, which they do not ask for themselves); leewayd's has none of them. `samples` is used by the tests, too.
"""

from __future__ import annotations

import json
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtri

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

ZIPF = 1 / np.arange(1, 13) / (1 / np.arange(1, 13)).sum()
BINNED = ("psi", "kl_div", "jensenshannon")
CONTINUOUS = ("jensen_shannon", "hellinger", "kolmogorov_smirnov", "wasserstein")
CATEGORICAL = ("jensen_shannon", "hellinger", "l_infinity", "chi2")


def samples() -> dict[str, tuple[Values, Values]]:
    """Reference and window of each feature, by inversion of uniform numbers and rounded: the same with any numpy.

    Numeric ones are float64; the categories of the others are the numbers 0 to 12 as int64.
    """

    def uniform(seed: int, rows: int) -> Values:
        return np.random.default_rng(seed).random(rows)

    def normal(seed: int, rows: int, mean: float = 0, spread: float = 1) -> Values:
        return np.round(mean + spread * ndtri(uniform(seed, rows)), 6)

    def poisson(seed: int, rows: int, mean: float) -> Values:
        many = np.arange(40)
        weights = np.exp(many * np.log(mean) - mean - np.cumsum(np.log(np.maximum(many, 1))))
        return np.searchsorted(np.cumsum(weights), uniform(seed, rows)).astype(np.float64)

    def categories(seed: int, rows: int, shares: Values) -> NDArray[np.int64]:
        return np.searchsorted(np.cumsum(shares), uniform(seed, rows)).clip(0, len(shares) - 1).astype(np.int64)

    other = np.roll(ZIPF, 1) * 0.3 + ZIPF * 0.7
    # One category is new, two are gone.
    replaced = np.append(np.where(np.isin(np.arange(12), (7, 11)), 0, ZIPF), ZIPF[7] + ZIPF[11])
    return {
        "normal": (normal(1, 5_000), normal(2, 2_000, 0.25, 1.2)),
        "lognormal": (np.round(np.exp(normal(3, 5_000)), 6), np.round(np.exp(normal(4, 2_000, 0.1, 1.1)), 6)),
        "discrete": (poisson(5, 5_000, 3.0), poisson(6, 2_000, 3.4)),
        "many rows": (normal(7, 12_000), normal(8, 3_000, 0.1, 1.2)),
        "category": (categories(9, 5_000, ZIPF), categories(10, 2_000, other)),
        "new category": (categories(11, 5_000, ZIPF), categories(12, 2_000, replaced)),
    }


def nannyml_numbers(reference: Values, window: Values) -> dict[str, Any]:
    """Its methods' values, and the bins of those that keep them."""
    import nannyml
    import pandas as pd

    numeric = reference.dtype.kind == "f"
    kind = CONTINUOUS if numeric else CATEGORICAL
    calculator = nannyml.UnivariateDriftCalculator(
        column_names=["x"],
        treat_as_numerical=["x"] if numeric else [],
        treat_as_categorical=[] if numeric else ["x"],
        chunk_number=1,
        continuous_methods=list(CONTINUOUS),
        categorical_methods=list(CATEGORICAL),
    )
    calculator.fit(pd.DataFrame({"x": reference}))
    values = calculator.calculate(pd.DataFrame({"x": window})).filter(period="analysis").to_df()
    found: dict[str, Any] = {name: {"value": float(values["x", name, "value"].iloc[0])} for name in kind}
    for method in calculator._column_to_models_mapping["x"]:
        if method.column_name not in ("jensen_shannon", "hellinger"):
            continue
        bins = np.asarray(method._bins)
        found[method.column_name] |= binned(bins, reference, window) if numeric else counted(bins, reference, window)
        kept = method._reference_proba_in_bins
        shares = np.array(found[method.column_name]["reference"])[: len(kept)] / len(reference)
        assert np.allclose(shares, kept, atol=1e-12)
    return found


def evidently_numbers(reference: Values, window: Values) -> dict[str, Any]:
    """Its drift scores, and the bins of those that make some."""
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report
    from evidently.legacy.calculations.stattests.tvd_stattest import _total_variation_distance
    from evidently.legacy.calculations.stattests.utils import get_binned_data
    from evidently.legacy.core import ColumnType
    from evidently.metrics import ValueDrift

    numeric = reference.dtype.kind == "f"
    names = [*BINNED, "hellinger", *(("wasserstein", "ed", "ks") if numeric else ("chisquare",))]
    definition = DataDefinition(**{"numerical_columns" if numeric else "categorical_columns": ["x"]})
    one, two = (pd.DataFrame({"x": values}) for values in (window, reference))
    report = Report([ValueDrift(column="x", method=name) for name in names])
    result = report.run(Dataset.from_pandas(one, definition), Dataset.from_pandas(two, definition)).dict()
    found: dict[str, Any] = {
        name: {"value": float(metric["value"])} for name, metric in zip(names, result["metrics"], strict=True)
    }
    distinct = np.unique(np.concatenate([reference, window]))
    if not numeric or len(np.unique(reference)) <= 20:
        bins = counted(distinct, reference, window)
    else:
        bins = binned(np.histogram_bin_edges(np.concatenate([reference, window]), bins="sturges"), reference, window)
    kind = ColumnType.Numerical if numeric else ColumnType.Categorical
    theirs = get_binned_data(two["x"], one["x"], kind, 30, False)
    for side, shares, rows in zip(("reference", "window"), theirs, (len(reference), len(window)), strict=True):
        # They do not sort categories.
        assert np.allclose(np.sort(np.array(bins[side]) / rows), np.sort(shares), atol=1e-12)
    for name in BINNED:
        found[name] |= bins
    found["hellinger"] |= (
        binned(np.histogram_bin_edges(distinct, bins="sturges"), reference, window) if numeric else bins
    )
    if not numeric:
        found["chisquare"] |= bins
        # What it reports is a p-value by permutation; this is the distance that it permutes.
        found["TVD"] = {"value": float(_total_variation_distance(two["x"], one["x"])), **bins}
    return found


def binned(edges: Values, reference: Values, window: Values) -> dict[str, Any]:
    """Counts between edges and, last, of all that lies beyond them, if anything does."""
    counts = [np.histogram(values, edges)[0].tolist() for values in (reference, window)]
    return {"edges": np.round(edges, 9).tolist()} | _with_rest(counts, (reference, window))


def counted(known: Values, reference: Values, window: Values) -> dict[str, Any]:
    """Counts of each value and, last, of all others, if there are any."""
    counts = [[int((values == value).sum()) for value in known] for values in (reference, window)]
    return {"values": known.tolist()} | _with_rest(counts, (reference, window))


def _with_rest(counts: list[list[int]], rows: tuple[Values, Values]) -> dict[str, list[int]]:
    rest = [len(values) - sum(held) for values, held in zip(rows, counts, strict=True)]
    if any(rest):
        counts = [[*held, left] for held, left in zip(counts, rest, strict=True)]
    return dict(zip(("reference", "window"), counts, strict=True))


def main() -> None:
    """Writes the file."""
    # Read when the packages are imported: without it every call is reported to their makers.
    os.environ["NML_DISABLE_USAGE_LOGGING"] = os.environ["DO_NOT_TRACK"] = "1"
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("peers.json")
    held: dict[str, Any] = {
        "versions": {name: version(name) for name in ("nannyml", "evidently", "numpy", "scipy", "pandas")},
        "features": {
            name: {
                # Whoever reads the file can tell whether the samples are still the same.
                "sums": [float(np.round(reference.sum(), 6)), float(np.round(window.sum(), 6))],
                "nannyml": nannyml_numbers(reference, window),
                "evidently": evidently_numbers(reference, window),
            }
            for name, (reference, window) in samples().items()
        },
    }
    out.write_text(json.dumps(held, separators=(",", ":")).replace('},"', '},\n"') + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
