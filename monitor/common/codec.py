"""The codec of everything that is saved: values with arrays in them, as MessagePack for the state and JSON for files.

Types drive it: a dataclass, NamedTuple or `msgspec.Struct` is written field by field, and read by its annotations.
An array is packed as its dtype, shape and bytes. In plain JSON, which people read, it is a nested list.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin

import msgspec
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

T = TypeVar("T")
_DTYPE = re.compile(r"[<>|][biuf][1248]")
_FAULTS = (msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError)


class CorruptError(ValueError):
    """Bytes that do not encode a value of the expected type."""


class _Packed(msgspec.Struct):
    dtype: str
    shape: list[int]
    data: bytes


def encode(value: object) -> bytes:
    """A value as MessagePack."""
    return msgspec.msgpack.encode(value, enc_hook=_pack)


def decode(raw: bytes, kind: type[T]) -> T:
    """The inverse of `encode`; documents of earlier versions, which were JSON objects, are read too.

    Raises:
        CorruptError: if ``raw`` does not encode a value of this type.
    """
    if raw[:1] == b"{":  # in MessagePack this byte is a number, and no document is a number
        return from_json(raw, kind)
    try:
        return msgspec.msgpack.decode(raw, type=kind, dec_hook=_unpack)
    except _FAULTS as error:
        raise CorruptError(str(error)) from error


def to_json(value: object) -> bytes:
    """A value as JSON with packed arrays. JSON has no NaN and no infinity: they are written as text."""
    return msgspec.json.encode(_writable(msgspec.to_builtins(value, enc_hook=_pack)))


def to_plain_json(value: object) -> bytes:
    """A value as JSON with arrays as nested lists; null stands for NaN and for infinity."""
    return msgspec.json.encode(value, enc_hook=_pack_as_lists)


def from_json(raw: bytes | msgspec.Raw, kind: type[T], *, strict: bool = False) -> T:
    """The inverse of `to_json`; with ``strict`` that of `to_plain_json`, where text is never a number.

    Raises:
        CorruptError: if ``raw`` does not encode a value of this type.
    """
    try:
        return msgspec.json.decode(raw, type=kind, dec_hook=_unpack, strict=strict)
    except _FAULTS as error:
        raise CorruptError(str(error)) from error


def _pack(value: Any) -> _Packed:
    if isinstance(value, np.ndarray):
        contiguous = np.ascontiguousarray(value)
        return _Packed(contiguous.dtype.str, list(value.shape), contiguous.tobytes())
    # msgspec's hooks report an unsupported type by this error only.
    raise NotImplementedError(type(value).__name__)


def _pack_as_lists(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else _pack(value)


def _unpack(kind: Any, value: Any) -> NDArray[Any]:
    if get_origin(kind) is not np.ndarray:
        raise NotImplementedError(str(kind))
    wanted = np.dtype(*get_args(get_args(kind)[1]))
    if not isinstance(value, dict):
        return _from_lists(value, wanted)
    packed = msgspec.convert(value, _Packed)
    dtype = np.dtype(packed.dtype) if _DTYPE.fullmatch(packed.dtype) else np.dtype(object)
    if not np.can_cast(dtype, wanted, "safe"):
        raise CorruptError(f"an array of {packed.dtype!r} where {wanted.str!r} is expected")
    if min(packed.shape, default=0) < 0 or math.prod(packed.shape) * dtype.itemsize != len(packed.data):
        raise CorruptError(f"an array of shape {packed.shape} has {len(packed.data)} bytes")
    return np.frombuffer(packed.data, dtype).reshape(packed.shape).copy()


def _from_lists(value: Any, wanted: np.dtype[Any]) -> NDArray[Any]:
    array = np.array(value)
    with_nulls = array.dtype == object and wanted.kind == "f"
    if array.size and not with_nulls and not np.can_cast(array.dtype, wanted, "safe"):
        raise CorruptError(f"{array.dtype} where {wanted} is expected")
    return array.astype(wanted)


def _writable(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {name: _writable(item) for name, item in value.items()}
    return [_writable(item) for item in value] if isinstance(value, list | tuple) else value
