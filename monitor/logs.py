"""The daemon's own log: structlog, past-tense events with key-values; never a feature value, a URL or a secret."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from monitor.config import LogSection


def make_log(config: LogSection) -> FilteringBoundLogger:
    """A logger that writes to standard error, for systemd or a container to keep."""
    level = getattr(logging, config.level.upper())
    # kafka-python and APScheduler log through the standard library. What they say is told by leewayd in its own words,
    # once; kafka-python alone would write three lines a second for as long as a broker is away.
    theirs = level if level <= logging.DEBUG else logging.CRITICAL
    logging.basicConfig(stream=sys.stderr, level=theirs, format="%(name)s %(levelname)s %(message)s")
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if config.format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    logger: FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    return logger
