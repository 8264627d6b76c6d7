"""Files of lines that may be compressed with gzip or Zstandard, read and written as streams."""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, cast

import zstandard

from monitor.common.errors import LeewayError, RetryableError
from monitor.common.file_kind import LONGEST, kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GZIP, ZSTANDARD = "gzip data", "Zstandard data"
"""Names as in `monitor.common.file_kind`."""
CORRUPT = (EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError)
"""Errors raised by reading a stream that is truncated or corrupt."""
_BUFFER = 1_048_576
_PIECE = 4_096
"""Bytes of Zstandard data that are decompressed at a time. They expand to 128 MB at most."""


def compression_of(path: Path) -> str:
    """`GZIP` or `ZSTANDARD` by the first bytes of a file (its name is ignored); empty for other files."""
    with path.open("rb") as file:
        kind = kind_of(file.read(LONGEST))
    return kind if kind in (GZIP, ZSTANDARD) else ""


@dataclass(frozen=True, slots=True)
class Lines:
    """An open file.

    Attributes:
        text: the decompressed bytes.
        share: returns the share of the file on disk that has been read, 0 to 1.
    """

    text: IO[bytes]
    share: Callable[[], float]


@contextmanager
def opened_for_reading(path: Path) -> Iterator[Lines]:
    """Opens a file of lines, compressed or not."""
    compression = compression_of(path)
    with ExitStack() as stack:
        raw = stack.enter_context(path.open("rb"))
        if compression == GZIP:
            text: IO[bytes] = cast("IO[bytes]", stack.enter_context(gzip.GzipFile(fileobj=raw, mode="rb")))
        elif compression == ZSTANDARD:
            text = stack.enter_context(io.BufferedReader(_ZstandardStream(raw), _BUFFER))
        else:
            text = raw
        yield Lines(text, lambda: min(raw.tell() / max(os.fstat(raw.fileno()).st_size, 1), 1.0))


class _ZstandardStream(io.RawIOBase):
    """Reads all frames of a Zstandard file; unlike the library's own reader, it refuses a truncated frame."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._decompressor = zstandard.ZstdDecompressor()
        self._frame = self._decompressor.decompressobj()
        self._begun = False
        self._waiting = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._waiting:
            data = self._frame.unused_data if self._frame.eof else b""
            if self._frame.eof:
                self._frame, self._begun = self._decompressor.decompressobj(), False
            data = data or self._raw.read(_PIECE)
            if not data:
                if self._begun:
                    raise EOFError("the Zstandard data ends too early")
                return 0
            self._begun = True
            self._waiting = memoryview(self._frame.decompress(data))
        count = min(len(buffer), len(self._waiting))
        buffer[:count] = self._waiting[:count]
        self._waiting = self._waiting[count:]
        return count


@contextmanager
def opened_for_writing(path: Path) -> Iterator[Callable[[bytes], object]]:
    """Yields a function that writes to a file, compressed if its name ends in ``.gz`` or ``.zst``.

    The output depends on the data only: no time or file name is stored.

    Raises:
        LeewayError: if the file cannot be opened.
        RetryableError: if it cannot be written, for instance because the disk is full.
    """
    stack = ExitStack()
    try:
        raw = stack.enter_context(path.open("wb"))
    except OSError as error:
        raise LeewayError(_unwritable(path, error)) from error
    try:
        stream = _packing(path, raw, stack)
    except OSError as error:
        raise RetryableError(_unwritable(path, error)) from error

    def write(data: bytes) -> None:
        try:
            stream.write(data)
        except OSError as error:
            raise RetryableError(_unwritable(path, error)) from error

    try:
        yield write
    except BaseException:
        with suppress(OSError):
            stack.close()
        raise
    try:
        stack.close()
    except OSError as error:
        raise RetryableError(_unwritable(path, error)) from error


def _packing(path: Path, raw: IO[bytes], stack: ExitStack) -> IO[bytes]:
    suffix = path.suffix.lower()
    if suffix == ".gz":
        # Neither the file's name nor the time goes into the header.
        return cast("IO[bytes]", stack.enter_context(gzip.GzipFile("", "wb", 6, raw, mtime=0)))
    if suffix == ".zst":
        compressor = zstandard.ZstdCompressor(level=3, write_checksum=True)
        return stack.enter_context(compressor.stream_writer(raw, closefd=False))
    return raw


def refuse_outputs(outputs: Sequence[Path | None], inputs: Sequence[Path]) -> None:
    """Refuses, before hours of work, output files that cannot be written or that would overwrite an input.

    Args:
        outputs: files to be written; None is skipped.
        inputs: files to be read, resolved.

    Raises:
        LeewayError: for the first such file.
    """
    written: list[Path] = []
    for path in outputs:
        if path is None:
            continue
        if path.is_dir():
            raise LeewayError(f"{path}: this is a folder; name a file in it")
        if not path.parent.is_dir():
            raise LeewayError(f"{path}: there is no folder {path.parent}")
        if path.resolve() in (*inputs, *written):
            raise LeewayError(f"{path}: this file is read, or written, by the same command; name another one")
        written.append(path.resolve())


def _unwritable(path: Path, error: OSError) -> str:
    return f"{path}: cannot be written: {error.strerror or error}"
