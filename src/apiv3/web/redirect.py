"""The application on the plain HTTP port beside TLS: redirect pages to HTTPS, and refuse API clients."""

from __future__ import annotations

import re

from apiv3.model.errors import BadRequest, NotSecure
from apiv3.web.calls import Receive, Scope, Send, check_host
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
        if scope["raw_path"].startswith(b"/api/") or host is None:
            return failure(NotSecure())
        query = b"?" + scope["query_string"] if scope["query_string"] else b""
        location = b"https://" + host[1] + self._port + scope["raw_path"] + query
        return Answer(308, headers=((b"location", location),))
