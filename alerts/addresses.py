"""Addresses that no alert may be sent to, however they are written. Pure.

A receiver's name is resolved by a DNS server that may be hostile, and IPv6 has half a dozen ways to carry an IPv4
address; so it is the address of the connected socket that is judged, and the IPv4 address within it.
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
# NAT64 in local use (RFC 8215): the operator chooses the length of the prefix, which moves the address (RFC 6052, 2.2).
_LOCAL_NAT64 = ipaddress.ip_network("64:ff9b:1::/48")


def is_metadata(address: str) -> bool:
    """Whether an IP address is one that clouds hand out credentials at, or the unspecified one.

    Args:
        address: as text, with a zone or without.

    Raises:
        ValueError: if it is no IP address.
    """
    found = _parse(address)
    return any(inner in network for inner in (found, *_embedded(found)) for network in _METADATA)


def is_private(address: str) -> bool:
    """Whether an IP address is not of the public internet: private, loopback, shared (CGNAT), unique local, multicast.

    Args:
        address: as text, with a zone or without.

    Raises:
        ValueError: if it is no IP address.
    """
    found = _parse(address)
    return any(
        not inner.is_global or inner.is_multicast or inner in _SITE_LOCAL for inner in _embedded(found) or (found,)
    )


def literal_address(host: str) -> str | None:
    """The IP address that a URL's host is, also in the old ways of writing one (``2130706433``, ``0x7f.1``).

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
    """The IPv4 addresses that an IPv6 address carries; several where the way of writing is not known."""
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
        # Bits 64 to 71 are left out of the address.
        low = bits & (1 << 56) - 1
        folded = (bits >> 64 << 56) | low
        found = [_ipv4(bits), *(_ipv4(folded >> shift) for shift in (40, 32, 24))]
        # Of the lengths that are not meant, most read as 0.0.0.0, which says nothing.
        return tuple(inner for inner in found if inner not in _THIS_NETWORK) or (_ipv4(bits),)
    return ()


def _ipv4(bits: int) -> ipaddress.IPv4Address:
    return ipaddress.IPv4Address(bits & 0xFFFFFFFF)
