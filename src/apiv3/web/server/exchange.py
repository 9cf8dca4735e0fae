"""One request and its answer, as ASGI has them (https://asgi.readthedocs.io/en/latest/specs/www.html)."""

from __future__ import annotations

import asyncio
import http
import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol

Headers = Sequence[tuple[bytes, bytes]]

_log = logging.getLogger(__name__)
_CLOSE = (b"connection", b"close")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_DISCONNECT = {"type": "http.disconnect"}
_LARGE = 65_536
"""Bytes of a body from which on it is not copied behind its head, and the request is under way until the client took it."""


def _status_line(status: int) -> bytes:
    phrase = http.HTTPStatus(status).phrase if status in http.HTTPStatus._value2member_map_ else ""
    return f"HTTP/1.1 {status} {phrase}\r\n".encode()


_STATUS_LINES = {status: _status_line(status) for status in range(100, 600)}


def head(status: int, headers: Headers) -> bytes:
    """The status line and the headers of an answer. Raises RuntimeError for a header with a line break in it."""
    text = b"".join([_STATUS_LINES[status], *[b"%b: %b\r\n" % header for header in headers], b"\r\n"])
    if text.count(b"\n") != len(headers) + 2 or text.count(b"\r") != len(headers) + 2:
        raise RuntimeError("a header with a line break in it")
    return text


class Line(Protocol):
    """What carries requests and answers."""

    @property
    def is_behind(self) -> bool:
        """More lies ready than the client takes at once."""

    @property
    def write(self) -> Callable[[bytes], None]:
        """Sends bytes."""

    def write_large(self, head: bytes, body: bytes) -> None:
        """Send an answer as the client takes it, without a copy."""

    async def caught_up(self) -> None:
        """Wait until the client has taken what lies ready, or is gone."""

    def read_on(self) -> None:
        """The application waits for more of the body, or for the client's departure."""

    def answered(self, exchange: Exchange) -> None:
        """The answer has been written."""

    def abort(self) -> None:
        """End the connection at once."""


class Exchange:
    """The application's side of one request: its `scope`, `receive` and `send`.

    `keep_alive`: another request may follow on the connection. `gone`: the client is not there any more.
    `whole`: all of the request's body has arrived. `begun` and `complete`: what became of the answer.
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

    def start(self, app: Any, tasks: set[asyncio.Task[None]]) -> None:
        """Let the application answer, in a task that stands in `tasks` until it has."""
        self._tasks = tasks
        self._task = asyncio.get_running_loop().create_task(self._run(app))
        tasks.add(self._task)

    async def _run(self, app: Any) -> None:
        """An application that fails gets the client a 500, or the end of the connection."""
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
        """A piece of the body has arrived; `whole`: it was the last one."""
        if piece and not self.complete:
            self._body.append(piece)
        self.whole = whole
        self._notify()

    @property
    def buffered(self) -> int:
        """Bytes of the body that the application has not taken yet."""
        return sum(map(len, self._body))

    def leave(self) -> None:
        """The client is gone."""
        self.gone = True
        self._notify()

    async def receive(self) -> dict[str, Any]:
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
        """The beginning of an answer is held back until it is known whether more than one body follows, so that an answer
        that is there as a whole goes out as a whole.
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
        """The head of an answer that comes bit by bit: in chunks, unless it says its length or the client knows none."""
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
        """The headers, with word of the connection's end where it is due."""
        if _CLOSE in headers:
            self.keep_alive = False
        elif not self.keep_alive:
            headers = [*headers, _CLOSE]
        return headers

    def _finish(self) -> None:
        self.complete = True
        self._body.clear()
        self._notify()
        self._line.answered(self)
