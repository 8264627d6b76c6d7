"""Outgoing HTTP. The only module that knows the HTTP client."""

from __future__ import annotations

import re
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
from urllib3.util import make_headers, parse_url

from alerts.addresses import is_metadata, is_private, literal_address
from alerts.proxy import NO_PROXIES, Proxies

if TYPE_CHECKING:
    from collections.abc import Callable

    from urllib3.util import Url

_MAX_ANSWER = 65_536
_FAULTS = (HTTPError, HTTPException, OSError)


class TransportError(Exception):
    """No answer came. The message names only the kind of failure, because URLs may be secrets."""


class AddressRefusedError(TransportError):
    """The transport sent nothing, because the connection reached a forbidden address."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A POST of JSON.

    Attributes:
        url: http or https; may be a secret.
        headers: added to the default headers, or replacing them.
        timeout_seconds: for connecting, and again for the rest of the exchange.
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
    """Sends a request and returns the answer."""

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Returns the answer, with any status.

        Raises:
            TransportError: if no answer came.
        """


def url_fault(text: str, *, allow_private: bool = True) -> str:
    """Why a text cannot be the URL of a receiver; empty if it can. The reason never repeats the text.

    Args:
        text: as configured.
        allow_private: whether addresses outside the public internet are allowed.
    """
    if re.search(r"[\x00-\x20\x7f]", text):
        return "a URL must not hold spaces, line breaks or control characters"
    try:
        url = parse_url(text)
    except HTTPError:
        return "this is not a URL (https://host/path)"
    if url.scheme not in ("http", "https"):
        return "a URL must begin with https:// or http://"
    host = (url.host or "").strip("[]")
    if not host or any(not 0 < len(label) < 64 for label in host.removesuffix(".").split(".")):
        return "the URL has no valid host name"
    if url.port == 0:
        return "0 is not a port"
    if url.auth is not None:
        return "a user name or password in a URL would not be sent; use a token or a header"
    address = literal_address(host)
    if address is not None and is_metadata(address):
        return "clouds hand out credentials at this address; no alert is sent there"
    if address is not None and not allow_private and is_private(address):
        return "the address is private, and alerts.allow_private is false"
    return ""


def token_fault(text: str) -> str:
    """Why a text cannot be sent in a header; empty if it can. The reason never repeats the text."""
    if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", text):
        return "it holds a line break or another control character"
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return "it holds a character that no HTTP header can carry"
    return ""


def header_fault(name: str, value: str) -> str:
    """Why a header cannot be sent; empty if it can. The reason never repeats the value."""
    if re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) is None:
        return "this is not the name of a header"
    if name.lower() in ("content-length", "transfer-encoding", "connection"):
        return f"{name} is set by the client"
    fault = token_fault(value)
    return f"the value of {name}: {fault}" if fault else ""


