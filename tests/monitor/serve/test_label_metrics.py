"""Delays of labels as quantiles, and what became of labels, for models that read any."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from monitor.labels.document import LOSS_REASONS, Totals
from monitor.serve.label_metrics import Family, label_counters, label_gauges
from monitor.serve.snapshot import ModelStatus
from tests.support.snapshots import snapshot

BINS = 64


def models(*labels: Totals | None) -> list[ModelStatus]:
    (model,) = snapshot().models
    return [replace(model, name=f"m{number}", labels=totals) for number, totals in enumerate(labels)]


def named(families: object) -> dict[str, Family]:
    return {family.name: family for family in families}  # type: ignore[attr-defined]


def delays(milliseconds: np.ndarray) -> tuple[int, ...]:
    octaves = np.floor(2 * np.log2(milliseconds)).astype(int)
    return tuple(np.bincount(octaves, minlength=BINS).tolist())


@pytest.mark.parametrize("seed", range(3))
def test_quantiles_of_delays_are_above_the_true_ones_by_half_an_octave_at_most(seed: int) -> None:
    exact = np.random.default_rng(seed).lognormal(15, 1.5, 10_000)
    found = named(label_gauges(models(Totals(delays=delays(exact)))))["leeway_label_delay_seconds"]
    assert [labels for labels, _ in found.samples] == [("m0", "0.5"), ("m0", "0.9"), ("m0", "0.99")]
    for (_, quantile), shown in found.samples:
        true = np.quantile(exact, float(quantile), method="inverted_cdf") / 1000
        assert true <= shown <= true * 1.42


def test_a_model_without_labels_is_absent_and_one_without_delays_shows_none() -> None:
    gauges = named(label_gauges(models(None, Totals(waiting=3, nbytes=9))))
    assert gauges["leeway_labels_held"].samples == [(("m1",), 3)]
    assert gauges["leeway_label_store_bytes"].samples == [(("m1",), 9)]
    assert gauges["leeway_label_delay_seconds"].samples == []


def test_every_reason_of_a_loss_is_shown_from_the_start() -> None:
    totals = Totals({"joined": 5, "late": 1}, lost={LOSS_REASONS[1]: 7})
    counters = named(label_counters(models(totals)))
    assert counters["leeway_labels"].samples == [(("m0", "joined"), 5), (("m0", "late"), 1)]
    lost = dict(counters["leeway_waiting_predictions_lost"].samples)
    assert lost == {("m0", reason): 7 * (reason == LOSS_REASONS[1]) for reason in LOSS_REASONS}
