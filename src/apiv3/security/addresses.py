"""IP addresses: which of them count as one place (one network), and which belong to this machine."""

from __future__ import annotations

import ipaddress
from functools import lru_cache

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_MAPPED = 96
"""Bits before the IPv4 address in an IPv6 address that holds one (RFC 4291, 2.5.5.2)."""


@lru_cache(maxsize=4096)
def network(address: str) -> str:
    """Return the place that an address belongs to: an IPv4 address itself, or the /64 of an IPv6 address.

    One IPv6 host can usually choose its address freely within a /64. A text that is no address is returned unchanged.
    """
    ip = ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((int(ip) >> 64 << 64, 64)))
    return address if ip is None else str(ip)


@lru_cache(maxsize=4096)
def is_loopback(address: str) -> bool:
    """Whether an address belongs to this machine (127.0.0.0/8, ::1). False for a text that is no address."""
    ip = ip_address(address)
    return ip is not None and ip.is_loopback


def ip_address(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Parse an address; None when the text is no address. An IPv4-mapped IPv6 address becomes the IPv4 address."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return None
    return ip.ipv4_mapped or ip if isinstance(ip, ipaddress.IPv6Address) else ip


def unmapped(network: Network) -> Network:
    """Return a network of IPv4-mapped IPv6 addresses as the IPv4 network, any other network unchanged."""
    first = network.network_address
    if isinstance(first, ipaddress.IPv6Address) and first.ipv4_mapped and network.prefixlen >= _MAPPED:
        return ipaddress.ip_network((first.ipv4_mapped, network.prefixlen - _MAPPED))
    return network
