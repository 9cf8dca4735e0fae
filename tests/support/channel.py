"""A server that has nothing but a Login channel, and says there what a test wants."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

SNAPSHOT, ALIVE = "snapshot", ": alive\n\n"
_HEAD = "HTTP/1.1 {} X\r\nContent-Type: {}\r\nConnection: close\r\n\r\n"


def told(secret: str, id: str = "one", *granted: str, ceilings: Sequence[Sequence[str]] = (), **fields: Any) -> dict[str, Any]:
    """A session as the channel tells it."""
    digest = hashlib.sha256(secret.encode()).hexdigest()
    session = {"session": id, "digest": digest, "address": "192.0.2.1", "opened": 1, "user": {"_id": "u1", "name": "Anna"}}
    session |= {"groups": ["family"], "ous": [], "via": "password", "expires": None, "granted": granted}
    return session | {"ceilings": ceilings} | fields


class Channel:
    """The server. `asked`: the header Last-Event-ID of every connection, None without one. `status`: of the next answers."""

    def __init__(self) -> None:
        self.asked: list[str | None] = []
        self.status = 200
        self.kind = "text/event-stream"
        self.port = 0
        self._writers: list[asyncio.StreamWriter] = []
        self._sequence = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def say(self, kind: str, data: Any) -> None:
        """Send an event to whoever is connected."""
        self._sequence += 1
        text = data if isinstance(data, str) else json.dumps(data)
        self.write(f"id: e.{self._sequence}\nevent: {kind}\ndata: {text}\n\n")

    def snapshot(self, *sessions: dict[str, Any]) -> None:
        self.say(SNAPSHOT, {"sequence": self._sequence, "sessions": sessions})

    def write(self, text: str) -> None:
        for writer in self._writers:
            writer.write(text.encode())

    def cut(self) -> None:
        """End all connections."""
        for writer in self._writers:
            writer.close()
        self._writers.clear()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in request[1:])}
        self.asked.append(headers.get("last-event-id"))
        writer.write(_HEAD.format(self.status, self.kind).encode())
        if self.status == 200:
            writer.write(b"retry: 1000\n\n")
            self._writers.append(writer)
        else:
            writer.write(b'{"message": "no"}')
            writer.close()


@asynccontextmanager
async def channel() -> AsyncIterator[Channel]:
    made = Channel()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        made.cut()
        server.close()
