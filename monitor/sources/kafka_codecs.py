"""Decompression with a limit: a batch of a few kilobytes may expand to gigabytes, so the output is bounded as it grows.

Each function takes a compressed batch and the most bytes that it may expand to.
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING

import lz4.frame
import snappy
import zstandard

if TYPE_CHECKING:
    from collections.abc import Callable

_PIECE = 1_048_576
# Magic number of a stream of snappy blocks by the xerial library; two version numbers follow in eight bytes.
_XERIAL = b"\x82SNAPPY\x00"
_XERIAL_HEADER = 16


class OversizedError(Exception):
    """A batch is too large, compressed or decompressed; ``next_offset`` is the first offset after it."""

    def __init__(self, next_offset: int | None = None) -> None:
        super().__init__("the batch is larger than ingest.max_batch_bytes")
        self.next_offset = next_offset


def gunzip(data: bytes, limit: int) -> bytearray:
    """All members of a gzip stream."""
    out = bytearray()
    while data:
        member = zlib.decompressobj(wbits=31)
        out += member.decompress(data, limit + 1 - len(out))
        _check(len(out), limit)
        if not member.eof:
            raise ValueError("the gzip stream ends too early")
        data = member.unused_data
    return out


def unsnap(data: bytes, limit: int) -> bytearray:
    """A plain snappy block, or a stream of blocks as the xerial library writes it."""
    if not data.startswith(_XERIAL):
        return _block(data, limit)
    out = bytearray()
    start = _XERIAL_HEADER
    while start < len(data):
        (size,) = struct.unpack_from("!i", data, start)
        start += 4
        if not 0 < size <= len(data) - start:
            raise ValueError("a snappy block ends too early")
        out += _block(data[start : start + size], limit - len(out))
        start += size
    return out


def _block(data: bytes, limit: int) -> bytearray:
    """One snappy block; its header states its decompressed size, which it cannot exceed."""
    size = shift = 0
    for byte in data[:5]:
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    _check(size, limit)
    return bytearray(snappy.decompress(data))


def unlz4(data: bytes, limit: int) -> bytearray:
    """One LZ4 frame."""
    frame = lz4.frame.LZ4FrameDecompressor()
    out = bytearray(frame.decompress(data, max_length=_PIECE))
    while not frame.eof:
        piece = frame.decompress(b"", max_length=_PIECE)
        if not piece and frame.needs_input:
            raise ValueError("the LZ4 frame ends too early")
        out += piece
        _check(len(out), limit)
    _check(len(out), limit)
    return out


def unzstd(data: bytes, limit: int) -> bytearray:
    """All frames of a zstandard stream."""
    out = bytearray()
    with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data), read_across_frames=True) as reader:
        while piece := reader.read(_PIECE):
            out += piece
            _check(len(out), limit)
    return out


def _check(size: int, limit: int) -> None:
    if size > limit:
        raise OversizedError


DECOMPRESS: dict[int, Callable[[bytes, int], bytearray]] = {1: gunzip, 2: unsnap, 3: unlz4, 4: unzstd}
"""Kafka's number of a codec → decompression function."""
