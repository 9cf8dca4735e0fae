"""Whether the page that sends a request is one of this server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

_USUAL_PORTS = {"http": 80, "https": 443}


def is_own(origin: str, headers: Mapping[bytes, bytes], *, proxied: bool) -> bool:
    """Whether a header Origin names the host that the request was sent to.

    `proxied`: the request came through a proxy. Many proxies leave the port out of Host; then the same name is enough.
    """
    return any(_is_same(origin, host, proxied=proxied) for host in _hosts(headers))


def _hosts(headers: Mapping[bytes, bytes]) -> Iterator[str]:
    """Yield the host names that the client may have used. Pages of other sites cannot send X-Forwarded-Host."""
    for name in (b"host", b"x-forwarded-host"):
        value = headers.get(name)
        if value:
            yield value.decode("latin-1").rpartition(",")[2].strip()


def _is_same(origin: str, host: str, *, proxied: bool) -> bool:
    """Whether they have the same name, and the same port, which the scheme may imply."""
    try:
        page, here = urlsplit(origin), urlsplit(f"//{host}")
        usual = _USUAL_PORTS.get(page.scheme)
        ports = page.port or usual, here.port or usual
        is_bare = here.port is None
    except ValueError:
        return False
    if page.hostname is None or page.hostname != here.hostname or "@" in origin + host:
        return False
    return ports[0] == ports[1] or (proxied and is_bare)
