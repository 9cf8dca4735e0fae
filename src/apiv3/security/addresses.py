"""IP addresses: which of them count as one place, and which belong to this machine."""

from __future__ import annotations

import ipaddress
from functools import lru_cache

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_MAPPED = 96
"""Bits before the IPv4 address in an IPv6 address that holds one (RFC 4291, 2.5.5.2)."""


@lru_cache(maxsize=4096)
def network(address: str) -> str:
    """What counts as one place: an IPv4 address, or the /64 that one IPv6 host can choose its addresses from."""
    ip = ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((int(ip) >> 64 << 64, 64)))
    return address if ip is None else str(ip)


@lru_cache(maxsize=4096)
def is_loopback(address: str) -> bool:
    ip = ip_address(address)
    return ip is not None and ip.is_loopback


def ip_address(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address as a value, None when the text is none. An IPv4 address that is written as IPv6 is the IPv4 address."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return None
    return ip.ipv4_mapped or ip if isinstance(ip, ipaddress.IPv6Address) else ip


def unmapped(network: Network) -> Network:
    """The same network, as one of IPv4 where its addresses are IPv4 addresses written as IPv6."""
    first = network.network_address
    if isinstance(first, ipaddress.IPv6Address) and first.ipv4_mapped and network.prefixlen >= _MAPPED:
        return ipaddress.ip_network((first.ipv4_mapped, network.prefixlen - _MAPPED))
    return network
