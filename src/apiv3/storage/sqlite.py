"""The driver for SQLite: a pool of connections that do not block the event loop for long and do not lose writes.

The backend in `databases` opens a connection and a thread for each query and begins transactions late, so that concurrent
writers fail. This one keeps a few connections, begins writing transactions with BEGIN IMMEDIATE, and commits durably (WAL with
synchronous=FULL: an acknowledged write survives a power failure).

Short queries run on the event loop, since passing them to a thread and back costs several times as much as reading a document.
Each has a budget of virtual machine steps, about a millisecond. A query that exceeds it, or finds the database locked, is run
again in a thread.
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
from math import inf
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from apiv3.storage.contracts import LARGE, SMALL, Ring
from apiv3.storage.dialects import SQLITE, Row
from apiv3.storage.threads import ThreadWork

DIALECT = SQLITE
POOL_SIZE = 6
BUDGET = 30_000
"""Virtual machine steps that a query on the event loop may take, about a millisecond."""
MOST_SECONDS, LATEST = 0.02, 0.1
"""Seconds after which such a query ends although it has taken fewer steps, because it reads much in each of them; and seconds
after which it ends although it had the processor for less time, because it waits for the disk or for other processes."""
CACHE = 8_192
"""Most KiB of the file that the connection of short queries keeps in memory, four times the default."""
STEP = 200
"""Virtual machine steps after which both bounds are checked: about 20 documents, which may have a megabyte each."""
CHUNK = 500
"""Most rows in a chunk of a stream."""
CHUNK_SIZE = 1_000_000
"""Bytes of documents after which a chunk ends."""
BUSY_TIMEOUT = 10_000
"""Milliseconds that a statement in a thread waits for another process's lock."""
POOL_TIMEOUT = 10.0
"""Seconds that a request waits for a connection until StorageUnavailable is raised."""
GLANCE = 0.25
"""Seconds between two checks whether another connection has written to the file."""

MOST_KEPT = 262_144
"""Characters of parameters that a connection may keep. SQLite has its own copies of a statement's parameters, and the module
sqlite3 cannot clear them; so a connection with more is closed, which frees them."""
MANY_PARAMETERS = 50
"""Parameters above which a statement runs in a thread: it inserts many rows, which would block the event loop."""
MANY_ROWS = 32
"""Rows above which `executemany` runs in a thread."""

_BEGIN = "BEGIN IMMEDIATE"

T = TypeVar("T")


