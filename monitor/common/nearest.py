"""Texts of errors: the invalid value, and the nearest valid one."""

from __future__ import annotations

import difflib
import json
import math
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_LONGEST = 60
_MOST_NAMES = 20
BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
"""A key that TOML takes without quotes."""


def quoted(text: object) -> str:
    """Text as TOML writes it, on one line, truncated if long."""
    whole = str(text)
    shown = json.dumps(whole if len(whole) <= _LONGEST else whole[: _LONGEST - 1] + "…", ensure_ascii=False)
    return shown.encode("utf-8", "replace").decode("utf-8")


def shown(value: object) -> str:
    """A value as TOML writes it; for lists and tables only the kind."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    if isinstance(value, int | float):
        return f"{value:g}" if abs(value) >= 1e15 else str(value)
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, list | tuple):
        return "a list"
    return "a table" if isinstance(value, dict) else str(value)[:_LONGEST]


def nearest(name: str, known: Iterable[str], cutoff: float = 0.5) -> str | None:
    """The known name most similar to ``name``, ignoring case and separators; None if none is close."""
    plain: dict[str, str] = {}
    for other in known:
        plain.setdefault(_plain(other), other)
    wanted = _plain(name)
    if wanted in plain:
        return plain[wanted]
    matches = difflib.get_close_matches(wanted, list(plain), n=1, cutoff=cutoff)
    return plain[matches[0]] if matches else None


def _plain(name: str) -> str:
    return re.sub(r"[\s_.\-]+", "", name).lower()


def hint(name: str, known: Iterable[str], otherwise: str = "valid", cutoff: float = 0.5) -> str:
    """``did you mean "binary"?``; without a close match, the valid names after ``otherwise``."""
    names = list(dict.fromkeys(known))
    if (near := nearest(name, names, cutoff)) is not None:
        return f"did you mean {quoted(near)}?"
    return f"{otherwise}: {listed(names)}"


def listed(names: Iterable[str]) -> str:
    """Names in quotes, separated by commas; only the first ones if there are many."""
    every = list(names)
    more = f" and {len(every) - _MOST_NAMES} more" if len(every) > _MOST_NAMES else ""
    return (", ".join(quoted(name) for name in every[:_MOST_NAMES]) or "none") + more


def place_text(location: list[int | str]) -> str:
    """``models[0].drift.min_effect``, keys quoted where TOML needs it."""
    text = ""
    for step in location:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            key = step if BARE_KEY.fullmatch(step) else quoted(step)
            text += f".{key}" if text else key
    return text
