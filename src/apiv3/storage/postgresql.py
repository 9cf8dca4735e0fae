"""PostgreSQL behind `databases`: its pool, what its errors mean, rows in a stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import asyncpg
from databases.backends.postgres import PostgresBackend, PostgresConnection

from apiv3.storage.dialects import POSTGRESQL

DIALECT = POSTGRESQL
PATIENCE = 10.0
"""Seconds that a request waits for a connection before it is told to come back later."""
CHUNK = 500
"""Rows that a stream hands over at a time."""
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


def backend(url: str) -> PostgresqlBackend:
    return PostgresqlBackend(url)


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
