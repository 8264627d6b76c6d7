"""Payloads as bytes, one encoding for all sinks."""

from __future__ import annotations

import json


def to_json(body: object) -> bytes:
    """UTF-8 JSON. Half a surrogate pair, which may come from a producer's broken text, becomes ``?``.

    Raises:
        ValueError: on NaN or an infinity, which JSON cannot express.
    """
    return json.dumps(body, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
