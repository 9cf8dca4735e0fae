"""A caller that goes away, at whatever moment, takes no connection with it and leaves no transaction open."""

from __future__ import annotations

import asyncio
import gc
import random
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, closing, suppress
from functools import partial
from typing import Any

import pytest
import re2

from apiv3.model.errors import ApiError, StorageUnavailable
from apiv3.model.identity import Subject
from apiv3.model.queries import Filter, Query, Sort
from apiv3.storage import database as databases
from apiv3.storage import postgresql, sqlite
from apiv3.storage.contracts import DocumentStore
from apiv3.storage.database import Database
from apiv3.storage.documents import DocumentTable
from apiv3.storage.policy import PolicyTable
from tests.support.storage import POOLS, assert_whole, document, history, insert, interrupt_everywhere, unique

Work = Callable[[], Coroutine[Any, Any, object]]

SCAN = Query((Filter(("app",), "re", re2.compile("test")),), limit=20)
NOTHING = Query((Filter(("app",), "re", re2.compile("nothing like it")),))
BY_VALUE = Query(sort=Sort(("value",)), limit=20)


@pytest.fixture(autouse=True)
def small_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "CHUNK", 3)
    monkeypatch.setattr(postgresql, "CHUNK", 3)
    # PostgreSQL ignores a cancel request that overtakes its query. Then the connection is busy until this is over.
    monkeypatch.setitem(postgresql._OPTIONS, "command_timeout", 1)


async def _pair(store: DocumentStore, collection: str) -> None:
    """Two documents that belong together."""
    name = unique("pair")
    async with store.writing(collection) as writer:
        for half in ("1", "2"):
            tick = writer.tick()
            await writer.insert(document(f"{name}.{half}", srvModified=tick, srvCreated=tick))
            await asyncio.sleep(0)
            await writer.find(name)


async def _subject(policies: PolicyTable) -> None:
    async with policies.changing() as writer:
        await writer.put_subject(Subject("d" * 24, unique("name"), ()))


async def _works(store: DocumentTable, opened: Database, collection: str) -> None:
    """The pool is whole, the store works, and of each pair there are both halves or none."""
    await assert_whole(opened)
    async with asyncio.timeout(5):
        await _pair(store, collection)
        names = [each["identifier"] for each in await history(store, collection)]
    halves = [name.partition(".")[0] for name in names if name.startswith("pair")]
    assert all(halves.count(name) == 2 for name in halves)


@pytest.mark.parametrize("again", [False, True], ids=["once", "again and again"])
async def test_cancelled_at_any_await(
    store: DocumentTable, policies: PolicyTable, opened: Database, collection: str, again: bool
) -> None:
    await insert(store, collection, *(document(f"{number:02}", date=number) for number in range(12)))
    works: list[Work] = [
        lambda: store.get(collection, "00"),
        lambda: store.history(collection, 0, 10),
        lambda: store.search(collection, Query()),
        lambda: store.search(collection, SCAN),
        lambda: store.search(collection, NOTHING),
        lambda: store.search(collection, BY_VALUE),
        lambda: store.last_modified({collection: "date"}),
        lambda: store.prune(collection, 1, 10),
        lambda: store.prepare([collection]),
        lambda: _pair(store, collection),
        policies.load,
        policies.revision,
        lambda: _subject(policies),
    ]
    for work in works:
        await interrupt_everywhere(work, again=again)
        await _works(store, opened, collection)


