"""The state on disk: whole or not at all, one process at a time, and never a crash loop."""

from __future__ import annotations

import io
import sqlite3
import zipfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from alerts.outbox import OutboxEntry
from detectors.layout import COLUMNS
from monitor.common.errors import StateError
from monitor.rows.records import Partition, Position
from monitor.state.checkpoint import Checkpoint, LoadedModel, LoadedSeries, LoadedState, ModelDelta
from monitor.state.store import Store
from monitor.windows.panes import Pane
from tests.support.databases import opened_databases
from tests.support.logs import log_into
from tests.support.paths import DATA

HOUR = 3_600_000
DAY = 24 * HOUR


def pane(start: int, rows: int) -> Pane:
    bins = np.zeros((2, COLUMNS), dtype=np.int64)
    bins[:, rows % COLUMNS] = rows
    moments = np.array([[rows, 2 * rows], [0, 0]], dtype=np.int64)
    return Pane(start, rows, bins, moments, np.array([[0.5, 1.5], [np.inf, -np.inf]]), np.array([rows, 7]))


def model(panes: list[Pane], version: str = "1") -> LoadedModel:
    series = LoadedSeries(version, "all", 0, 5 * HOUR, {HOUR: panes}, "print", (DAY,))
    ledger = {HOUR: {found.start: {Partition("t", 0): (found.start, found.start + 9)} for found in panes}}
    return LoadedModel("shape", 7 * HOUR, {"1h": HOUR}, {"1": 10}, 1, 2, (series,), ledger)


def entry(name: str, attempts: int = 0) -> OutboxEntry:
    return OutboxEntry(name, "team", "trigger", "key", "{}", 5, attempts)


def checkpoint(panes: list[Pane], offset: int = 1) -> Checkpoint:
    return Checkpoint(
        {Partition("t", 0): Position(offset, 2, "id", 99)},
        {"m": ModelDelta(model(panes), None)},
        {"alerts": b"a"},
        (entry("one"), entry("two")),
    )


class Logged:
    def __init__(self) -> None:
        self.text = io.StringIO()
        self.log = log_into(self.text)


def open_store(folder: Path, logged: Logged | None = None) -> Store:
    return Store(folder, (logged or Logged()).log)


def load(folder: Path, logged: Logged | None = None) -> LoadedState:
    store = open_store(folder, logged)
    try:
        return store.load("now")
    finally:
        store.close()


def save(folder: Path, *checkpoints: Checkpoint, back_up: bool = False) -> None:
    store = open_store(folder)
    store.load("now")
    for found in checkpoints:
        store.commit(found)
        if back_up:
            store.back_up()
    store.close()


def kept(saved: LoadedState) -> dict[int, tuple[int, bytes]]:
    (series,) = saved.models["m"].series
    return {found.start: (found.rows, found.bins.tobytes()) for found in series.panes[HOUR]}


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    panes = [pane(0, 3), pane(HOUR, 4)]
    save(tmp_path, checkpoint(panes))
    saved = load(tmp_path)
    assert saved.positions == {Partition("t", 0): Position(1, 2, "id", 99)}
    found = saved.models["m"]
    assert replace(found, series=()) == replace(model(panes), series=())
    assert kept(saved) == {0: (3, panes[0].bins.tobytes()), HOUR: (4, panes[1].bins.tobytes())}
    (series,) = found.series
    assert series.panes[HOUR][0].moments.tolist() == panes[0].moments.tolist()
    assert series.panes[HOUR][0].extremes.tolist() == panes[0].extremes.tolist()
    assert saved.documents == {"alerts": b"a"}
    assert [found.id for found in saved.outbox] == ["one", "two"]


def test_only_what_changed_is_written_and_the_rest_stays(tmp_path: Path) -> None:
    save(tmp_path, checkpoint([pane(0, 3), pane(HOUR, 4)]), checkpoint([pane(HOUR, 40)], offset=2))
    saved = load(tmp_path)
    assert {start: rows for start, (rows, _) in kept(saved).items()} == {0: 3, HOUR: 40}
    assert saved.positions[Partition("t", 0)].offset == 2


