"""Every command but `run` leaves the state directory as it is: names, bytes and times."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from monitor.cli.main import app
from monitor.state.store import Store
from tests.data.state_v2.make import raw_config
from tests.support.state_runs import LOGS, Site

if TYPE_CHECKING:
    from pathlib import Path


def toml(value: Any) -> str:
    """A value as TOML writes it inline."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(part)}" for key, part in value.items()) + "}"
    return "[" + ", ".join(map(toml, value)) + "]" if isinstance(value, list) else json.dumps(value)


def seen(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Everything in a folder: mode, time of the last change, bytes."""
    return {
        str(path.relative_to(folder)): (
            path.stat().st_mode, path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"",
        )
        for path in [folder, *folder.rglob("*")]
    }  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A daemon that has stopped: waiting predictions, a learned reference, a backup."""
    folder = tmp_path_factory.mktemp("untouched")
    Site(folder).run()
    (folder / "leewayd.toml").write_text("\n".join(f"{key} = {toml(part)}" for key, part in raw_config(folder).items()))
    for partition, rows in LOGS.items():
        (folder / f"{partition.topic}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


COMMANDS = {
    "check": ["check", "leewayd.toml"],
    "init": ["init", "-i", "predictions.jsonl", "-o", "new.toml"],
    "schema": ["schema"],
    "build": ["reference", "build", "leewayd.toml", "--model", "m"],
    "show": ["reference", "show", "state/learned/learned.profile.json"],
    "backtest": [
        "backtest", "leewayd.toml", "-i", "predictions.jsonl", "--labels", "labels.jsonl", "--model", "m",
        "--json", "out.jsonl", "--html", "out.html",
    ],
    "backtest of a learned reference": ["backtest", "leewayd.toml", "-i", "learned.jsonl", "--model", "learned"],
    "backtest that learns": ["backtest", "leewayd.toml", "-i", "learning.jsonl", "--model", "learning"],
}  # fmt: skip


@pytest.mark.parametrize("running", [False, True], ids=["stopped", "running"])
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS.keys())
def test_a_command_changes_nothing(
    home: Path, command: list[str], running: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    for leftover in ("new.toml", "reference.profile.json"):
        (home / leftover).unlink(missing_ok=True)
    store = Store(home / "state", Site(home).log) if running else None
    before = seen(home / "state")
    assert {"leewayd.db", "leewayd.previous.db", "learned/learned.profile.json"} <= before.keys()
    assert any(name.startswith("labels/m/predictions-") for name in before)
    try:
        result = CliRunner().invoke(app, command)
    finally:
        if store is not None:
            store.close()
    assert result.exit_code == 0, result.output
    assert seen(home / "state") == before


def test_a_daemon_finds_its_waiting_predictions_after_a_backtest(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    assert CliRunner().invoke(app, COMMANDS["backtest"]).exit_code == 0
    site = Site(home)
    daemon = site.start()
    labels = daemon.snapshot.models[0].labels
    assert labels is not None
    assert not labels.lost
    assert "lost" not in site.text.getvalue()
    site.courier.close(1.0)
    daemon.abandon()
