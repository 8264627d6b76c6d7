"""Logs that nobody reads, and logs that a test reads."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger


def log_into(text: io.StringIO) -> FilteringBoundLogger:
    """A log that writes its lines into a buffer."""
    log: Any = structlog.wrap_logger(structlog.PrintLogger(text))
    return log


SILENT = log_into(io.StringIO())
