"""What is shown of alerts and of receivers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class AlertGroup(NamedTuple):
    """Alerts that are counted together."""

    model: str
    version: str
    rule: str
    severity: str
    state: str


@dataclass(frozen=True, slots=True)
class ReceiverStatus:
    """Whether a receiver takes notifications, and how many are parked because of a fault of its own."""

    works: bool
    parked: int