class Urllib3Transport:
    """The real network: TLS is verified, redirects are not followed, and the outbox, not the transport, retries.

    Each request opens a connection: notifications are rare, and a kept connection could become stale.

    Args:
        refuses: whether the IP address of a connection is forbidden. It is called before anything is sent, so that no
            DNS server can turn an alert into a request for credentials.
        allow_private: whether addresses outside the public internet are allowed.
        proxies: for requests. Behind a proxy, the transport checks the proxy's address and an IP address in the
            receiver's URL; the proxy resolves names, so the transport cannot check them.
    """

    def __init__(
        self,
        refuses: Callable[[str], bool] = is_metadata,
        *,
        allow_private: bool = True,
        proxies: Proxies = NO_PROXIES,
    ) -> None:
        self._refuses, self._allow_private, self._proxies = refuses, allow_private, proxies
        self._tls = ssl.create_default_context()

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Returns the answer, with any status."""
        try:
            connection, target, extra = self._open(request)
        except _FAULTS as error:
            raise TransportError(type(error).__name__) from None
        # A time-out per read would never expire with a receiver that sends one byte at a time.
        late = threading.Event()
        opening = threading.Timer(2 * request.timeout_seconds, _hang_up, (connection, late))
        deadline = threading.Timer(request.timeout_seconds, _hang_up, (connection, late))
        try:
            opening.start()
            connection.connect()
            opening.cancel()
            deadline.start()
            headers = urllib3.HTTPHeaderDict({"Content-Type": "application/json", "User-Agent": "leewayd"})
            for name, value in (*request.headers.items(), *extra.items()):
                headers[name] = value
            connection.request("POST", target, request.body, dict(headers), preload_content=False, decode_content=False)
            answer = connection.getresponse()
            if late.is_set():
                raise TransportError("the answer's head did not come in time")
            answer_headers = {name.lower(): value for name, value in answer.headers.items()}
            return HttpResponse(answer.status, answer_headers, _body(answer))
        except _FAULTS as error:
            raise TransportError(_kind(error)) from None
        finally:
            opening.cancel()
            deadline.cancel()
            connection.close()

    def _open(self, request: HttpRequest) -> tuple[HTTPConnection, str, dict[str, str]]:
        """The unopened connection; the request target; and headers for a forwarding proxy."""
        url = parse_url(request.url)
        if url.scheme not in ("http", "https") or not url.host:
            raise TransportError("the URL is not an http or https URL")
        host = url.host.strip("[]")  # the client puts brackets around an IPv6 address itself
        port = url.port or (443 if url.scheme == "https" else 80)
        if (through := self._proxies.of(url.scheme, host)) is not None:
            return self._open_through(parse_url(through), url, host, port, request.timeout_seconds)
        if url.scheme == "http":
            return _Inspected(self._inspect, host, port, request.timeout_seconds), url.request_uri, {}
        secure = _InspectedTls(self._inspect, host, port, request.timeout_seconds, self._tls)
        return secure, url.request_uri, {}

    def _open_through(
        self, proxy: Url, url: Url, host: str, port: int, timeout: float
    ) -> tuple[HTTPConnection, str, dict[str, str]]:
        if proxy.scheme != "http" or not proxy.host:
            raise TransportError("only http:// proxies are supported")
        if (address := literal_address(host)) is not None:
            self._inspect(address)
        proxy_host, proxy_port = proxy.host.strip("[]"), proxy.port or 80
        auth = make_headers(proxy_basic_auth=proxy.auth) if proxy.auth else {}
        if url.scheme == "http":
            forwarded = _Inspected(self._inspect, proxy_host, proxy_port, timeout)
            return forwarded, f"http://{url.netloc}{url.request_uri}", {**auth, "Host": url.netloc or host}
        tunnel = _InspectedTls(self._inspect, proxy_host, proxy_port, timeout, self._tls)
        tunnel.set_tunnel(host, port, auth)
        return tunnel, url.request_uri, {}

    def _inspect(self, address: str) -> None:
        if self._refuses(address):
            raise AddressRefusedError("the host name resolves to a metadata address")
        if not self._allow_private and is_private(address):
            raise AddressRefusedError("the host name resolves to a private address")


class _Inspected(HTTPConnection):
    """A connection whose peer address is checked before the first byte, including bytes to a proxy."""

    def __init__(self, inspect: Callable[[str], None], host: str, port: int, timeout: float) -> None:
        super().__init__(host, port, timeout=timeout)
        self._inspect = inspect

    def _new_conn(self) -> socket.socket:
        return _inspected(super()._new_conn(), self._inspect)


class _InspectedTls(HTTPSConnection):
    """A TLS connection whose peer address is checked before the handshake."""

    def __init__(
        self, inspect: Callable[[str], None], host: str, port: int, timeout: float, tls: ssl.SSLContext
    ) -> None:
        super().__init__(host, port, timeout=timeout, ssl_context=tls)
        self._inspect = inspect

    def _new_conn(self) -> socket.socket:
        return _inspected(super()._new_conn(), self._inspect)


def _inspected(sock: socket.socket, inspect: Callable[[str], None]) -> socket.socket:
    try:
        inspect(sock.getpeername()[0])
    except BaseException:
        sock.close()
        raise
    return sock


def _kind(error: Exception) -> str:
    if str(error).startswith("Tunnel connection failed"):
        return "the proxy opened no tunnel"
    return type(error).__name__


def _body(answer: urllib3.BaseHTTPResponse) -> bytes:
    """The body, or nothing if it cannot be read: only the status matters, and it is already known."""
    try:
        return answer.read(_MAX_ANSWER)
    except _FAULTS:
        return b""


def _hang_up(connection: HTTPConnection, late: threading.Event) -> None:
    late.set()
    sock = connection.sock
    if sock is not None:
        try:
            # Bypass the TLS socket's shutdown, which must not be called while another thread reads.
            socket.socket.shutdown(sock, socket.SHUT_RDWR)
        except OSError:
            return  # closed in the meantime
