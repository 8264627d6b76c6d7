"""Label files of another kind are kept aside and come back unchanged."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.common.errors import StateError
from monitor.labels.kept_files import keep_labels, take_back_labels


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    folder = tmp_path / "labels" / "m"
    folder.mkdir(parents=True)
    (folder / "rows").write_text("first")
    return folder


def test_each_kind_is_kept_in_a_place_of_its_own_and_taken_back(labels: Path) -> None:
    keep_labels(labels, "one")
    assert not labels.exists()
    labels.mkdir()
    (labels / "rows").write_text("second")
    keep_labels(labels, "two")
    take_back_labels(labels, "one")
    assert (labels / "rows").read_text() == "first"
    # What stands there now was written with the other configuration, and never saved.
    take_back_labels(labels, "two")
    assert (labels / "rows").read_text() == "second"
    assert [path.name for path in labels.parent.iterdir()] == ["m"]


def test_the_latest_files_of_a_kind_are_kept(labels: Path) -> None:
    keep_labels(labels, "one")
    labels.mkdir()
    (labels / "rows").write_text("later")
    keep_labels(labels, "one")
    take_back_labels(labels, "one")
    assert (labels / "rows").read_text() == "later"


def test_nothing_happens_where_there_is_nothing(tmp_path: Path) -> None:
    keep_labels(tmp_path / "m", "one")
    take_back_labels(tmp_path / "m", "one")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_renamed_is_named(labels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def rename(self: Path, target: Path) -> None:
        raise FileNotFoundError(2, "gone")

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(StateError, match="m: gone"):
        keep_labels(labels, "one")
