"""Models that the configuration no longer names, and rows that a reference was learned from."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from monitor.cli.main import app
from monitor.common.errors import ConfigError
from monitor.daemon.drop_state import drop_state
from monitor.rows.records import Partition
from monitor.state.model_files import labels_folder, learned_path
from monitor.state.removed import Removed
from tests.data.state_v2.make import HOUR, raw_config
from tests.support.config import toml
from tests.support.state_runs import Site, files, holds_raw_rows, totals

if TYPE_CHECKING:
    from pathlib import Path

LEARNED = Partition("learned", 0)
ALL = frozenset({"m", "learned", "learning"})
DAY = 86_400


def kept_of(site: Site, model: str) -> bool:
    """Whether the state holds anything of a model."""
    folders = (labels_folder(site.state, model), learned_path(site.state, model))
    return model in site.saved().names or any(path.exists() for path in folders)


def test_a_typo_and_a_restart_erase_nothing_and_the_model_goes_on(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.run(8 * HOUR)
    before = site.saved()
    site.only = frozenset({"learning"})
    site.wall += 6 * DAY
    site.run(8 * HOUR)
    assert {"m", "learned"} <= site.saved().names
    assert "model not configured any more" in site.text.getvalue()
    assert holds_raw_rows(site.state, "learning")
    site.only = None
    site.wall += 6 * DAY
    site.run(8 * HOUR)
    after = site.saved()
    assert totals(after) == totals(before)
    assert len(after.models["m"].series) == len(before.models["m"].series) > 0
    assert after.documents["traffic/m"] == before.documents["traffic/m"]
    assert "lost" not in site.text.getvalue()
    # The time began again when the name came back.
    site.only = frozenset({"learning"})
    site.run(8 * HOUR)
    site.wall += 6 * DAY
    site.run(8 * HOUR)
    assert kept_of(site, "m")


def test_what_is_kept_of_a_removed_model_goes_after_a_week_whatever_restarts_there_were(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.run(8 * HOUR)
    site.only = frozenset({"m", "learned"})
    for _ in range(6):
        site.run(8 * HOUR)
        site.wall += 1.1 * DAY
    assert holds_raw_rows(site.state, "learning")
    site.wall += 1 * DAY
    site.run(8 * HOUR)
    assert not kept_of(site, "learning")
    assert holds_raw_rows(site.state, "learning") == []
    assert kept_of(site, "m")
    assert kept_of(site, "learned")
    assert "state of removed models dropped" in site.text.getvalue()


def test_a_configuration_that_was_tried_and_not_kept_costs_no_waiting_prediction(tmp_path: Path) -> None:
    """As in a reload that is refused after the new daemon has started: nothing is saved with the new configuration."""
    site = Site(tmp_path)
    site.run(8 * HOUR)
    found = site.settings()
    (model, *others) = found.models
    tried = found.model_copy(update={"models": [model.model_copy(update={"segments": []}), *others]})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Site, "settings", lambda _: tried)
        daemon = site.start()
        daemon.abandon()
    assert list((site.state / "labels").glob("m.aside-*/predictions-*.rows"))
    daemon = site.start()
    labels = daemon.snapshot.models[0].labels
    assert labels is not None
    assert not labels.lost
    assert not list((site.state / "labels").glob("m.aside-*"))
    daemon.close()
    again = Site(tmp_path)
    again.run()
    fresh = Site(tmp_path / "fresh")
    fresh.run()
    assert totals(again.saved()) == totals(fresh.saved())


def test_label_files_of_segments_that_are_gone_stay_for_a_while(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.run(8 * HOUR)
    found = site.settings()
    (model, *others) = found.models
    tried = found.model_copy(update={"models": [model.model_copy(update={"segments": []}), *others]})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Site, "settings", lambda _: tried)
        site.run(9 * HOUR)
        assert list((site.state / "labels").glob("m.aside-*/predictions-*.rows"))
        site.run(9 * HOUR)
        site.wall += 8 * DAY
        site.run(9 * HOUR)
    assert not list((site.state / "labels").glob("m.aside-*"))


def test_it_goes_while_the_daemon_runs(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.run(8 * HOUR)
    site.only = frozenset({"m"})
    daemon = site.start()
    daemon.checkpoint()
    site.wall += 8 * DAY
    daemon.back_up()
    daemon.close()
    assert not kept_of(site, "learned")
    assert not kept_of(site, "learning")


def test_a_clock_that_jumps_back_keeps_longer() -> None:
    removed = Removed()
    assert removed.look({"a"}, set(), 1_000) == {"a"}
    assert removed.look({"a"}, set(), 400) == set()
    assert removed.due(1_100, 1_000) == set()
    assert removed.due(1_400, 1_000) == {"a"}
    again = Removed()
    again.restore(removed.document())
    assert again.since == {"a": 400}
    assert removed.look({"a"}, {"a"}, 500) == set()
    assert removed.due(9_999, 0) == set()


def test_rows_go_from_every_file_as_soon_as_the_reference_is_learned(tmp_path: Path) -> None:
    site = Site(tmp_path)
    daemon = site.start()
    site.source.until = 14 * HOUR
    turns = 0
    while "reference learned" not in site.text.getvalue():
        if turns == 10:
            daemon.checkpoint()
            daemon.back_up()
            assert {"leewayd.db", "leewayd.previous.db"} <= set(holds_raw_rows(site.state, "learned")) | {"leewayd.db"}
            assert holds_raw_rows(site.state, "learned")
        # Without a tick: what was learned does not wait for one.
        daemon.turn(0.0)
        turns += 1
    # A crash right now: the process is gone, its lock with it.
    assert holds_raw_rows(site.state, "learned") == []
    assert learned_path(site.state, "learned").exists()
    again = site.lose_power(tmp_path / "again")
    again.run()
    fresh = Site(tmp_path / "fresh")
    fresh.run()
    assert totals(again.saved()) == totals(fresh.saved())


@pytest.mark.parametrize("place", ["commit", "write", "forget"])
def test_a_crash_while_a_reference_is_adopted_counts_every_row_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    class KilledError(BaseException):
        pass

    armed = [True]

    def kill(*_: object, **__: object) -> None:
        armed[0] = False
        raise KilledError

    site = Site(tmp_path)
    daemon = site.start()
    while site.source.at[LEARNED] < 950:
        daemon.turn(0.0)
        if site.source.at[LEARNED] == 500:
            daemon.checkpoint()
            daemon.back_up()
    target = {"commit": "monitor.state.store.Store.commit", "write": "monitor.state.learned.write_private"}
    with monkeypatch.context() as patch:
        patch.setattr(target.get(place, "monitor.state.store.Store.forget"), kill)
        while armed[0]:
            with suppress(KilledError):
                daemon.turn(0.0)
    again = site.lose_power(tmp_path / "again")
    again.run()
    fresh = Site(tmp_path / "fresh")
    fresh.run()
    assert totals(again.saved()) == totals(fresh.saved())
    assert learned_path(again.state, "learned").read_bytes() == learned_path(fresh.state, "learned").read_bytes()
    assert holds_raw_rows(again.state, "learned") == []


def test_a_damaged_learned_reference_is_written_again(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.run()
    path = learned_path(site.state, "learned")
    whole = path.read_bytes()
    digits = [place for place in range(len(whole)) if whole[place : place + 1].isdigit()]
    for place in (0, digits[len(digits) // 2]):
        # The second one is still JSON, and says another number.
        harmed = bytearray(whole)
        harmed[place] ^= 1
        path.write_bytes(harmed)
        daemon = site.start()
        assert site.store.damaged["learned_reference"] == 1
        assert path.read_bytes() == whole
        daemon.close()
    assert len(list(path.parent.glob("*.damaged-*"))) == 2


def test_a_learned_reference_that_was_deleted_is_learned_again(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.run()
    learned_path(site.state, "learned").unlink()
    daemon = site.start()
    assert "learned" not in {model.name for model in daemon.snapshot.models}
    daemon.close()


@pytest.fixture
def stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    site = Site(tmp_path)
    site.run(9 * HOUR)
    (tmp_path / "leewayd.toml").write_text(
        "\n".join(f"{key} = {toml(part)}" for key, part in raw_config(tmp_path).items())
    )
    monkeypatch.chdir(tmp_path)
    return site


def test_state_drop_says_what_it_dropped_and_leaves_the_others(stopped: Site) -> None:
    before = stopped.saved()
    result = CliRunner().invoke(app, ["state", "drop", "m"])
    assert result.exit_code == 0, result.output
    assert '"m": dropped' in result.output
    assert "labelled panes" in result.output
    assert "labels/m" in result.output
    assert "still configured" in result.output
    assert not kept_of(stopped, "m")
    after = stopped.saved()
    assert after.models["learned"].rows == before.models["learned"].rows
    assert after.positions == before.positions
    assert "learned/learning" in after.documents
    assert CliRunner().invoke(app, ["state", "drop", "learning", "--config", "leewayd.toml"]).exit_code == 0
    assert holds_raw_rows(stopped.state, "learning") == []


def test_state_drop_names_the_nearest_model(stopped: Site) -> None:
    with pytest.raises(ConfigError, match=r'"learnt"; did you mean "learned"\?'):
        drop_state(stopped.settings(), "learnt", "now", stopped.log)


def test_state_drop_is_refused_while_a_daemon_runs(stopped: Site) -> None:
    daemon = stopped.start()
    before = files(stopped.state)
    result = CliRunner().invoke(app, ["state", "drop", "m"])
    assert "another leewayd is using this state directory; stop it first" in str(result.exception)
    assert files(stopped.state) == before
    daemon.abandon()


def test_state_drop_makes_no_directory(stopped: Site) -> None:
    settings = stopped.settings()
    state = settings.state.model_copy(update={"dir": stopped.home / "elsewhere"})
    with pytest.raises(ConfigError, match="no state is kept there"):
        drop_state(settings.model_copy(update={"state": state}), "m", "now", stopped.log)
    assert not (stopped.home / "elsewhere").exists()
