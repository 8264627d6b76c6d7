"""Raw values become the columns of the counts matrix that the reference fixed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from detectors.layout import BINS, HIGH, INVALID, LOW, MISSING, NONFINITE
from monitor.config.model import ModelSection
from monitor.decode.encoder import Encoder
from monitor.reference.build import build_profile
from monitor.reference.tables import table_of

AGES = np.arange(1_000.0)
JOBS = ["clerk", "cook", "cook", "nurse"] * 250


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    columns = {"timestamp": "t", "prediction": "p"}
    model = ModelSection.model_validate({"name": "m", "task": "binary", "reference": "r", "columns": columns})
    return Encoder(build_profile(table_of({"age": AGES.tolist(), "job": JOBS, "p": [0, 1] * 500}), model))


def encode(encoder: Encoder, ages: list[Any], jobs: list[Any]) -> tuple[np.ndarray, np.ndarray]:
    return encoder.encode([ages, jobs, [0] * len(ages)])


def test_the_reference_itself_fills_its_bins_evenly(encoder: Encoder) -> None:
    assert list(encoder.columns) == ["age", "job", "p"]
    codes, z = encode(encoder, AGES.tolist(), JOBS)
    filled = np.bincount(codes[:, 0])
    assert filled.max() <= 1.1 * 1_000 / len(filled)
    assert codes.max() < BINS
    assert z[:, 0].mean() == pytest.approx(0.0, abs=1e-9)
    assert z[:, 0].std() == pytest.approx(1.0)
    assert np.isnan(z[:, 1:]).all()
    # Equal values have equal columns, and columns ascend with the value.
    assert (np.diff(codes[:, 0]) >= 0).all()
    assert len({(job, code) for job, code in zip(JOBS, codes[:, 1].tolist(), strict=True)}) == 3


def test_what_is_no_value_of_the_reference_has_columns_of_its_own(encoder: Encoder) -> None:
    codes, z = encode(
        encoder, [-1.0, 1_000.0, None, float("nan"), "forty", float("inf")], ["cook", "pilot", None, "cook", ["x"], 3]
    )
    assert codes[:, 0].tolist() == [LOW, HIGH, MISSING, MISSING, INVALID, NONFINITE]
    assert codes[1:4, 1].tolist() == [HIGH, MISSING, codes[0, 1]]
    assert codes[4, 1] == INVALID
    assert np.isfinite(z[:2, 0]).all()
    assert np.isnan(z[2:, 0]).all()


def test_no_rows_are_no_rows(encoder: Encoder) -> None:
    codes, z = encode(encoder, [], [])
    assert codes.shape == z.shape == (0, 3)
