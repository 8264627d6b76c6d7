"""Forbidden addresses of receivers, in every notation. Pure.

A hostile DNS server may resolve a receiver's name, and IPv6 has half a dozen ways to embed an IPv4 address. So the
check uses the address of the connected socket, and the IPv4 address embedded in it.
"""

from __future__ import annotations

import ipaddress
import socket
from contextlib import suppress

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Where clouds hand out credentials: 169.254.169.254 and its neighbours, Alibaba Cloud, Azure's wire server, Oracle's
# virtual network, AWS, Google and Scaleway over IPv6. The unspecified addresses lead to the machine itself.
_METADATA = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8", "169.254.0.0/16", "100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32",
        "::/128", "fe80::/10", "fd00:ec2::/112", "fd20:ce::254/128", "fd00:42::42/128",
    )
)  # fmt: skip
_THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")
_SITE_LOCAL = ipaddress.ip_network("fec0::/10")
_COMPATIBLE = ipaddress.ip_network("::/96")
# The last 32 bits are an IPv4 address: mapped, translated (RFC 2765), NAT64 (RFC 6052).
_LAST_32 = tuple(ipaddress.ip_network(text) for text in ("::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96"))
# Local NAT64 (RFC 8215): the operator chooses the length of the prefix, which moves the address (RFC 6052, 2.2).
_LOCAL_NAT64 = ipaddress.ip_network("64:ff9b:1::/48")


def is_metadata(address: str) -> bool:
    """Whether clouds hand out credentials at an IP address, or the address is unspecified.

    Args:
        address: as text, with a zone or without.

    Raises:
        ValueError: if the text is not an IP address.
    """
    parsed = _parse(address)
    return any(inner in network for inner in (parsed, *_embedded(parsed)) for network in _METADATA)


def is_private(address: str) -> bool:
    """Whether an IP address is outside the public internet: private, loopback, shared (CGNAT), unique local, multicast.

    Args:
        address: as text, with a zone or without.

    Raises:
        ValueError: if the text is not an IP address.
    """
    parsed = _parse(address)
    return any(
        not inner.is_global or inner.is_multicast or inner in _SITE_LOCAL for inner in _embedded(parsed) or (parsed,)
    )


def literal_address(host: str) -> str | None:
    """The IP address in a URL's host, including old notations such as ``2130706433`` and ``0x7f.1``.

    None for a name.
    """
    with suppress(ValueError):
        return str(_parse(host.strip("[]")))
    with suppress(OSError, ValueError):
        if host.replace(".", "").isascii() and host.rpartition(".")[2][:1].isdigit():
            return socket.inet_ntoa(socket.inet_aton(host))
    return None


def _parse(address: str) -> _Address:
    return ipaddress.ip_address(address.partition("%")[0])


def _embedded(address: _Address) -> tuple[ipaddress.IPv4Address, ...]:
    """The IPv4 addresses embedded in an IPv6 address; several where the layout is unknown."""
    if isinstance(address, ipaddress.IPv4Address):
        return ()
    bits = int(address)
    if any(address in network for network in _LAST_32) or (address in _COMPATIBLE and bits > 1):
        return (_ipv4(bits),)
    if address.sixtofour is not None:
        return (address.sixtofour,)
    if address.teredo is not None:
        return address.teredo
    if address in _LOCAL_NAT64:
        # Bits 64 to 71 are not part of the IPv4 address.
        low = bits & (1 << 56) - 1
        folded = (bits >> 64 << 56) | low
        candidates = [_ipv4(bits), *(_ipv4(folded >> shift) for shift in (40, 32, 24))]
        # A wrong prefix length usually yields 0.0.0.0, which carries no information.
        return tuple(inner for inner in candidates if inner not in _THIS_NETWORK) or (_ipv4(bits),)
    return ()


def _ipv4(bits: int) -> ipaddress.IPv4Address:
    return ipaddress.IPv4Address(bits & 0xFFFFFFFF)
