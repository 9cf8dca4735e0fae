"""One HTTP request and its answer, by the ASGI specification (https://asgi.readthedocs.io/en/latest/specs/www.html)."""

from __future__ import annotations

import asyncio
import http
import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol

Headers = Sequence[tuple[bytes, bytes]]

WHOLE = "apiv3.whole"
"""Key in the ASGI scope of a request whose body has arrived as a whole, so that the application need not wait for it."""
_log = logging.getLogger(__name__)
_CLOSE = (b"connection", b"close")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_DISCONNECT = {"type": "http.disconnect"}
_LARGE = 65_536
"""Bytes of a body from which on it is written in pieces, without a copy. The request then counts as under way until the client
has read nearly all of it."""


def _status_line(status: int) -> bytes:
    phrase = http.HTTPStatus(status).phrase if status in http.HTTPStatus._value2member_map_ else ""
    return f"HTTP/1.1 {status} {phrase}".encode()


_STATUS_LINES = {status: _status_line(status) for status in range(100, 600)}


def head(status: int, headers: Headers) -> bytes:
    """Return the status line and the headers of an answer, the empty line included.

    Raises RuntimeError for a header that contains a line break, which could forge a second answer.
    """
    text = b"\r\n".join([_STATUS_LINES[status], *map(b": ".join, headers), b"\r\n"])
    if text.count(b"\n") != len(headers) + 2 or text.count(b"\r") != len(headers) + 2:
        raise RuntimeError("a header with a line break in it")
    return text


class Line(Protocol):
    """What an exchange needs of the HTTP connection that carries it."""

    @property
    def is_behind(self) -> bool:
        """Whether unsent bytes remain beyond what the transport may hold."""

    @property
    def is_wanted(self) -> bool:
        """Whether another client of the same network waits for a connection, so that this one should end with its answer."""

    @property
    def write(self) -> Callable[[bytes], None]:
        """Sends bytes after everything that was written before."""

    def write_large(self, head: bytes, body: bytes) -> None:
        """Send an answer in pieces, as fast as the client reads, without copying its body."""

    async def caught_up(self) -> None:
        """Wait until the client has read enough for writing to continue, or the connection is closed."""

    def read_on(self) -> None:
        """Read on: the application waits for more of the body, or for the client to disconnect."""

    def answered(self, exchange: Exchange) -> None:
        """The whole answer has been written."""

    def abort(self) -> None:
        """Close the connection at once; unsent bytes are lost."""


