"""The feed inside one process: nothing is missed, nothing comes twice, nobody waits for anybody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence

import pytest

from apiv3.live import readers
from apiv3.live.bells import Bells
from apiv3.live.feed import Feed, Subscription
from apiv3.model.changes import Change, Clock
from apiv3.storage import schema
from apiv3.storage.database import Database
from apiv3.storage.documents import DocumentTable
from tests.support.factories import NewDatabase
from tests.support.storage import document, insert, unique

PATIENCE = 20.0


@pytest.fixture(scope="session")
def migrated_url(database: str, new_database: NewDatabase) -> Iterator[str]:
    with new_database(database) as url:
        schema.upgrade(url)
        yield url


@pytest.fixture
async def opened(migrated_url: str) -> AsyncIterator[Database]:
    database = Database(migrated_url)
    await database.connect()
    yield database
    await database.disconnect()


class Counting(DocumentTable):
    """Counts what the log is asked. `broken`: while it is set, the database is away."""

    asked = 0

    async def changes(self, collection: str, since: int, limit: int) -> Sequence[Change]:
        self.asked += 1
        return await super().changes(collection, since, limit)

    async def clock(self, collection: str) -> Clock:
        self.asked += 1
        return await super().clock(collection)


@pytest.fixture
def store(opened: Database) -> Counting:
    return Counting(opened)


@pytest.fixture
async def two(store: Counting) -> tuple[str, str]:
    names = unique("one"), unique("two")
    await store.prepare(names)
    return names


@pytest.fixture
async def feed(opened: Database, store: Counting, two: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> Feed:
    """Bells ring in this process only, and nobody looks without a bell."""
    monkeypatch.setattr(readers, "LOOK", 3600.0)
    bells = Bells(_nothing_heard)
    store.on_write.append(bells.ring)
    return Feed(store, bells, two)


async def _nothing_heard(_ring: object) -> None:
    await asyncio.Event().wait()


async def take(subscription: Subscription, number: int) -> list[Change]:
    taken: list[Change] = []
    async with asyncio.timeout(PATIENCE):
        while len(taken) < number:
            taken.append(await anext(subscription))
    return taken


async def test_from_now_on(feed: Feed, store: Counting, two: tuple[str, str]) -> None:
    one, other = two
    await insert(store, one, document("before"))
    async with feed.subscribe({one: None, other: None}) as subscription:
        await insert(store, one, document("a"))
        await insert(store, other, document("b"))
        assert {change.identifier for change in await take(subscription, 2)} == {"a", "b"}
        await insert(store, one, document("c"), document("d"))
        assert [change.identifier for change in await take(subscription, 2)] == ["c", "d"]
        assert subscription.cursors[one].position == (await store.clock(one)).last


async def test_from_a_cursor_on(feed: Feed, store: Counting, two: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "PAGE", 3)
    stored = await insert(store, two[0], *(document(f"{number}") for number in range(10)))
    async with feed.subscribe({two[0]: stored[3]["srvModified"]}) as subscription:
        assert [change.identifier for change in await take(subscription, 6)] == list("456789")
        await insert(store, two[0], document("x"))
        assert [change.identifier for change in await take(subscription, 1)] == ["x"]
