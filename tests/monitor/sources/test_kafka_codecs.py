"""Decompression stays within its limit: what a bomb would have held never comes into memory."""

from __future__ import annotations

import gzip
import subprocess
import sys
import tracemalloc
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
from tests.support.bombs import BOMB, ZEROS, gzip_bomb, lz4_bomb, many_members, snappy_bomb, xerial_bomb, zstd_bomb
from tests.support.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    Codec = Callable[[bytes, int], bytearray]

LIMIT = 8 * 1_048_576
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


@pytest.mark.process
@pytest.mark.parametrize("name", ["gunzip", "unlz4", "unzstd"])
def test_the_process_that_meets_a_bomb_stays_small(name: str) -> None:
    # tracemalloc does not see what the codecs take for themselves; the kernel does.
    script = f"""
import resource
from monitor.sources import kafka_codecs
from tests.support import bombs
data = bombs.{ {"gunzip": "gzip", "unlz4": "lz4", "unzstd": "zstd"}[name] }_bomb(2 * bombs.BOMB)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    kafka_codecs.{name}(data, {LIMIT})
except kafka_codecs.OversizedError:
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
