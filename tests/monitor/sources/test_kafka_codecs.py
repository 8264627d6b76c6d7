"""Decompression stays within its limit: what a bomb would have held never comes into memory."""

from __future__ import annotations

import gzip
import io
import subprocess
import sys
import tracemalloc
import zlib
from typing import TYPE_CHECKING

import lz4.frame
import pytest
import snappy
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from kafka.codec import snappy_encode
from kafka.record.default_records import DefaultRecordBatchBuilder
from kafka.record.memory_records import MemoryRecords

from monitor.sources.kafka_client import bound_batches
from monitor.sources.kafka_codecs import OversizedError, gunzip, unlz4, unsnap, unzstd
from tests.support.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    Codec = Callable[[bytes, int], bytearray]

LIMIT = 8 * 1_048_576
BOMB = 200 * 1_048_576
ZEROS = bytes(1_048_576)


def gzip_bomb(size: int) -> bytes:
    pack = zlib.compressobj(wbits=31)
    return b"".join(pack.compress(ZEROS) for _ in range(size // len(ZEROS))) + pack.flush()


def many_members(size: int) -> bytes:
    return gzip.compress(ZEROS, mtime=0) * (size // len(ZEROS))


def lz4_bomb(size: int) -> bytes:
    pack = lz4.frame.LZ4FrameCompressor()
    return pack.begin() + b"".join(pack.compress(ZEROS) for _ in range(size // len(ZEROS))) + pack.flush()


def zstd_bomb(size: int) -> bytes:
    out = io.BytesIO()
    with zstandard.ZstdCompressor().stream_writer(out, closefd=False) as pack:
        for _ in range(size // len(ZEROS)):
            pack.write(ZEROS)
    return out.getvalue()


def snappy_bomb(size: int) -> bytes:
    """A block that says it will be this long; more than its bytes could ever hold."""
    head = bytearray()
    while size >= 0x80:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes(head) + bytes([size]) + snappy.compress(ZEROS)[3:]


def xerial_bomb(size: int) -> bytes:
    header, block = snappy_encode(b"")[:16], snappy.compress(ZEROS)
    return bytes(header) + (len(block).to_bytes(4, "big") + block) * (size // len(ZEROS))


BOMBS = [
    pytest.param(gunzip, gzip_bomb, id="gzip"),
    pytest.param(gunzip, many_members, id="gzip of many members"),
    pytest.param(unsnap, snappy_bomb, id="snappy"),
    pytest.param(unsnap, xerial_bomb, id="xerial snappy"),
    pytest.param(unlz4, lz4_bomb, id="lz4"),
    pytest.param(unzstd, zstd_bomb, id="zstd"),
]


@pytest.mark.parametrize(("codec", "make"), BOMBS)
def test_a_bomb_is_refused_at_its_limit(codec: Codec, make: Callable[[int], bytes]) -> None:
    data = make(BOMB)
    assert len(data) < BOMB // 10
    tracemalloc.start()
    with pytest.raises(OversizedError):
        codec(data, LIMIT)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * LIMIT + len(data)


@pytest.mark.parametrize("name", ["gunzip", "unlz4", "unzstd"])
def test_the_process_that_meets_a_bomb_stays_small(name: str) -> None:
    # tracemalloc does not see what the codecs take for themselves; the kernel does.
    script = f"""
import resource
from tests.monitor.sources import test_kafka_codecs as own
data = own.{ {"gunzip": "gzip", "unlz4": "lz4", "unzstd": "zstd"}[name] }_bomb(2 * own.BOMB)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    own.{name}(data, own.LIMIT)
except own.OversizedError:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) * 1024 < 4 * LIMIT


@given(st.binary(max_size=5_000), st.integers(1, 4))
def test_what_fits_comes_out_as_it_went_in(body: bytes, times: int) -> None:
    body *= times
    packed: list[tuple[Codec, bytes]] = [
        (gunzip, gzip.compress(body, mtime=0)),
        (gunzip, gzip.compress(body, mtime=0) + gzip.compress(b"", mtime=0)),
        (unsnap, bytes(snappy.compress(body))),
        (unsnap, snappy_encode(body)),
        (unlz4, lz4.frame.compress(body)),
        (unzstd, zstandard.ZstdCompressor().compress(body)),
    ]
    for codec, data in packed:
        assert codec(data, max(len(body), 1)) == body
        if body:
            with pytest.raises(OversizedError):
                codec(data, len(body) - 1)


@pytest.mark.parametrize(
    ("codec", "data"),
    [(gunzip, gzip.compress(ZEROS, mtime=0)), (unlz4, lz4.frame.compress(ZEROS)), (unsnap, snappy_encode(ZEROS))],
)
def test_a_stream_that_ends_too_early_is_an_error(codec: Codec, data: bytes) -> None:
    with pytest.raises(ValueError, match="too early"):
        codec(data[:-3], LIMIT)


@pytest.mark.parametrize("compression", [0, 1, 2, 3, 4])
def test_the_library_refuses_a_batch_and_says_where_the_next_one_begins(compression: int) -> None:
    def batch(offset: int, values: list[bytes]) -> bytes:
        builder = DefaultRecordBatchBuilder(2, compression, False, -1, -1, -1, 10**9)
        for place, value in enumerate(values):
            builder.append(place, timestamp=1, key=None, value=value, headers=[])
        raw = builder.build()
        raw[:8] = offset.to_bytes(8, "big")
        return bytes(raw)

    bound_batches(LIMIT)
    try:
        records = MemoryRecords(batch(5, [b"small"]) + batch(6, [ZEROS] * 9) + batch(15, [b"last"]))
        assert [record.value for record in records.next_batch()] == [b"small"]
        with pytest.raises(OversizedError) as refused:
            list(records.next_batch())
        assert refused.value.next_offset == 15
        assert [record.value for record in records.next_batch()] == [b"last"]
    finally:
        bound_batches(2**31 - 1)
