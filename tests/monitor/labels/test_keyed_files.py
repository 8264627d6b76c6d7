"""Rows by key in files: what is found never depends on where the rows are."""

from __future__ import annotations

import struct
import tempfile
import zlib
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.common.errors import StateError
from monitor.labels.keyed_file import BLOCK, NEVER, open_part
from monitor.labels.keyed_files import KeyedFiles, Tiers

PAYLOAD = np.dtype([("value", "<f8"), ("code", "<i4"), ("flag", "?")])
SMALL = Tiers(fan=2, least=2, most=16)


def _store(folder: Path, name: str = "rows", tiers: Tiers | None = SMALL) -> KeyedFiles:
    return KeyedFiles(folder, name, PAYLOAD, tiers)


def _loaded(folder: Path, manifest: bytes | None = None, **options: object) -> KeyedFiles:
    store = _store(folder, **options)  # type: ignore[arg-type]
    assert store.load(manifest) == 0
    return store


def _keys(values: object) -> np.ndarray:
    return np.array(values, dtype=np.uint64)


def _add(store: KeyedFiles, keys: list[int], times: list[int], values: list[float]) -> None:
    payload = np.zeros(len(keys), PAYLOAD)
    payload["value"], payload["code"], payload["flag"] = values, 7, True
    store.add(_keys(keys), np.array(times, dtype=np.int64), payload)


def _found(store: KeyedFiles, keys: list[int], since: int = NEVER) -> dict[int, tuple[int, float]]:
    found, times, payload = store.find(_keys(keys), since)
    assert (payload["code"] == np.where(found, 7, 0)).all()
    assert (payload["flag"] == found).all()
    assert (times[~found] == NEVER).all()
    return {keys[place]: (int(times[place]), float(payload["value"][place])) for place in np.flatnonzero(found)}


def _save(store: KeyedFiles) -> bytes:
    manifest = store.prepare()
    store.saved()
    return manifest


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


ADD = st.tuples(st.just("add"), st.lists(st.tuples(st.integers(0, 20), st.integers(0, 100)), max_size=12))
STEPS = st.lists(
    st.one_of(
        ADD, ADD, st.tuples(st.sampled_from(["save", "save", "prepare", "crash"]), st.just([])),
        st.tuples(st.just("expire"), st.integers(0, 60)),
    ),
    max_size=25,
)  # fmt: skip


@pytest.mark.long
@settings(max_examples=250, deadline=None)
@given(steps=STEPS, since=st.integers(0, 100))
def test_any_layout_agrees_with_a_dictionary(steps: list[tuple[str, object]], since: int) -> None:
    rows: dict[int, tuple[int, float]] = {}
    before, number = NEVER, 0.0
    saved: tuple[bytes | None, dict[int, tuple[int, float]], int] = (None, {}, NEVER)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = _loaded(folder)
        for step, what in steps:
            if step == "add":
                assert isinstance(what, list)
                values = [number + place for place in range(len(what))]
                number += len(what)
                _add(store, [key for key, _ in what], [time for _, time in what], values)
                for (key, time), value in zip(what, values, strict=True):
                    if key not in rows or time >= rows[key][0]:
                        rows[key] = (time, value)
            elif step == "expire":
                assert isinstance(what, int)
                before = max(before, what)
                store.expire(what)
            elif step == "crash":
                manifest, rows, before = saved[0], dict(saved[1]), saved[2]
                store = _loaded(folder, manifest)
            else:
                manifest = store.prepare()
                if step == "save":
                    store.saved()
                    saved = (manifest, dict(rows), before)
            for least in (NEVER, since):
                expected = {key: row for key, row in rows.items() if row[0] >= max(before, least)}
                assert _found(store, list(range(22)), least) == expected
        current = {key for key, (time, _) in rows.items() if time >= before}
        assert current <= set(store.keys_between("code", 7, 8).tolist())
        assert not len(store.keys_between("code", 8, 100))


def test_of_equal_times_the_row_added_last_counts(tmp_path: Path) -> None:
    store = _loaded(tmp_path)
    _add(store, [1, 1, 2], [5, 5, 9], [1.0, 2.0, 3.0])
    assert _found(store, [1, 2]) == {1: (5, 2.0), 2: (9, 3.0)}
    _save(store)
    _add(store, [1, 2], [5, 8], [4.0, 5.0])
    assert _found(store, [1, 2, 1]) == {1: (5, 4.0), 2: (9, 3.0)}


