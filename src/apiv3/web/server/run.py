"""uvicorn, as this server uses it: its lifespan, its signals and its workers, with connections of our own.

Of uvicorn's inside it relies on what stands in `Config.load`, `Server.startup` and `Server.shutdown`; a test fails when
another version has changed that.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import uvicorn
from starlette.routing import Router

from apiv3.web.server.connection import Connection
from apiv3.web.server.connections import CONNECTIONS, Connections
from apiv3.web.server.door import Door
from apiv3.web.server.http import Http

_GRACE = 10
"""Seconds that requests under way may take when the server ends."""


class Config(uvicorn.Config):
    """Nothing trusted that a client sends, nothing said about the server. `most_headers`: bytes of a request's head."""

    tls: ssl.SSLContext | None = None
    """What connections are encrypted with. uvicorn is not told, since a handshake is bounded by ours as all the rest."""

    def __init__(self, app: Any, *, most_headers: int, **options: Any) -> None:
        super().__init__(
            app,
            http=asyncio.Protocol,  # not used: see Server.startup
            ws="none",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            lifespan="on",
            timeout_graceful_shutdown=_GRACE,
            **options,
        )
        self.most_headers = most_headers

    def load(self) -> None:
        super().load()
        self.tls, self.ssl = self.ssl, None


class Server(uvicorn.Server):
    """uvicorn's server, but for how it listens."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._configuration = config
        self._doors: list[Door] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=[])
        state = self.lifespan.state
        connections: Connections = state[CONNECTIONS]
        connections.open = cast("Any", self.server_state.connections)  # for which uvicorn waits when it ends
        self._doors = [Door(listener, connections, self._connection, self._configuration.tls) for listener in sockets or ()]

    def _connection(self, client: tuple[str, int], place: str | None) -> Connection:
        """For each client that is let in."""
        config, state = self._configuration, self.lifespan.state
        connection = Connection(state[CONNECTIONS], self.server_state, client, place, encrypted=config.tls is not None)
        connection.speaker = Http(connection, config.loaded_app, state, config.most_headers)
        return connection

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for door in self._doors:
            await door.close()
        await super().shutdown(sockets)


def alone(app: Any, connections: Connections) -> Any:
    """An ASGI app that has a server for itself and no lifespan of its own, with the connections that are let in."""

    @asynccontextmanager
    async def running(_app: Any) -> AsyncIterator[dict[str, Any]]:
        async with watching(connections):
            yield {CONNECTIONS: connections}

    lifespan = Router(lifespan=running)

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        await (lifespan if scope["type"] == "lifespan" else app)(scope, receive, send)

    return serve


@asynccontextmanager
async def watching(connections: Connections) -> AsyncIterator[None]:
    """Watch the connections until the end of the block."""
    task = asyncio.create_task(connections.watch())
    try:
        yield
    finally:
        task.cancel()
