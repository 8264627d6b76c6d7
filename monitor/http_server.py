"""A small HTTP server for /metrics, /healthz and /readyz that a slow or hostile client cannot tie up.

One request a connection. Request heads have a deadline as a whole, not byte by byte, and when the cap on connections is
reached the oldest one that has not sent its request yet makes room, so a scrape always gets through.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MAX_HEAD = 16_384
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 500: "Internal Server Error",
            503: "Service Unavailable"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Response:
    """What a path answers."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


class HttpServer:
    """Serves GET requests from threads of its own.

    Args:
        host, port: where to listen; port 0 takes a free one.
        routes: path → handler, called with the request's headers (names in lower case).
        max_connections: connections at a time.
        head_seconds: by when a request head must have come, and an answer be taken.
    """

    def __init__(
        self,
        host: str,
        port: int,
        routes: Mapping[str, Callable[[Mapping[str, str]], Response]],
        *,
        max_connections: int,
        head_seconds: float,
    ) -> None:
        self._routes, self._cap, self._head_seconds = routes, max_connections, head_seconds
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host.strip("[]"), port), family=family, backlog=128)
        self._waiting: dict[socket.socket, None] = {}
        self._open = 0
        self._guard = threading.Lock()
        self._closed = False
        threading.Thread(target=self._accept, name="http", daemon=True).start()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        port: int = self._socket.getsockname()[1]
        return port

    def close(self) -> None:
        """Stops listening; answers under way are finished by their threads."""
        self._closed = True
        # shutdown() wakes the thread that waits in accept(); close() alone does not.
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        while not self._closed:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                time.sleep(0.05)  # out of file descriptors: some will be given back
                continue
            with self._guard:
                if self._open >= self._cap and self._waiting:
                    oldest = next(iter(self._waiting))
                    del self._waiting[oldest]
                    _hang_up(oldest)
                elif self._open >= self._cap + 8:
                    connection.close()
                    continue
                self._open += 1
                self._waiting[connection] = None
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            head = self._read_head(connection)
            with self._guard:
                self._waiting.pop(connection, None)
            if head:
                connection.settimeout(self._head_seconds)
                connection.sendall(self._answer(head))
        except OSError:
            pass  # the client went away, or took too long
        finally:
            with self._guard:
                self._waiting.pop(connection, None)
                self._open -= 1
            connection.close()

    def _read_head(self, connection: socket.socket) -> bytes:
        deadline = time.monotonic() + self._head_seconds
        head = b""
        while b"\r\n\r\n" not in head:
            left = deadline - time.monotonic()
            if left <= 0 or len(head) > _MAX_HEAD:
                return b""
            connection.settimeout(left)
            part = connection.recv(4096)
            if not part:
                return b""
            head += part
        return head

    def _answer(self, head: bytes) -> bytes:
        lines = head.split(b"\r\n\r\n", 1)[0].decode("latin-1").split("\r\n")
        words = lines[0].split(" ")
        if len(words) != 3:
            return _render(Response(400, b"bad request\n"))
        if words[0] not in ("GET", "HEAD"):
            return _render(Response(405, b"only GET\n"))
        handler = self._routes.get(words[1].split("?", 1)[0])
        if handler is None:
            return _render(Response(404, b"not found; try /metrics, /healthz, /readyz\n"))
        pairs = (line.partition(":") for line in lines[1:])
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        try:
            response = handler(headers)
        except Exception:  # noqa: BLE001 - a page that fails must not take the server with it
            response = Response(500, b"internal error\n")
        return _render(response, body=words[0] == "GET")


def _hang_up(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _render(response: Response, body: bool = True) -> bytes:
    head = (
        f"HTTP/1.1 {response.status} {_REASONS[response.status]}\r\n"
        f"Content-Type: {response.content_type}\r\n"
        f"Content-Length: {len(response.body)}\r\n"
        "X-Content-Type-Options: nosniff\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode("latin-1") + (response.body if body else b"")
