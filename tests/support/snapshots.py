"""Values for tests of the daemon's parts."""

from __future__ import annotations

import math
from dataclasses import replace

from alerts.evaluation import Evaluation, Finding
from alerts.status import AlertGroup, ReceiverStatus
from monitor.labels.document import Totals
from monitor.serve.snapshot import EvaluationKey, ModelStatus, PartitionStatus, Snapshot

NAN = math.nan


def findings(*features: str) -> tuple[Finding, ...]:
    return tuple(
        found
        for feature in features
        for found in (
            Finding(feature, "psi", 0.4, 0.3, 0.5, 0.02, "drifted", "it moved"),
            Finding(feature, "ks", 0.2, 0.1, 0.3, NAN, "ok"),
            Finding(feature, "missing", NAN, NAN, NAN, 0.01, "insufficient"),
        )
    )


def evaluation(segment: str = "all", window: str = "1h", features: tuple[str, ...] = ("feature:age",)) -> Evaluation:
    return Evaluation("income", "3", segment, window, 0, 3_600_000, 3_720_000, 100, 0, findings(*features), ())


def realised() -> Evaluation:
    """Performance that was judged when its labels had come."""
    told = (
        Finding("performance", "accuracy", 0.7, 0.65, 0.75, 0.8, "breached", reference=0.85),
        Finding("version", "accuracy", -0.1, -0.15, -0.05, 0.0, "breached"),
        Finding("labels", "share", 0.3, 0.27, 0.33, 0.45, "breached", "few labels", reference=0.9),
        Finding("segments", "accuracy", 2.0, math.nan, math.nan, math.nan, "ok", "SEX=1, SEX=2"),
        Finding("fairness:SEX", "disparate_impact_ratio", 0.9, 0.8, 1.0, math.nan, "ok"),
    )
    return Evaluation("income", "3", "all", "1h", 0, 3_600_000, 7_200_000, 90, 80, told, (), realised=True)


def besides() -> tuple[Finding, ...]:
    """What a window tells beside drift."""
    return (
        Finding("estimated_performance", "accuracy", 0.8, 0.7, 0.9, 0.6, "ok", reference=0.85),
        Finding("quality:age", "out_of_range_rate", 0.2, 0.1, 0.3, 0.05, "breached"),
        Finding("quality", "traffic_ratio", 0.5, 0.7, 1.3, 1.0, "breached"),
        Finding("reference", "fallback", 1.0, math.nan, math.nan, math.nan, "ok", "version 3 has none of its own"),
    )


def snapshot(*evaluations: Evaluation) -> Snapshot:
    """A snapshot in which every metric has something to tell."""
    whole = evaluation()
    delays = tuple(10 if octave in (40, 50) else 0 for octave in range(64))
    return Snapshot(
        evaluations={
            EvaluationKey(found.model, found.version, found.segment, found.window): found
            for found in evaluations or (replace(whole, findings=(*whole.findings, *besides())),)
        },
        realised={} if evaluations else {EvaluationKey("income", "3", "all", "1h"): realised()},
        models=(
            ModelStatus(
                "income",
                {"3": 100},
                1,
                2,
                3_720_000,
                4,
                {"feature:job": 5},
                {"feature:age": 6},
                7,
                0.8,
                0.1,
                9,
                Totals({"joined": 20}, 3, {"block_damaged": 1}, 4096, delays),
            ),
        ),
        partitions=(PartitionStatus("predictions", 0, 1000, 10, 900, {"retention": 1}),),
        rejects={("predictions", "malformed"): 3},
        alerts={AlertGroup("income", "3", "drift", "warning", "firing"): 1},
        outbox={"team": (2, 1_000)},
        notifications={("team", "delivered"): 4},
        receivers={"team": ReceiverStatus(works=False, parked=1)},
        checkpoint_at=12.5,
        checkpoint_seconds=0.25,
        checkpoint_failures=1,
        state_damaged={"database": 1},
        disk_bytes=4096,
        source_up=True,
        not_ready="",
    )
