"""What `backtest --json` writes: how much of it, compressed or not, and never over what is read."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from monitor.common.compressed import opened_for_reading, opened_for_writing
from monitor.common.errors import RetryableError, SourceError
from monitor.rows.records import Messages, Partition, Position
from monitor.sources.files import FileSource
from tests.support.feeds import LABELLED_CONFIG, log_and_labels, records, reference
from tests.support.process import leewayd
from tests.support.replays import write_rows

Line = dict[str, Any]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty minutes; the first windows hold too few rows, and ``x`` moves after the twentieth. Labels come."""
    folder = tmp_path_factory.mktemp("json")
    rows, labels = log_and_labels(int)
    for place, row in enumerate(rows):
        row["in"]["x"] += 3 * (place > 600)
    write_rows(folder / "log.jsonl", rows)
    write_rows(folder / "labels.jsonl", labels)
    write_rows(folder / "reference.jsonl", [row | {"truth": row["p"]} for row in reference()])
    (folder / "config.toml").write_text(LABELLED_CONFIG)
    return folder


def backtest(home: Path, out: str, *more: object) -> Any:
    return leewayd(
        "backtest", home / "config.toml", "-i", home / "log.jsonl", "--labels", home / "labels.jsonl",
        "--json", home / out, *more,
    )  # fmt: skip


def lines(raw: bytes) -> list[Line]:
    return [json.loads(line) for line in raw.splitlines()]


@pytest.fixture(scope="module")
def everything(home: Path) -> bytes:
    done = backtest(home, "all.jsonl")
    assert done.returncode == 0, done.stderr
    return (home / "all.jsonl").read_bytes()


def test_judged_leaves_out_what_could_conclude_nothing(home: Path, everything: bytes) -> None:
    done = backtest(home, "judged.jsonl", "--json-detail", "judged")
    wanted = []
    for line in lines(everything):
        if line["type"] == "evaluation":
            line["findings"] = [part for part in line["findings"] if part["status"] != "insufficient"]
            if all(part["threshold"] is None for part in line["findings"]):
                continue
        wanted.append(line)
    found = lines((home / "judged.jsonl").read_bytes())
    assert found == wanted
    count = sum(line["type"] == "evaluation" for line in found)
    assert 0 < count < sum(line["type"] == "evaluation" for line in lines(everything))
    # As many as the summary says.
    judged, lacking = (int(part.split()[0]) for part in done.stdout.split("windows ")[1].splitlines()[0].split(", "))
    assert count == judged - lacking


def test_changed_writes_the_first_evaluation_and_those_whose_statuses_differ(home: Path, everything: bytes) -> None:
    assert backtest(home, "changed.jsonl", "--json-detail", "changed").returncode == 0
    found = lines((home / "changed.jsonl").read_bytes())
    every = lines(everything)
    kinds = ("alert", "notification")
    assert [line for line in found if line["type"] in kinds] == [line for line in every if line["type"] in kinds]
    assert any(line["type"] == "alert" for line in found)
    wanted: list[Line] = []
    before: dict[tuple[object, ...], object] = {}
    for line in every:
        if line["type"] != "evaluation":
            wanted.append(line)
            continue
        statuses = {(part["subject"], part["statistic"]): part["status"] for part in line["findings"]}
        realised = any(part["subject"] == "performance" for part in line["findings"])
        key = line["model"], line["version"], line["segment"], line["window"], realised
        if before.get(key) != statuses:
            wanted.append(line)
        before[key] = statuses
    assert found == wanted
    assert len(before) == 2
    assert len(found) < len(every) / 2


def test_an_unknown_detail_is_wrong_usage(home: Path) -> None:
    done = backtest(home, "never.jsonl", "--json-detail", "some")
    assert done.returncode == 2
    assert not (home / "never.jsonl").exists()


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_compressed_lines_are_the_same_lines(home: Path, everything: bytes, suffix: str) -> None:
    done = backtest(home, f"packed.jsonl.{suffix}", "--json-detail", "all")
    assert done.returncode == 0, done.stderr
    packed = (home / f"packed.jsonl.{suffix}").read_bytes()
    if suffix == "gz":
        assert gzip.decompress(packed) == everything
        assert packed[4:8] == bytes(4)  # no time: the same log gives the same bytes
    else:
        assert zstandard.ZstdDecompressor().stream_reader(io.BytesIO(packed)).read() == everything
    assert len(packed) < len(everything) / 3


