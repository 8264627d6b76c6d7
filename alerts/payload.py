"""Payloads as bytes, the same way for every sink."""

from __future__ import annotations

import json


def to_json(body: object) -> bytes:
    """UTF-8 JSON. Half a surrogate pair, which a producer's broken text can hold, becomes ``?``.

    Raises:
        ValueError: on NaN or an infinity, which JSON does not have.
    """
    return json.dumps(body, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