def test_old_panes_ended_series_and_a_fresh_start_are_dropped(tmp_path: Path) -> None:
    save(tmp_path, checkpoint([pane(0, 3), pane(HOUR, 4)]))
    empty = replace(model([]), series=())
    save(tmp_path, Checkpoint({}, {"m": ModelDelta(empty, oldest={HOUR: HOUR})}, {}))
    assert set(kept(load(tmp_path))) == {HOUR}
    save(tmp_path, Checkpoint({}, {"m": ModelDelta(empty, None, ended=(("1", "all"),))}, {}))
    assert load(tmp_path).models["m"].series == ()
    save(tmp_path, checkpoint([pane(0, 3)]))
    save(tmp_path, Checkpoint({}, {"m": ModelDelta(model([pane(HOUR, 1)], "2"), None, fresh=True)}, {}))
    assert [series.version for series in load(tmp_path).models["m"].series] == ["2"]


def test_the_outbox_keeps_its_order_through_retries_and_loses_what_was_delivered(tmp_path: Path) -> None:
    save(tmp_path, checkpoint([]))
    save(tmp_path, Checkpoint({}, {}, {}, (entry("one", attempts=3), entry("three")), ("two",)))
    assert [(found.id, found.attempts) for found in load(tmp_path).outbox] == [("one", 3), ("three", 0)]


def test_a_checkpoint_that_fails_half_way_leaves_the_previous_one(tmp_path: Path) -> None:
    save(tmp_path, checkpoint([pane(0, 3)]))
    store = open_store(tmp_path)
    store.load("now")
    broken = replace(checkpoint([pane(0, 30)], offset=9), documents={"alerts": object()})  # type: ignore[dict-item]
    with pytest.raises(StateError):
        store.commit(broken)
    store.commit(Checkpoint({Partition("t", 0): Position(5)}, {}, {}))
    store.close()
    saved = load(tmp_path)
    assert saved.positions == {Partition("t", 0): Position(5)}
    assert {start: rows for start, (rows, _) in kept(saved).items()} == {0: 3}


def test_a_full_disk_is_told_and_the_daemon_goes_on_when_there_is_room_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = opened_databases(monkeypatch)
    store = open_store(tmp_path)
    store.load("now")
    store.commit(checkpoint([pane(0, 3)]))
    database = opened[-1]
    pages = database.execute("PRAGMA page_count").fetchone()[0]
    database.execute(f"PRAGMA max_page_count = {pages}")
    dice = np.random.default_rng(1)
    noisy = replace(pane(HOUR, 4), bins=dice.integers(0, 2**60, (2, COLUMNS)))
    big = checkpoint([replace(noisy, start=step * HOUR) for step in range(1, 200)], offset=7)
    with pytest.raises(StateError, match="full"):
        store.commit(big)
    database.execute("PRAGMA max_page_count = 100000")
    store.commit(big)
    store.close()
    assert load(tmp_path).positions[Partition("t", 0)].offset == 7


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    first = open_store(tmp_path)
    with pytest.raises(StateError, match="another leewayd is using this state directory"):
        open_store(tmp_path)
    first.close()
    open_store(tmp_path).close()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="file"):
        open_store(tmp_path / "file" / "state")


