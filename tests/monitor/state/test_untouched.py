"""Every command but `run` and `state drop` leaves the state directory as it is: names, bytes, modes and times."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from monitor.cli.main import app
from tests.data.state_v2.make import HOUR, raw_config
from tests.support.config import toml
from tests.support.paths import ROOT
from tests.support.process import leewayd
from tests.support.state_runs import LOGS, Site

if TYPE_CHECKING:
    from collections.abc import Iterator

    from monitor.daemon.loop import Daemon


CHANGES_STATE = {"run", "state drop"}
DEMO = "demo"
"""Takes no configuration and keeps its state in a folder of its own: it has a test of its own."""


def seen(folder: Path) -> dict[str, tuple[object, ...]]:
    """Everything in a folder: mode, owner, inode, times of the last changes of content and of these, bytes."""
    found: dict[str, tuple[object, ...]] = {}
    for path in [folder, *folder.rglob("*")]:
        about = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(folder))] = (
            about.st_mode, about.st_uid, about.st_gid, about.st_ino, about.st_mtime_ns, about.st_ctime_ns, content,
        )  # fmt: skip
    return found


def made(folder: Path) -> Site:
    """A place with a configuration, logs, and the state of a daemon that has stopped at the tenth hour: waiting
    predictions, a learned reference, a backup.
    """
    site = Site(folder)
    site.run(10 * HOUR)
    (folder / "leewayd.toml").write_text("\n".join(f"{key} = {toml(part)}" for key, part in raw_config(folder).items()))
    for partition, rows in LOGS.items():
        (folder / f"{partition.topic}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return site


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The place of a daemon that has stopped."""
    folder = tmp_path_factory.mktemp("stopped")
    made(folder)
    return folder


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The place of a daemon that runs: it has gone on after a restart, with labels that wait, and stands between two
    checkpoints.
    """
    folder = tmp_path_factory.mktemp("running")
    site = made(folder)
    daemon = site.start()
    site.source.until = 12 * HOUR
    turns(daemon, site)
    assert daemon.checkpoint()
    site.source.until = 13 * HOUR
    turns(daemon, site)
    labels = daemon.snapshot.models[0].labels
    assert labels is not None
    assert labels.waiting > 0
    yield folder
    # It is none the worse: it goes on to the end, and saves.
    site.source.until = 14 * HOUR
    turns(daemon, site)
    assert daemon.checkpoint()
    daemon.close()
    assert "lost" not in site.text.getvalue()


def turns(daemon: Daemon, site: Site) -> None:
    count = 0
    while not site.source.read or count % 10:
        daemon.turn(0.0)
        count += 1
        assert count < 1_000


COMMANDS = {
    "check": ["check", "leewayd.toml"],
    "init": ["init", "-i", "predictions.jsonl", "-o", "new.toml"],
    "schema": ["schema"],
    "reference build": ["reference", "build", "leewayd.toml", "--model", "m"],
    "reference show": ["reference", "show", "state/learned/learned.profile.json"],
    "backtest": [
        "backtest", "leewayd.toml", "-i", "predictions.jsonl", "--labels", "labels.jsonl", "--model", "m",
        "--json", "out.jsonl.zst", "--json-detail", "changed", "--html", "out.html",
    ],
    "backtest, of a learned reference": ["backtest", "leewayd.toml", "-i", "learned.jsonl", "--model", "learned"],
    "backtest, learning": ["backtest", "leewayd.toml", "-i", "learning.jsonl", "--model", "learning"],
    "--help": ["--help"],
    "--version": ["--version"],
}  # fmt: skip


def offered(*path: str) -> list[str]:
    """The commands that ``--help`` lists, with those that they have themselves."""
    told = CliRunner().invoke(
        app, [*path, "--help"], env={"COLUMNS": "80", "TERMINAL_WIDTH": "80"}, prog_name="leewayd"
    )
    assert told.exit_code == 0
    _, listed, commands = told.stdout.partition("Commands")
    if not listed:
        return [" ".join(path)]
    names = re.findall(r"^[│|] ([a-z][a-z-]*) ", commands, flags=re.MULTILINE)
    assert names
    return [command for name in names for command in offered(*path, name)]


def test_every_command_is_covered() -> None:
    tested = {name.partition(",")[0] for name in COMMANDS if not name.startswith("-")}
    assert tested | CHANGES_STATE | {DEMO} == set(offered())
    for name, words in COMMANDS.items():
        assert words[: len(name.partition(",")[0].split())] == name.partition(",")[0].split()


@pytest.mark.parametrize("where", ["stopped", "running"])
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS.keys())
def test_a_command_changes_nothing(
    command: list[str], where: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    home: Path = request.getfixturevalue(where)
    monkeypatch.chdir(home)
    for leftover in ("new.toml", "reference.profile.json"):
        (home / leftover).unlink(missing_ok=True)
    before = seen(home / "state")
    assert {"leewayd.db", "leewayd.previous.db", "learned/learned.profile.json"} <= before.keys()
    assert any(name.startswith("labels/m/predictions-") for name in before)
    assert ("leewayd.db-wal" in before) == (where == "running")
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert seen(home / "state") == before


def test_the_demo_keeps_out_of_other_state(stopped: Path, tmp_path: Path) -> None:
    before = seen(stopped / "state")
    # It ends at once: no machine has this address of a documentation network.
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "monitor", "demo", "--exit", "--listen", "203.0.113.1:80"],
        cwd=stopped, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "cannot listen" in done.stderr
    assert seen(stopped / "state") == before
    assert list(tmp_path.iterdir()) == []


def test_commands_that_are_refused_change_nothing_either(running: Path) -> None:
    (running / "bad.toml").write_text((running / "leewayd.toml").read_text().replace('"binary"', '"binry"'))
    before = seen(running / "state")
    for command in (
        ["check", "bad.toml"],
        ["run", "bad.toml"],
        ["run", "leewayd.toml"],  # another daemon runs
        ["backtest", "leewayd.toml", "-i", "none.jsonl", "--model", "m"],
        ["state", "drop", "m", "--config", "leewayd.toml"],
    ):
        done = leewayd(*command, folder=running)
        assert done.returncode in (2, 75), done.stderr
        assert "Traceback" not in done.stderr
    assert seen(running / "state") == before


def test_a_daemon_finds_its_waiting_predictions_after_a_backtest(
    stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(stopped)
    assert CliRunner().invoke(app, COMMANDS["backtest"]).exit_code == 0
    site = Site(stopped)
    daemon = site.start()
    labels = daemon.snapshot.models[0].labels
    assert labels is not None
    assert not labels.lost
    assert "lost" not in site.text.getvalue()
    daemon.abandon()
