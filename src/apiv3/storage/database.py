"""Connections and transactions of one database, of either kind, and the one place where its errors are translated."""

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

from databases.interfaces import ConnectionBackend

from apiv3.model.errors import StorageUnavailable, TransactionConflict, ValueRefused
from apiv3.storage.contracts import Ring
from apiv3.storage.dialects import Dialect, Row
from apiv3.turns import Turns

TURN_TIMEOUT = 20.0
"""Seconds that a writer or a scan waits for those before it, before it is told to come back later."""
MOST_SCANS = 2
"""Streams at a time; a pool has several times as many connections."""

_log = logging.getLogger(__name__)


class Connection(Protocol):
    """What both kinds of raw connection can do. Parameters stand as `?` in SQLite and as `$1` in PostgreSQL."""

    async def fetch(self, sql: str, *args: Any) -> list[Row]: ...

    async def execute(self, sql: str, *args: Any) -> Any: ...

    async def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> Any:
        """A statement once for each of the rows of parameters."""


class Backend(Protocol):
    """The connections to one database."""

    async def connect(self) -> None: ...

    async def disconnect(self) -> None: ...

    def connection(self) -> ConnectionBackend:
        """A loan from the pool."""

    async def fetch(self, sql: str, args: Sequence[Any]) -> list[Row]:
        """All rows of one query, which is a transaction of its own, in the least time."""

    async def fetch_quick(self, sql: str, args: Sequence[Any]) -> list[Row] | None:
        """The same; None where it takes long, or is large."""


class Absent:
    """The backend of a database that is not connected: whoever asks it is told to come back later."""

    async def connect(self) -> None:
        raise StorageUnavailable

    async def disconnect(self) -> None:
        """There is nothing to end."""

    def connection(self) -> ConnectionBackend:
        raise StorageUnavailable

    async def fetch(self, sql: str, args: Sequence[Any]) -> list[Row]:  # noqa: ARG002
        raise StorageUnavailable

    async def fetch_quick(self, sql: str, args: Sequence[Any]) -> list[Row] | None:  # noqa: ARG002
        raise StorageUnavailable


class Driver(Protocol):
    """What `storage.sqlite` and `storage.postgresql` have in common; only the one in use is loaded."""

    DIALECT: Dialect

    def backend(self, url: str) -> Backend: ...

    def stream(self, connection: Any, sql: str, *args: Any) -> AsyncGenerator[Sequence[Row], None]: ...

    def transaction(self, connection: Any) -> AbstractAsyncContextManager[object]:
        """A writing transaction on a connection of the pool."""

    def is_unavailable(self, error: BaseException) -> bool: ...

    def is_conflict(self, error: BaseException) -> bool: ...

    def is_refused_value(self, error: BaseException) -> bool: ...

    async def watch(self, backend: Any, ring: Ring) -> None: ...


class Database:
    """One database: `async with database.connection() as c` to read, `database.transaction(lane)` to write.

    Every failure that comes from the database's state rather than from the statement leaves as StorageUnavailable, one that
    comes from a value of the caller as ValueRefused.
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
        """May be tried again after it has failed; once connected it does nothing. Raises StorageUnavailable."""
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
        self._connected.clear()
        backend, self._backend = self._backend, Absent()
        await backend.disconnect()

    async def fetch(self, sql: str, *args: Any) -> list[Row]:
        """All rows of one query, in the least time."""
        try:
            return await self._backend.fetch(sql, args)
        except Exception as error:
            _raise(error, self._driver)

    async def fetch_quick(self, sql: str, *args: Any) -> list[Row] | None:
        """The same of a query of bodies; None where it takes long, or is large: then it is one for a stream."""
        try:
            return await self._backend.fetch_quick(sql, args)
        except Exception as error:
            _raise(error, self._driver)

    def connection(self) -> Borrowed:
        """A connection for reading; given back at the end of the block."""
        return Borrowed(self._backend.connection(), self._driver)

    @asynccontextmanager
    async def transaction(self, lane: str) -> AsyncIterator[Connection]:
        """A connection with a writing transaction: committed at the end of the block, rolled back when anything is raised.

        Transactions of one `lane` would wait for each other in the database; they wait here instead, where they take no
        connection away from readers and come in their order.
        """
        async with (
            _turn(self._lanes[lane if not self.dialect.one_writer else ""]),
            self.connection() as connection,
            self._driver.transaction(connection),
        ):
            yield connection

    async def watch(self, ring: Ring) -> None:
        """Ring whenever another process may have written to the database; see `contracts.Watch`."""
        await self._connected.wait()
        await self._driver.watch(self._backend, ring)

    async def stream(self, sql: str, *args: Any, caller: str = "") -> AsyncGenerator[Sequence[Row], None]:
        """The rows of a query of any size or cost, a chunk at a time, in constant memory. The first column is a body, in UTF-8,
        the second the document's key.

        Few at a time, so that there are always connections left for those who want little; they go round among the callers.
        """
        async with (
            self._scans.take(caller),
            self.connection() as connection,
            # It ends a transaction: left to the garbage collector, it would do so after the connection was given back.
            aclosing(self._driver.stream(connection, sql, *args)) as chunks,
        ):
            async for rows in chunks:
                yield rows


@asynccontextmanager
async def _turn(place: asyncio.Lock | asyncio.Semaphore) -> AsyncIterator[None]:
    """Wait for one's turn, but not for ever. Raises StorageUnavailable."""
    if place.locked():
        try:
            async with asyncio.timeout(TURN_TIMEOUT):
                await place.acquire()
        except TimeoutError as error:
            raise StorageUnavailable from error
    else:
        await place.acquire()
    try:
        yield
    finally:
        place.release()


class Borrowed:
    """A raw connection of the pool for the length of a block.

    The loans of `databases` are taken from its backends directly: its own `Database` binds a connection to a task and guards
    it with three locks, which costs more than reading a document.
    """

    __slots__ = ("_driver", "_loan")

    def __init__(self, loan: ConnectionBackend, driver: Driver) -> None:
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
    """The same error, or what it means to a caller. The database's own words go into no answer: they may quote data."""
    if driver.is_conflict(error):
        raise TransactionConflict from error
    if driver.is_unavailable(error):
        raise StorageUnavailable from error
    if driver.is_refused_value(error):
        _log.warning("the database refused a value of a request: %s", type(error).__name__)
        raise ValueRefused from error
    raise error
