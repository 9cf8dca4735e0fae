"""HTTP/1.1 over a connection (RFC 9112): read one request at a time, its head with httptools, its body with `framing`.

What a client sends behind a request that is under way is not parsed, and not read beyond one buffer. So a connection never
makes the server hold more than one head, a part of one body, and one answer.
"""

from __future__ import annotations

from email.utils import formatdate
from typing import Any
from urllib.parse import unquote

import httptools

from apiv3.model.errors import HeadersTooLarge
from apiv3.web.responses import failure, send_answer
from apiv3.web.server.connection import Connection
from apiv3.web.server.connections import ENDING, LAST_PATIENCE
from apiv3.web.server.exchange import Exchange
from apiv3.web.server.framing import BadFraming, Framing, framing
from apiv3.web.server.websocket import WebSocketProtocol

_BUFFERED = 32_768
"""Bytes of a body waiting for the application above which reading pauses."""
_REFUSAL = "HTTP/1.1 {status}\r\ndate: {date}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_BAD = "400 Bad Request"
_TOO_LARGE = "431 Request Header Fields Too Large"
_TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
"""Bytes that a request may begin with (RFC 9110, section 5.6.2)."""
_END = b"\r\n\r\n"
_ASGI = {"version": "3.0", "spec_version": "2.3"}