class SqliteConnection:
    """One connection, with those methods of asyncpg's connections that storage uses.

    `largest`: for the connection of short queries, the most bytes of one value; larger ones raise sqlite3.DataError.
    `is_laden`: whether a statement may keep copies of large parameters.
    """

    def __init__(self, path: str, threads: ThreadPoolExecutor, largest: int | None = None) -> None:
        self._threads = threads
        self.is_laden = False
        self._on_loop, self._steps = False, 0
        self._until, self._latest, self._worked = 0.0, 0.0, inf
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_TIMEOUT / 1000)
        _use_wal(self._connection)
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.execute("PRAGMA busy_timeout=0")
        self._connection.set_progress_handler(self._is_over, STEP)
        self._cursor = self._connection.cursor()
        """Runs all statements whose rows are fetched at once. To make a cursor for each takes time; and one that was made in a
        thread may be freed there later, which would reset the statement while it is run again for somebody else."""
        if largest is not None:
            self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, largest)
            self._connection.execute(f"PRAGMA cache_size=-{CACHE}")

    async def fetch(self, sql: str, *args: Any) -> list[Row]:
        """Return all rows of a query. Inside a transaction there is no budget, since queries there must not be interrupted; but
        documents of more than SMALL bytes are read in a thread.
        """
        most = self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, SMALL)
        try:
            rows = self.fetch_now(sql, args)
        finally:
            self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, most)
        if rows is not None:
            return rows
        return await self.fetch_in_thread(sql, args)

    async def fetch_in_thread(self, sql: str, args: Sequence[Any]) -> list[Row]:
        """All rows of a query, however long it takes, or however large they are."""
        return await self.in_thread(lambda: self._patiently(lambda: self._connection.execute(sql, args).fetchall()))

    def fetch_now(self, sql: str, args: Sequence[Any]) -> list[Row] | None:
        """Run a query on the event loop and return all its rows; None when it has to be run again in a thread."""
        try:
            self._on_loop, self._steps = not self._connection.in_transaction, 0
            return self._cursor.execute(sql, args).fetchall()
        except (sqlite3.OperationalError, sqlite3.DataError) as error:
            if not _worth_waiting(error):
                raise
            return None
        finally:
            self._on_loop = False

    def _is_over(self) -> bool:
        """Return whether to interrupt the statement; SQLite calls this after each `STEP` steps. Most statements end before."""
        if not self._steps:
            begun = time.monotonic()
            self._until, self._latest, self._worked = begun + MOST_SECONDS, begun + LATEST, inf
        self._steps += STEP
        return self._on_loop and (self._steps > BUDGET or (time.monotonic() > self._until and self._has_worked()))

    def _has_worked(self) -> bool:
        """Return whether the statement itself has taken the time, rather than another process that had the processor.

        The processor's time takes long to read, so it counts from the first call on: a statement may take MOST_SECONDS twice.
        """
        before, self._worked = self._worked, time.thread_time()
        self._until = time.monotonic() + MOST_SECONDS
        return self._worked - before > MOST_SECONDS / 2 or self._until > self._latest

    async def execute(self, sql: str, *args: Any) -> None:
        """Run a statement inside a transaction, which holds the lock; in a thread if it has many parameters or a large one.

        There is no budget, since SQLite rolls the whole transaction back when it interrupts a statement that writes.
        """
        size = self._bind(args)
        if len(args) > MANY_PARAMETERS or size > LARGE:
            await self.in_thread(lambda: self._cursor.execute(sql, args))
        else:
            self._cursor.execute(sql, args)

    async def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run a statement inside a transaction for each row of parameters; in a thread if there are many rows."""
        self._bind(rows[-1])
        if len(rows) > MANY_ROWS:
            await self.in_thread(lambda: self._cursor.executemany(sql, rows))
        else:
            self._cursor.executemany(sql, rows)

    def _bind(self, args: Sequence[Any]) -> int:
        """Return the characters of parameters that a statement keeps copies of until it is run again."""
        size = sum(len(each) for each in args if isinstance(each, str))
        self.is_laden = self.is_laden or size > MOST_KEPT
        return size

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Begin a writing transaction with the lock, and commit it durably at the end of the block."""
        try:
            if self.fetch_now(_BEGIN, ()) is None:
                await self.in_thread(self._begin)
            yield
            await self.in_thread(self._connection.commit)
        finally:
            if self._connection.in_transaction:
                self._connection.rollback()

    def _begin(self) -> None:
        """Begin a transaction, in a thread. SQLite's own busy handler retries less and less often, and so would rarely get the
        lock while another process writes all the time.
        """
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
        """Run a query and return its cursor. Call this in a thread."""
        return self._patiently(lambda: self._connection.execute(sql, args))

    def in_thread(self, work: Callable[[], T], discard: Callable[[T], object] | None = None) -> Awaitable[T]:
        """Run `work` in a thread to its end, even if the caller is cancelled, since nobody may use the connection before.

        `discard`: called with the result of a caller that was cancelled.
        """
        return ThreadWork(work, discard).run(self._threads)

    def _patiently(self, work: Callable[[], T]) -> T:
        """Run `work` with waiting for locks, which only a thread may do."""
        self._connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT}")
        try:
            return work()
        finally:
            self._connection.execute("PRAGMA busy_timeout=0")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def transaction(connection: SqliteConnection) -> AbstractAsyncContextManager[None]:
    """Begin a writing transaction on a connection of the pool."""
    return connection.transaction()


