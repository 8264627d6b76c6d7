"""The daemon's own log, as configured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.common.logs import open_log

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from monitor.config.schema import LogSection


def make_log(section: LogSection) -> FilteringBoundLogger:
    """A logger with the level and the format of the section."""
    return open_log(section.level, section.format)
