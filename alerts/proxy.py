"""The proxy of a request, chosen by the environment of the process. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # not in the stubs

from alerts.addresses import literal_address


@dataclass(frozen=True, slots=True)
class Proxies:
    """Proxies by scheme.

    Attributes:
        urls: ``http`` or ``https`` → the proxy's URL, which may hold a password.
        bypass: hosts and domains reached without a proxy, as in ``NO_PROXY``.
    """

    urls: Mapping[str, str] = field(repr=False, default_factory=dict)
    bypass: str = ""

    def of(self, scheme: str, host: str) -> str | None:
        """The proxy's URL for a host; None for hosts without a proxy, such as this machine.

        Args:
            scheme: of the receiver's URL.
            host: a name or an address, without brackets.
        """
        url = self.urls.get(scheme)
        if url is None or _is_this_machine(host) or proxy_bypass_environment(host, {"no": self.bypass}):
            return None
        return url


NO_PROXIES = Proxies()


def proxies_of(environment: Mapping[str, str]) -> Proxies:
    """The proxies in ``HTTP_PROXY``, ``HTTPS_PROXY`` and ``NO_PROXY``; lower-case names take precedence.

    Args:
        environment: of the process.
    """
    urls = {scheme: _either(environment, f"{scheme}_proxy") for scheme in ("http", "https")}
    return Proxies(
        # A proxy without a scheme is an http proxy, as in curl.
        {scheme: url if "://" in url else f"http://{url}" for scheme, url in urls.items() if url},
        _either(environment, "no_proxy"),
    )


def _either(environment: Mapping[str, str], name: str) -> str:
    return (environment.get(name) or environment.get(name.upper()) or "").strip()


def _is_this_machine(host: str) -> bool:
    address = literal_address(host)
    return ip_address(address).is_loopback if address is not None else host.rstrip(".").lower() == "localhost"
