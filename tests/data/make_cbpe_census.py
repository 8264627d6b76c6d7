"""Makes ``cbpe_census.json``: what NannyML 0.13.1 estimates, and what came true, month by month on the census log.

    python make_cbpe_census.py DATA [OUT]

DATA is a folder with ``reference.parquet``, ``predictions.parquet`` and ``labels.parquet`` (id, employed). It needs an
environment of its own with ``nannyml==0.13.1``; leewayd's has none.
"""

from __future__ import annotations

import json
import os
import sys
from importlib.metadata import version
from pathlib import Path

# Read when nannyml is imported: without it every call is reported to its makers.
os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"

import nannyml
import pandas as pd

METRICS = ("roc_auc", "f1", "precision", "recall", "specificity", "accuracy")
DIGITS = 9


def read(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The reference, and the predictions with the labels that came later; times without a zone, all of them UTC."""
    names = ["id", "timestamp", "prediction", "predicted_probability"]
    reference = pd.read_parquet(folder / "reference.parquet", columns=[*names, "employed"])
    predictions = pd.read_parquet(folder / "predictions.parquet", columns=names)
    labels = pd.read_parquet(folder / "labels.parquet", columns=["id", "employed"])
    joined = predictions.merge(labels, on="id", validate="one_to_one")
    for frame in (reference, joined):
        frame["timestamp"] = frame["timestamp"].dt.tz_localize(None)
    return reference, joined


def months(reference: pd.DataFrame, joined: pd.DataFrame) -> dict[str, dict[str, dict[str, float]]]:
    """``{"2016-01": {"roc_auc": {"estimated": …, "realised": …}, …}, …}``."""
    estimator = nannyml.CBPE(
        problem_type="classification_binary",
        y_pred_proba="predicted_probability",
        y_pred="prediction",
        y_true="employed",
        timestamp_column_name="timestamp",
        chunk_period="M",
        metrics=list(METRICS),
    )
    estimator.fit(reference)
    found = estimator.estimate(joined).filter(period="analysis").to_df()
    return {
        str(row["chunk", "key"]): {
            metric: {
                "estimated": round(float(row[metric, "value"]), DIGITS),
                "realised": round(float(row[metric, "realized"]), DIGITS),
            }
            for metric in METRICS
        }
        for _, row in found.iterrows()
    }


def main() -> None:
    """Writes the file."""
    folder = Path(sys.argv[1])
    out = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).with_name("cbpe_census.json")
    held = {"nannyml": version("nannyml"), "months": months(*read(folder))}
    out.write_text(json.dumps(held, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