def test_merging_keeps_files_few_and_bounded(tmp_path: Path) -> None:
    store = _loaded(tmp_path, tiers=Tiers(fan=4, least=8, most=256))
    random = np.random.default_rng(3)
    for place in range(400):
        manifest = b""
        _add(store, random.integers(0, 2**40, 5).tolist(), [place] * 5, [float(place)] * 5)
        manifest = _save(store)
    sizes = [entry["rows"] for entry in msgspec.json.decode(manifest)["files"]]
    assert store.rows == sum(sizes) == 2000
    assert max(sizes) <= 256
    assert len(sizes) < 2000 / 128 + 3 * 4
    assert store.nbytes == sum(path.stat().st_size for path in tmp_path.iterdir())
    assert _names(tmp_path) == {entry["file"] for entry in msgspec.json.decode(manifest)["files"]}


def test_a_file_of_expired_rows_is_dropped_whole(tmp_path: Path) -> None:
    store = _loaded(tmp_path, tiers=None)
    _add(store, [1, 2], [10, 20], [1.0, 2.0])
    _save(store)
    _add(store, [3], [30], [3.0])
    _save(store)
    store.expire(20)
    _save(store)
    assert len(_names(tmp_path)) == 2
    assert set(_found(store, [1, 2, 3])) == {2, 3}
    store.expire(21)
    manifest = _save(store)
    assert len(_names(tmp_path)) == 1
    assert set(_found(_loaded(tmp_path, manifest, tiers=None), [1, 2, 3])) == {3}


def test_files_taken_out_are_those_wholly_older(tmp_path: Path) -> None:
    store = _loaded(tmp_path, tiers=None)
    for key, time in ((1, 10), (2, 40), (3, 15)):
        _add(store, [key], [time], [0.5])
        _save(store)
    keys, times = store.take_before(16)
    assert dict(zip(keys.tolist(), times.tolist(), strict=True)) == {1: 10, 3: 15}
    _save(store)
    assert set(_found(store, [1, 2, 3])) == {2}
    assert len(_names(tmp_path)) == 1


def test_a_file_taken_out_after_preparing_is_still_the_saved_manifests(tmp_path: Path) -> None:
    store = _loaded(tmp_path)
    _add(store, [1], [10], [0.5])
    manifest = store.prepare()
    store.protect(None)
    store.take_before(11)
    store.saved()
    assert set(_found(_loaded(tmp_path, manifest), [1])) == {1}


def test_keys_are_listed_by_a_field(tmp_path: Path) -> None:
    store = _loaded(tmp_path, tiers=None)
    payload = np.zeros(3, PAYLOAD)
    payload["code"] = [5, 6, 7]
    store.add(_keys([30, 20, 10]), np.zeros(3, dtype=np.int64), payload)
    assert store.keys_between("code", 6, 8).tolist() == [10, 20]
    _save(store)
    for _ in range(2):
        assert store.keys_between("code", 5, 7).tolist() == [20, 30]
        assert store.keys_between("code", 8, 9).tolist() == []


def test_a_crash_before_the_manifest_is_saved_loses_nothing(tmp_path: Path) -> None:
    store = _loaded(tmp_path)
    for key in range(8):
        _add(store, [key], [key], [1.0])
        manifest = _save(store)
    _add(store, [8], [8], [1.0])
    for _ in range(5):
        store.prepare()
    (tmp_path / "rows-00000099.rows.new").write_bytes(b"half")
    (tmp_path / "other-00000001.rows").write_bytes(b"not ours")
    (tmp_path / "rows-00000001.rows.damaged").write_bytes(b"kept for a look")
    again = _loaded(tmp_path, manifest)
    assert set(_found(again, list(range(9)))) == set(range(8))
    rest = _names(tmp_path) - {entry["file"] for entry in msgspec.json.decode(manifest)["files"]}
    assert rest == {"other-00000001.rows", "rows-00000001.rows.damaged"}


def test_a_transaction_that_failed_is_made_good_by_the_next(tmp_path: Path) -> None:
    store = _loaded(tmp_path)
    for key in range(20):
        _add(store, [key], [key], [1.0])
        manifest = store.prepare()
    store.saved()
    assert _names(tmp_path) == {entry["file"] for entry in msgspec.json.decode(manifest)["files"]}
    assert set(_found(_loaded(tmp_path, manifest), list(range(20)))) == set(range(20))


def test_the_backup_can_be_loaded_whatever_was_merged_since(tmp_path: Path) -> None:
    store = _loaded(tmp_path)
    _add(store, [1, 2, 3], [1, 2, 3], [1.0] * 3)
    backup = _save(store)
    store.protect(backup)
    for key in range(4, 30):
        _add(store, [key], [key], [1.0])
        current = _save(store)
        if key == 15:
            # A restart knows what was protected from what it loads.
            store = _loaded(tmp_path, current)
    assert set(_found(_loaded(tmp_path, backup), list(range(30)))) == {1, 2, 3}


