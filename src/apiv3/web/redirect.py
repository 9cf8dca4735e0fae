"""The application on the plain HTTP port beside TLS: redirect pages to HTTPS, and refuse API clients."""

from __future__ import annotations

import re

from apiv3.model.errors import BadRequest, NotSecure
from apiv3.web.calls import Receive, Scope, Send, check_host
from apiv3.web.headers import NO_STORE, is_page
from apiv3.web.responses import Answer, failure, send_answer
from apiv3.web.websockets import WebSocket

_HOST = re.compile(rb"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:\d+)?")


class Redirect:
    """ASGI application. `port`: the port of the server that speaks TLS.

    An API client or a websocket has sent its token unencrypted already, and a redirect would hide that, so it gets a 403.
    """

    def __init__(self, port: int) -> None:
        self._port = b"" if port == 443 else b":%d" % port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await send_answer(send, self._answer(scope), (), bodiless=scope["method"] == "HEAD")
        else:
            await WebSocket(receive, send).refuse(failure(NotSecure()), ())

    def _answer(self, scope: Scope) -> Answer:
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        try:
            check_host(scope, b",".join(hosts) if hosts else None)  # two of them make a malformed one
        except BadRequest as error:
            return failure(error)
        host = _HOST.fullmatch(b"".join(hosts))
        if host is None or not is_page(scope["raw_path"]):
            return failure(NotSecure())
        return to_https(scope, b"https://" + host[1] + self._port)


def to_https(scope: Scope, base: bytes) -> Answer:
    """Return the redirect to the same path and query at another address, such as `https://example.org`."""
    query = b"?" + scope["query_string"] if scope["query_string"] else b""
    return Answer(308, headers=((b"location", base + scope["raw_path"] + query), NO_STORE))


def https_address(public_url: str, host: bytes | None) -> bytes | None:
    """Return where people reach the server over TLS: PUBLIC_URL if it says so, else the host that was asked for, at TLS's own
    port; None if there is neither.
    """
    if public_url.startswith("https://"):
        return public_url.encode()
    found = _HOST.fullmatch(host or b"")
    return b"https://" + found[1] if found else None
