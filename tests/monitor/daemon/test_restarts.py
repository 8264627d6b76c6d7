"""A source that fails at every possible step: the final state equals that of a run that nothing interrupted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.machine import MINUTES, ROWS, Machine, comparable

if TYPE_CHECKING:
    from pathlib import Path

    from monitor.reference.profile import Profile
    from monitor.rows.records import Partition


@pytest.fixture(scope="module")
def undisturbed(folder: Path, profile: Profile, logs: dict[Partition, list[bytes]]) -> Machine:
    machine = Machine(folder, profile, logs, "undisturbed")
    assert machine.run(None)
    return machine


def test_the_undisturbed_run_tells_the_story(undisturbed: Machine) -> None:
    events = [(body["event"], body["window"]["name"]) for body in undisturbed.network.bodies]  # type: ignore[index]
    assert events == [("alert.firing", "5m"), ("alert.resolved", "10m")]
    saved = undisturbed.saved()
    (model,) = saved.models.values()
    assert sum(model.rows.values()) == MINUTES * (ROWS - 1)
    assert model.late == 0


@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.slow)])
def test_a_crash_at_any_poll_changes_nothing(
    folder: Path, profile: Profile, logs: dict[Partition, list[bytes]], undisturbed: Machine, every: int
) -> None:
    wanted = comparable(undisturbed.saved())
    keys = {body["idempotency_key"] for body in undisturbed.network.bodies}
    for fail_at in range(1, undisturbed.polls + 1, every):
        machine = Machine(folder, profile, logs, f"crash-{every}-{fail_at}")
        assert not machine.run(fail_at)
        assert machine.run(None)
        assert comparable(machine.saved()) == wanted, fail_at
        # At least once, under the same keys: a receiver can tell a repetition from news.
        assert {body["idempotency_key"] for body in machine.network.bodies} == keys, fail_at


def test_a_machine_that_crashes_again_and_again_comes_through(
    folder: Path, profile: Profile, logs: dict[Partition, list[bytes]], undisturbed: Machine
) -> None:
    machine = Machine(folder, profile, logs, "again-and-again")
    for attempt in range(200):
        if machine.run(6 + attempt % 5):
            break
    assert comparable(machine.saved()) == comparable(undisturbed.saved())
