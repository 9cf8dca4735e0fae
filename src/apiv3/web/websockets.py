"""A client's websocket as ASGI provides it: receive and send texts or bytes, or refuse it with an HTTP answer."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any

from apiv3.live.packets import ProtocolError
from apiv3.web.calls import Receive, Send
from apiv3.web.responses import Answer, Headers, send_answer

_GOODBYE = 1.0
"""Seconds that sending the close frame may take."""


class WebSocket:
    """One websocket. `accepted`: whether `accept` has been called."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self.accepted = False

    async def accept(self, subprotocol: str | None = None, keepalive: float | None = None) -> None:
        """Accept the handshake. `subprotocol`: the one that was chosen of those that the client offers (RFC 6455, 1.9).

        `keepalive`: seconds between two pings; a client that answers none of them is gone. None: no pings.
        """
        await self._receive()  # ASGI's websocket.connect
        await self._send({"type": "websocket.accept", "subprotocol": subprotocol, "keepalive": keepalive})
        self.accepted = True

    async def receive(self) -> str | None:
        """Wait for the next text; None when the websocket has ended. Raises ProtocolError for a binary message."""
        message = await self._receive()
        if message["type"] != "websocket.receive":
            return None
        text = message.get("text")
        if not isinstance(text, str):
            raise ProtocolError("binary")
        return text

    async def receive_bytes(self) -> bytes | None:
        """Wait for the next binary message; None when the websocket has ended. A text counts as an empty message."""
        message = await self._receive()
        if message["type"] != "websocket.receive":
            return None
        return message.get("bytes") or b""

    async def send_bytes(self, data: bytes) -> None:
        """Send a binary message; wait while the client is slow to read. Raises OSError when the client is gone."""
        await self._send({"type": "websocket.send", "bytes": data})

    async def send(self, text: str) -> None:
        """Send a text; wait while the client is slow to read. Raises OSError when the client is gone."""
        await self._send({"type": "websocket.send", "text": text})

    async def close(self, code: int = 1000) -> None:
        """Close the websocket; do nothing if the client is gone. `code`: why (RFC 6455, section 7.4)."""
        with suppress(OSError):
            async with asyncio.timeout(_GOODBYE):
                await self._send({"type": "websocket.close", "code": code})

    async def refuse(self, answer: Answer, headers: Headers) -> None:
        """Refuse the handshake with an HTTP answer."""

        async def send(message: MutableMapping[str, Any]) -> None:
            await self._send({**message, "type": f"websocket.{message['type']}"})

        await send_answer(send, answer, headers, bodiless=False)
