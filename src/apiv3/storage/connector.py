"""How connections to a PostgreSQL database are made, also where a pooler such as pgbouncer stands before it."""

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

    `shared`: whether a pooler may share the database's connections among its clients, a transaction each. Statements are
    then not prepared on a connection, and LISTEN is of no use. It is known from the first connection on, or from the URL.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self.shared = not address.prepares
        self._liveness = Liveness(lambda: self._connect({}))
        self._watching: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look for connections that are dead. Behind a pooler, whose processes are not known, nobody can tell."""
        self._watching = asyncio.create_task(self._liveness.run())

    async def stop(self) -> None:
        """Look no more."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])

    async def connect(self, *_: object, **options: Any) -> Watched:
        """Make a connection; `options` go to asyncpg, whose errors pass through."""
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
    """Whether the process that answers is another than the one that was announced: a pooler invents the latter.

    The statement has no name, so that nothing is left behind on a connection which is shared.
    """
    statement = await connection.prepare("SELECT pg_backend_pid()", name="")
    return bool(await statement.fetchval() != connection.get_server_pid())
