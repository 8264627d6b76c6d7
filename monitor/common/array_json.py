"""Frozen dataclasses that hold arrays, to and from JSON and MessagePack: an array is its dtype, shape and bytes."""

from __future__ import annotations

import base64
import math
from typing import Any, TypeVar, get_origin

import msgspec
import numpy as np

T = TypeVar("T")


def _encode(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        held = np.ascontiguousarray(value)
        return {"dtype": held.dtype.str, "shape": list(value.shape), "data": base64.b64encode(held.tobytes()).decode()}
    # How msgspec is told that a type is not supported: its hooks have no other way.
    raise NotImplementedError(type(value).__name__)


def _decode(kind: Any, value: Any) -> Any:
    if (get_origin(kind) or kind) is np.ndarray:
        raw = np.frombuffer(base64.b64decode(value["data"]), dtype=np.dtype(value["dtype"]))
        return raw.reshape(value["shape"]).copy()
    raise NotImplementedError(str(kind))


def to_json(value: object) -> bytes:
    """A dataclass as JSON, which has no NaN and no infinity: they are written as text."""
    return msgspec.json.encode(_writable(msgspec.to_builtins(value, enc_hook=_encode)))


def _writable(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {name: _writable(part) for name, part in value.items()}
    return [_writable(part) for part in value] if isinstance(value, list | tuple) else value


def from_json(raw: bytes | msgspec.Raw, kind: type[T]) -> T:
    """The inverse of `to_json`.

    Raises:
        msgspec.ValidationError: if it is something else.
        ValueError: if an array is not as long as it says.
    """
    return msgspec.json.decode(raw, type=kind, dec_hook=_decode, strict=False)