async def stream(connection: SqliteConnection, sql: str, *args: Any) -> AsyncGenerator[Sequence[Row], None]:
    """Yield the rows of a query of any size in chunks. The first column must be a body.

    The cursor must be closed at the end: an open one keeps its connection at an old state of the database, from which no
    transaction can write.
    """
    cursor = await connection.in_thread(partial(connection.cursor, sql, *args), discard=sqlite3.Cursor.close)
    try:
        while rows := await connection.in_thread(partial(_fetch, cursor)):
            yield rows
    finally:
        cursor.close()


def _fetch(cursor: sqlite3.Cursor) -> list[Row]:
    """Return the rows of the next chunk. Call this in a thread."""
    rows, size = list[Row](), 0
    for row in cursor:
        rows.append(row)
        size += len(row[0])
        if len(rows) == CHUNK or size > CHUNK_SIZE:
            break
    return rows


def is_unavailable(error: BaseException) -> bool:
    """Whether the state of the database caused the error, so that the same request can succeed later."""
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
    """Switch the file to WAL permanently. SQLite does not wait while other processes do the same, so this retries."""
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
    """Whether the same statement can succeed in a thread: it exceeded its budget or the limit of a value, or a lock is held."""
    return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_BUSY)


class SqliteBackend:
    """The Backend for SQLite: a pool of connections to one file, opened when they are needed."""

    def __init__(self, url: str) -> None:
        self.path = unquote(urlsplit(url).path.removeprefix("/"))
        self._threads = ThreadPoolExecutor(POOL_SIZE, thread_name_prefix="sqlite")
        self._idle: asyncio.LifoQueue[SqliteConnection | None] = asyncio.LifoQueue()
        self._reader: SqliteConnection | None = None

    async def connect(self) -> None:
        self._reader = await self._open(SMALL)
        for _ in range(POOL_SIZE):
            self._idle.put_nowait(None)

    async def disconnect(self) -> None:
        """Close the connections in the pool, and those that return to it within POOL_TIMEOUT seconds."""
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
        """Open a connection in a thread, since this can wait for locks. `largest`: the most bytes of one value."""
        opening = partial(SqliteConnection, self.path, self._threads, largest)
        return await ThreadWork(opening, discard=SqliteConnection.close).run(self._threads)

    async def fetch(self, sql: str, args: Sequence[Any]) -> list[Row]:
        """Return all rows of a query: on the event loop, on a connection that is never lent out; otherwise in a thread."""
        rows = None if self._reader is None else self._reader.fetch_now(sql, args)
        return await self._fetch_on_loan(sql, args) if rows is None else rows

    async def fetch_quick(self, sql: str, args: Sequence[Any]) -> list[Row] | None:
        """Return all rows of a query; None when it takes long, its result is large, or it would have to wait for a lock."""
        return None if self._reader is None else self._reader.fetch_now(sql, args)

    async def _fetch_on_loan(self, sql: str, args: Sequence[Any]) -> list[Row]:
        loan = self.connection()
        await loan.acquire()
        try:
            return await loan.raw_connection.fetch_in_thread(sql, args)
        finally:
            await loan.release()

    def connection(self) -> SqliteLoan:
        return SqliteLoan(self._idle, self._open)


def backend(url: str) -> SqliteBackend:
    return SqliteBackend(url)


async def watch(backend: SqliteBackend, ring: Ring) -> None:
    """Poll `PRAGMA data_version`, which changes with every commit on another connection, of this process or another."""
    while True:
        try:
            with closing(sqlite3.connect(backend.path, isolation_level=None, timeout=0)) as connection:
                seen: object = None  # the number is only valid for one connection, so begin with a ring
                while True:
                    version = connection.execute("PRAGMA data_version").fetchone()
                    if version != seen:
                        ring(None)
                        seen = version
                    await asyncio.sleep(GLANCE)
        except sqlite3.Error:  # the disk or a lock; the readers report such errors
            await asyncio.sleep(GLANCE)


class SqliteLoan:
    """A connection borrowed from the pool."""

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
        connection, self._connection = self._connection, None
        if connection is not None and connection.is_laden:
            connection.close()
            connection = None
        self._idle.put_nowait(connection)

    @property
    def raw_connection(self) -> SqliteConnection:
        if self._connection is None:
            raise RuntimeError("nothing is on loan")
        return self._connection
