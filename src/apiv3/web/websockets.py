"""A client's websocket: texts in and out, and a refusal by HTTP before it is accepted."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any

from apiv3.live.packets import ProtocolError
from apiv3.web.calls import Receive, Send
from apiv3.web.responses import Answer, Headers, send_answer

_GOODBYE = 1.0
"""Seconds to say it in."""


class WebSocket:
    """One of them, as ASGI gives it."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self.accepted = False

    async def accept(self) -> None:
        await self._receive()  # the wish to connect
        await self._send({"type": "websocket.accept"})
        self.accepted = True

    async def receive(self) -> str | None:
        """The next text, None when there will be none. Raises ProtocolError for binary messages."""
        message = await self._receive()
        if message["type"] != "websocket.receive":
            return None
        text = message.get("text")
        if not isinstance(text, str):
            raise ProtocolError("binary")
        return text

    async def send(self, text: str) -> None:
        """Waits while the client does not read. Raises OSError when it is gone."""
        await self._send({"type": "websocket.send", "text": text})

    async def close(self) -> None:
        """Say goodbye, unless that is too late."""
        with suppress(OSError):
            async with asyncio.timeout(_GOODBYE):
                await self._send({"type": "websocket.close"})

    async def refuse(self, answer: Answer, headers: Headers) -> None:
        """Instead of `accept`: an answer by HTTP."""

        async def send(message: MutableMapping[str, Any]) -> None:
            await self._send({**message, "type": f"websocket.{message['type']}"})

        await send_answer(send, answer, headers, bodiless=False)
