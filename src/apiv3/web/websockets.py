"""A client's websocket as ASGI provides it: receive and send texts, or refuse it with an HTTP answer."""

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

    async def accept(self) -> None:
        """Accept the handshake."""
        await self._receive()  # ASGI's websocket.connect
        await self._send({"type": "websocket.accept"})
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

    async def send(self, text: str) -> None:
        """Send a text; wait while the client is slow to read. Raises OSError when the client is gone."""
        await self._send({"type": "websocket.send", "text": text})

    async def close(self) -> None:
        """Close the websocket; do nothing if the client is gone."""
        with suppress(OSError):
            async with asyncio.timeout(_GOODBYE):
                await self._send({"type": "websocket.close"})

    async def refuse(self, answer: Answer, headers: Headers) -> None:
        """Refuse the handshake with an HTTP answer."""

        async def send(message: MutableMapping[str, Any]) -> None:
            await self._send({**message, "type": f"websocket.{message['type']}"})

        await send_answer(send, answer, headers, bodiless=False)
