"""The daemon's own log: structlog, past-tense events with key-values; never a feature value, a URL or a secret."""

from __future__ import annotations

import io
import logging
import os
import select
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import structlog
from structlog.typing import FilteringBoundLogger

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

Log = FilteringBoundLogger
"""Function that receives log events."""

# Wait this long for a stalled reader before dropping a line; then drop without waiting until the reader reads again.
_WAIT_SECONDS = 1.0
# A pipe that is ready for writing accepts this many bytes without blocking.
_PIECE = select.PIPE_BUF


class GuardedOutput(io.RawIOBase):
    """Writes to a stream's file; never fails and never blocks for long, so the log's reader cannot stop the daemon.

    Output that cannot be written (a closed pipe, a full disk) is counted and dropped; the next write tries again.

    Attributes:
        dropped: lines that could not be written in full.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream  # its file stays open as long as this does
        self._descriptor = stream.fileno()
        self._wait = _WAIT_SECONDS
        self._torn = False
        self.dropped = 0

    def writable(self) -> bool:
        """It is."""
        return True

    def fileno(self) -> int:
        """The descriptor that it writes to."""
        return self._descriptor

    def isatty(self) -> bool:
        """Whether the output is a terminal."""
        return os.isatty(self._descriptor)

    def write(self, data: ReadableBuffer, /) -> int:
        """Writes all bytes or drops the rest; reports all bytes as written in both cases."""
        rest = memoryview(data).cast("B")
        size = len(rest)
        try:
            if self._torn:
                self._write_piece(memoryview(b"\n"))
                self._torn = False
            while rest:
                written = self._write_piece(rest[:_PIECE])
                self._torn = rest[written - 1] != ord("\n")
                rest = rest[written:]
            self._torn, self._wait = False, _WAIT_SECONDS
        except TimeoutError:
            self._drop(rest)
            self._wait = 0.0
        except OSError:
            self._drop(rest)
        return size

    def _drop(self, rest: memoryview) -> None:
        self.dropped += bytes(rest).count(b"\n") or 1

    def _write_piece(self, piece: memoryview) -> int:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        if not poll.poll(self._wait * 1000):
            raise TimeoutError
        return os.write(self._descriptor, piece)


def guard_standard_error() -> None:
    """Makes all later writes to standard error safe: log, warnings, tracebacks."""
    sys.stderr = guarded(sys.stderr)


def guarded(stream: TextIO | None) -> TextIO:
    """Wraps a stream in `GuardedOutput`; unchanged without a descriptor; the null device if the stream is closed."""
    if stream is None:
        return Path(os.devnull).open("w", encoding="utf-8")
    try:
        output = GuardedOutput(stream)
    except (OSError, ValueError):
        return stream
    # Unbuffered: a buffer might not be flushed when the process ends.
    return io.TextIOWrapper(
        output, encoding="utf-8", errors="backslashreplace", line_buffering=True, write_through=True
    )  # type: ignore[type-var]  # a raw stream that writes everything is buffer enough


def lines_dropped() -> int:
    """Number of log lines that could not be written since the process started."""
    output = getattr(sys.stderr, "buffer", None)
    return output.dropped if isinstance(output, GuardedOutput) else 0


def open_log(level_name: str, style: str) -> FilteringBoundLogger:
    """A logger that writes to standard error, for systemd or a container to keep.

    Args:
        level_name: the lowest level that is written, such as ``info``.
        style: ``json``, or ``console`` for people.
    """
    level = getattr(logging, level_name.upper())
    # kafka-python logs through the standard library. leewayd logs its errors once, in its own words;
    # kafka-python would write three lines a second while a broker is down.
    theirs = level if level <= logging.DEBUG else logging.CRITICAL
    logging.basicConfig(stream=sys.stderr, level=theirs, format="%(name)s %(levelname)s %(message)s")
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if style == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    logger: FilteringBoundLogger = structlog.wrap_logger(
        structlog.WriteLogger(sys.stderr),
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
