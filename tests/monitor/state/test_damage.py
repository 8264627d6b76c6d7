"""Flipped bits, full disks, processes that die in the middle of a write: never a crash loop, and never silence."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from monitor.common.errors import RetryableError, StateError
from monitor.daemon.saved_documents import read_document
from monitor.state.store import Store
from tests.data.state_v2.make import HOUR
from tests.support.config import toml
from tests.support.databases import is_open, opened_databases
from tests.support.logs import SILENT
from tests.support.state_runs import Site, files, totals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from monitor.state.checkpoint import LoadedState

MANY = [pytest.param(25), pytest.param(400, marks=pytest.mark.slow)]


def load(folder: Path) -> tuple[LoadedState, int]:
    """What a daemon would load, and how often damage was found."""
    store = Store(folder, SILENT)
    try:
        return store.load("now", read_document), store.damaged.total()
    finally:
        store.close()


def key_of(saved: LoadedState) -> object:
    """Which checkpoint it is."""
    return tuple(sorted((str(part), where.offset) for part, where in saved.positions.items()))


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state directory after nine hours of the logs, with a backup of an earlier moment."""
    site = Site(tmp_path_factory.mktemp("stopped"))
    site.run(7 * HOUR)
    site.run(9 * HOUR, backups=False)
    return site.state


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of a process that was killed: its last checkpoints are in the write-ahead log alone."""
    site = Site(tmp_path_factory.mktemp("crashed"))
    site.run(7 * HOUR)
    daemon = site.start()
    site.source.until = 9 * HOUR
    for turn in range(20):
        daemon.turn(0.0)
        if turn % 4 == 3:
            daemon.checkpoint()
    image = site.home / "image"
    shutil.copytree(site.state, image)
    daemon.abandon()
    assert (image / "leewayd.db-wal").stat().st_size > 50_000
    return image


def harmed(source: Path, target: Path, name: str, place: int, bit: int) -> Path:
    """A copy of a state directory in which one bit of a file has flipped."""
    shutil.copytree(source, target)
    raw = bytearray((target / name).read_bytes())
    raw[place] ^= 1 << bit
    (target / name).write_bytes(raw)
    return target


def flips(path: Path, count: int) -> list[tuple[int, int]]:
    """Places and bits, spread over a file; the database's header has a share of its own."""
    size = path.stat().st_size
    dice = np.random.default_rng(size)
    places = [*dice.integers(0, size, count - count // 5).tolist(), *dice.integers(0, 112, count // 5).tolist()]
    return [(min(place, size - 1), int(dice.integers(8))) for place in places]


@pytest.mark.parametrize("count", MANY)
@pytest.mark.parametrize("name", ["leewayd.db", "leewayd.previous.db"])
def test_a_flipped_bit_in_a_database_costs_the_newest_checkpoint_at_most(
    stopped: Path, tmp_path: Path, name: str, count: int
) -> None:
    current, found = load(shutil.copytree(stopped, tmp_path / "whole"))
    assert found == 0
    backup = shutil.copytree(stopped, tmp_path / "older")
    (backup / "leewayd.db").unlink()
    previous, _ = load(backup)
    assert key_of(previous) != key_of(current)
    detected = 0
    for number, (place, bit) in enumerate(flips(stopped / name, count)):
        folder = harmed(stopped, tmp_path / str(number), name, place, bit)
        saved, damaged = load(folder)
        if damaged and name == "leewayd.db":
            detected += 1
            assert key_of(saved) == key_of(previous), (place, bit)
            assert saved.damage
            assert not saved.lost
            assert list(folder.glob("leewayd.db.damaged-now*")), (place, bit)
        else:
            assert key_of(saved) == key_of(current), (place, bit)
            assert saved.documents == current.documents
            assert saved.outbox == current.outbox
        again, damaged = load(folder)
        assert damaged == 0
        assert key_of(again) == key_of(saved)
        shutil.rmtree(folder)
    # Others hit free space in pages, which nothing reads.
    assert detected > count // 3 or name != "leewayd.db"


@pytest.mark.parametrize("count", MANY)
def test_a_flipped_bit_in_the_write_ahead_log_leads_to_an_earlier_checkpoint(
    crashed: Path, tmp_path: Path, count: int
) -> None:
    whole, _ = load(shutil.copytree(crashed, tmp_path / "whole"))
    for number, (place, bit) in enumerate(flips(crashed / "leewayd.db-wal", count)):
        folder = harmed(crashed, tmp_path / str(number), "leewayd.db-wal", place, bit)
        saved, _ = load(folder)
        assert dict(key_of(saved)).keys() == dict(key_of(whole)).keys()  # type: ignore[call-overload]
        assert all(where.offset <= whole.positions[part].offset for part, where in saved.positions.items()), (
            place,
            bit,
        )
        shutil.rmtree(folder)


@pytest.mark.parametrize("name", ["leewayd.db", "leewayd.previous.db", "leewayd.db-wal", "labels"])
def test_a_daemon_with_a_flipped_bit_goes_on_and_comes_to_the_same_state_or_says_what_is_lost(
    stopped: Path, crashed: Path, tmp_path: Path, name: str
) -> None:
    whole = Site(tmp_path / "whole")
    whole.run()
    wanted = totals(whole.saved())
    joined = whole.run().snapshot.models[0].labels
    assert joined is not None
    source = crashed if name.endswith("wal") else stopped
    targets = sorted(source.glob("labels/m/predictions-*.rows")) if name == "labels" else [source / name]
    for number, path in enumerate(targets[:3] * (6 // len(targets[:3]))):
        place, bit = flips(path, 30)[number * 3]
        site = Site(tmp_path / str(number))
        site.home.mkdir()
        harmed(source, site.state, str(path.relative_to(source)), place, bit)
        daemon = site.run()
        assert totals(site.saved()) == wanted, (place, bit)
        labels = daemon.snapshot.models[0].labels
        assert labels is not None
        told = site.text.getvalue()
        if labels.outcomes["joined"] != joined.outcomes["joined"]:
            assert sum(labels.lost.values()) > 0, (place, bit)
            assert "waiting predictions lost" in told
        if sum(daemon.snapshot.state_damaged.values()):
            assert "damaged" in told


def test_damage_is_a_finding_in_the_windows_that_reach_back_and_in_no_later_one(stopped: Path, tmp_path: Path) -> None:
    site = Site(tmp_path)
    shutil.copytree(stopped, site.state)
    (site.state / "leewayd.db").write_bytes(b"")
    seen: list[tuple[int, bool]] = []
    site.observer = lambda evaluation, _: (
        seen.append((evaluation.end, any(found.statistic == "state_damaged" for found in evaluation.findings)))
        if evaluation is not None
        and evaluation.model == "m"
        and evaluation.segment == "all"
        and (not evaluation.realised)
        else None
    )
    daemon = site.start()
    site.source.until = 13 * HOUR
    while not site.source.read:
        daemon.turn(0.0)
        if len(seen) == 3:
            daemon.checkpoint()
    daemon.close()
    seen.sort()
    # Windows of an hour that slide by ten minutes: the first one, and the five that begin before its end.
    assert [damaged for _, damaged in seen] == [True] * 6 + [False] * (len(seen) - 6)
    assert len(seen) > 12
    assert daemon.snapshot.state_damaged["database"] == 1


def test_nothing_is_left_but_what_the_broker_holds(stopped: Path, tmp_path: Path) -> None:
    site = Site(tmp_path)
    shutil.copytree(stopped, site.state)
    for name in ("leewayd.db", "leewayd.previous.db"):
        (site.state / name).write_bytes(b"rubbish" * 2_000)
    daemon = site.start()
    assert site.source.at == dict.fromkeys(site.source.at, 0)
    assert site.source.everything
    assert site.store.damaged["database"] == site.store.damaged["backup"] == 1
    assert "state lost" in site.text.getvalue()
    # What the lost databases named is kept: it may be all that is left.
    (aside,) = site.state.glob("labels.damaged-*")
    assert list(aside.glob("m/predictions-*.rows"))
    daemon.abandon()
    site.run()
    whole = Site(tmp_path / "whole")
    whole.run()
    # The reference is there already, so that no row is needed to learn it.
    assert {**totals(site.saved()), "learned": ()} == {**totals(whole.saved()), "learned": ()}


def test_no_file_that_was_set_aside_is_overwritten(stopped: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(stopped, tmp_path / "state")
    backup = (folder / "leewayd.previous.db").read_bytes()
    for number in range(3):
        (folder / "leewayd.db").write_bytes(b"rubbish %d" % number)
        (folder / "leewayd.previous.db").write_bytes(backup)
        load(folder)
    kept = sorted(path.read_bytes() for path in folder.glob("leewayd.db.damaged-*"))
    assert kept == [b"rubbish 0", b"rubbish 1", b"rubbish 2"]


MAY_PASS = [
    "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM",
    "SQLITE_NOMEM", "SQLITE_PROTOCOL", "SQLITE_ERROR", "SQLITE_IOERR_READ", "SQLITE_READONLY_DBMOVED",
]  # fmt: skip


@pytest.mark.parametrize("code", MAY_PASS)
def test_what_may_pass_touches_nothing(
    stopped: Path, tmp_path: Path, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(stopped, tmp_path / "state")
    before = files(folder)

    def refuse(*_: object) -> None:
        error = sqlite3.OperationalError(code)
        error.sqlite_errorcode = getattr(sqlite3, code)
        raise error

    for step in ("_connect", "check_pages", "read_state"):
        with monkeypatch.context() as patch:
            patch.setattr(f"monitor.state.store.{step}", refuse)
            with pytest.raises(RetryableError, match=code):
                load(folder)
        assert files(folder) == before
    assert load(folder)[1] == 0


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT, errno.EMFILE])
def test_an_error_of_the_system_while_files_are_looked_at_touches_nothing(
    stopped: Path, tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(stopped, tmp_path / "state")
    before = files(folder)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    for step in ("tighten", "header_fault"):
        with monkeypatch.context() as patch:
            patch.setattr(f"monitor.state.generations.{step}", refuse)
            with pytest.raises(RetryableError, match=os.strerror(number)):
                load(folder)
        assert files(folder) == before


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of four megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)],
        check=False,
        capture_output=True,
    )
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Takes the last byte of a file system."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (65_536, 4_096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                pass
    return filler


@pytest.mark.parametrize("broken", [False, True], ids=["whole", "damaged"])
def test_a_start_on_a_full_disk_destroys_nothing(stopped: Path, small_disk: Path, broken: bool) -> None:
    site = Site(small_disk)
    shutil.copytree(stopped, site.state)
    current, _ = load(shutil.copytree(stopped, site.home.parent / "whole"))
    if broken:
        path = site.state / "leewayd.db"
        raw = bytearray(path.read_bytes())
        raw[len(raw) // 2] ^= 1
        path.write_bytes(raw)
    before = {name: raw for name, raw in files(site.state).items() if name != "lock"}
    filler = fill(small_disk)
    for _ in range(3):
        with suppress(RetryableError):
            load(site.state)
    after = files(site.state)
    assert all(raw in after.values() for raw in before.values())
    filler.unlink()
    saved, _ = load(site.state)
    assert saved.positions
    assert broken or key_of(saved) == key_of(current)


def images(
    store: Store,
    database: sqlite3.Connection,
    target: Path,
    work: Callable[[], object],
    every: int,
    patch: pytest.MonkeyPatch,
) -> list[Path]:
    """Copies of the state directory as a killed process would leave it, at many moments of some work."""
    made: list[Path] = []

    def take() -> int:
        if len(made) < 120:
            copy = target / str(len(made))
            shutil.copytree(store.folder, copy)
            made.append(copy)
        return 0

    def taking(step: Any) -> Any:
        def taken(*arguments: Any, **options: Any) -> Any:
            take()
            found = step(*arguments, **options)
            take()
            return found

        return taken

    patch.setattr("os.fsync", taking(os.fsync))
    for name in ("replace", "rename", "unlink"):
        patch.setattr(Path, name, taking(getattr(Path, name)))
    database.set_progress_handler(take, every)
    work()
    database.set_progress_handler(None, 0)
    patch.undo()
    take()
    return made


@pytest.mark.parametrize("work", ["checkpoint", "back_up", "scrub"])
def test_a_kill_at_any_write_leaves_one_checkpoint_or_the_other(
    tmp_path: Path, work: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = opened_databases(monkeypatch)
    site = Site(tmp_path / "site")
    site.run(7 * HOUR)
    daemon = site.start()
    (database,) = filter(is_open, opened)
    site.source.until = 9 * HOUR
    for _ in range(6):
        daemon.turn(0.0)
    before, _ = load(shutil.copytree(site.state, tmp_path / "before"))
    if work != "checkpoint":
        daemon.checkpoint()
    steps = {
        "checkpoint": daemon.checkpoint, "back_up": daemon.back_up,
        "scrub": lambda: site.store.forget({"learned/gone"}),
    }  # fmt: skip
    with monkeypatch.context() as patch:
        made = images(site.store, database, tmp_path / "images", steps[work], 40, patch)
    after, _ = load(shutil.copytree(site.state, tmp_path / "after"))
    daemon.abandon()
    assert key_of(before) != key_of(after)
    found = []
    for image in made:
        saved, damaged = load(image)
        assert not damaged
        found.append(key_of(saved))
    assert len(made) > 5
    assert set(found) == ({key_of(before), key_of(after)} if work == "checkpoint" else {key_of(after)})


@pytest.mark.parametrize("every", [9, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_an_error_at_any_write_costs_nothing_once_it_has_passed(
    tmp_path: Path, number: int, every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Site(tmp_path / "whole")
    joined = whole.run(10 * HOUR).snapshot.models[0].labels
    wanted = totals(whole.saved())
    for fails in range(1, 26, every):
        calls = [0]

        def failing(step: Any, calls: list[int] = calls, fails: int = fails) -> Any:
            def failed(*arguments: Any, **options: Any) -> Any:
                calls[0] += 1
                if fails <= calls[0] < fails + 2:
                    raise OSError(number, os.strerror(number))
                return step(*arguments, **options)

            return failed

        site = Site(tmp_path / str(fails))
        with monkeypatch.context() as patch:
            patch.setattr("os.fsync", failing(os.fsync))
            try:
                daemon = site.run(10 * HOUR)
            except RetryableError:
                daemon = site.run(10 * HOUR)
        labels = daemon.snapshot.models[0].labels
        assert labels is not None
        assert joined is not None
        assert labels.outcomes == joined.outcomes, fails
        assert totals(site.saved()) == wanted, fails


def test_a_document_that_is_whole_and_cannot_be_read_is_a_fault_and_nothing_is_changed(
    stopped: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(stopped, tmp_path / "state")
    before = files(folder)

    def strange(name: str, document: bytes) -> None:
        if name == "traffic/m":
            raise ValueError("a future kind")

    store = Store(folder, SILENT)
    with pytest.raises(StateError, match=r"document 'traffic/m' is intact, but this leewayd cannot read it \(a future"):
        store.load("now", strange)
    store.close()
    assert files(folder) == before


def test_a_backup_is_never_replaced_by_a_damaged_copy(
    stopped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = opened_databases(monkeypatch)
    folder = shutil.copytree(stopped, tmp_path / "state")
    backup = (folder / "leewayd.previous.db").read_bytes()
    store = Store(folder, SILENT)
    store.load("now")
    opened[-1].execute("UPDATE documents SET document = x'00' WHERE name = 'alerts'")
    with pytest.raises(RetryableError, match="damaged"):
        store.back_up()
    store.close()
    assert (folder / "leewayd.previous.db").read_bytes() == backup
    saved, damaged = load(folder)
    assert damaged == 1
    assert saved.positions


def process(home: Path, state: Path) -> subprocess.CompletedProcess[str]:
    """`leewayd run` over a short log, to its end."""
    rows = [{"t": 1_700_000_000_000 + row * 1_000, "x": row % 7, "p": row % 2} for row in range(300)]
    (home / "log.jsonl").write_text("\n".join(map(json.dumps, rows)))
    model = {
        "name": "m", "task": "binary", "reference": "log.jsonl", "windows": ["1h"], "pane": "1m",
        "columns": {"timestamp": "t", "prediction": "p"},
    }  # fmt: skip
    raw = {
        "state": {"dir": str(state)}, "http": {"listen": "127.0.0.1:0"}, "file": {"predictions": ["log.jsonl"]},
        "models": [model],
    }  # fmt: skip
    path = home / "leewayd.toml"
    path.write_text("\n".join(f"{key} = {toml(part)}" for key, part in raw.items()))
    command = [sys.executable, "-m", "monitor", "run", str(path), "--exit"]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)


def test_the_process_ends_with_75_on_a_full_disk_and_with_2_on_a_newer_state(tmp_path: Path, small_disk: Path) -> None:
    state = small_disk / "state"
    first = process(tmp_path, state)
    assert first.returncode == 0, first.stderr
    shutil.copyfile(state / "leewayd.db", state / "leewayd.previous.db")
    filler = fill(small_disk)
    before = files(state)
    full = process(tmp_path, state)
    assert full.returncode == 75, full.stderr
    assert "the disk is full" in full.stderr
    after = files(state)
    assert {name: after[name] for name in before} == before
    assert not after.get("leewayd.db-wal")
    filler.unlink()
    assert process(tmp_path, state).returncode == 0
    with closing(sqlite3.connect(state / "leewayd.db")) as database, database:
        database.execute("PRAGMA user_version = 4")
    before = files(state)
    newer = process(tmp_path, state)
    assert newer.returncode == 2, newer.stderr
    assert "state of format 4, this leewayd reads 3" in newer.stderr
    assert files(state) == before
    with closing(sqlite3.connect(state / "leewayd.db")) as database, database:
        database.execute("PRAGMA user_version = 3")
        database.execute("UPDATE documents SET document = x'ff' || document WHERE name = 'traffic/m'")
    damaged = process(tmp_path, state)
    assert damaged.returncode == 0, damaged.stderr
    assert "state damaged" in damaged.stderr
    assert "state backup loaded" in damaged.stderr
