"""The state directory: one holder, private files, whole files, and nothing overwritten."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from monitor.common.durable_files import claim, fault_of, set_aside, tighten, write_private
from monitor.common.errors import RetryableError, StateError


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "state"
    lock = claim(folder)
    assert mode(folder) == 0o700
    with pytest.raises(StateError, match="another leewayd is using"):
        claim(folder)
    os.close(lock)
    os.close(claim(folder))


def test_a_path_that_can_never_be_a_folder_is_no_fault_that_passes(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError):
        claim(tmp_path / "file" / "state")


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOENT, StateError),
        (errno.ENOTDIR, StateError),
        (errno.ENOSPC, RetryableError),
        (errno.EIO, RetryableError),
    ],
)
def test_errors_of_the_system_pass_or_do_not(number: int, kind: type[Exception]) -> None:
    found = fault_of(Path("p"), OSError(number, "text"))
    assert type(found) is kind
    assert str(found) == "p: text"


def test_a_file_is_written_whole_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "in" / "a"
    path.parent.mkdir()
    path.write_text("before")
    (tmp_path / "in" / "a.new").write_text("left by a crash")
    write_private(path, b"after")
    assert path.read_bytes() == b"after"
    assert mode(path) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["a"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    write_private(path, b"before")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="full"):
        write_private(path, b"after")
    assert path.read_bytes() == b"before"


def test_rights_of_others_are_taken_from_own_files_alone(tmp_path: Path) -> None:
    own = [tmp_path / "leewayd.db", tmp_path / "labels" / "m" / "rows"]
    for path in own:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
        path.chmod(0o644)
    tmp_path.chmod(0o755)
    tighten(tmp_path)
    assert [mode(path) for path in (*own, tmp_path)] == [0o600, 0o600, 0o700]
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "notes.txt").chmod(0o644)
    tmp_path.chmod(0o755)
    tighten(tmp_path)
    assert [mode(tmp_path / "notes.txt"), mode(tmp_path)] == [0o644, 0o755]


def test_what_is_set_aside_keeps_together_and_overwrites_nothing(tmp_path: Path) -> None:
    one, two = tmp_path / "a", tmp_path / "a-wal"
    for expected in (".damaged-now", ".damaged-now-2", ".damaged-now-3"):
        one.write_text(expected)
        if expected.endswith("2"):
            two.write_text(expected)
        assert set_aside([one, two, tmp_path / "absent"], "now") == expected
    assert not one.exists()
    assert (tmp_path / "a.damaged-now").read_text() == ".damaged-now"
    assert (tmp_path / "a-wal.damaged-now-2").read_text() == ".damaged-now-2"
    one.write_text("")
    assert set_aside([one], "") == ".damaged"