class Http:
    """A `Speaker` that speaks HTTP, and the `Line` of its exchanges.

    `app`: the ASGI application that answers. `state`: what the application's lifespan yielded. `most`: the most bytes of a
    request's head (request line and headers), and of the trailer fields of its body.
    """

    def __init__(self, connection: Connection, app: Any, state: dict[str, Any], most: int) -> None:
        self._connection, self._app, self._state, self._most = connection, app, state, most
        self.write, self.write_large = connection.write, connection.write_large
        self.caught_up, self.abort = connection.caught_up, connection.abort
        self._parser: Any = httptools.HttpRequestParser(self)
        self._is_parser_fresh, self._is_head_complete = True, False
        self._keeps_alive = self._upgrades = False
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._unread, self._at = b"", 0
        """Bytes that have arrived, and the index of the first one that was not parsed yet."""
        self._exchange: Exchange | None = None
        self._framing: Framing | None = None
        """The framing of the current request's body; None once all of it has been read."""
        self._is_ending = False

    # --- called by the connection, see `Speaker`

    def begin(self) -> None:
        self._connection.idle_since = self._connection.loop.time()
        self._connection.expect(self._connection.patience)

    def received(self, data: bytes) -> None:
        connection = self._connection
        if connection.idle_since is not None:
            connection.idle_since, connection.is_new = None, False
            connection.expect(connection.patience)
        if self._at < len(self._unread):
            data = self._unread[self._at :] + data
        self._unread, self._at = data, 0
        self._advance()

    def drained(self) -> None:
        self._advance()

    def expired(self) -> None:
        if self._connection.has_unread:
            self._connection.expect(LAST_PATIENCE)
        else:
            self._connection.close()

    def lost(self) -> None:
        self._parser = None
        if self._exchange is not None:
            self._exchange.leave()

    def end(self) -> None:
        self._is_ending = True
        exchange = self._exchange
        if exchange is None:
            self._connection.expect(LAST_PATIENCE)  # answer a request that is already on its way
        elif not exchange.complete:
            exchange.keep_alive = False
            if not exchange.begun:
                exchange.scope[ENDING] = True

    # --- reading

    def _advance(self) -> None:
        """Parse what has arrived: the rest of the body, or the next head once the last answer has been sent."""
        if self._connection.is_over:  # a call that was scheduled before the connection ended
            return
        if self._framing is not None and self._exchange is not None:
            self._read_body(self._framing, self._exchange)
        elif self._at == len(self._unread) or self._parser is None:
            return
        elif self._exchange is not None:
            self._connection.pause()
        elif not self._connection.is_behind:
            self._read_head()

    def _read_head(self) -> None:
        unread, at = self._unread, self._at
        while unread.startswith(b"\r\n", at):  # RFC 9112, section 2.2: empty lines before a request are skipped
            at += 2
        end = unread.find(_END, at)
        size = (len(unread) if end < 0 else end) - at
        if end >= 0:
            self._at = end + len(_END)
            self._parse(unread[at : self._at], size)
        elif size > self._most:
            self._refuse(_TOO_LARGE)
        elif size and unread[at] not in _TOKEN:
            self._refuse(_BAD)
        else:
            self._unread, self._at = unread[at:], 0
            self._connection.read_on()  # it may have been paused while the request before was under way

    def _parse(self, head: bytes, size: int) -> None:
        if not self._is_parser_fresh:
            self._parser = httptools.HttpRequestParser(self)
        self._url, self._headers, self._is_head_complete, self._is_parser_fresh = b"", [], False, False
        try:
            self._parser.feed_data(head)
        except httptools.HttpParserUpgrade:
            self._is_parser_fresh = False
        except httptools.HttpParserError:
            self._is_head_complete = False
        if self._is_head_complete:
            self._begin(size)
        else:
            self._refuse(_BAD)

    # called by httptools

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Keep what httptools forgets once the message is complete."""
        self._is_head_complete = True
        self._keeps_alive, self._upgrades = self._parser.should_keep_alive(), self._parser.should_upgrade()

    def on_message_complete(self) -> None:
        """The parser expects no body, so that it can be used for the next head."""
        self._is_parser_fresh = True

    def _read_body(self, body: Framing, exchange: Exchange) -> None:
        try:
            piece, self._at = body.take(self._unread, self._at)
        except BadFraming:
            self._refuse(_BAD)
            return
        if body.done:
            self._framing = None
        exchange.add(piece, whole=body.done)
        if not body.done:
            self._go_on_reading(exchange)
        elif exchange.complete:
            self._next()
        else:
            self._advance()

    def _go_on_reading(self, exchange: Exchange) -> None:
        if self._at < len(self._unread):
            self._connection.pause()
            self._connection.loop.call_soon(self._advance)
        elif exchange.buffered > _BUFFERED:
            self._connection.pause()
        else:
            self._connection.read_on()

    # --- a request and its answer

    def _begin(self, size: int) -> None:
        """Start a request whose head has been parsed. `size`: bytes of the head."""
        try:
            scope = self._scope()
            body = None if self._is_parser_fresh else framing(self._headers, self._most)  # fresh: httptools expects no body
            if body is not None and scope["http_version"] == "1.0" and self._header(b"transfer-encoding"):
                raise BadFraming("HTTP/1.0 knows no transfer codings")
        except (httptools.HttpParserError, ValueError):
            self._refuse(_BAD)
            return
        self._connection.deadline = None
        if size <= self._most and self._wants_websocket(scope):
            self._upgrade(scope, body)
            return
        keep_alive = scope["http_version"] == "1.1" and self._keeps_alive and not self._is_ending
        expects_continue = body is not None and self._header(b"expect").lower() == b"100-continue"
        exchange = Exchange(self, scope, keep_alive=keep_alive, expects_continue=expects_continue, whole=body is None)
        self._framing, self._exchange = body, exchange
        connection = self._connection
        exchange.start(self._app if size <= self._most else too_large, connection.loop, connection.tasks)
        if self._at < len(self._unread) or body is not None:
            self._advance()

    def _scope(self) -> dict[str, Any]:
        """Return the request's ASGI scope. Raises ValueError or httptools.HttpParserError for a bad version or target."""
        connection, version = self._connection, self._parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise ValueError("unknown version")
        url = httptools.parse_url(self._url)
        raw_path = url.path
        if raw_path is None:
            raise ValueError("no path")
        path = raw_path.decode("ascii")
        return {
            "type": "http",
            "asgi": _ASGI,
            "http_version": version,
            "server": connection.server,
            "client": connection.client,
            "scheme": "https" if connection.encrypted else "http",
            "method": self._parser.get_method().decode("ascii"),
            "root_path": "",
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": url.query or b"",
            "headers": self._headers,
            "state": self._state,
        }

    def _header(self, name: bytes) -> bytes:
        return next((value for each, value in self._headers if each == name), b"")

    def _wants_websocket(self, scope: dict[str, Any]) -> bool:
        """Whether the client asks for a websocket (RFC 6455, section 4.1)."""
        return self._upgrades and scope["method"] == "GET" and self._header(b"upgrade").strip().lower() == b"websocket"

    def _upgrade(self, scope: dict[str, Any], body: Framing | None) -> None:
        """Hand the connection over to a websocket; refuse a handshake that has a body."""
        if body is not None:
            self._refuse(_BAD)
            return
        rest, self._parser = self._unread[self._at :], None
        websocket = WebSocketProtocol(self._connection, scope, rest)
        self._connection.speaker = websocket
        websocket.start(self._app)

    def answered(self, exchange: Exchange) -> None:
        """Go on to the next request, or close the connection, after the answer has been written."""
        self._connection.count()
        if not exchange.keep_alive:
            self._conclude()
        elif self._framing is None:
            self._next()
        else:  # read and discard the rest of the body
            self._connection.expect(self._connection.patience)
            self._connection.read_on()

    def _conclude(self) -> None:
        """Close the connection once the client has read the answer."""
        if self._framing is None and self._at == len(self._unread):
            self._connection.close()
        else:
            self._connection.linger()

    def _next(self) -> None:
        """Wait for the next request, or parse it if it has arrived already."""
        self._exchange = None
        if self._is_ending:
            self._conclude()
            return
        connection, now = self._connection, self._connection.loop.time()
        connection.deadline = now + connection.patience
        if self._at < len(self._unread):
            self._advance()
        else:
            connection.idle_since = now
            connection.read_on()

    def _refuse(self, status: str) -> None:
        """Answer a malformed request with `status` and close the connection; abort it if an answer has begun already."""
        exchange = self._exchange
        if exchange is not None:
            exchange.leave()
        if exchange is not None and exchange.begun:
            self._connection.abort()
            return
        self._connection.write(_REFUSAL.format(status=status, date=formatdate(usegmt=True)).encode())
        self._connection.linger()

    # --- called by the exchange, see `Line`

    @property
    def is_behind(self) -> bool:
        return self._connection.is_behind

    @property
    def is_wanted(self) -> bool:
        return self._connection.is_wanted

    def read_on(self) -> None:
        """Read on, unless there are bytes that were not parsed yet."""
        if self._at == len(self._unread):
            self._connection.read_on()


async def too_large(_scope: Any, _receive: Any, send: Any) -> None:
    """ASGI application that answers a request whose head has arrived whole, but is too large, with 431."""
    await send_answer(send, failure(HeadersTooLarge()), ((b"connection", b"close"),), bodiless=False)
