"""Four hundred predictions a day for three days, and their labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from monitor.common.durations import DAY

if TYPE_CHECKING:
    from tests.support.replays import Row

BEGIN = 20_000 * DAY
A_DAY, DAYS = 400, 3


def logged(predictions: list[Any], truth: list[Any], **further: list[Any]) -> tuple[list[Row], list[Row], list[Row]]:
    """Log, labels two hours later, and a reference of the same rows."""
    dice = np.random.default_rng(1)
    rows, labels, reference = [], [], []
    for number, (said, true) in enumerate(zip(predictions, truth, strict=True)):
        time = BEGIN + number * DAY // A_DAY
        row = {"id": number, "t": time, "x": float(dice.normal()), "p": said}
        row |= {name: column[number] for name, column in further.items()}
        rows.append(row)
        labels.append({"id": number, "t": time + DAY // 12, "y": true})
        reference.append({**row, "y": true})
    return rows, labels, reference


def binary(wrong: float, size: int, seed: int) -> tuple[list[int], list[int]]:
    dice = np.random.default_rng(seed)
    truth = (dice.random(size) < 0.5).astype(int)
    return np.where(dice.random(size) < wrong, 1 - truth, truth).tolist(), truth.tolist()
