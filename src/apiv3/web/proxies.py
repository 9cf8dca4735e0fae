"""Find out where a request comes from and whether it came encrypted; only headers of trusted proxies are believed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from apiv3.security.addresses import Network, ip_address, is_loopback, network, unmapped


class Origin(NamedTuple):
    """Where a request comes from.

    `address`: the client's address. `place`: the network that the client belongs to, see `addresses.network`.
    `secure`: it came encrypted, or never left this machine. `encrypted`: it came by TLS, to this server or a trusted proxy.
    """

    address: str
    place: str
    secure: bool
    encrypted: bool


NOWHERE = Origin("", "", secure=False, encrypted=False)
"""The origin of a call that has not been located yet."""


_TLS = ("https", "wss")
_PORT = r":(?:\d{1,5}|_[A-Za-z0-9._-]+)"
_WITH_PORT = re.compile(rf"\[([0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)\](?:{_PORT})?|([0-9.]+){_PORT}", re.ASCII)
"""An address with a port (RFC 7239, section 6): a number, or a name that obfuscates it."""
_FAMILIES = ("forwarded", "real-ip", "client-ip", "clientip", "connecting-ip", "cf-", "x-original-")
"""Texts in the names of headers that proxies add."""
_TRACES = frozenset(
    {
        *(b"via", b"front-end-https", b"cdn-loop", b"x-arr-ssl", b"x-url-scheme", b"x-scheme", b"x-remote-ip"),
        *(b"x-remote-addr", b"x-originating-ip", b"x-coming-from", b"x-proxyuser-ip", b"x-appengine-user-ip"),
        *(b"x-envoy-external-address", b"x-azure-socketip", b"x-amz-cf-id", b"akamai-origin-hop"),
    }
)
"""Names of further headers that proxies add."""
_LONGEST_REMEMBERED = 500
"""Most characters of a request's header names for which the result of `is_proxied` is cached."""


class Proxies:
    """The trusted proxies. `networks`: the addresses and networks of the setting TRUSTED_PROXIES."""

    def __init__(self, networks: tuple[Network, ...] = ()) -> None:
        self._networks = tuple(map(unmapped, networks))
        self.trusts = lru_cache(maxsize=4096)(self._trusts)
        self._direct = lru_cache(maxsize=4096)(_direct)

    def _trusts(self, address: str) -> bool:
        ip = ip_address(address)
        return ip is not None and any(ip in network for network in self._networks)

    def origin(self, scheme: str, peer: str, headers: Mapping[bytes, bytes]) -> Origin:
        """Return where a request comes from. `scheme`: of the ASGI scope. `peer`: the address at the other end of the socket.

        Results for requests without a proxy are cached.
        """
        if is_proxied(headers):
            return self._proxied(scheme, peer, headers)
        return self._direct(scheme, peer)

    def _proxied(self, scheme: str, peer: str, headers: Mapping[bytes, bytes]) -> Origin:
        """Such a request is secure by TLS to this server, or if the peer is a trusted proxy and reports https."""
        address = self._address(peer, headers)
        at_proxy = self.trusts(peer) and _proto(headers) == "https"
        return Origin(_plain(address), network(address), scheme in _TLS or at_proxy, scheme == "https" or at_proxy)

    def _address(self, peer: str, headers: Mapping[bytes, bytes]) -> str:
        """Return the client's address: the last hop that is not a trusted proxy. An unreadable hop ends the search."""
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
    """Return the addresses that the proxies report, the client's end first; None for one that is no address, like `unknown`.

    They are in X-Forwarded-For, which most proxies write, or else in Forwarded (RFC 7239). Every comma splits the list, also
    one inside quotation marks: an open quotation mark sent by a client must not hide what a proxy has added behind it.
    """
    listed = headers.get(b"x-forwarded-for")
    if listed is not None:
        return [_hop(each) for each in _elements(listed)]
    return [_hop(_parameter("for", each)) for each in _elements(headers.get(b"forwarded", b""))]


def _proto(headers: Mapping[bytes, bytes]) -> str:
    """Return the scheme that the nearest proxy reports, in lower case; empty when it reports none.

    It is the last one in X-Forwarded-Proto. A proxy that writes no X-Forwarded header may write Forwarded (RFC 7239, 5.4)
    instead; one that writes some may have passed on the Forwarded of a client.
    """
    listed = headers.get(b"x-forwarded-proto")
    if listed is None and b"x-forwarded-for" not in headers:
        elements = _elements(headers.get(b"forwarded", b"")) or [""]
        return _parameter("proto", elements[-1]).strip('"').lower()
    return (listed or b"").decode("latin-1").rpartition(",")[2].strip(' \t"').lower()


def _elements(listed: bytes) -> list[str]:
    """Return the elements of a list header, without empty ones (RFC 9110, section 5.6.1)."""
    return [element for each in listed.decode("latin-1").split(",") if (element := each.strip())]


def _parameter(wanted: str, element: str) -> str:
    """Return the value of a parameter in an element of Forwarded, as it is written; empty when it is missing or repeated."""
    pairs = [pair.partition("=") for pair in element.split(";")]
    values = [value.strip() for name, _, value in pairs if name.strip().lower() == wanted]
    return values[0] if len(values) == 1 else ""


def _hop(text: str) -> str | None:
    """Return the address in `10.0.0.6`, `10.0.0.6:80`, `2001:db8::6`, `[2001:db8::6]` or `[2001:db8::6]:80`, quoted or not."""
    bare = text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
    match = _WITH_PORT.fullmatch(bare)
    ip = ip_address((match[1] or match[2]) if match else bare)
    return None if ip is None else str(ip)


def is_proxied(headers: Mapping[bytes, bytes]) -> bool:
    """Whether the headers show that the request came through a proxy, so that its peer is not the client."""
    names = b" ".join(headers)
    return (_has_traces if len(names) > _LONGEST_REMEMBERED else _has_traces_remembered)(names)


def _has_traces(names: bytes) -> bool:
    text = names.decode("latin-1")
    return any(family in text for family in _FAMILIES) or not _TRACES.isdisjoint(names.split(b" "))


_has_traces_remembered = lru_cache(maxsize=1024)(_has_traces)


def _direct(scheme: str, peer: str) -> Origin:
    """Return the origin of a request without a proxy: secure by TLS, or because it never left this machine."""
    return Origin(_plain(peer), network(peer), scheme in _TLS or is_loopback(peer), scheme == "https")


def _plain(address: str) -> str:
    """Return an address as it is logged: an IPv4-mapped IPv6 address, which a dual-stack socket reports, becomes IPv4."""
    ip = ip_address(address)
    return address if ip is None else str(ip)
