"""The label metrics on the metrics page: names, labels and numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from monitor.labels.document import LOSS_REASONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from monitor.labels.document import Totals
    from monitor.serve.snapshot import ModelStatus

_QUANTILES = (0.5, 0.9, 0.99)

Sample = tuple[tuple[str, ...], float]


class Family(NamedTuple):
    """One metric."""

    name: str
    text: str
    labels: tuple[str, ...]
    samples: Sequence[Sample]


def label_gauges(models: Sequence[ModelStatus]) -> Iterator[Family]:
    """The size of the label store, and the delay of labels."""
    kept = [(model.name, model.labels) for model in models if model.labels is not None]
    yield Family(
        "leeway_labels_held", "Labels that wait until the watermark reaches their event time.", ("model",),
        [((name,), labels.waiting) for name, labels in kept],
    )  # fmt: skip
    yield Family(
        "leeway_label_store_bytes", "Size on disk of the predictions that wait for labels.", ("model",),
        [((name,), labels.nbytes) for name, labels in kept],
    )  # fmt: skip
    yield Family(
        "leeway_label_delay_seconds", "Quantile of the delay of all labels so far, accurate to a factor of 1.42.",
        ("model", "quantile"),
        [((name, str(q)), delay) for name, labels in kept for q, delay in zip(_QUANTILES, _delays(labels), strict=True)
         if not math.isnan(delay)],
    )  # fmt: skip


def label_counters(models: Sequence[ModelStatus]) -> Iterator[Family]:
    """Outcomes of labels and of the predictions that wait for them."""
    kept = [(model.name, model.labels) for model in models if model.labels is not None]
    yield Family(
        "leeway_labels", "Labels, and predictions that waited for labels, by outcome.", ("model", "outcome"),
        [((name, outcome), count) for name, labels in kept for outcome, count in labels.outcomes.items()],
    )  # fmt: skip
    yield Family(
        "leeway_waiting_predictions_lost", "Predictions waiting for labels that were corrupt or missing at start-up.",
        ("model", "reason"),
        [((name, reason), labels.lost.get(reason, 0)) for name, labels in kept for reason in LOSS_REASONS],
    )  # fmt: skip


def _delays(labels: Totals) -> list[float]:
    """Upper edges, in seconds, of the half octaves of milliseconds in which the quantiles lie; NaN without labels."""
    total = np.cumsum(labels.delays)
    if not len(total) or not total[-1]:
        return [math.nan] * len(_QUANTILES)
    indices = np.searchsorted(total, np.array(_QUANTILES) * total[-1])
    return [float(2.0 ** ((index + 1) / 2) / 1000) for index in indices.tolist()]
