"""Outgoing HTTP. The only module that knows the HTTP client."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import TYPE_CHECKING, Protocol

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

if TYPE_CHECKING:
    from collections.abc import Callable

_MAX_ANSWER = 65_536
# Where clouds hand out credentials beside the link-local 169.254.169.254: AWS over IPv6, Alibaba Cloud.
_METADATA = frozenset(ipaddress.ip_address(text) for text in ("fd00:ec2::254", "100.100.100.200"))
_FAULTS = (HTTPError, HTTPException, OSError)


class TransportError(Exception):
    """No answer came. The message names the kind of failure only: URLs may be secrets."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A POST of JSON.

    Attributes:
        url: http or https; may be a secret.
        headers: on top of the usual ones, of which they may replace any.
        timeout_seconds: for connecting, and again for everything after that.
    """

    url: str = field(repr=False)
    body: bytes
    headers: Mapping[str, str] = field(repr=False, default_factory=dict)
    timeout_seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """An answer; header names in lower case, the body cut at 64 KiB."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport(Protocol):
    """Sends a request and gives the answer."""

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """The answer, whatever its status.

        Raises:
            TransportError: if none came.
        """


def is_metadata(address: str) -> bool:
    """Whether an IP address is one that clouds give out credentials at: no receiver of alerts lives there."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return found.is_link_local or found in _METADATA


class Urllib3Transport:
    """The real network: TLS verified, nothing retried (the outbox does that, durably), no redirect followed.

    A connection a request: notifications are rare, and a kept connection is one more thing that can be stale.

    Args:
        refuses: told the IP address that a connection has reached, before anything is sent: no DNS server can
            turn an alert into a request for credentials.
    """

    def __init__(self, refuses: Callable[[str], bool] = is_metadata) -> None:
        self._refuses = refuses
        self._tls = ssl.create_default_context()

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """The answer, whatever its status."""
        try:
            connection, target = self._open(request)
        except _FAULTS as error:
            raise TransportError(type(error).__name__) from None
        # A time-out for each read would never end with a receiver that sends a byte at a time.
        late = threading.Event()
        deadline = threading.Timer(request.timeout_seconds, _hang_up, (connection, late))
        try:
            connection.connect()
            self._inspect(connection)
            deadline.start()
            headers = urllib3.HTTPHeaderDict({"Content-Type": "application/json", "User-Agent": "leewayd"})
            for name, value in request.headers.items():
                headers[name] = value
            connection.request("POST", target, request.body, dict(headers), preload_content=False, decode_content=False)
            answer = connection.getresponse()
            if late.is_set():
                raise TransportError("the answer's head did not come in time")
            found = {name.lower(): value for name, value in answer.headers.items()}
            return HttpResponse(answer.status, found, _body(answer))
        except _FAULTS as error:
            raise TransportError(type(error).__name__) from None
        finally:
            deadline.cancel()
            connection.close()

    def _open(self, request: HttpRequest) -> tuple[HTTPConnection, str]:
        url = urllib3.util.parse_url(request.url)
        if url.scheme not in ("http", "https") or not url.host:
            raise TransportError("the URL is none of http or https")
        timeout = request.timeout_seconds
        host = url.host.strip("[]")  # the client puts brackets around an IPv6 address itself
        if url.scheme == "http":
            return HTTPConnection(host, url.port or 80, timeout=timeout), url.request_uri
        secure = HTTPSConnection(host, url.port or 443, timeout=timeout, ssl_context=self._tls)
        return secure, url.request_uri

    def _inspect(self, connection: HTTPConnection) -> None:
        if connection.sock is not None and self._refuses(connection.sock.getpeername()[0]):
            raise TransportError("the host name leads to a metadata address")


def _body(answer: urllib3.BaseHTTPResponse) -> bytes:
    """What can be had of it: the status is what counts, and it is known by now."""
    try:
        return answer.read(_MAX_ANSWER)
    except _FAULTS:
        return b""


def _hang_up(connection: HTTPConnection, late: threading.Event) -> None:
    late.set()
    sock = connection.sock
    if sock is not None:
        try:
            # Not the TLS socket's own method, which is not made to be called while another thread reads.
            socket.socket.shutdown(sock, socket.SHUT_RDWR)
        except OSError:
            return  # closed in the meantime
