"""PostgreSQL behind `databases`: its pool, what its errors mean, rows in a stream."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import asyncpg
from databases.backends.postgres import PostgresBackend, PostgresConnection

from apiv3.storage.contracts import Ring
from apiv3.storage.dialects import CHANNEL, POSTGRESQL

DIALECT = POSTGRESQL
PATIENCE = 10.0
"""Seconds that a request waits for a connection before it is told to come back later."""
CHUNK = 500
"""Rows that a stream hands over at a time."""
SHORTEST_BREAK, LONGEST_BREAK = 0.1, 5.0
"""Seconds between two attempts to listen: more each time, until one succeeds."""
FEW_ROWS = "SET LOCAL cursor_tuple_fraction = 0.01; SET LOCAL jit = off"
"""Makes PostgreSQL plan a cursor for its first rows: the fraction of them that is expected to be fetched; and not compile a
plan whose whole cost looks high, since it is left early."""


async def _keep(_connection: object) -> None:
    """Instead of asyncpg's reset, a round trip for each loan: no statement of ours changes a connection's state."""


_OPTIONS: dict[str, Any] = {
    "min_size": 0,  # else the pool keeps on logging tracebacks while the database is away
    "max_size": 10,
    "timeout": PATIENCE,
    "command_timeout": 30,
    "reset": _keep,
    "server_settings": {"application_name": "apiv3"},
}


_log = logging.getLogger(__name__)


class PatientConnection(PostgresConnection):
    """A connection on loan from the pool, for which nobody waits for ever."""

    async def acquire(self) -> None:
        pool: asyncpg.Pool | None = self._database._pool
        if pool is not None and pool.get_idle_size():
            await super().acquire()
            return
        async with asyncio.timeout(PATIENCE):
            await super().acquire()


class PostgresqlBackend(PostgresBackend):
    """The backend of `databases`, with our options."""

    def __init__(self, url: str) -> None:
        super().__init__(url, **_OPTIONS)

    def connection(self) -> PatientConnection:
        return PatientConnection(self, self._dialect)

    async def dedicated(self) -> asyncpg.Connection[asyncpg.Record]:
        """A connection outside of the pool."""
        url = self._database_url
        ssl = {name: value for name, value in self._get_connection_kwargs().items() if name == "ssl"}
        return await asyncpg.connect(
            host=url.hostname,
            port=url.port,
            user=url.username,
            password=url.password,
            database=url.database,
            timeout=PATIENCE,
            server_settings={"application_name": "apiv3 bells"},
            **ssl,
        )


def backend(url: str) -> PostgresqlBackend:
    return PostgresqlBackend(url)


async def watch(backend: PostgresqlBackend, ring: Ring) -> None:
    """Listen on a connection of its own; when it is lost, make a new one, and ring for whatever was missed in between."""
    pause = SHORTEST_BREAK
    while True:
        try:
            connection = await backend.dedicated()
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_BREAK)
            continue
        try:
            pause = SHORTEST_BREAK
            await _listen(connection, ring)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await asyncio.sleep(pause)
        finally:
            connection.terminate()


async def _listen(connection: asyncpg.Connection[asyncpg.Record], ring: Ring) -> None:
    """Ring for each notification, until the connection is lost."""
    lost = asyncio.Event()
    connection.add_termination_listener(lambda _: lost.set())
    await connection.add_listener(CHANNEL, lambda _connection, _pid, _channel, collection: ring(str(collection)))
    ring(None)
    await lost.wait()
    _log.warning("the connection that listens for changes is lost; making a new one")


async def stream(connection: Any, sql: str, *args: Any) -> AsyncGenerator[Sequence[Sequence[Any]], None]:
    """The rows of a query of any size, a chunk at a time.

    A cursor of SQL's own, since PostgreSQL then plans for the first rows: it walks along an index that has the order, where
    it would sort the whole collection otherwise.
    """
    async with connection.transaction(readonly=True):
        await connection.execute(FEW_ROWS)
        await connection.fetch(f"DECLARE scan NO SCROLL CURSOR FOR {sql}", *args)
        while rows := await connection.fetch(f"FETCH {CHUNK} FROM scan"):
            yield rows


def is_unavailable(error: BaseException) -> bool:
    """Whether the database's state is to blame, so that the same request can succeed later."""
    if isinstance(error, asyncpg.PostgresError):
        return str(error.sqlstate)[:2] in _STATES
    return isinstance(error, OSError | TimeoutError | asyncpg.InterfaceError | asyncpg.InternalClientError)


_STATES = frozenset({"08", "25", "28", "3D", "40", "53", "55", "57", "58", "XX"})
"""Classes of SQLSTATE: connection, read-only transaction, credentials, no such database, serialisation, resources, not ready,
operator, system, internal (https://www.postgresql.org/docs/current/errcodes-appendix.html)."""
