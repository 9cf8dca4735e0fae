"""What the tests of storage stand on: documents, what a store must answer worked out in Python, and a look at its pool."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import partial
from itertools import count, pairwise
from typing import Any, TypeVar

from apiv3.model.documents import Document, is_valid
from apiv3.model.queries import Query, Sort
from apiv3.storage import postgresql, sqlite
from apiv3.storage.contracts import DocumentStore
from apiv3.storage.database import Database

T = TypeVar("T")

DATE = 1_700_000_000_000
DAY = 86_400_000
POOLS: Mapping[str, int] = {"sqlite": sqlite.POOL_SIZE, "postgresql": postgresql.POOL_SIZE}


def execute(url: str, sql: str, *args: object) -> list[Any]:
    """Run a statement with `?` for its parameters on the database of a server, and return its rows, if there are any.

    In a thread of its own, as the caller may be inside an event loop.
    """

    async def run() -> list[Any]:
        database = Database(url)
        await database.connect()
        try:
            async with database.transaction("tests") as connection:
                return list(await connection.fetch(database.dialect.sql(sql), *args))
        finally:
            await database.disconnect()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, run()).result()


def unique(prefix: str) -> str:
    return f"{prefix}-{secrets.token_hex(6)}"


def document(identifier: str, **fields: Any) -> Document:
    return {"identifier": identifier, "date": DATE, "app": "test", **fields}


async def insert(
    store: DocumentStore, collection: str, *documents: Mapping[str, Any], identified: bool = True
) -> list[Document]:
    """Stores documents in one transaction, each at a tick of its own; returns them as they were stored."""
    stored = []
    async with store.writing(collection) as writer:
        for each in documents:
            tick = writer.tick()
            stored.append({"srvModified": tick, "srvCreated": tick, **each})
            await writer.insert(stored[-1], identified=identified)
    return stored


async def search(store: DocumentStore, collection: str, query: Query) -> list[Document]:
    return (await store.search(collection, query)).documents


async def identifiers(store: DocumentStore, collection: str, query: Query) -> list[str]:
    return [found["identifier"] for found in await search(store, collection, query)]


async def history(store: DocumentStore, collection: str, since: int = 0, limit: int = 1000) -> list[Document]:
    return (await store.history(collection, since, limit)).documents


# --- what a search must find, without any SQL


def expected(documents: Iterable[Document], query: Query) -> list[str]:
    """The identifiers of what `query` finds among `documents`, in order."""
    found = [each for each in documents if is_valid(each) and all(condition.matches(each) for condition in query.filters)]
    descending = query.sort is not None and query.sort.descending
    found.sort(key=lambda each: (*_sort_key(each, query.sort), each["identifier"]), reverse=descending)
    return [each["identifier"] for each in found[query.skip : query.skip + query.limit]]


def _sort_key(found: Document, sort: Sort | None) -> tuple[Any, ...]:
    """Kind, then value, for a sort by one field; objects are all alike, and so are lists."""
    if sort is None:
        return ()
    value: Any = found
    for name in sort.path:
        value = value.get(name) if isinstance(value, dict) else None
    match value:
        case bool():
            return 5, value
        case int() | float():
            return 1, value
        case str():
            return 2, value
        case dict():
            return 3, 0
        case list():
            return 4, 0
    return 0, 0


# --- the pool


async def assert_whole(database: Database, patience: float = 5) -> None:
    """Every connection of the pool can be had at once, and none is in a transaction."""
    try:
        async with asyncio.timeout(patience), AsyncExitStack() as loans:
            for _ in range(POOLS[database.dialect.name]):
                connection = await loans.enter_async_context(database.connection())
                assert not in_transaction(connection), "a connection was given back with a transaction open"
    except TimeoutError:
        raise AssertionError("a connection of the pool has leaked") from None


def in_transaction(connection: Any) -> bool:
    if isinstance(connection, sqlite.SqliteConnection):
        return connection._connection.in_transaction
    return bool(connection.is_in_transaction())


# --- cancellation


class Interrupted(Awaitable[T]):
    """`await Interrupted(work, at=3)`: while `work` waits for the third time, the task that runs it is cancelled.

    `again`: and whenever it waits after that. `reached`: whether it came to that.
    """

    def __init__(self, work: Coroutine[Any, Any, T], at: int, *, again: bool = False) -> None:
        self._work, self._at, self._again = work, at, again
        self.reached = False

    def __await__(self) -> Generator[Any, Any, T]:
        step: Callable[[], Any] = partial(self._work.send, None)
        for waits in count(1):
            try:
                awaited = step()
            except StopIteration as end:
                result: T = end.value
                return result
            self._interrupt(waits)
            try:
                yield awaited
                step = partial(self._work.send, None)
            except BaseException as error:
                step = partial(self._work.throw, error)
        raise AssertionError("never")

    def _interrupt(self, waits: int) -> None:
        if waits == self._at or (self._again and waits > self._at):
            task = asyncio.current_task()
            assert task is not None
            asyncio.get_running_loop().call_soon(task.cancel)
            self.reached = True


async def interrupt_everywhere(work: Callable[[], Coroutine[Any, Any, object]], *, again: bool = False, most: int = 300) -> int:
    """Runs `work` again and again, cancelled at its first await, its second ... until it runs through; how often that was."""
    for at in range(1, most):
        interrupted = Interrupted(work(), at, again=again)
        task = asyncio.ensure_future(_run(interrupted))
        await asyncio.wait([task])
        if not task.cancelled() and (error := task.exception()):
            raise error
        if not interrupted.reached:
            return at - 1
    raise AssertionError(f"more than {most} awaits")


async def _run(interrupted: Interrupted[object]) -> None:
    await interrupted


def sequence(values: Sequence[int]) -> bool:
    """Whether numbers are strictly increasing."""
    return all(one < other for one, other in pairwise(values))
