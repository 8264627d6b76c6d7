"""A model's labels as a saved document, and as totals for display."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec


class LabelState(msgspec.Struct):
    """A model's labels in a checkpoint, apart from their panes; arrays as bytes, times in epoch ms."""

    dtype: str
    prints: dict[str, str]
    names: list[tuple[str, str]]
    series: list[tuple[str, str, int, int]]
    totals: dict[int, tuple[int, int, int]]
    judged: dict[str, int]
    tick: int
    fine_from: int | None
    hours_from: int | None
    manifest: bytes
    waiting: list[tuple[int, list[Any], bytes, bytes]]
    delays: list[int]
    delays_by_day: dict[int, list[int]] = {}

    def __post_init__(self) -> None:
        msgspec.json.decode(self.manifest)  # raises if the list of label files is not JSON


LOSS_REASONS = ("block_damaged", "file_damaged", "file_missing")
"""Reasons why rows of waiting predictions are lost."""


@dataclass(slots=True)
class Totals:
    """Totals of a model's labels; ``lost`` counts rows by reason, ``delays`` by half octaves of milliseconds."""

    outcomes: dict[str, int] = field(default_factory=dict)
    waiting: int = 0
    lost: Mapping[str, int] = field(default_factory=dict)
    nbytes: int = 0
    delays: tuple[int, ...] = ()
