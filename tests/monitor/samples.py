"""Values for tests of the daemon's parts."""

from __future__ import annotations

import math

from alerts.evaluation import Evaluation, Finding
from monitor.snapshot import AlertGroup, EvaluationKey, ModelStatus, PartitionStatus, Snapshot

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


def snapshot(*evaluations: Evaluation) -> Snapshot:
    """A snapshot in which every metric has something to tell."""
    return Snapshot(
        evaluations={
            EvaluationKey(found.model, found.version, found.segment, found.window): found
            for found in evaluations or (evaluation(),)
        },
        models=(
            ModelStatus(
                "income", {"3": 100}, 1, 2, 3_720_000, 4, {"feature:job": 5}, {"feature:age": 6}, 7, 0.8, 0.1, 9
            ),
        ),
        partitions=(PartitionStatus("predictions", 0, 1000, 10, 900, {"retention": 1}),),
        rejects={("predictions", "malformed"): 3},
        alerts={AlertGroup("income", "3", "drift", "warning", "firing"): 1},
        outbox={"team": (2, 1_000)},
        notifications={("team", "delivered"): 4},
        checkpoint_at=12.5,
        checkpoint_seconds=0.25,
        checkpoint_failures=1,
        disk_bytes=4096,
        source_up=True,
        not_ready="",
    )
