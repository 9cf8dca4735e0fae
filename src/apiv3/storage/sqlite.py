"""SQLite behind `databases`: a pool of connections that never block the event loop for long and never lose a write.

The backend that comes with `databases` opens a connection and a thread for each query and begins transactions late, so that
concurrent writers fail. This one keeps a few connections, begins writing transactions with BEGIN IMMEDIATE, and commits
durably (WAL with synchronous=FULL: an acknowledged write survives a power cut).

A short query runs where it is asked, on the event loop: the hop to a thread and back costs several times as much as reading
a document. Each has a budget of virtual machine steps, about a millisecond; what exceeds it, or finds the database locked,
is run again in a thread.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, suppress
from functools import partial
from typing import Any, TypeVar

from databases import DatabaseURL
from databases.interfaces import ConnectionBackend, DatabaseBackend

from apiv3.storage.contracts import SMALL, Ring
from apiv3.storage.dialects import SQLITE, Row
from apiv3.storage.threads import ThreadWork

DIALECT = SQLITE
POOL_SIZE = 6
BUDGET = 15_000
"""Virtual machine steps: a query on the event loop may take between one and two budgets, half a millisecond or so each."""
CHUNK = 500
"""Rows that a stream hands over at a time,"""
CHUNK_SIZE = 1_000_000
"""and about how many bytes of documents."""
BUSY_TIMEOUT = 10_000
"""Milliseconds that a statement in a thread waits for another process's lock."""
POOL_TIMEOUT = 10.0
"""Seconds that a request waits for a connection before it is told to come back later."""
GLANCE = 0.25
"""Seconds between two looks at whether anybody else has written to the file."""

MANY_PARAMETERS = 50
"""A statement with more has many rows to insert, which would hold up the event loop."""
MANY_ROWS = 32
"""The same of rows that are written one by one."""

_BEGIN = "BEGIN IMMEDIATE"

T = TypeVar("T")


class SqliteConnection:
    """One connection, with the few methods of asyncpg's that storage uses."""

    def __init__(self, path: str, threads: ThreadPoolExecutor, largest: int | None = None) -> None:
        self._threads = threads
        self._on_loop, self._budgets = False, 0
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_TIMEOUT / 1000)
        _use_wal(self._connection)
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.execute("PRAGMA busy_timeout=0")
        self._connection.set_progress_handler(self._is_over, BUDGET)
        if largest is not None:
            self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, largest)

    async def fetch(self, sql: str, *args: Any) -> list[Row]:
        """All rows of a query. Inside a transaction without a budget: what is done there is small, and must not be cut off."""
        rows = self.fetch_now(sql, args)
        if rows is not None:
            return rows
        return await self.in_thread(lambda: self._patiently(lambda: self._connection.execute(sql, args).fetchall()))

    def fetch_now(self, sql: str, args: Sequence[Any]) -> list[Row] | None:
        """All rows of a query that is answered at once; None when it has to be run again, in a thread."""
        try:
            self._on_loop, self._budgets = not self._connection.in_transaction, 0
            return self._connection.execute(sql, args).fetchall()
        except (sqlite3.OperationalError, sqlite3.DataError) as error:
            if not _worth_waiting(error):
                raise
            return None
        finally:
            self._on_loop = False

    def _is_over(self) -> bool:
        """Called whenever a statement has used up a budget. SQLite counts on from the last run of a statement that it has
        prepared, so the first call comes too early.
        """
        self._budgets += 1
        return self._on_loop and self._budgets > 1

    async def execute(self, sql: str, *args: Any) -> None:
        """A statement inside a transaction, whose lock is held already; one with many parameters in a thread.

        Without a budget: SQLite rolls the whole transaction back when it interrupts a statement that writes.
        """
        if len(args) > MANY_PARAMETERS:
            await self.in_thread(lambda: self._connection.execute(sql, args))
        else:
            self._connection.execute(sql, args)

    async def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """The same for each row of parameters; for many of them in a thread."""
        if len(rows) > MANY_ROWS:
            await self.in_thread(lambda: self._connection.executemany(sql, rows))
        else:
            self._connection.executemany(sql, rows)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """A writing transaction: the lock first, then the work, then a durable commit."""
        try:
            if self.fetch_now(_BEGIN, ()) is None:
                await self.in_thread(self._begin)
            yield
            await self.in_thread(self._connection.commit)
        finally:
            if self._connection.in_transaction:
                self._connection.rollback()

    def _begin(self) -> None:
        """For use in a thread. SQLite's own waiting asks ever more seldom: beside a busy neighbour it would get no chance."""
        deadline = time.monotonic() + BUSY_TIMEOUT / 1000
        while True:
            try:
                self._connection.execute(_BEGIN)
                return
            except sqlite3.OperationalError as error:
                if not _worth_waiting(error) or time.monotonic() > deadline:
                    raise
            time.sleep(random.uniform(0.0005, 0.003))  # noqa: S311 (no secret)

    def cursor(self, sql: str, *args: Any) -> sqlite3.Cursor:
        """For use in a thread."""
        return self._patiently(lambda: self._connection.execute(sql, args))

    def in_thread(self, work: Callable[[], T]) -> Awaitable[T]:
        """Run to the end in a thread however often the caller is cancelled: nobody may use the connection before that."""
        return ThreadWork(work).run(self._threads)

    def _patiently(self, work: Callable[[], T]) -> T:
        """Wait for locks, as only a thread may."""
        self._connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT}")
        try:
            return work()
        finally:
            self._connection.execute("PRAGMA busy_timeout=0")

    def close(self) -> None:
        self._connection.close()


def transaction(connection: SqliteConnection) -> AbstractAsyncContextManager[None]:
    """A writing transaction."""
    return connection.transaction()


