"""Small data that claim to hold hundreds of megabytes."""

from __future__ import annotations

import gzip
import io
import zlib

import lz4.frame
import snappy
import zstandard
from kafka.codec import snappy_encode

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
