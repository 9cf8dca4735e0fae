"""The driver for PostgreSQL, on top of `databases` and asyncpg: connections, streams, and the meaning of errors.

Single queries do not go through the pool, because borrowing and returning a connection of asyncpg's pool costs more than the
query itself. They run on a few connections that are borrowed once and kept.
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
"""Seconds that a request waits for a connection until StorageUnavailable is raised."""
LAST_PATIENCE = 3.0
"""Seconds that the database gets to end a cancelled statement or to close connections. After that they are dropped, because
nobody may be at their other end."""
POOL_SIZE, READERS = 6, 10
"""Most connections in the pool, and most connections that are kept for single queries."""
CHUNK = 250
"""Rows that a stream fetches at a time."""
QUICK = 0.5
"""Seconds after which `fetch_quick` gives up."""
SHORTEST_BREAK, LONGEST_BREAK = 0.1, 5.0
"""Seconds between attempts to connect the listener; they double after each failure."""
GLANCE = 0.5
"""Seconds between two checks for changes behind a pooler, where LISTEN does not work."""
CLOCKS = "SELECT name, last FROM clocks"
FEW_ROWS = "SET LOCAL cursor_tuple_fraction = 0.01; SET LOCAL jit = off"
"""Makes PostgreSQL optimize a cursor for its first rows (the fraction that it expects to be fetched), and not compile a plan
because of its high total cost, since most cursors are closed early."""


async def _keep(_connection: object) -> None:
    """Replace asyncpg's reset, which costs a round trip for each loan. None of our statements changes a connection's state."""


_OPTIONS: dict[str, Any] = {
    "min_size": 0,  # otherwise the pool logs tracebacks again and again while the database is unavailable
    "command_timeout": 30,
    "reset": _keep,
}


_log = logging.getLogger(__name__)


class PatientConnection(PostgresConnection):
    """A connection borrowed from the pool. Waiting for it raises TimeoutError after POOL_TIMEOUT seconds."""

    async def acquire(self) -> None:
        pool: asyncpg.Pool | None = self._database._pool
        if pool is not None and pool.get_idle_size():
            await super().acquire()
            return
        async with asyncio.timeout(POOL_TIMEOUT):
            await super().acquire()

    async def release(self) -> None:
        pool: asyncpg.Pool | None = self._database._pool
        connection, self._connection = self._connection, None
        if pool is not None:
            await _release(pool, connection)


async def _release(pool: asyncpg.Pool, connection: Any) -> None:
    """Return a connection to its pool, which replaces one whose cancelled statement does not end."""
    with suppress(TimeoutError):
        await pool.release(connection, timeout=LAST_PATIENCE)


class Pool(PostgresBackend):
    """The backend of `databases` with our options, and with connections made by a Connector."""

    def __init__(self, url: str, connector: Connector, size: int) -> None:
        super().__init__(url)
        self._connector, self._size = connector, size

        self._pool: Any = None

    async def connect(self) -> None:
        connect: Any = self._connector.connect
        self._pool = await asyncpg.create_pool(connect=connect, max_size=self._size, **_OPTIONS)

    async def disconnect(self) -> None:
        pool, self._pool = self._pool, None
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_PATIENCE):
                await pool.close()

    def connection(self) -> PatientConnection:
        return PatientConnection(self, self._dialect)


class PostgresqlBackend(Pool):
    """The Backend for PostgreSQL: a pool of connections, and the readers for single queries."""

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
        await asyncio.gather(self._readers.disconnect(), super().disconnect())


class Readers(Pool):
    """Connections for single queries, borrowed from a pool and kept.

    When a query fails or is cancelled, its connection is returned to the pool, which cleans it up or replaces it.
    """

    def __init__(self, url: str, connector: Connector, size: int) -> None:
        super().__init__(url, connector, size)
        self._idle: asyncio.LifoQueue[Any] = asyncio.LifoQueue()
        """The connections that are not in use; None in place of one that is yet to be borrowed."""
        for _ in range(size):
            self._idle.put_nowait(None)

    async def fetch(self, sql: str, args: Sequence[Any]) -> list[Any]:
        """Return all rows of a query, which is a transaction of its own."""
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
        """Return all rows of a query; None when it takes more than QUICK seconds, or its result is large."""
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
            await _release(pool, connection)

    async def disconnect(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_PATIENCE):
                for _ in range(self._size):
                    place = await self._idle.get()
                    if place is not None:
                        await self._give_back(place)
        await super().disconnect()


def _is_open(place: Any) -> bool:
    """Whether there is a connection that is usable: neither closed nor, after it was closed, returned to the pool."""
    try:
        return place is not None and not place.is_closed()
    except asyncpg.InterfaceError:
        return False


def backend(url: str) -> PostgresqlBackend:
    return PostgresqlBackend(url)


async def watch(backend: PostgresqlBackend, ring: Ring) -> None:
    """Listen for notifications on a separate connection; when it is lost, make a new one, and ring for all collections.

    Behind a pooler, where LISTEN does not work, poll the clocks instead.
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
    """Poll the clocks and ring for each that has changed, until the connection is lost."""
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
    """Begin a writing transaction with isolation level "read committed", whatever the database's default is.

    Writers wait for each other at the row of a clock. Statements after that must see what the previous writer has committed.
    """
    return connection.transaction(isolation="read_committed")


async def stream(connection: Any, sql: str, *args: Any) -> AsyncGenerator[Sequence[Sequence[Any]], None]:
    """Yield the rows of a query of any size in chunks. The first column is a body, or NULL for a large one, which is fetched
    with a query of its own, by the document's key in the second column.

    This uses a cursor of SQL, since PostgreSQL then optimizes for the first rows: it reads along an index with the right order,
    instead of sorting the whole collection. The cursor is named after its query, because asyncpg caches the columns of a result
    by the text of the statement, and the columns of a FETCH are those of the cursor's query.
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
    """Whether the state of the database caused the error, so that the same request can succeed later."""
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
"""Classes of SQLSTATE: connection, invalid transaction state (read-only), authorization, unknown database, serialization,
resources, object not ready, operator intervention, system, internal error
(https://www.postgresql.org/docs/current/errcodes-appendix.html)."""
