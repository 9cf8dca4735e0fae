"""Connections and transactions of one database, of either kind; translates the database's errors."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from importlib import import_module
from types import TracebackType
from typing import Any, NoReturn, Protocol, cast
from urllib.parse import urlsplit

from apiv3.model.errors import StorageUnavailable, TransactionConflict, ValueRefused
from apiv3.storage.contracts import Ring
from apiv3.storage.dialects import Dialect, Row
from apiv3.turns import Turns

TURN_TIMEOUT = 20.0
"""Seconds that a writer waits for those before it, until StorageUnavailable is raised."""
MOST_SCANS = 2
"""Most streams at a time; a pool has several times as many connections."""

_log = logging.getLogger(__name__)


class Connection(Protocol):
    """What the raw connections of both databases have in common. Parameters are `?` for SQLite and `$1` for PostgreSQL."""

    async def fetch(self, sql: str, *args: Any) -> list[Row]:
        """Run a statement and return all its rows."""

    async def execute(self, sql: str, *args: Any) -> Any:
        """Run a statement that returns no rows."""

    async def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> Any:
        """Run a statement once for each row of parameters."""


class Loan(Protocol):
    """A connection that is borrowed from a pool between `acquire` and `release`."""

    async def acquire(self) -> None:
        """Borrow a connection. Raises the errors of the driver."""

    async def release(self) -> None:
        """Return it to the pool."""

    @property
    def raw_connection(self) -> Any:
        """The connection."""


class Backend(Protocol):
    """The connections to one database."""

    async def connect(self) -> None:
        """Connect to the database. Raises the errors of the driver."""

    async def disconnect(self) -> None:
        """Close all connections."""

    def connection(self) -> Loan:
        """Return a loan from the pool, which is not acquired yet."""

    async def fetch(self, sql: str, args: Sequence[Any]) -> list[Row]:
        """Return all rows of a query, in a transaction of its own, as fast as possible."""

    async def fetch_quick(self, sql: str, args: Sequence[Any]) -> list[Row] | None:
        """Return all rows of a query as `fetch` does; None when it takes long, or its result is large."""


class Absent:
    """The backend while the database is not connected: every method raises StorageUnavailable."""

    async def connect(self) -> None:
        raise StorageUnavailable

    async def disconnect(self) -> None:
        """Do nothing: no connection is open."""

    def connection(self) -> Loan:
        raise StorageUnavailable

    async def fetch(self, sql: str, args: Sequence[Any]) -> list[Row]:  # noqa: ARG002
        raise StorageUnavailable

    async def fetch_quick(self, sql: str, args: Sequence[Any]) -> list[Row] | None:  # noqa: ARG002
        raise StorageUnavailable


class Driver(Protocol):
    """What the modules `storage.sqlite` and `storage.postgresql` have in common; only the one in use is imported."""

    DIALECT: Dialect

    def backend(self, url: str) -> Backend: ...

    def stream(self, connection: Any, sql: str, *args: Any) -> AsyncGenerator[Sequence[Row], None]: ...

    def transaction(self, connection: Any) -> AbstractAsyncContextManager[object]:
        """Begin a writing transaction on a connection of the pool."""

    def is_unavailable(self, error: BaseException) -> bool: ...

    def is_conflict(self, error: BaseException) -> bool: ...

    def is_refused_value(self, error: BaseException) -> bool: ...

    async def watch(self, backend: Any, ring: Ring) -> None: ...


class Database:
    """One database: `async with database.connection() as c` to read, `database.transaction(lane)` to write.

    Raises StorageUnavailable for errors that are caused by the state of the database, and ValueRefused for those caused by a
    value of the caller.
    """

    def __init__(self, url: str) -> None:
        kind = "sqlite" if urlsplit(url).scheme == "sqlite" else "postgresql"
        self._url = url
        self._driver = cast("Driver", import_module(f"apiv3.storage.{kind}"))
        self._backend: Backend = Absent()
        self._connected = asyncio.Event()
        self.dialect = self._driver.DIALECT
        self._scans = Turns(MOST_SCANS, MOST_SCANS - 1)
        self._lanes: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def connect(self) -> None:
        """Connect to the database, unless it is connected. May be called again after a failure. Raises StorageUnavailable."""
        if self._connected.is_set():
            return
        backend = self._driver.backend(self._url)
        try:
            await backend.connect()
        except Exception as error:
            _raise(error, self._driver)
        self._backend = backend
        self._connected.set()

    async def disconnect(self) -> None:
        """Close all connections."""
        self._connected.clear()
        backend, self._backend = self._backend, Absent()
        await backend.disconnect()

    async def fetch(self, sql: str, *args: Any) -> list[Row]:
        """Return all rows of a query, as fast as possible."""
        try:
            return await self._backend.fetch(sql, args)
        except Exception as error:
            _raise(error, self._driver)

    async def fetch_quick(self, sql: str, *args: Any) -> list[Row] | None:
        """Return all rows of a query of bodies; None when it takes long or its result is large: then use `stream`."""
        try:
            return await self._backend.fetch_quick(sql, args)
        except Exception as error:
            _raise(error, self._driver)

    def connection(self) -> Borrowed:
        """Borrow a connection for reading until the end of the block."""
        return Borrowed(self._backend.connection(), self._driver)

    @asynccontextmanager
    async def transaction(self, lane: str) -> AsyncIterator[Connection]:
        """Begin a writing transaction; it is committed at the end of the block, rolled back on an exception.

        Transactions with the same `lane` run one at a time, in their order. They would wait for each other in the database
        anyway; waiting here takes no connection away from readers.
        """
        place = self._lanes[lane if not self.dialect.one_writer else ""]
        await _enter(place)
        try:
            async with self.connection() as connection, self._driver.transaction(connection):
                yield connection
        finally:
            place.release()

    async def watch(self, ring: Ring) -> None:
        """Ring whenever another process may have written to the database; see `contracts.Watch`."""
        await self._connected.wait()
        await self._driver.watch(self._backend, ring)

    async def stream(self, sql: str, *args: Any, caller: str = "") -> AsyncGenerator[Sequence[Row], None]:
        """Yield the rows of a query of any size or cost in chunks, in constant memory.

        The first column must be a body (UTF-8), the second the key of the document. At most MOST_SCANS streams run at a time,
        so that connections are left for short queries; they take turns among the callers.
        """
        async with (
            self._scans.take(caller),
            self.connection() as connection,
            # Closing it ends a transaction, which must happen before the connection is given back.
            aclosing(self._driver.stream(connection, sql, *args)) as chunks,
        ):
            async for rows in chunks:
                yield rows


async def _enter(lane: asyncio.Lock) -> None:
    """Acquire a lock. Raises StorageUnavailable after waiting for TURN_TIMEOUT seconds."""
    if not lane.locked():
        await lane.acquire()
        return
    try:
        async with asyncio.timeout(TURN_TIMEOUT):
            await lane.acquire()
    except TimeoutError as error:
        raise StorageUnavailable from error


class Borrowed:
    """A raw connection of the pool, borrowed for a block.

    This uses the backends of `databases` directly. The class `Database` of that library binds a connection to a task and guards
    it with three locks, which costs more than reading a document.
    """

    __slots__ = ("_driver", "_loan")

    def __init__(self, loan: Loan, driver: Driver) -> None:
        self._loan, self._driver = loan, driver

    async def __aenter__(self) -> Any:
        try:
            await self._loan.acquire()
        except Exception as error:
            _raise(error, self._driver)
        return self._loan.raw_connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._loan.release()
        except Exception as failure:
            error = error or failure
        if isinstance(error, Exception):
            _raise(error, self._driver)


def _raise(error: Exception, driver: Driver) -> NoReturn:
    """Raise the error of ours that a database error stands for, or else the error itself. The database's message never gets
    into an answer, since it may quote data.
    """
    if driver.is_conflict(error):
        raise TransactionConflict from error
    if driver.is_unavailable(error):
        raise StorageUnavailable from error
    if driver.is_refused_value(error):
        _log.warning("the database refused a value of a request: %s", type(error).__name__)
        raise ValueRefused from error
    raise error
