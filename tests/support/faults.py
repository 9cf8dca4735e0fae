"""A way to a server on which everything goes wrong now and then."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

FAULTS = ("cut", "drop", "double", "swap", "change")
"""The connection is cut; a piece of what is sent vanishes, comes twice, comes after the next one, or has a bit changed."""


class FaultyWay:
    """Passes connections on to a port of this machine. `share`: of the pieces in either direction, how many meet a fault.

    `met`: how often each fault has happened.
    """

    def __init__(self, port: int, seed: int, share: float) -> None:
        self._target, self._share = port, share
        self._chance = random.Random(seed)
        self.met = dict.fromkeys(FAULTS, 0)
        self.port = 0

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            back, forth = await asyncio.open_connection("127.0.0.1", self._target)
            ways = [asyncio.create_task(self._carry(*way)) for way in ((reader, forth), (back, writer))]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            forth.transport.abort()
        writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held = b""
        while piece := await reader.read(65_536):
            fault = self._chance.choice(FAULTS) if self._chance.random() < self._share else ""
            if fault:
                self.met[fault] += 1
            if fault == "cut":
                return
            if fault == "swap":
                held += piece
                continue
            writer.write({"drop": b"", "double": piece * 2, "change": _changed(piece)}.get(fault, piece) + held)
            held = b""
            await writer.drain()


def _changed(piece: bytes) -> bytes:
    at = len(piece) // 2
    return piece[:at] + bytes([piece[at] ^ 1]) + piece[at + 1 :]


@asynccontextmanager
async def faulty_way(port: int, seed: int, share: float = 0.05) -> AsyncIterator[FaultyWay]:
    way = FaultyWay(port, seed, share)
    server = await asyncio.start_server(way.accept, "127.0.0.1", 0)
    way.port = server.sockets[0].getsockname()[1]
    async with server:
        yield way
