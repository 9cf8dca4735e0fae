"""Where a request really comes from, and whether it came encrypted: only proxies that are trusted are believed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from apiv3.security.addresses import Network, ip_address, is_loopback, network


class Origin(NamedTuple):
    """Where a request comes from. `address`: the client's. `place`: what counts as one place, see `network`.

    `secure`: nobody could listen in. `encrypted`: because it came by TLS, here or at a trusted proxy.
    """

    address: str
    place: str
    secure: bool
    encrypted: bool


NOWHERE = Origin("", "", secure=False, encrypted=False)
"""Nobody has looked yet."""


_TLS = ("https", "wss")


class Proxies:
    """The addresses and networks of TRUSTED_PROXIES."""

    def __init__(self, networks: tuple[Network, ...] = ()) -> None:
        self._networks = networks
        self.trusts = lru_cache(maxsize=4096)(self._trusts)
        self._direct = lru_cache(maxsize=4096)(_direct)

    def _trusts(self, address: str) -> bool:
        ip = ip_address(address)
        return ip is not None and any(ip in network for network in self._networks)

    def origin(self, scheme: str, peer: str, headers: Mapping[bytes, bytes]) -> Origin:
        """Where a request comes from; what no proxy has touched comes from few places, which are remembered."""
        names = b" ".join(headers).decode("latin-1")  # `in` takes ten times as long for bytes
        if "forwarded" in names or "x-real-ip" in names:
            return self._proxied(scheme, peer, headers)
        return self._direct(scheme, peer)

    def _proxied(self, scheme: str, peer: str, headers: Mapping[bytes, bytes]) -> Origin:
        """Secure by TLS here, or at a proxy that is trusted and says so last."""
        address, proto = self._address(peer, headers), headers.get(b"x-forwarded-proto")
        at_proxy = proto is not None and self.trusts(peer) and proto.rpartition(b",")[2].strip().lower() == b"https"
        return Origin(address, network(address), scheme in _TLS or at_proxy, scheme == "https" or at_proxy)

    def _address(self, peer: str, headers: Mapping[bytes, bytes]) -> str:
        """The client's: the last one of X-Forwarded-For that is not itself a trusted proxy."""
        if not self._networks or not self.trusts(peer):
            return peer
        hops = headers.get(b"x-forwarded-for", b"").decode("latin-1").split(",")
        for hop in reversed([hop.strip() for hop in hops]):
            if ip_address(hop) is None:
                break
            peer = hop
            if not self.trusts(hop):
                break
        return peer


def _direct(scheme: str, peer: str) -> Origin:
    """Secure by TLS here, or because it never left this machine."""
    return Origin(peer, network(peer), scheme in _TLS or is_loopback(peer), scheme == "https")