async def stream(connection: SqliteConnection, sql: str, *args: Any) -> AsyncGenerator[Sequence[Row], None]:
    """The rows of a query of any size, a chunk at a time. The first column is a body."""
    cursor = await connection.in_thread(partial(connection.cursor, sql, *args))
    try:
        while rows := await connection.in_thread(partial(_fetch, cursor)):
            yield rows
    finally:
        cursor.close()


def _fetch(cursor: sqlite3.Cursor) -> list[Row]:
    """The next rows, for use in a thread."""
    rows, size = list[Row](), 0
    for row in cursor:
        rows.append(row)
        size += len(row[0])
        if len(rows) == CHUNK or size > CHUNK_SIZE:
            break
    return rows


def is_unavailable(error: BaseException) -> bool:
    """Whether the database's state is to blame, so that the same request can succeed later."""
    if isinstance(error, sqlite3.Error):
        return not isinstance(error, _FAULTS | sqlite3.DataError)
    return isinstance(error, OSError | TimeoutError)


def is_conflict(_error: BaseException) -> bool:
    """Never: there is one writer at a time, from the beginning of its transaction."""
    return False


def is_refused_value(error: BaseException) -> bool:
    """Whether a value is to blame that the caller sent: a text that is too long."""
    return isinstance(error, sqlite3.DataError)


_FAULTS = sqlite3.IntegrityError | sqlite3.ProgrammingError | sqlite3.InterfaceError


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch the file to WAL, for good. While others open it for the first time SQLite does not wait, so we do."""
    deadline = time.monotonic() + POOL_TIMEOUT
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if not _worth_waiting(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _worth_waiting(error: sqlite3.DatabaseError) -> bool:
    """Whether the same statement can succeed in a thread: it ran out of its budget, or found more than is taken at once, or
    somebody holds a lock.
    """
    return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_BUSY)


class SqliteBackend(DatabaseBackend):
    """A pool of connections to one file, opened as they are needed."""

    def __init__(self, url: str) -> None:
        self.path = DatabaseURL(url).database
        self._threads = ThreadPoolExecutor(POOL_SIZE, thread_name_prefix="sqlite")
        self._idle: asyncio.LifoQueue[SqliteConnection | None] = asyncio.LifoQueue()
        self._reader: SqliteConnection | None = None

    async def connect(self) -> None:
        self._reader = await self._open(SMALL)
        for _ in range(POOL_SIZE):
            self._idle.put_nowait(None)

    async def disconnect(self) -> None:
        """Close what is in the pool, and what comes back to it in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(POOL_TIMEOUT):
                for _ in range(POOL_SIZE):
                    connection = await self._idle.get()
                    if connection is not None:
                        connection.close()
        if self._reader is not None:
            self._reader.close()
        self._threads.shutdown(wait=False)

    async def _open(self, largest: int | None = None) -> SqliteConnection:
        """In a thread, since it waits for locks. `largest`: the most bytes that one value may have."""
        opening = ThreadWork(partial(SqliteConnection, self.path, self._threads, largest))
        try:
            return await opening.run(self._threads)
        except asyncio.CancelledError:
            if opening.result is not None:
                opening.result.close()
            raise

    async def fetch(self, sql: str, args: Sequence[Any]) -> list[Row]:
        """At once if that will do, on a connection that is never lent, so that nothing else can come between."""
        rows = None if self._reader is None else self._reader.fetch_now(sql, args)
        return await self._fetch_on_loan(sql, args) if rows is None else rows

    async def fetch_quick(self, sql: str, args: Sequence[Any]) -> list[Row] | None:
        """The same; None where it takes long, or is large, or has to wait for a lock."""
        return None if self._reader is None else self._reader.fetch_now(sql, args)

    async def _fetch_on_loan(self, sql: str, args: Sequence[Any]) -> list[Row]:
        loan = self.connection()
        await loan.acquire()
        try:
            return await loan.raw_connection.fetch(sql, *args)
        finally:
            await loan.release()

    def connection(self) -> SqliteLoan:
        return SqliteLoan(self._idle, self._open)


def backend(url: str) -> SqliteBackend:
    return SqliteBackend(url)


async def watch(backend: SqliteBackend, ring: Ring) -> None:
    """Look now and then at the number that changes whenever anything is committed on another connection, whoever has it."""
    while True:
        try:
            with closing(sqlite3.connect(backend.path, isolation_level=None, timeout=0)) as connection:
                seen: object = None  # each connection counts for itself; what happened before it is told by a ring in vain
                while True:
                    version = connection.execute("PRAGMA data_version").fetchone()
                    if version != seen:
                        ring(None)
                        seen = version
                    await asyncio.sleep(GLANCE)
        except sqlite3.Error:  # the disk is to blame, or a lock; whoever reads will say so
            await asyncio.sleep(GLANCE)


class SqliteLoan(ConnectionBackend):
    """A connection on loan from the pool."""

    def __init__(
        self, idle: asyncio.LifoQueue[SqliteConnection | None], open: Callable[[], Awaitable[SqliteConnection]]
    ) -> None:
        self._idle, self._open = idle, open
        self._connection: SqliteConnection | None = None

    async def acquire(self) -> None:
        if self._idle.empty():
            async with asyncio.timeout(POOL_TIMEOUT):
                place = await self._idle.get()
        else:
            place = self._idle.get_nowait()
        try:
            self._connection = place or await self._open()
        except BaseException:
            self._idle.put_nowait(None)
            raise

    async def release(self) -> None:
        self._idle.put_nowait(self._connection)
        self._connection = None

    @property
    def raw_connection(self) -> SqliteConnection:
        if self._connection is None:
            raise RuntimeError("nothing is on loan")
        return self._connection
