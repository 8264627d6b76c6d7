"""Lost messages are counted by partition and reason, and remembered by the models that the topic feeds."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from monitor.daemon.losses import Losses
from monitor.rows.records import LOSS_REASONS, Decoded, Loss, Partition
from monitor.windows.gaps import Gaps
from tests.support.config import make_config

PART, OTHER = Partition("predictions", 0), Partition("second", 0)


class Intake:
    """How far partitions have been read."""

    def __init__(self) -> None:
        self.positions: dict[Partition, int] = {PART: 1_000, OTHER: 3_000}

    def latest(self, partitions: Any) -> int | None:
        return max((self.positions[part] for part in partitions if part in self.positions), default=None)


def models(*topics: list[str]) -> Any:
    return [SimpleNamespace(section=SimpleNamespace(topics=named), gaps=Gaps()) for named in topics]


def overlaps(model: Any, start: int, end: int) -> bool:
    return bool(model.gaps.findings(start, end, alarm=True))


def losses(folder: Path) -> tuple[Losses, Any]:
    intake: Any = Intake()
    return Losses(make_config(folder), intake), intake


def test_every_reason_is_counted_and_an_unknown_number_as_one(tmp_path: Path) -> None:
    found, _ = losses(tmp_path)
    assert found.of(PART) == dict.fromkeys(LOSS_REASONS, 0)
    assert not found.partitions
    found.take([Loss(PART, "retention", 5, 9), Loss(PART, "retention", 2, 11), Loss(OTHER, "gone", 0)], [])
    assert found.of(PART) == dict.fromkeys(LOSS_REASONS, 0) | {"retention": 7}
    assert found.of(OTHER)["gone"] == 1
    assert set(found.partitions) == {PART, OTHER}


def test_only_the_models_that_the_topic_feeds_lack_messages(tmp_path: Path) -> None:
    found, _ = losses(tmp_path)
    default, second = models([], ["second"])
    found.take([Loss(PART, "corrupt", 5, 9)], [default, second])
    assert overlaps(default, 900, 1_500)
    assert not overlaps(second, 0, 10**9)
    # The next rows end the gap.
    at = np.array([9, 10])
    decoded = Decoded(PART, at, at * 0, np.array([2_000, 2_001]), {}, {}, (), 11)
    found.resumed(decoded, [default, second])
    assert not overlaps(default, 2_001, 3_000)
    found.resumed(Decoded(PART, at, at * 0, at, {0: "past", 1: "past"}, {}, (), 11), [default])


def test_a_partition_that_is_gone_is_no_longer_waited_for(tmp_path: Path) -> None:
    found, intake = losses(tmp_path)
    (model,) = models([])
    found.take([Loss(PART, "gone", 0)], [model])
    assert set(intake.positions) == {OTHER}
    # The gap reaches from its latest row to that of all partitions.
    assert overlaps(model, 2_900, 3_000)
    assert not overlaps(model, 3_001, 4_000)