@pytest.mark.parametrize("again", [False, True], ids=["once", "again and again"])
async def test_cancelled_while_waiting_for_another_writer(
    store: DocumentTable, opened: Database, another: Database, collection: str, again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of the same process, and one of another process."""
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT", 50)

    async def pair() -> None:
        with suppress(StorageUnavailable):  # the lock was held for longer than we have patience here
            async with asyncio.timeout(0.1):
                await _pair(store, collection)

    for holder in (store, DocumentTable(another)):
        async with holder.writing(collection):
            with suppress(TimeoutError):
                await interrupt_everywhere(pair, again=again)
        await _works(store, opened, collection)


async def test_cancelled_while_waiting_for_a_connection(store: DocumentTable, opened: Database, collection: str) -> None:
    async with AsyncExitStack() as loans:
        for _ in range(POOLS[opened.dialect.name]):
            await loans.enter_async_context(opened.connection())
        works: list[Coroutine[Any, Any, object]] = [store.last_modified({collection: None}) for _ in range(5)]
        works += [store.search(collection, SCAN) for _ in range(5)]
        works += [_pair(store, collection) for _ in range(5)]
        tasks = [asyncio.create_task(work) for work in works]
        await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert all(task.cancelled() for task in tasks)
    await _works(store, opened, collection)


async def test_nobody_waits_for_a_connection_for_ever(
    store: DocumentTable, opened: Database, collection: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AsyncExitStack() as loans:
        for _ in range(POOLS[opened.dialect.name]):
            await loans.enter_async_context(opened.connection())
        monkeypatch.setattr(sqlite, "POOL_TIMEOUT", 0.05)
        monkeypatch.setattr(postgresql, "POOL_TIMEOUT", 0.05)
        works: list[Awaitable[object]] = [
            store.last_modified({collection: None}),
            store.search(collection, SCAN),
            _pair(store, collection),
        ]
        for work in works:
            with pytest.raises(StorageUnavailable):
                await work
        monkeypatch.undo()
    await _works(store, opened, collection)


async def test_nobody_waits_for_another_writer_for_ever(
    store: DocumentTable, opened: Database, collection: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "TURN_TIMEOUT", 0.05)
    async with store.writing(collection):
        with pytest.raises(StorageUnavailable):
            await _pair(store, collection)
    await _works(store, opened, collection)


async def test_a_storm_of_cancellations(store: DocumentTable, opened: Database, collection: str) -> None:
    await insert(store, collection, *(document(f"{number:02}") for number in range(12)))
    choose = random.Random(7)
    works: list[Work] = [
        lambda: store.get(collection, "00"),
        lambda: store.search(collection, SCAN),
        lambda: store.search(collection, BY_VALUE),
        lambda: _pair(store, collection),
        lambda: _pair(store, collection),
    ]

    async def caller() -> None:
        for _ in range(12):
            task = asyncio.ensure_future(choose.choice(works)())
            await asyncio.sleep(choose.random() * 0.01)
            for _ in range(choose.choice((0, 1, 2))):
                task.cancel()
                await asyncio.sleep(0)
            with suppress(asyncio.CancelledError, ApiError):
                await task

    await asyncio.gather(*(caller() for _ in range(12)))
    await _works(store, opened, collection)


async def test_a_cancelled_search_leaves_its_connection_fit_to_write(
    store: DocumentTable, another: Database, collection: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even before the garbage collector comes: a query left open would hold an old state, from which nobody can write."""
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT", 1000)
    await insert(store, collection, *(document(f"{number:02}") for number in range(12)))
    gc.disable()
    try:
        for search in (SCAN, BY_VALUE, NOTHING):
            await interrupt_everywhere(partial(store.search, collection, search))
            await _pair(DocumentTable(another), collection)
            await _pair(store, collection)
    finally:
        gc.enable()


async def test_a_stream_that_is_left_gives_its_connection_back_at_once(
    store: DocumentTable, opened: Database, collection: str
) -> None:
    """More often than there are connections, and without waiting for the garbage collector."""
    await insert(store, collection, *(document(f"{number:02}") for number in range(12)))
    first = Query(SCAN.filters, limit=1)
    for _ in range(2 * POOLS[opened.dialect.name]):
        assert len((await store.search(collection, first)).documents) == 1
        await assert_whole(opened)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_a_connection_stays_with_the_thread_that_works_on_it(
    migrated_url: str, store: DocumentTable, opened: Database, collection: str
) -> None:
    """SQLite waits in a thread, which no cancellation stops, however often it comes."""
    path = migrated_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        task = asyncio.create_task(_pair(store, collection))
        await asyncio.sleep(0.05)  # it waits for the lock, in its thread
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0.02)
        assert not task.done()
        other.execute("ROLLBACK")
    await asyncio.wait([task])
    assert task.cancelled()
    await _works(store, opened, collection)
