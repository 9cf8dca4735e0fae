"""Run the server with uvicorn: its lifespan, signals and graceful shutdown, but connections of our own.

This relies on internals of uvicorn in `Config.load`, `Server.startup` and `Server.shutdown`; `tests/web/test_wire.py` fails
when a new version of uvicorn changes them.
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
"""Seconds that requests under way have to complete when the server shuts down."""


class Config(uvicorn.Config):
    """uvicorn's configuration: trust no forwarding headers, and send no headers that describe the server.

    `most_headers`: the most bytes of a request's head. `options`: further options of `uvicorn.Config`.
    """

    tls: ssl.SSLContext | None = None
    """The TLS context, None for plain HTTP. uvicorn gets none, because `Door` makes the handshakes, within its time limit."""

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
    """uvicorn's server, with a `Door` for each listening socket in place of uvicorn's own listeners."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._configuration = config
        self._doors: list[Door] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=[])
        state = self.lifespan.state
        connections: Connections = state[CONNECTIONS]
        connections.open = cast("Any", self.server_state.connections)  # uvicorn waits for this set on shutdown
        self._doors = [Door(listener, connections, self._connection, self._configuration.tls) for listener in sockets or ()]

    def _connection(self, client: tuple[str, int], place: str | None) -> Connection:
        """Make the connection of an admitted client."""
        config, state = self._configuration, self.lifespan.state
        connection = Connection(state[CONNECTIONS], self.server_state, client, place, encrypted=config.tls is not None)
        connection.speaker = Http(connection, config.loaded_app, state, config.most_headers)
        return connection

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for door in self._doors:
            await door.close()
        await super().shutdown(sockets)


def alone(app: Any, connections: Connections) -> Any:
    """Give an ASGI application that has no lifespan one that provides `connections`, so that a `Server` can run it."""

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
    """Enforce the deadlines of the connections until the end of the block."""
    task = asyncio.create_task(connections.watch())
    try:
        yield
    finally:
        task.cancel()