@pytest.mark.parametrize("damage", ["scribble", "truncate", "text", "pane", "document"])
def test_a_damaged_database_is_set_aside_and_the_backup_is_loaded(tmp_path: Path, damage: str) -> None:
    save(tmp_path, checkpoint([pane(0, 3)]), back_up=True)
    save(tmp_path, checkpoint([pane(0, 30)], offset=2))
    path = tmp_path / "leewayd.db"
    if damage == "pane":
        with sqlite3.connect(path) as database:
            database.execute("UPDATE panes SET counts = x'0102'")
    elif damage == "document":
        with sqlite3.connect(path) as database:
            database.execute("UPDATE models SET document = 'x'")
    else:
        raw = path.read_bytes()
        harmed = {"scribble": raw[:200] + b"\xff" * 8000 + raw[8200:], "truncate": raw[:5000], "text": b"hello" * 500}
        path.write_bytes(harmed[damage])
    logged = Logged()
    saved = load(tmp_path, logged)
    assert saved.positions[Partition("t", 0)].offset == 1
    assert "state damaged" in logged.text.getvalue()
    assert "state backup loaded" in logged.text.getvalue()
    assert (tmp_path / "leewayd.db.damaged-now").exists()


def test_without_a_usable_backup_it_begins_anew_rather_than_never(tmp_path: Path) -> None:
    save(tmp_path, checkpoint([pane(0, 3)]), back_up=True)
    for name in ("leewayd.db", "leewayd.previous.db"):
        (tmp_path / name).write_bytes(b"rubbish" * 1000)
    assert load(tmp_path) == LoadedState()
    save(tmp_path, checkpoint([pane(0, 5)]))
    assert kept(load(tmp_path))[0][0] == 5


def test_a_newer_format_is_refused_and_nothing_is_touched(tmp_path: Path) -> None:
    save(tmp_path, checkpoint([pane(0, 3)]), back_up=True)
    with sqlite3.connect(tmp_path / "leewayd.db") as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(StateError, match="state of format 99"):
        load(tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_database_of_no_bytes_beside_a_backup_is_damage(tmp_path: Path) -> None:
    save(tmp_path, checkpoint([pane(0, 3)]), back_up=True)
    (tmp_path / "leewayd.db").write_bytes(b"")
    assert kept(load(tmp_path))[0][0] == 3


def test_any_flipped_bit_leads_to_the_backup_or_changes_nothing(tmp_path: Path) -> None:
    save(tmp_path, checkpoint([pane(0, 3)]), back_up=True)
    save(tmp_path, checkpoint([pane(0, 30)], offset=2))
    raw = (tmp_path / "leewayd.db").read_bytes()
    backup = (tmp_path / "leewayd.previous.db").read_bytes()
    dice = np.random.default_rng(3)
    for place in dice.integers(0, len(raw), 60).tolist():
        folder = tmp_path / f"bit-{place}"
        folder.mkdir()
        (folder / "leewayd.previous.db").write_bytes(backup)
        harmed = bytearray(raw)
        harmed[place] ^= 1 << int(dice.integers(8))
        (folder / "leewayd.db").write_bytes(harmed)
        try:
            saved = load(folder)
        except StateError as error:
            if "format" in str(error):  # the format number itself says that it is newer
                continue
            raise
        offset = saved.positions[Partition("t", 0)].offset
        assert (offset, kept(saved)[0][0]) in ((2, 30), (1, 3))


def test_a_state_of_the_first_release_is_upgraded_and_all_of_it_is_there(tmp_path: Path) -> None:
    with zipfile.ZipFile(DATA / "state_v2" / "state.zip") as archive:
        archive.extractall(tmp_path)
    with closing(sqlite3.connect(tmp_path / "leewayd.db")) as database:
        names = {name for (name,) in database.execute("SELECT name FROM documents")}
        panes = database.execute("SELECT COUNT(*) FROM panes").fetchone()[0]
        waiting = database.execute("SELECT COUNT(*) FROM outbox").fetchone()[0]
    saved = load(tmp_path)
    assert set(saved.documents) == names
    kept_panes = [
        found
        for model in saved.models.values()
        for series in model.series
        for held in series.panes.values()
        for found in held
    ]
    assert len(kept_panes) == panes > 0
    assert len(saved.outbox) == waiting > 0
    again = load(tmp_path)
    assert (again.positions, again.documents, again.outbox) == (saved.positions, saved.documents, saved.outbox)