class Exchange:
    """The application's side of one request: its ASGI `scope`, `receive` and `send`.

    `keep_alive`: whether another request may follow on the connection. `expects_continue`: whether the client waits for
    "100 Continue" before it sends the body. `whole`: whether all of the request's body has arrived. `gone`: whether the client
    has disconnected. `begun` and `complete`: whether the first byte and the last byte of the answer have been written.
    """

    __slots__ = (
        "_body",
        "_delivered",
        "_expects_continue",
        "_is_chunked",
        "_line",
        "_start",
        "_task",
        "_tasks",
        "_wake",
        "begun",
        "complete",
        "gone",
        "keep_alive",
        "scope",
        "whole",
    )

    def __init__(self, line: Line, scope: dict[str, Any], *, keep_alive: bool, expects_continue: bool, whole: bool) -> None:
        self._line, self.scope, self.keep_alive = line, scope, keep_alive
        self._expects_continue = expects_continue
        self._body: list[bytes] = []
        self.whole = whole
        self._delivered = False
        self._wake: asyncio.Future[None] | None = None
        self._start: Any = None
        self._is_chunked = False
        self.begun = self.complete = self.gone = False

    def start(self, app: Any, loop: asyncio.AbstractEventLoop, tasks: set[asyncio.Task[None]]) -> None:
        """Run the application in a task of the loop, which is kept in `tasks` until it ends."""
        self._tasks = tasks
        self._task = loop.create_task(self._run(app))
        tasks.add(self._task)

    async def _run(self, app: Any) -> None:
        """Run the application. When it fails, answer 500, or abort the connection if the answer has begun.

        Logs the failure. Raises CancelledError when the task is cancelled.
        """
        try:
            await app(self.scope, self.receive, self.send)
        except asyncio.CancelledError:
            self._fail()
            raise
        except Exception:
            _log.exception("the application failed")
            self._fail()
        else:
            if not self.complete and not self.gone:
                _log.error("the application left a request without a complete answer")
                self._fail()
        finally:
            self._tasks.discard(self._task)

    def _fail(self) -> None:
        if self.complete or self.gone:
            return
        if self.begun:
            self._line.abort()
        else:
            self.keep_alive = False
            self._send_whole(500, [(b"content-length", b"0")], b"")

    # --- the request

    def add(self, piece: bytes, *, whole: bool) -> None:
        """Take a piece of the body. `whole`: whether it is the last one."""
        if piece and not self.complete:
            self._body.append(piece)
        if whole:
            self.whole = self.scope[WHOLE] = True
        self._notify()

    @property
    def buffered(self) -> int:
        """Bytes of the body that have arrived and that the application has not received yet."""
        return sum(map(len, self._body))

    def leave(self) -> None:
        """Tell the application that the client has disconnected."""
        self.gone = True
        self._notify()

    async def receive(self) -> dict[str, Any]:
        """ASGI's `receive`: return the next part of the body, or wait until the client disconnects or the answer is written."""
        if self._expects_continue and not self.begun and not self.gone:
            self._line.write(_CONTINUE)
        self._expects_continue = False
        while not (self.gone or self.complete or self._body or (self.whole and not self._delivered)):
            self._line.read_on()
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
        if self.gone or self.complete:
            return _DISCONNECT
        body, self._body = b"".join(self._body), []
        self._delivered = self.whole
        return {"type": "http.request", "body": body, "more_body": not self.whole}

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    # --- the answer

    async def send(self, message: Any) -> None:
        """ASGI's `send`: write a part of the answer, and wait while the client is slow to read.

        The start is held back until the first part of the body comes, so that an answer with a single part goes out in one
        write. Raises RuntimeError after the answer is complete. Once the client is gone, messages are dropped.
        """
        start, self._start = self._start, None
        if self.complete:
            raise RuntimeError("the answer is complete already")
        if start is None and not self.begun:
            self._start = message
        elif self.gone:
            return
        elif start is not None and not message.get("more_body"):
            self._send_whole(start["status"], start["headers"], message.get("body", b""))
            if self._line.is_behind:
                await self._line.caught_up()
        else:
            await self._line.caught_up()
            if not self.gone:
                self._send_piece(start, message)

    def _send_whole(self, status: int, headers: Headers, body: bytes) -> None:
        start = head(status, self._closing(headers))
        self.begun = True
        if self.scope["method"] == "HEAD" or not body:
            self._line.write(start)
        elif len(body) < _LARGE:
            self._line.write(start + body)
        else:
            self._line.write_large(start, body)
        self._finish()

    def _send_piece(self, start: Any, message: Any) -> None:
        body: bytes = message.get("body", b"")
        text = b"" if start is None else self._begin(start["status"], start["headers"])
        if self.scope["method"] != "HEAD":
            if self._is_chunked:
                text += b"%x\r\n%b\r\n" % (len(body), body) if body else b""
                text += b"" if message.get("more_body") else b"0\r\n\r\n"
            else:
                text += body
        if text:
            self._line.write(text)
        if not message.get("more_body"):
            self._finish()

    def _begin(self, status: int, headers: Headers) -> bytes:
        """Return the head of an answer sent in parts: chunked, unless it has a Content-Length or the client speaks HTTP/1.0,
        in which case the end of the connection ends the answer.
        """
        self.begun = True
        names = {name for name, _ in headers}
        if b"content-length" not in names:
            self._is_chunked = self.scope["http_version"] == "1.1"
            if self._is_chunked:
                headers = [*headers, (b"transfer-encoding", b"chunked")]
            else:
                self.keep_alive = False
        return head(status, self._closing(headers))

    def _closing(self, headers: Headers) -> Headers:
        """Return the headers, with "Connection: close" added when the connection ends after this answer.

        So a client that opens more connections than its budget, and keeps them, is served on all of them.
        """
        if _CLOSE in headers:
            self.keep_alive = False
        elif not self.keep_alive or self._line.is_wanted:
            self.keep_alive = False
            headers = [*headers, _CLOSE]
        return headers

    def _finish(self) -> None:
        self.complete = True
        self._body.clear()
        self._notify()
        self._line.answered(self)