def test_what_was_loaded_stays_until_another_backup_is_made(tmp_path: Path) -> None:
    store = _loaded(tmp_path)
    _add(store, [1, 2, 3], [1, 2, 3], [1.0] * 3)
    backup = _save(store)  # the daemon stops after the backup of this and before it is protected
    store = _loaded(tmp_path, backup)
    for key in range(4, 30):
        _add(store, [key], [key], [1.0])
        current = _save(store)
    assert {entry["file"] for entry in msgspec.json.decode(backup)["files"]} <= _names(tmp_path)
    store.protect(current)
    store.saved()
    assert _names(tmp_path) == {entry["file"] for entry in msgspec.json.decode(current)["files"]}


def _flipped(path: Path, place: int, bit: int = 4) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1 << bit
    path.write_bytes(data)


def _large(folder: Path, rows: int) -> tuple[bytes, Path]:
    store = _loaded(folder, tiers=None)
    _add(store, list(range(rows)), list(range(rows)), [float(key) for key in range(rows)])
    return _save(store), folder / "rows-00000000.rows"


@pytest.mark.parametrize("place", [0, 9, 14, 40, -1, -9, -100])
def test_a_bit_that_flips_in_a_header_costs_nothing_and_the_file_is_written_again(tmp_path: Path, place: int) -> None:
    manifest, path = _large(tmp_path, 100)
    _flipped(path, place)
    again = _store(tmp_path, tiers=None)
    assert again.load(manifest) == 0
    assert len(_found(again, list(range(100)))) == 100
    again.protect(None)
    manifest = _save(again)
    assert _names(tmp_path) == {"rows-00000001.rows"}
    assert len(_found(_loaded(tmp_path, manifest, tiers=None), list(range(100)))) == 100


