"""Make connections to a PostgreSQL database, directly or through a pooler such as pgbouncer."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import asyncpg

from apiv3.storage.liveness import Connection, Liveness, Watched
from apiv3.storage.urls import Address

_log = logging.getLogger(__name__)


class Connector:
    """Makes connections to one database.

    `shared`: whether a pooler may give each transaction a different connection to the database. Then statements are not
    prepared, and LISTEN does not work. This is known from the URL, or from the first connection on.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self.shared = not address.prepares
        self._liveness = Liveness(lambda: self._connect({}))
        self._watching: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look for dead connections. This does nothing behind a pooler, which hides the server's processes."""
        self._watching = asyncio.create_task(self._liveness.run())

    async def stop(self) -> None:
        """Stop looking for dead connections."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])

    async def connect(self, *_: object, **options: Any) -> Watched:
        """Make a connection. `options` are passed to asyncpg; its errors are raised unchanged."""
        connection = await self._connect(options)
        try:
            if not self.shared and await _is_shared(connection):
                self.shared = True
                _log.info("a pooler stands before the database: statements are not prepared, and changes are polled for")
                await connection.close()
                connection = await self._connect(options)
        except BaseException:
            connection.terminate()
            raise
        if not self.shared:
            self._liveness.add(connection)
        return connection

    async def _connect(self, options: dict[str, Any]) -> Watched:
        arguments = {**options, **self._address.arguments, "connection_class": Watched}
        if self.shared:
            arguments["statement_cache_size"] = 0
        connection: Watched = await asyncpg.connect(**arguments)
        return connection


async def _is_shared(connection: Connection) -> bool:
    """Whether a pooler is between: it announces a made-up process id, so another process answers than the one announced.

    The statement has no name, so that it leaves nothing behind on a shared connection.
    """
    statement = await connection.prepare("SELECT pg_backend_pid()", name="")
    return bool(await statement.fetchval() != connection.get_server_pid())
