"""The published status of alerts and receivers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class AlertGroup(NamedTuple):
    """Labels by which alerts are counted."""

    model: str
    version: str
    rule: str
    severity: str
    state: str


@dataclass(frozen=True, slots=True)
class ReceiverStatus:
    """Whether a receiver accepts notifications, and how many are parked because of its faults."""

    works: bool
    parked: int
