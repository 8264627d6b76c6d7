"""Ids as 64-bit numbers."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from monitor.rows.categories import canonical

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_BLOCK = 2**16
_WORDS = 8
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)


def hash_ids(ids: Sequence[object]) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """A 64-bit hash of each id's text, independent of process and machine.

    Args:
        ids: raw values, length n; 1, 1.0 and "1" are one id.

    Returns:
        uint64[n], and bool[n], whether the id can be used: None, NaN, "" and non-scalar values cannot.
    """
    texts = _texts(ids)
    usable = np.fromiter(map(bool, texts), dtype=np.bool_, count=len(texts))
    blocks = [_hash_block(texts[start : start + _BLOCK]) for start in range(0, len(texts), _BLOCK)]
    return np.concatenate([np.empty(0, dtype=np.uint64), *blocks]), usable


def _texts(ids: Sequence[object]) -> list[str]:
    kinds = set(map(type, ids))
    if kinds <= {str}:
        return list(ids)  # type: ignore[arg-type]  # all are strings
    return [_text(value) for value in ids]


def _text(value: object) -> str:
    try:
        return canonical(value) or ""
    except (TypeError, ValueError):  # not a scalar; an integer with more digits than Python converts
        return ""


def _hash_block(texts: list[str]) -> NDArray[np.uint64]:
    """The finalizer of MurmurHash3 (Appleby 2011) chained over words of 8 bytes; long ids by BLAKE2b."""
    data = "".join(texts).encode("utf-8", "surrogatepass")
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    if len(data) != lengths.sum() or lengths.max() > 8 * _WORDS:
        encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
        lengths = np.fromiter(map(len, encoded), dtype=np.int64, count=len(texts))
        long = np.flatnonzero(lengths > 8 * _WORDS)
        digests = b"".join(hashlib.blake2b(encoded[index], digest_size=8).digest() for index in long)
        lengths[long] = 0
        data = b"".join(text_bytes for text_bytes, length in zip(encoded, lengths.tolist(), strict=True) if length)
    else:
        long, digests = np.empty(0, dtype=np.int64), b""
    width = -(-int(lengths.max()) // 8)
    padded = np.zeros((len(texts), 8 * width), dtype=np.uint8)
    padded[np.arange(8 * width) < lengths[:, None]] = np.frombuffer(data, dtype=np.uint8)
    words = np.ascontiguousarray(padded.view("<u8").T)
    state: NDArray[np.uint64] = lengths.astype(np.uint64) * _GOLDEN
    for index, word in enumerate(words):
        state = np.where(lengths > 8 * index, _mix(state ^ word), state)
    state[long] = np.frombuffer(digests, dtype="<u8")
    return state


def _mix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    shift = np.uint64(33)
    state = (state ^ (state >> shift)) * _MIX_1
    state = (state ^ (state >> shift)) * _MIX_2
    return state ^ (state >> shift)
