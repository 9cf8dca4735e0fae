"""PostgreSQL behind `databases`: its pool, what its errors mean, rows in a stream.

A single query does not go through the pool: asyncpg's way to lend a connection and take it back costs more than the query
itself. It runs on one of a few connections that are borrowed once and kept.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from typing import Any

import asyncpg
from databases.backends.postgres import PostgresBackend, PostgresConnection

from apiv3.storage import urls
from apiv3.storage.connector import Connector
from apiv3.storage.contracts import Ring
from apiv3.storage.dialects import CHANNEL, POSTGRESQL
from apiv3.storage.liveness import LOST, Connection

DIALECT = POSTGRESQL
POOL_TIMEOUT = 10.0
"""Seconds that a request waits for a connection before it is told to come back later."""
POOL_SIZE, READERS = 6, 10
"""Connections: those that are lent, and those that are kept for single queries."""
CHUNK = 250
"""Rows that a stream fetches at a time."""
QUICK = 0.5
"""Seconds after which a query is no quick one."""
SHORTEST_BREAK, LONGEST_BREAK = 0.1, 5.0
"""Seconds between two attempts to listen: more each time, until one succeeds."""
GLANCE = 0.5
"""Seconds between two looks for changes where they are not told."""
CLOCKS = "SELECT name, last FROM clocks"
FEW_ROWS = "SET LOCAL cursor_tuple_fraction = 0.01; SET LOCAL jit = off"
"""Makes PostgreSQL plan a cursor for its first rows: the fraction of them that is expected to be fetched; and not compile a
plan whose whole cost looks high, since it is left early."""


async def _keep(_connection: object) -> None:
    """Instead of asyncpg's reset, a round trip for each loan: no statement of ours changes a connection's state."""


_OPTIONS: dict[str, Any] = {
    "min_size": 0,  # else the pool keeps on logging tracebacks while the database is away
    "command_timeout": 30,
    "reset": _keep,
}


_log = logging.getLogger(__name__)


class PatientConnection(PostgresConnection):
    """A connection on loan from the pool, for which nobody waits for ever."""

    async def acquire(self) -> None:
        pool: asyncpg.Pool | None = self._database._pool
        if pool is not None and pool.get_idle_size():
            await super().acquire()
            return
        async with asyncio.timeout(POOL_TIMEOUT):
            await super().acquire()


class Pool(PostgresBackend):
    """The backend of `databases` with our options, and connections that a Connector makes."""

    def __init__(self, url: str, connector: Connector, size: int) -> None:
        super().__init__(url)
        self._connector, self._size = connector, size

        self._pool: Any = None

    async def connect(self) -> None:
        connect: Any = self._connector.connect
        self._pool = await asyncpg.create_pool(connect=connect, max_size=self._size, **_OPTIONS)

    def connection(self) -> PatientConnection:
        return PatientConnection(self, self._dialect)


class PostgresqlBackend(Pool):
    """The connections that are lent, and the readers beside them."""

    def __init__(self, url: str) -> None:
        self.connector = Connector(urls.read(url))
        super().__init__(url, self.connector, POOL_SIZE)
        self._readers = Readers(url, self.connector, READERS)
        self.fetch, self.fetch_quick = self._readers.fetch, self._readers.fetch_quick

    async def connect(self) -> None:
        await super().connect()
        try:
            await self._readers.connect()
        except BaseException:
            await super().disconnect()
            raise
        self.connector.start()

    async def disconnect(self) -> None:
        await self.connector.stop()
        await self._readers.disconnect()
        await super().disconnect()


class Readers(Pool):
    """Connections for one query each at a time. They are borrowed from a pool, which they go back to when anything is amiss:
    it knows how to end a query that was cancelled, and replaces what is broken.
    """

    def __init__(self, url: str, connector: Connector, size: int) -> None:
        super().__init__(url, connector, size)
        self._idle: asyncio.LifoQueue[Any] = asyncio.LifoQueue()
        """A place for each connection; None: to be borrowed when it is needed."""
        for _ in range(size):
            self._idle.put_nowait(None)

    async def fetch(self, sql: str, args: Sequence[Any]) -> list[Any]:
        """All rows of a query, which is a transaction of its own."""
        idle, kept = self._idle, None
        place = await self._wait() if idle.empty() else idle.get_nowait()
        try:
            connection = place if _is_open(place) else await self._replace(place)
            try:
                rows: list[Any] = await connection.fetch(sql, *args)
                kept = connection
            finally:
                if kept is None:
                    await self._give_back(connection)
        finally:
            idle.put_nowait(kept)
        return rows

    async def fetch_quick(self, sql: str, args: Sequence[Any]) -> list[Any] | None:
        """The same; None where it takes long, or is large."""
        try:
            async with asyncio.timeout(QUICK):
                rows = await self.fetch(sql, args)
        except TimeoutError:
            return None
        return None if rows and rows[0][0] is None else rows

    async def _wait(self) -> Any:
        async with asyncio.timeout(POOL_TIMEOUT):
            return await self._idle.get()

    async def _replace(self, place: Any) -> Any:
        if place is not None:
            await self._give_back(place)
        loan = self.connection()
        await loan.acquire()
        return loan.raw_connection

    async def _give_back(self, connection: Any) -> None:
        pool: asyncpg.Pool | None = self._pool
        if pool is not None:
            await pool.release(connection)

    async def disconnect(self) -> None:
        with suppress(TimeoutError):
            for _ in range(self._size):
                place = await self._wait()
                if place is not None:
                    await self._give_back(place)
        await super().disconnect()


def _is_open(place: Any) -> bool:
    """Whether there is a connection, and it is neither closed nor, because it was closed, back in the pool."""
    try:
        return place is not None and not place.is_closed()
    except asyncpg.InterfaceError:
        return False


def backend(url: str) -> PostgresqlBackend:
    return PostgresqlBackend(url)


async def watch(backend: PostgresqlBackend, ring: Ring) -> None:
    """Listen on a connection of its own; when it is lost, make a new one, and ring for whatever was missed in between.

    Where nothing is heard because connections are shared, look at the clocks instead.
    """
    pause = SHORTEST_BREAK
    while True:
        try:
            connection = await backend.connector.connect()
        except LOST:
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_BREAK)
            continue
        try:
            pause = SHORTEST_BREAK
            if backend.connector.shared:
                await _look(connection, ring)
            else:
                await _listen(connection, ring)
        except LOST:
            await asyncio.sleep(pause)
        finally:
            connection.terminate()


async def _listen(connection: Connection, ring: Ring) -> None:
    """Ring for each notification, until the connection is lost."""
    lost = asyncio.Event()
    connection.add_termination_listener(lambda _: lost.set())
    await connection.add_listener(CHANNEL, lambda _connection, _pid, _channel, collection: ring(str(collection)))
    ring(None)
    await lost.wait()
    _log.warning("the connection that listens for changes is lost; making a new one")


async def _look(connection: Connection, ring: Ring) -> None:
    """Ring for each clock that has moved since the last look, until the connection is lost."""
    seen: dict[str, int] = {}
    ring(None)
    while True:
        rows = await connection.fetch(CLOCKS, timeout=POOL_TIMEOUT)
        clocks = {str(name): int(last) for name, last in rows}
        for name, last in clocks.items():
            if seen and last != seen.get(name):
                ring(name)
        seen = clocks
        await asyncio.sleep(GLANCE)


def transaction(connection: Any) -> Any:
    """A writing transaction, in the isolation that it is made for, whatever the database's default is: writers wait for each
    other at the row of a clock, and each statement after that sees what the writer before has committed.
    """
    return connection.transaction(isolation="read_committed")


async def stream(connection: Any, sql: str, *args: Any) -> AsyncGenerator[Sequence[Sequence[Any]], None]:
    """The rows of a query of any size, a chunk at a time. The first column is a body; NULL stands for a large one, which is
    fetched by itself, by the document's key in the second column.

    A cursor of SQL's own, since PostgreSQL then plans for the first rows: it walks along an index that has the order, where
    it would sort the whole collection otherwise. The cursor is named after its query: asyncpg remembers for the text of each
    statement which columns its rows have, and a FETCH has those of the cursor's query.
    """
    cursor = f"scan_{hash(sql) % 2**64:x}"
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute(FEW_ROWS)
        await connection.fetch(f"DECLARE {cursor} NO SCROLL CURSOR FOR {sql}", *args)
        while rows := await connection.fetch(f"FETCH {CHUNK} FROM {cursor}"):
            start = 0
            for place, row in enumerate(rows):
                if row[0] is None:
                    yield [_encoded(each) for each in rows[start:place]]
                    body = await connection.fetchval("SELECT body FROM documents WHERE id = $1", row[1])
                    yield [(body.encode(), *row[1:])]
                    start = place + 1
            yield [_encoded(each) for each in rows[start:]]


def _encoded(row: Sequence[Any]) -> Sequence[Any]:
    return (row[0].encode(), *row[1:])


def is_unavailable(error: BaseException) -> bool:
    """Whether the database's state is to blame, so that the same request can succeed later."""
    if isinstance(error, asyncpg.PostgresError):
        return str(error.sqlstate)[:2] in _STATES
    return isinstance(error, OSError | TimeoutError | asyncpg.InterfaceError | asyncpg.InternalClientError)


def is_conflict(error: BaseException) -> bool:
    """Whether the transaction was undone for the sake of another one, so that it can be run again at once."""
    return isinstance(error, asyncpg.SerializationError | asyncpg.DeadlockDetectedError)


def is_refused_value(error: BaseException) -> bool:
    """Whether a value is to blame that the caller sent: data exceptions, and what is too large for an index."""
    return isinstance(error, asyncpg.PostgresError) and str(error.sqlstate)[:2] in {"22", "54"}


_STATES = frozenset({"08", "25", "28", "3D", "40", "53", "55", "57", "58", "XX"})
"""Classes of SQLSTATE: connection, read-only transaction, credentials, no such database, serialisation, resources, not ready,
operator, system, internal (https://www.postgresql.org/docs/current/errcodes-appendix.html)."""
