"""The databases that the state store opens, in the hands of a test."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest


def is_open(database: sqlite3.Connection) -> bool:
    """Whether a connection has not been closed."""
    try:
        database.execute("SELECT 1")
    except sqlite3.ProgrammingError:
        return False
    return True


def opened_databases(patch: pytest.MonkeyPatch) -> list[sqlite3.Connection]:
    """Every connection that is opened from now on, the latest last."""
    connect, opened = sqlite3.connect, []

    def connected(*arguments: Any, **options: Any) -> sqlite3.Connection:
        opened.append(connect(*arguments, **options))
        return opened[-1]

    patch.setattr(sqlite3, "connect", connected)
    return opened