def test_what_is_read_is_not_overwritten_and_missing_folders_are_refused_at_once(home: Path) -> None:
    before = (home / "log.jsonl").read_bytes()
    for out, wanted in (
        ("log.jsonl", "this file is read"),
        ("config.toml", "this file is read"),
        ("no/such.jsonl", "there is no folder"),
        (".", "this is a folder"),
    ):
        done = backtest(home, out)
        assert done.returncode == 2
        assert wanted in done.stderr
        assert "Traceback" not in done.stderr
    done = backtest(home, "same", "--html", home / "same")
    assert done.returncode == 2
    assert (home / "log.jsonl").read_bytes() == before


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_a_full_disk_is_one_sentence(suffix: str) -> None:
    class Full(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            raise OSError(28, "No space left on device")

    class Somewhere(type(Path())):  # type: ignore[misc]
        def open(self, mode: str) -> Any:
            return Full()

    with (
        pytest.raises(RetryableError, match=r"out\.jsonl.*: cannot be written: No space left on device"),
        opened_for_writing(Somewhere(f"out.jsonl{suffix}")) as out,
    ):
        out(b"x" * 100)


def gzipped(raw: bytes) -> bytes:
    return gzip.compress(raw[:1000]) + gzip.compress(raw[1000:])  # two members, as `cat a.gz b.gz` makes them


def zstandardised(raw: bytes) -> bytes:
    pack = zstandard.ZstdCompressor(write_checksum=True).compress
    return pack(raw[:1000]) + pack(raw[1000:])


PACKED = [("gz", gzipped), ("zst", zstandardised)]


def read(path: Path, first: int = 0) -> list[tuple[int, bytes]]:
    source = FileSource([path], follow=False, batch=7, wait=lambda _: None)
    source.start({Partition(path.name, 0): Position(first)})
    found: list[tuple[int, bytes]] = []
    shares = [source.share]
    while True:
        poll = source.poll(0.0, frozenset())
        shares.append(source.share)
        for chunk in poll.chunks:
            assert isinstance(chunk, Messages)
            found += zip(chunk.offsets.tolist(), chunk.values, strict=True)  # type: ignore[arg-type]
        if poll.finished:
            assert shares == sorted(shares)
            assert shares[-1] == 1.0
            return found


@pytest.mark.parametrize(("suffix", "pack"), PACKED)
def test_compressed_logs_are_read_from_any_position(
    tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    plain = write_rows(tmp_path / "log.jsonl", records(3))
    # By what they hold, whatever they are called.
    for name in (f"log.jsonl.{suffix}", "misnamed.jsonl"):
        packed = tmp_path / name
        packed.write_bytes(pack(plain.read_bytes()))
        for first in (0, 1, 7, 50, 89, 90):
            assert read(packed, first) == read(plain, first)


@pytest.mark.parametrize(("suffix", "pack"), PACKED)
def test_a_compressed_log_that_is_cut_short_or_corrupt_is_refused(
    tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    whole = pack(write_rows(tmp_path / "log.jsonl", records(20)).read_bytes())
    packed = tmp_path / f"log.jsonl.{suffix}"
    flipped = bytearray(whole)
    flipped[-40] ^= 255
    for raw in (whole[:-20], bytes(flipped), whole[:9]):
        packed.write_bytes(raw)
        with pytest.raises(SourceError, match="are truncated or corrupt"):
            read(packed)


@pytest.mark.parametrize(("suffix", "pack"), PACKED)
def test_a_compressed_log_is_not_followed_and_must_hold_lines(
    tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / f"log.{suffix}"
    path.write_bytes(pack(b"PAR1" + bytes(2000)))
    with pytest.raises(SourceError, match=r"found Parquet within .* data, not JSON lines"):
        read(path)
    with pytest.raises(SourceError, match="a compressed file cannot be followed"):
        FileSource([path], follow=True, batch=7, wait=lambda _: None).start({})


def test_a_compressed_log_gives_the_same_result(home: Path, everything: bytes) -> None:
    (home / "packed").mkdir()
    for name in ("log.jsonl", "labels.jsonl"):
        (home / "packed" / name).write_bytes(gzipped((home / name).read_bytes()))
    done = leewayd(
        "backtest", home / "config.toml", "-i", home / "packed" / "log.jsonl",
        "--labels", home / "packed" / "labels.jsonl", "--json", home / "from-packed.jsonl",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (home / "from-packed.jsonl").read_bytes() == everything


def test_an_empty_frame_and_huge_runs_are_read_piece_by_piece(tmp_path: Path) -> None:
    path = tmp_path / "log.zst"
    pack = zstandard.ZstdCompressor().compress
    path.write_bytes(pack(b"") + pack(bytes(50_000_000)) + pack(b"end"))
    with opened_for_reading(path) as lines:
        assert len(lines.text.read(1_000)) == 1_000
        assert lines.text.read()[-3:] == b"end"
        assert lines.share() == 1.0
