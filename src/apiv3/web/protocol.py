"""uvicorn's protocols with bounds: on what comes before the application is asked, and on how long a connection takes to end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from email.utils import formatdate
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from apiv3.model.errors import HeadersTooLarge
from apiv3.web.responses import failure, send_answer

SHUTDOWN = "shutdown"
"""In the app's state: what to call so that no answer goes on for ever."""
ENDING = "ending"
"""In the state of a request without an answer so far: the server ends, and will cancel it if it takes too long."""
LAST_PATIENCE = 1.0
"""Seconds that a client which does not read keeps a server from ending."""

_REFUSAL = "HTTP/1.1 {status}\r\ndate: {date}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


async def too_large(_scope: Any, _receive: Any, send: Any) -> None:
    """ASGI app for a request whose headers are all there, but too long."""
    await send_answer(send, failure(HeadersTooLarge()), ((b"connection", b"close"),), bodiless=False)


class Sender:
    """The `send` of one request. An answer that is there as a whole goes out as a whole, in a part of uvicorn's time.

    So the beginning of an answer is held back until it is known whether there is more to come than one body.
    """

    __slots__ = ("_cycle", "_start")

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._start: Any = None

    async def __call__(self, message: Any) -> None:
        start, self._start = self._start, None
        if start is None and message["type"] == "http.response.start":
            self._start = message
        elif start is None or message.get("more_body") or self._has_to_wait():
            for each in filter(None, (start, message)):
                await self._cycle.send(each)
        else:
            self._send(start["status"], start["headers"], message.get("body", b""))

    def _has_to_wait(self) -> bool:
        return self._cycle.flow.write_paused or self._cycle.disconnected

    def _send(self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> None:
        """What uvicorn's cycle does with the two messages. Raises RuntimeError for a header that is two."""
        cycle = self._cycle
        if (b"connection", b"close") in headers:
            cycle.keep_alive = False
        elif not cycle.keep_alive:
            headers = [*headers, (b"connection", b"close")]
        head = b"".join([STATUS_LINE[status], *[b"%b: %b\r\n" % header for header in headers], b"\r\n"])
        if head.count(b"\n") != len(headers) + 2 or head.count(b"\r") != len(headers) + 2:
            raise RuntimeError("a header with a line break in it")
        cycle.response_started = cycle.response_complete = True
        cycle.transport.write(head if cycle.scope["method"] == "HEAD" else head + body)
        cycle.message_event.set()
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()


class BoundedProtocol(HttpToolsProtocol):
    """Sends quickly. Closes a connection on which headers are too long, or too long on their way, or whose client has stopped
    reading.

    The bounds are uvicorn's own settings: `h11_max_incomplete_event_size` bytes, which it applies to its other protocol only,
    and `timeout_keep_alive` seconds, which it counts from the end of the request before. As long may pass without the client
    taking a byte of what lies ready for it.
    """

    _received = 0
    _in_headers = True
    _waiting_since: float | None = None
    """When the loop's clock began to count against the client; None while it is the server's turn."""
    _timer: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._waiting_since = self.loop.time()
        self._timer = self.loop.call_later(self.config.timeout_keep_alive, self._check_waiting)

    def data_received(self, data: bytes) -> None:
        if self._in_headers:
            if not self._received and self._waiting_since is not None:
                self._waiting_since = self.loop.time()
            self._received += len(data)
        super().data_received(data)
        if self._in_headers and self._received > self._largest:
            self._refuse("431 Request Header Fields Too Large")

    def on_headers_complete(self) -> None:
        self._waiting_since = None
        self._in_headers = False
        if self._received > self._largest and self._size() > self._largest:
            self.app = too_large
        super().on_headers_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        super()._start_asgi_task(cycle, lambda scope, receive, _send: app(scope, receive, Sender(cycle)))

    def on_message_complete(self) -> None:
        self._in_headers, self._received = True, 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """As uvicorn's, but for the timer that it sets for each request."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._waiting_since = self.loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._stop_watching()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_reading(self.config.timeout_keep_alive)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_watching()

    def shutdown(self) -> None:
        super().shutdown()
        if self.cycle is not None and not self.cycle.response_started:
            self.cycle.scope["state"][ENDING] = True
        if self._stalled is not None:
            self._watch_reading(LAST_PATIENCE)
        if end := self.app_state.get(SHUTDOWN):
            end()

    def _should_upgrade(self) -> bool:
        return self.app is not too_large and super()._should_upgrade()

    @property
    def _largest(self) -> int:
        return self.config.h11_max_incomplete_event_size or 0

    def _size(self) -> int:
        """Bytes of the request's target and headers; what was received may hold a part of the body too."""
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _check_waiting(self) -> None:
        """One timer for each connection, which looks now and then: to set one for each request takes a tenth of its time."""
        patience = self.config.timeout_keep_alive
        left = patience if self._waiting_since is None else self._waiting_since + patience - self.loop.time()
        if left > 0:
            self._timer = self.loop.call_later(left, self._check_waiting)
        else:
            self._close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _watch_reading(self, patience: float) -> None:
        """Cut the client off unless it takes something of what lies ready."""
        self._stop_watching()
        ready = self.transport.get_write_buffer_size()
        self._stalled = self.loop.call_later(patience, self._check_reading, ready, patience)

    def _check_reading(self, before: int, patience: float) -> None:
        if self.transport.get_write_buffer_size() < before:
            self._watch_reading(patience)
        else:
            self.transport.abort()

    def _stop_watching(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _unsupported_upgrade_warning(self) -> None:
        """A client's wish for another protocol is no news; the request is answered as it is."""

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 (it says nothing that a client does not know)
        self._refuse("400 Bad Request")

    def _refuse(self, status: str) -> None:
        """Answer what is no request, and be done with it."""
        self.transport.write(_REFUSAL.format(status=status, date=formatdate(usegmt=True)).encode())
        self._close()

    def _close(self) -> None:
        self._stop_timer()
        self.transport.close()


_silence = logging.getLogger(f"{__name__}.silence")
_silence.disabled = True
_silence.setLevel(logging.CRITICAL)
_LINGER = 5.0
"""Seconds in which a websocket that is over sends what is left."""


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """Says nothing about what clients send, and does not wait for those that do not read."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.logger = self.conn.logger = _silence

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        super().on_task_complete(task)
        self.loop.call_later(_LINGER, self.transport.abort)
