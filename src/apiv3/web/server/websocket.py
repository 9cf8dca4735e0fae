"""A websocket over a connection (RFC 6455), as ASGI specifies it; `websockets.protocol` makes the handshake and the frames.

Messages are read only as fast as the application receives them. Pings, pongs and tiny fragments are read at a bounded rate.
What is not read waits in the client's operating system.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import suppress
from typing import Any, cast

from websockets.datastructures import Headers
from websockets.exceptions import WebSocketException
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import SERVER, Protocol
from websockets.server import ServerProtocol

from apiv3.web.server.connection import Connection
from apiv3.web.server.connections import ENDING
from apiv3.web.server.exchange import head

LARGEST = 65_536
"""Most bytes of a received message; a larger one closes the websocket with code 1009."""
_SLICE = 1024
"""Bytes that are parsed at a time; they hold at most 170 frames, since a masked frame has at least 6 bytes."""
_BURST, _RATE = 100, 10.0
"""Pings, pongs and tiny fragments that a client may send at once, and per second on average."""
_TINY = 512
"""Bytes below which a fragment of a message counts as tiny."""
_LINGER = 5.0
"""Seconds that a client has to answer a close frame."""
_ABNORMAL, _RESTART = 1006, 1012
"""Close codes: the connection was lost without a close frame; the server is restarting (RFC 6455, section 7.4)."""

_log = logging.getLogger(__name__)
_silence = logging.getLogger(f"{__name__}.silence")
_silence.disabled = True
_silence.setLevel(logging.CRITICAL)


class WebSocketProtocol:
    """A `Speaker` that speaks WebSocket, from the handshake on.

    `scope`: the ASGI scope of the HTTP request that asks for the websocket. `early`: bytes that followed that request.
    """

    def __init__(self, connection: Connection, scope: dict[str, Any], early: bytes) -> None:
        self._connection = connection
        self._scope = {**scope, "type": "websocket", "scheme": "wss" if connection.encrypted else "ws", "subprotocols": []}
        self._scope["extensions"] = {"websocket.http.response": {}}
        self._frames = Protocol(SERVER, max_size=LARGEST, logger=_silence)
        self._response: Response | None = None
        """The answer that would accept the handshake; None once the handshake has been accepted or refused."""
        self._unread, self._at = early, 0
        self._messages: deque[dict[str, Any]] = deque([{"type": "websocket.connect"}])
        self._message, self._opcode = bytearray(), Opcode.TEXT
        self._is_accepted = self._is_closing = self._is_over = False
        self._refusal: Any = None
        self._wake: asyncio.Future[None] | None = None
        self._allowance, self._counted = float(_BURST), connection.loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._keepalive: asyncio.TimerHandle | None = None
        self._has_heard = True
        """Whether anything has arrived since the last ping."""

    def start(self, app: Any) -> None:
        """Check the handshake: refuse a malformed one, otherwise let the application decide."""
        headers = Headers([(name.decode("latin-1"), value.decode("latin-1")) for name, value in self._scope["headers"]])
        response = ServerProtocol(logger=_silence).accept(Request(self._scope["path"], headers))
        if response.status_code != 101:
            self._answer(response.status_code, [(b"content-length", b"0")], b"")
            return
        offered = headers.get_all("Sec-WebSocket-Protocol")
        self._scope["subprotocols"] = [name.strip() for line in offered for name in line.split(",") if name.strip()]
        self._response = response
        self._connection.pause()
        self._connection.start(self._run(app))

    async def _run(self, app: Any) -> None:
        try:
            await app(self._scope, self._receive, self._send)
        except OSError:  # the client is gone
            pass
        except Exception:
            _log.exception("the application failed")
        finally:
            if self._response is not None:
                self._answer(500, [(b"content-length", b"0")], b"")
            elif self._is_accepted:
                self._close(1011)

    # --- called by the connection, see `Speaker`

    def begin(self) -> None:
        """Never called: every connection begins with HTTP."""

    def received(self, data: bytes) -> None:
        self._has_heard = True
        self._unread, self._at = self._unread[self._at :] + data, 0
        self._read()

    def drained(self) -> None:
        self._read()

    def expired(self) -> None:
        self._connection.close()

    def lost(self) -> None:
        self._end(_ABNORMAL)

    def end(self) -> None:
        if self._is_accepted:
            self._close(_RESTART)
            self._end(_RESTART)
            self._connection.close()
        else:
            self._scope[ENDING] = True

    # --- reading

    def _read(self) -> None:
        """Parse what has arrived, as far as the application keeps up and the rate limit allows."""
        self._stop_timer()
        if not self._is_accepted or self._is_over:
            return
        if self._at < len(self._unread) and self._may_read():
            piece = self._unread[self._at : self._at + _SLICE]
            self._at += len(piece)
            self._frames.receive_data(piece)
            for frame in self._frames.events_received():
                self._take(cast("Frame", frame))  # other events only occur during a handshake
            self._flush()
            if self._frames.parser_exc is not None:
                self._end(_ABNORMAL)
                self._connection.linger()
        if self._at == len(self._unread):
            self._connection.read_on()
            return
        self._connection.pause()
        if self._may_read():
            self._connection.loop.call_soon(self._read)  # other connections go first
        elif self._allowance < 1 and not self._is_over:
            self._timer = self._connection.loop.call_later((1 - self._allowance) / _RATE, self._read)

    def _may_read(self) -> bool:
        now = self._connection.loop.time()
        self._allowance = min(_BURST, self._allowance + (now - self._counted) * _RATE)
        self._counted = now
        has_room = not self._messages and not self._connection.is_behind and not self._is_over
        return has_room and self._allowance >= 1

    def _take(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            received = self._frames.close_rcvd
            self._end(received.code if received is not None else _ABNORMAL)
            self._flush()
            self._connection.close()
        elif frame.opcode in (Opcode.PING, Opcode.PONG):
            self._allowance -= 1
        else:
            self._gather(frame)

    def _gather(self, frame: Frame) -> None:
        """Append a frame to the current message, and deliver the message when it is complete."""
        if frame.opcode is not Opcode.CONT:
            self._opcode = frame.opcode
            self._message.clear()
        self._message += frame.data
        if frame.fin:
            self._deliver(bytes(self._message))
            self._message.clear()
        elif len(frame.data) < _TINY:
            self._allowance -= 1

    def _deliver(self, data: bytes) -> None:
        if self._is_closing or self._is_over:
            return
        if self._opcode is Opcode.BINARY:
            self._put({"type": "websocket.receive", "bytes": data})
            return
        try:
            self._put({"type": "websocket.receive", "text": data.decode()})
        except UnicodeDecodeError:
            self._close(1007)
            self._end(1007)
            self._connection.linger()

    def _put(self, message: dict[str, Any]) -> None:
        self._messages.append(message)
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def _end(self, code: int) -> None:
        """Tell the application that the websocket is closed with `code`, and discard what has not been parsed."""
        if not self._is_over:
            self._is_over = True
            self._stop_timer()
            self._stop_pings()
            self._unread, self._at = b"", 0
            self._put({"type": "websocket.disconnect", "code": code})

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ping(self, seconds: float) -> None:
        """Send a ping, and another one after so many seconds; if nothing has arrived since the last one, the client is gone."""
        if not self._has_heard:
            self._end(_ABNORMAL)
            self._connection.close()
            return
        self._has_heard = False
        with suppress(WebSocketException):  # a close frame has been sent already
            self._frames.send_ping(b"")
            self._flush()
        self._keepalive = self._connection.loop.call_later(seconds, self._ping, seconds)

    def _stop_pings(self) -> None:
        if self._keepalive is not None:
            self._keepalive.cancel()
            self._keepalive = None

    async def _receive(self) -> dict[str, Any]:
        while not self._messages:
            self._wake = self._connection.loop.create_future()
            self._read()
            if not self._messages:
                await self._wake
        message = self._messages.popleft()
        if message["type"] == "websocket.disconnect":
            self._messages.append(message)  # later calls return it again
        return message

    # --- writing

    async def _send(self, message: Any) -> None:
        """ASGI's `send`. Waits until the client has read nearly all. Raises ConnectionResetError when it is closed."""
        kind = message["type"].removeprefix("websocket.")
        if self._is_over and (self._is_accepted or self._response is None):
            raise ConnectionResetError("the websocket is over")
        if self._response is None:
            self._send_frame(kind, message)
            await self._connection.caught_up()
        elif kind == "accept":
            self._accept(self._response, message)
        elif kind == "http.response.start":
            self._refusal = message
        elif kind == "http.response.body":
            self._answer(self._refusal["status"], self._refusal["headers"], message.get("body", b""))
        else:
            self._answer(403, [(b"content-length", b"0")], b"")

    def _accept(self, response: Response, message: Any) -> None:
        given = [(name.encode(), value.encode("latin-1")) for name, value in response.headers.raw_items()]
        if message.get("subprotocol"):
            given.append((b"Sec-WebSocket-Protocol", message["subprotocol"].encode()))
        self._connection.write(head(101, [*given, *message.get("headers", ())]))
        self._response, self._is_accepted = None, True
        self._connection.read_on()
        if message.get("keepalive"):
            self._ping(message["keepalive"])

    def _send_frame(self, kind: str, message: Any) -> None:
        if self._is_closing:
            raise ConnectionResetError("the websocket is closing")
        if kind == "close":
            self._close(message.get("code", 1000))
            return
        try:
            if message.get("text") is not None:
                self._frames.send_text(message["text"].encode())
            else:
                self._frames.send_binary(message["bytes"])
        except WebSocketException as error:
            raise ConnectionResetError from error
        self._flush()

    def _close(self, code: int) -> None:
        """Send a close frame, and give the client `_LINGER` seconds to answer it."""
        if self._is_closing or self._is_over:
            return
        self._is_closing = True
        self._stop_pings()
        with suppress(WebSocketException):  # the client has sent its close frame already
            self._frames.send_close(code)
        self._flush()
        self._messages.clear()
        self._connection.expect(_LINGER)
        self._connection.loop.call_soon(self._read)

    def _flush(self) -> None:
        data = b"".join(self._frames.data_to_send())
        if data:
            self._connection.write(data)

    def _answer(self, status: int, headers: Any, body: bytes) -> None:
        """Refuse the handshake with an HTTP answer, and close the connection."""
        self._response = None
        self._is_over = True
        self._connection.write(head(status, [*headers, (b"connection", b"close")]) + body)
        self._connection.linger()
