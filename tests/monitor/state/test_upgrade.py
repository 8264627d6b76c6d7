"""A state directory that af0f601 wrote goes on under this leewayd, with all that is in it."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from monitor.common.errors import RetryableError, StateError
from monitor.state.model_files import learned_path
from monitor.state.store import Store
from tests.support.state_runs import Site, files, holds_raw_rows, totals, unpack

if TYPE_CHECKING:
    from pathlib import Path

TABLES = ("positions", "models", "series", "panes", "ledger", "labelled", "documents", "outbox")


def rows(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Every table without its checksums."""
    with closing(sqlite3.connect(f"{path.as_uri()}?immutable=1", uri=True)) as database:
        found = {}
        for table in TABLES:
            columns = [name for _, name, *_ in database.execute(f"PRAGMA table_info({table})") if name != "crc"]
            query = f"SELECT {', '.join(columns)} FROM {table}"  # noqa: S608 - our own names
            found[table] = sorted(database.execute(query), key=repr)
        return found


def test_every_row_is_there_and_a_copy_of_the_old_format_is_kept(tmp_path: Path) -> None:
    unpack(tmp_path)
    before = rows(tmp_path / "state" / "leewayd.db")
    assert all(before.values())
    site = Site(tmp_path)
    saved = site.saved()
    assert rows(tmp_path / "state" / "leewayd.db") == before
    assert rows(tmp_path / "state" / "leewayd.db.format-2") == before
    assert set(saved.models) == {"m", "learned"}
    assert saved.names == {"m", "learned", "learning"}
    assert not saved.damage
    assert "damaged" not in site.text.getvalue()


def test_it_goes_on_where_it_stopped(tmp_path: Path) -> None:
    unpack(tmp_path / "old")
    old, fresh = Site(tmp_path / "old", wall=2e9 + 60), Site(tmp_path / "fresh")
    resumed, whole = (site.run().snapshot.models[0].labels for site in (old, fresh))
    assert totals(old.saved()) == totals(fresh.saved())
    assert resumed is not None
    assert whole is not None
    assert resumed.outcomes == whole.outcomes
    assert resumed.outcomes["joined"] > 1_000
    assert not resumed.lost
    # The alert that fired before, whose notification nobody had taken.
    assert "alert.firing" in [body["event"] for body in old.delivered]
    assert "lost" not in old.text.getvalue()
    assert "state reset" not in old.text.getvalue()


def test_rows_that_a_reference_was_learned_from_are_gone_from_every_file_and_others_stay(tmp_path: Path) -> None:
    unpack(tmp_path)
    state = tmp_path / "state"
    assert {"leewayd.db", "leewayd.previous.db"} <= set(holds_raw_rows(state, "learned"))
    reference = learned_path(state, "learned").read_bytes()
    Site(tmp_path).run()
    assert holds_raw_rows(state, "learned") == []
    assert "leewayd.db" in holds_raw_rows(state, "learning")
    assert learned_path(state, "learned").read_bytes() == reference
    assert (state / "leewayd.db.format-2").exists()


def test_files_are_private_afterwards(tmp_path: Path) -> None:
    unpack(tmp_path)
    for path in [tmp_path / "state", *(tmp_path / "state").rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    Site(tmp_path).run()
    for path in [tmp_path / "state", *(tmp_path / "state").rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_a_directory_that_holds_other_things_keeps_its_mode(tmp_path: Path) -> None:
    unpack(tmp_path)
    other = tmp_path / "state" / "notes.txt"
    other.write_text("mine")
    other.chmod(0o644)
    (tmp_path / "state").chmod(0o755)
    Site(tmp_path).saved()
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o755
    assert stat.S_IMODE(other.stat().st_mode) == 0o644
    assert stat.S_IMODE((tmp_path / "state" / "leewayd.db").stat().st_mode) == 0o600


def test_an_upgrade_that_fails_leaves_the_old_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unpack(tmp_path)
    before = files(tmp_path / "state")

    def full(database: sqlite3.Connection) -> None:
        database.execute("DELETE FROM panes")
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("monitor.state.store.upgrade", full)
        with pytest.raises(RetryableError, match="full"):
            Site(tmp_path).saved()
    after = files(tmp_path / "state")
    assert after["leewayd.db"] == before["leewayd.db"]
    assert after["leewayd.previous.db"] == before["leewayd.previous.db"]
    assert set(Site(tmp_path).saved().models) == {"m", "learned"}


def test_a_damaged_database_of_the_old_format_gives_way_to_its_backup(tmp_path: Path) -> None:
    unpack(tmp_path)
    path = tmp_path / "state" / "leewayd.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE documents SET document = substr(document, 1, 40) WHERE name = 'performance/m'")
    daemon = Site(tmp_path).run()
    assert daemon.snapshot.state_damaged["database"] == 1
    fresh = Site(tmp_path / "fresh")
    fresh.run()
    assert totals(Site(tmp_path).saved()) == totals(fresh.saved())


def test_nothing_of_the_state_is_open_to_a_second_process(tmp_path: Path) -> None:
    unpack(tmp_path)
    site = Site(tmp_path)
    store = Store(site.state, site.log)
    before = files(site.state)
    with pytest.raises(StateError, match="another leewayd"):
        site.start()
    assert files(site.state) == before
    store.close()
