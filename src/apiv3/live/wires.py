"""Wires, which carry packets both ways: a client's websocket, or a pipe to the worker that has the client's websocket."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Protocol

from apiv3.live.packets import ProtocolError

_log = logging.getLogger(__name__)
_HEAD = 4
"""Bytes of the length before each text in a pipe."""


class Wire(Protocol):
    """A connection that carries texts in both directions, in order."""

    async def accept(self) -> None:
        """Accept the connection. Call this before sending or receiving."""

    async def receive(self) -> str | None:
        """Wait for the next text; None when the connection has ended. Raises ProtocolError for anything but text."""

    async def send(self, text: str) -> None:
        """Send a text; wait while the other side is slow to read. Raises OSError when it is gone."""


class Pipe:
    """A wire over a stream socket between two workers. `largest`: the most bytes of a received text."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, largest: int) -> None:
        self._reader, self._writer, self._largest = reader, writer, largest

    async def accept(self) -> None:
        await self.send("+")

    async def receive(self) -> str | None:
        try:
            size = int.from_bytes(await self._reader.readexactly(_HEAD))
            if size > self._largest:
                raise ProtocolError("too long")
            return (await self._reader.readexactly(size)).decode()
        except (asyncio.IncompleteReadError, OSError):
            return None
        except UnicodeDecodeError as error:
            raise ProtocolError("no UTF-8") from error

    async def send(self, text: str) -> None:
        data = text.encode()
        self._writer.write(len(data).to_bytes(_HEAD) + data)
        await self._writer.drain()

    def close(self) -> None:
        self._writer.close()


async def until_one_ends(*works: Coroutine[Any, Any, None]) -> None:
    """Run coroutines together until one of them ends, then cancel the others. Errors are logged, unless the client's
    connection caused them.
    """
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception) and not isinstance(result, ProtocolError | OSError):
                _log.error("a live connection failed", exc_info=result)
