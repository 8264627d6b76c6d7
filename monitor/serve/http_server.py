"""A small HTTP server for /metrics, /healthz and /readyz that a slow or hostile client cannot block.

Each connection serves one request. A request head and an answer each have one deadline, not a deadline per byte. When
the cap on connections is reached, the server closes one: the oldest that has not sent its request yet, else the oldest
that does not read its answer. So a scrape gets through, and /healthz, whose answer is short, never waits for /metrics.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MAX_HEAD = 16_384
# Threads, in multiples of the cap on connections: a thread that waits for a page outlives its closed connection.
_THREADS = 4
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 500: "Internal Server Error",
            503: "Service Unavailable"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Response:
    """The answer to a request."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    encoding: str = ""


class _State(IntEnum):
    """The state of a connection; connections with the lowest state are closed first."""

    HEAD = 0
    ANSWER = 1
    HANDLER = 2


class HttpServer:
    """Serves GET requests, each connection in a thread.

    Args:
        host, port: where to listen; port 0 chooses a free one.
        routes: path → handler, called with the request's headers (names in lower case).
        max_connections: greatest number of connections at a time.
        head_seconds: deadline for receiving a request head, and for sending an answer.
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
        # The oldest first. A connection that was closed to make room is removed; its thread may still run a handler.
        self._connections: dict[socket.socket, _State] = {}
        self._threads = 0
        self._guard = threading.Lock()
        self._closed = False
        threading.Thread(target=self._accept, name="http", daemon=True).start()

    @property
    def port(self) -> int:
        """The port of the listening socket."""
        port: int = self._socket.getsockname()[1]
        return port

    def close(self) -> None:
        """Stops listening; threads finish the answers that they have begun."""
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
                time.sleep(0.05)  # out of file descriptors: retry after some are closed
                continue
            with self._guard:
                if self._threads >= _THREADS * self._cap:
                    _drop(connection)
                    continue
                if len(self._connections) >= self._cap:
                    leaving = min(self._connections, key=lambda candidate: self._connections[candidate])
                    del self._connections[leaving]
                    _hang_up(leaving)
                self._connections[connection] = _State.HEAD
                self._threads += 1
            try:
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()
            except RuntimeError:
                # Out of threads: close the connection and go on.
                self._leave(connection)
                _drop(connection)

    def _serve(self, connection: socket.socket) -> None:
        try:
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                # The kernel must drop the answer of a client that stops reading.
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(self._head_seconds * 1000))
            head = self._read_head(connection)
            if head and self._enter(connection, _State.HANDLER):
                response, is_get = self._answer(head)
                if self._enter(connection, _State.ANSWER):
                    connection.settimeout(self._head_seconds)
                    connection.sendall(_head(response))
                    if is_get:
                        connection.sendall(response.body)
            connection.close()
        except OSError:
            _drop(connection)  # the client disconnected or was too slow, or the connection was closed to make room
        finally:
            self._leave(connection)

    def _leave(self, connection: socket.socket) -> None:
        with self._guard:
            self._connections.pop(connection, None)
            self._threads -= 1

    def _enter(self, connection: socket.socket, state: _State) -> bool:
        """Records the state of a connection; returns False if the connection was closed to make room."""
        with self._guard:
            if connection not in self._connections:
                return False
            self._connections[connection] = state
            return True

    def _read_head(self, connection: socket.socket) -> bytes:
        deadline = time.monotonic() + self._head_seconds
        head = b""
        while b"\r\n\r\n" not in head:
            left = deadline - time.monotonic()
            if left <= 0 or len(head) > _MAX_HEAD:
                return b""
            connection.settimeout(left)
            chunk = connection.recv(4096)
            if not chunk:
                return b""
            head += chunk
        return head

    def _answer(self, head: bytes) -> tuple[Response, bool]:
        """The response, and whether the client wants its body."""
        lines = head.split(b"\r\n\r\n", 1)[0].decode("latin-1").split("\r\n")
        words = lines[0].split(" ")
        if len(words) != 3:
            return Response(400, b"bad request\n"), True
        if words[0] not in ("GET", "HEAD"):
            return Response(405, b"only GET\n"), True
        handler = self._routes.get(words[1].split("?", 1)[0])
        if handler is None:
            return Response(404, b"not found; try /metrics, /healthz, /readyz\n"), True
        pairs = (line.partition(":") for line in lines[1:])
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        try:
            response = handler(headers)
        except Exception:  # noqa: BLE001 - a page that fails must not take the server with it
            response = Response(500, b"internal error\n")
        return response, words[0] == "GET"


def _hang_up(connection: socket.socket) -> None:
    """Wakes the thread that reads from the connection or writes to it."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _drop(connection: socket.socket) -> None:
    """Closes a connection and discards unsent data."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def _head(response: Response) -> bytes:
    coding = f"Content-Encoding: {response.encoding}\r\nVary: Accept-Encoding\r\n" if response.encoding else ""
    return (
        f"HTTP/1.1 {response.status} {_REASONS[response.status]}\r\n"
        f"Content-Type: {response.content_type}\r\n"
        f"Content-Length: {len(response.body)}\r\n"
        f"{coding}"
        "X-Content-Type-Options: nosniff\r\n"
        "Connection: close\r\n\r\n"
    ).encode("latin-1")
