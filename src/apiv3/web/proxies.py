"""Where a request really comes from, and whether it came encrypted: only proxies that are trusted are believed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from apiv3.security.addresses import Network, ip_address, is_loopback, network, unmapped


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
_PORT = r":(?:\d{1,5}|_[A-Za-z0-9._-]+)"
_WITH_PORT = re.compile(rf"\[([0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)\](?:{_PORT})?|([0-9.]+){_PORT}", re.ASCII)
"""An address with a port, as RFC 7239, section 6, has it: a number, or a name that hides it."""
_FAMILIES = ("forwarded", "real-ip", "client-ip", "clientip", "connecting-ip", "cf-", "x-original-")
"""What is in the names of headers that proxies add."""
_TRACES = frozenset(
    {
        *(b"via", b"front-end-https", b"cdn-loop", b"x-arr-ssl", b"x-url-scheme", b"x-scheme", b"x-remote-ip"),
        *(b"x-remote-addr", b"x-originating-ip", b"x-coming-from", b"x-proxyuser-ip", b"x-appengine-user-ip"),
        *(b"x-envoy-external-address", b"x-azure-socketip", b"x-amz-cf-id", b"akamai-origin-hop"),
    }
)
"""Their whole names, where they have no family."""
_LONGEST_REMEMBERED = 500
"""Characters of the names of a request's headers whose verdict is remembered."""


class Proxies:
    """The addresses and networks of TRUSTED_PROXIES."""

    def __init__(self, networks: tuple[Network, ...] = ()) -> None:
        self._networks = tuple(map(unmapped, networks))
        self.trusts = lru_cache(maxsize=4096)(self._trusts)
        self._direct = lru_cache(maxsize=4096)(_direct)

    def _trusts(self, address: str) -> bool:
        ip = ip_address(address)
        return ip is not None and any(ip in network for network in self._networks)

    def origin(self, scheme: str, peer: str, headers: Mapping[bytes, bytes]) -> Origin:
        """Where a request comes from; what no proxy has touched comes from few places, which are remembered."""
        if is_proxied(headers):
            return self._proxied(scheme, peer, headers)
        return self._direct(scheme, peer)

    def _proxied(self, scheme: str, peer: str, headers: Mapping[bytes, bytes]) -> Origin:
        """Secure by TLS here, or at a proxy that is trusted and says so last."""
        address, proto = self._address(peer, headers), headers.get(b"x-forwarded-proto")
        at_proxy = proto is not None and self.trusts(peer) and proto.rpartition(b",")[2].strip(b' \t"').lower() == b"https"
        return Origin(_plain(address), network(address), scheme in _TLS or at_proxy, scheme == "https" or at_proxy)

    def _address(self, peer: str, headers: Mapping[bytes, bytes]) -> str:
        """The client's: the last hop that is not itself a trusted proxy. A hop that cannot be read ends the search."""
        if not self._networks or not self.trusts(peer):
            return peer
        for hop in reversed(_hops(headers)):
            if hop is None:
                break
            peer = hop
            if not self.trusts(hop):
                break
        return peer


def _hops(headers: Mapping[bytes, bytes]) -> list[str | None]:
    """The addresses that the proxies tell, the client's end first; None for what is no address, such as `unknown`.

    They stand in X-Forwarded-For, which most proxies write; only without it in Forwarded (RFC 7239). Commas split the list
    wherever they stand: what a client wrote, an open quotation mark for example, must not hide what a proxy added behind it.
    """
    listed = headers.get(b"x-forwarded-for")
    if listed is not None:
        return [_hop(each) for each in _elements(listed)]
    return [_hop(_for(each)) for each in _elements(headers.get(b"forwarded", b""))]


def _elements(listed: bytes) -> list[str]:
    """The elements of a list, without empty ones (RFC 9110, 5.6.1)."""
    return [element for each in listed.decode("latin-1").split(",") if (element := each.strip())]


def _for(element: str) -> str:
    """The value of `for` in an element of Forwarded, empty where there is none."""
    pairs = [pair.partition("=") for pair in element.split(";")]
    values = [value.strip() for name, _, value in pairs if name.strip().lower() == "for"]
    return values[0] if len(values) == 1 else ""


def _hop(text: str) -> str | None:
    """The address in `10.0.0.6`, `10.0.0.6:80`, `2001:db8::6`, `[2001:db8::6]` or `[2001:db8::6]:80`, in quotes or without."""
    bare = text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
    match = _WITH_PORT.fullmatch(bare)
    ip = ip_address((match[1] or match[2]) if match else bare)
    return None if ip is None else str(ip)


def is_proxied(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a proxy has left a trace, so that the request comes from farther away than its peer."""
    names = b" ".join(headers)
    return (_has_traces if len(names) > _LONGEST_REMEMBERED else _has_traces_remembered)(names)


def _has_traces(names: bytes) -> bool:
    text = names.decode("latin-1")
    return any(family in text for family in _FAMILIES) or not _TRACES.isdisjoint(names.split(b" "))


_has_traces_remembered = lru_cache(maxsize=1024)(_has_traces)


def _direct(scheme: str, peer: str) -> Origin:
    """Secure by TLS here, or because it never left this machine."""
    return Origin(_plain(peer), network(peer), scheme in _TLS or is_loopback(peer), scheme == "https")


def _plain(address: str) -> str:
    """As it is shown: an IPv4 address, not one that is written as IPv6, which a socket for both tells."""
    ip = ip_address(address)
    return address if ip is None else str(ip)
