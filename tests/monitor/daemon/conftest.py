"""The reference and the logs that several tests of crashes share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from monitor.reference.build import load_reference
from tests.support.machine import machine_config, make_logs, table

if TYPE_CHECKING:
    from pathlib import Path

    from monitor.reference.profile import Profile
    from monitor.rows.records import Partition


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("restarts")
    table(5_000, 0.0, seed=1).to_parquet(home / "reference.parquet")
    return home


@pytest.fixture(scope="module")
def profile(folder: Path) -> Profile:
    (folder / "any").mkdir()
    return load_reference(machine_config(folder / "any").models[0])


@pytest.fixture(scope="module")
def logs() -> dict[Partition, list[bytes]]:
    return make_logs()