@pytest.mark.long
def test_a_bit_that_flips_among_the_rows_costs_one_block(tmp_path: Path) -> None:
    rows = 5 * BLOCK + 100
    manifest, path = _large(tmp_path, rows)
    whole = path.read_bytes()
    dice = np.random.default_rng(1)
    lost_blocks = set()
    for place in dice.integers(0, len(whole), 200).tolist():
        path.write_bytes(whole)
        _flipped(path, place, int(dice.integers(8)))
        again = _store(tmp_path, tiers=None)
        lost = again.load(manifest)
        assert lost in (0, BLOCK, 100)
        assert again.losses == ({"block_damaged": lost} if lost else {})
        found = _found(again, list(range(rows)))
        assert len(found) == rows - lost
        assert all(entry == (key, float(key)) for key, entry in found.items())
        lost_blocks |= {key // BLOCK for key in set(range(rows)) - set(found)}
    assert lost_blocks == set(range(6))


def test_what_is_left_of_a_damaged_file_goes_to_a_new_one(tmp_path: Path) -> None:
    manifest, path = _large(tmp_path, 3 * BLOCK)
    again = _store(tmp_path, tiers=None)
    _flipped(path, path.stat().st_size // 2)
    assert again.load(manifest) == BLOCK
    backup = manifest
    again.protect(backup)
    manifest = _save(again)
    # The backup still names the damaged one: what is whole of it can be had from there, too.
    assert _names(tmp_path) == {"rows-00000000.rows", "rows-00000001.rows"}
    later = _loaded(tmp_path, manifest, tiers=None)
    assert len(_found(later, list(range(3 * BLOCK)))) == 2 * BLOCK
    later.protect(None)
    _save(later)
    assert _names(tmp_path) == {"rows-00000001.rows"}


def test_a_backup_that_names_a_damaged_file_can_use_what_is_whole_of_it(tmp_path: Path) -> None:
    backup, path = _large(tmp_path, 3 * BLOCK)
    _flipped(path, path.stat().st_size // 2)
    again = _store(tmp_path, tiers=None)
    again.load(backup)
    again.protect(backup)
    _save(again)
    assert _store(tmp_path, tiers=None).load(backup) == BLOCK


def test_a_file_of_which_no_row_is_whole_is_set_aside_and_never_overwritten(tmp_path: Path) -> None:
    for copies in (1, 2):
        store = _loaded(tmp_path, tiers=None)
        _add(store, [1, 2], [1, 2], [1.0, 2.0])
        manifest = _save(store)
        path = tmp_path / "rows-00000000.rows"
        _flipped(path, path.read_bytes().index(struct.pack("<2d", 1.0, 2.0)))
        again = _store(tmp_path, tiers=None)
        assert again.load(manifest) == 2
        assert again.losses == {"file_damaged": 2}
        assert len([name for name in _names(tmp_path) if ".damaged" in name]) == copies


def test_files_of_the_first_format_are_read(tmp_path: Path) -> None:
    """As leewayd wrote them until state format 2: one header, one checksum over all rows."""
    manifest, path = _large(tmp_path, 100)
    part = open_part(path, [("value", np.dtype("<f8")), ("code", np.dtype("<i4")), ("flag", np.dtype("?"))], None)
    columns = [part.keys, part.times, *part.fields]
    body = b"".join(column.tobytes().ljust(-(-column.nbytes // 64) * 64, b"\0") for column in columns)
    fields = [("value", "<f8"), ("code", "<i4"), ("flag", "|b1")]
    header = msgspec.json.encode(
        {"format": 1, "rows": 100, "fields": fields, "first": 0, "last": 99, "crc": zlib.crc32(body)}
    )
    start = struct.pack("<8sII", b"leewayrs", len(header), zlib.crc32(header)) + header
    path.write_bytes(start.ljust(-(-len(start) // 64) * 64, b"\0") + body)
    assert len(_found(_loaded(tmp_path, manifest, tiers=None), list(range(100)))) == 100
    _flipped(path, path.stat().st_size // 2)
    assert _store(tmp_path, tiers=None).load(manifest) == 100


@pytest.mark.parametrize("size", [0, 7, 16, 60, 200, -1])
def test_a_file_cut_short_is_set_aside(tmp_path: Path, size: int) -> None:
    store = _loaded(tmp_path)
    _add(store, [1, 2], [1, 2], [1.0, 2.0])
    manifest = _save(store)
    path = tmp_path / "rows-00000000.rows"
    path.write_bytes(path.read_bytes()[:size])
    again = _store(tmp_path)
    assert again.load(manifest) == 2
    assert again.rows == 0
    assert _names(tmp_path) == {"rows-00000000.rows.damaged"}


def test_a_missing_file_is_counted(tmp_path: Path) -> None:
    store = _loaded(tmp_path)
    _add(store, [1, 2], [1, 2], [1.0, 2.0])
    manifest = _save(store)
    (tmp_path / "rows-00000000.rows").unlink()
    again = _store(tmp_path)
    assert again.load(manifest) == 2
    assert _found(again, [1, 2]) == {}


def test_files_with_other_columns_are_set_aside(tmp_path: Path) -> None:
    store = _loaded(tmp_path)
    _add(store, [1, 2], [1, 2], [1.0, 2.0])
    manifest = _save(store)
    other = KeyedFiles(tmp_path, "rows", np.dtype([("value", "<f4")]))
    assert other.load(manifest) == 2


def test_a_file_under_the_name_of_another_is_not_taken_for_it(tmp_path: Path) -> None:
    store = _loaded(tmp_path, tiers=None)
    _add(store, [1], [1], [1.0])
    _save(store)
    _add(store, [2], [2], [2.0])
    manifest = _save(store)
    (tmp_path / "rows-00000000.rows").replace(tmp_path / "rows-00000001.rows")
    assert _store(tmp_path, tiers=None).load(manifest) == 2


def test_a_disk_that_cannot_be_written_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = _loaded(tmp_path / "state")
    _add(store, [1, 2], [1, 2], [1.0, 2.0])

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("monitor.common.durable_files.os.fsync", full)
        with pytest.raises(StateError, match="No space left"):
            store.prepare()
        assert _names(tmp_path / "state") == set()
        assert len(_found(store, [1, 2])) == 2
    assert len(_found(_loaded(tmp_path / "state", _save(store)), [1, 2])) == 2


def test_an_empty_store_writes_no_file(tmp_path: Path) -> None:
    store = _loaded(tmp_path)
    _add(store, [], [], [])
    manifest = _save(store)
    assert _names(tmp_path) == set()
    assert _found(_loaded(tmp_path, manifest), [1]) == {}
    assert _found(store, []) == {}


def test_a_payload_without_fields_is_a_set_of_keys(tmp_path: Path) -> None:
    store = KeyedFiles(tmp_path, "set", np.dtype([]))
    store.load(None)
    store.add(_keys([3, 1]), np.array([30, 10]), np.zeros(2, np.dtype([])))
    again = KeyedFiles(tmp_path, "set", np.dtype([]))
    assert again.load(_save(store)) == 0
    assert again.find(_keys([1, 2, 3]))[0].tolist() == [True, False, True]


@pytest.mark.parametrize(
    "manifest", [b"", b"{", b"\xff\xfe", b'{"format":9,"sequence":0,"before":0,"files":[],"protected":[]}']
)
def test_a_manifest_that_cannot_be_read_is_an_error_of_the_state(tmp_path: Path, manifest: bytes) -> None:
    store = _loaded(tmp_path)
    _add(store, [1], [1], [1.0])
    _save(store)
    with pytest.raises(StateError):
        _store(tmp_path).load(manifest)
    assert len(_names(tmp_path)) == 1
