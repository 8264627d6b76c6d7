"""Outgoing HTTP. The only module that knows the HTTP client."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import urllib3
from urllib3.exceptions import HTTPError, LocationValueError

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_ANSWER = 65_536


class TransportError(Exception):
    """No answer came. The message names the kind of failure only: URLs may be secrets."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A POST of JSON."""

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


class Urllib3Transport:
    """The real network: TLS verified, no redirect followed, nothing retried (the outbox does that, durably)."""

    def __init__(self) -> None:
        self._pool = urllib3.PoolManager(num_pools=8, maxsize=2, retries=False)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """The answer, whatever its status."""
        try:
            answer = self._pool.request(
                "POST",
                request.url,
                body=request.body,
                headers={"Content-Type": "application/json", "User-Agent": "leewayd", **request.headers},
                timeout=urllib3.Timeout(total=request.timeout_seconds),
                redirect=False,
                preload_content=False,
            )
            try:
                body = answer.read(_MAX_ANSWER)
            finally:
                answer.release_conn()
                answer.close()
        except (HTTPError, LocationValueError, OSError) as error:
            raise TransportError(type(error).__name__) from None
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return HttpResponse(answer.status, headers, body)
