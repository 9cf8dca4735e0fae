"""The feed inside one process: nothing is missed, nothing comes twice, nobody waits for anybody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager

import pytest

from apiv3.live import readers, rounds, subscriptions
from apiv3.live.bells import Bells
from apiv3.live.feed import Feed, Overrun, Subscription
from apiv3.model.changes import Change, Clock, Cursor
from apiv3.model.errors import StorageUnavailable
from apiv3.storage import schema
from apiv3.storage.database import Database
from apiv3.storage.documents import DocumentTable
from tests.support.factories import NewDatabase
from tests.support.live import apply
from tests.support.storage import document, history, insert, sequence, unique
from tests.support.waiting import PATIENCE


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
    """Counts what the log is asked, and which of it is not answered yet. `away`: it cannot be asked."""

    asked = unanswered = 0
    away = False

    async def changes(self, collection: str, since: int, limit: int) -> Sequence[Change]:
        with self._question():
            if self.away:
                raise StorageUnavailable
            return await super().changes(collection, since, limit)

    async def clock(self, collection: str) -> Clock:
        with self._question():
            return await super().clock(collection)

    @contextmanager
    def _question(self) -> Iterator[None]:
        self.asked += 1
        self.unanswered += 1
        try:
            yield
        finally:
            self.unanswered -= 1


class Halting(Counting):
    """Halts the first reading from the beginning once it has its page: `read` is set then, and it goes on after `go`."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.read, self.go = asyncio.Event(), asyncio.Event()

    async def changes(self, collection: str, since: int, limit: int) -> Sequence[Change]:
        page = await super().changes(collection, since, limit)
        if since == 0 and not self.read.is_set():
            self.read.set()
            await self.go.wait()
        return page


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
    monkeypatch.setattr(rounds, "LOOK", 3600.0)
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


async def test_each_change_is_read_once_for_all(feed: Feed, store: Counting, two: tuple[str, str]) -> None:
    async with AsyncExitStack() as stack:
        many = [await stack.enter_async_context(feed.subscribe({two[0]: None})) for _ in range(100)]
        takers = [asyncio.create_task(take(each, 3)) for each in many]
        await settled(store)
        before = store.asked
        for name in ("a", "b", "c"):
            await insert(store, two[0], document(name))
            await settled(store)
        assert [await taker for taker in takers] == [await takers[0]] * 100
        # two questions a look: what there is, and the clock
        assert store.asked - before <= 2 * 2 * 3


async def settled(store: Counting) -> None:
    """Until nobody asks any more: every question is answered, and no other one follows from the answers.

    From an answer to the next question it takes a few turns of the event loop, or the pause of a reader. Both are over after
    some sleeps in a row, however slow the machine is: each of them lets every task have a turn that is ready for it.
    """
    asked, sleeps = -1, 0
    while sleeps < 10:
        sleeps = sleeps + 1 if asked == store.asked and not store.unanswered else 0
        asked = store.asked
        await asyncio.sleep(readers.GATHER)


async def test_nobody_asks_when_nobody_follows(feed: Feed, store: Counting, two: tuple[str, str]) -> None:
    async with feed.subscribe({two[0]: None}) as subscription:
        await insert(store, two[0], document("a"))
        await take(subscription, 1)
    await settled(store)
    before = store.asked
    await insert(store, two[0], document("b"))
    await settled(store)
    assert store.asked == before


async def test_who_does_not_take_is_let_go(
    feed: Feed, store: Counting, two: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And comes back with its cursors, and has missed nothing."""
    monkeypatch.setattr(subscriptions, "MOST_WAITING", 5)
    async with feed.subscribe({two[0]: None}) as slow, feed.subscribe({two[0]: None}) as quick:
        await insert(store, two[0], document("0"))
        state = apply({}, await take(slow, 1))
        await take(quick, 1)
        for number in range(1, 10):
            await insert(store, two[0], document(f"{number}"))
            await take(quick, 1)
        with pytest.raises(Overrun):
            await take(slow, 100)
    async with feed.subscribe(slow.cursors) as again:
        state = apply(state, await take(again, 9))
    assert state.keys() == {f"{number}" for number in range(10)}


async def test_large_documents_count(
    feed: Feed, store: Counting, two: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriptions, "LARGEST_WAITING", 5000)
    async with feed.subscribe({two[0]: None}) as slow:
        await insert(store, two[0], document("0"))
        await take(slow, 1)
        for number in range(1, 5):
            await insert(store, two[0], document(f"{number}", notes="x" * 3000))
            await settled(store)
        with pytest.raises(Overrun):
            await take(slow, 100)


async def test_large_documents_come_in_small_pages(
    feed: Feed, store: Counting, two: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who catches up holds no more of them than it would be let go for."""
    monkeypatch.setattr(readers, "LARGEST_PAGE", 5000)
    names = [f"{number}" for number in range(10)]
    await insert(store, two[0], *(document(name, notes="x" * (6000 if name in "45" else 2000)) for name in names))
    found, waited = list[Change](), list[int]()
    async with feed.subscribe({two[0]: 0}) as subscription:
        while len(found) < len(names):
            async with asyncio.timeout(PATIENCE):
                assert await subscription.wait()
            batch = list(subscription.take())
            waited.append(sum(change.size for change in batch[:-1]))
            found += batch
    assert [change.identifier for change in found] == names
    assert sequence([change.srv_modified for change in found])
    assert max(waited) < 5000


async def test_who_catches_up_slowly_is_not_let_go(
    feed: Feed, store: Counting, two: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What happens meanwhile in a collection that it is up to date with is read again later."""
    monkeypatch.setattr(subscriptions, "MOST_WAITING", 4)
    monkeypatch.setattr(readers, "PAGE", 3)
    one, other = sorted(two)
    await insert(store, other, *(document(f"{number}") for number in range(12)))
    async with feed.subscribe({one: None, other: 0}) as subscription:
        first = await take(subscription, 1)  # `one` is live by now, `other` is behind
        for number in range(20):
            await insert(store, one, document(f"live-{number}"))
            await settled(store)
        rest = await take(subscription, 11 + 20)
    for name, number in ((one, 20), (other, 12)):
        found = [change.srv_modified for change in first + rest if change.collection == name]
        assert len(found) == number
        assert sequence(found)


async def test_joining_while_others_write(
    feed: Feed, store: Counting, two: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "PAGE", 2)
    over = asyncio.Event()

    async def write() -> None:
        number = 0
        while not over.is_set():
            await insert(store, two[0], document(f"{number}"))
            number += 1
            await asyncio.sleep(0)
        await insert(store, two[0], document("last"))

    writer = asyncio.create_task(write())
    followers = []
    for _ in range(20):
        followers.append(asyncio.create_task(_follow(feed, two[0])))
        await asyncio.sleep(0.02)
    over.set()
    await writer
    names = [each["identifier"] for each in await history(store, two[0], limit=100_000)]
    for follower in followers:
        assert await follower == names


async def _follow(feed: Feed, collection: str) -> list[str]:
    """From the beginning to the document that is written last."""
    found: list[str] = []
    async with feed.subscribe({collection: 0}) as subscription, asyncio.timeout(5 * PATIENCE):
        while "last" not in found[-1:]:
            found.append((await anext(subscription)).identifier)
    return found


async def test_a_change_between_the_last_page_and_going_live(
    opened: Database, two: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A follower reads its last page; before it goes live, the reader hands a change to the others. It gets that one too."""
    monkeypatch.setattr(rounds, "LOOK", 3600.0)
    store, bells = Halting(opened), Bells(_nothing_heard)
    store.on_write.append(bells.ring)
    feed = Feed(store, bells, two)
    await insert(store, two[0], document("a"))
    async with feed.subscribe({two[0]: None}) as live, feed.subscribe({two[0]: 0}) as late:
        following = asyncio.create_task(take(live, 1))
        taker = asyncio.create_task(take(late, 3))
        async with asyncio.timeout(PATIENCE):
            await store.read.wait()
        await insert(store, two[0], document("b"))
        await following
        store.go.set()
        await settled(store)
        await insert(store, two[0], document("c"))
        assert [change.identifier for change in await taker] == ["a", "b", "c"]


async def test_a_cursor_that_is_too_old(feed: Feed, store: Counting, two: tuple[str, str]) -> None:
    """What it may have missed is forgotten, so it has to begin anew. It is told so."""
    [old, *_] = await insert(store, two[0], document("a"), document("b"), document("c"))
    await remove(store, two[0], "b")
    await remove(store, two[0], "c")
    removals = (await store.clock(two[0])).last
    await store.forget(two[0], removals, 1)
    async with feed.subscribe({two[0]: old["srvModified"]}) as subscription:
        changes = await take(subscription, 3)
        assert [f"{change.kind} {change.identifier}" for change in changes] == ["reset ", "create a", "delete c"]
        assert subscription.cursors[two[0]] == Cursor(removals, removals)
    # one that knows is not bothered, wherever it is on its way
    for cursor in (removals, Cursor(old["srvModified"], removals), 0):
        async with feed.subscribe({two[0]: cursor}) as subscription:
            await insert(store, two[0], document(unique("x")))
            assert (await take(subscription, 1))[0].kind != "reset"


async def test_a_cursor_from_the_future(feed: Feed, store: Counting, two: tuple[str, str]) -> None:
    """The database was restored from an older copy: what the follower has is not what is there."""
    [stored] = await insert(store, two[0], document("a"))
    async with feed.subscribe({two[0]: stored["srvModified"] + 1_000_000}) as subscription:
        assert [change.kind for change in await take(subscription, 2)] == ["reset", "create"]


async def remove(store: DocumentTable, collection: str, identifier: str) -> None:
    async with store.writing(collection) as writer:
        stored = await writer.find(identifier)
        assert stored is not None
        await writer.remove(stored)


async def test_the_database_is_away_for_a_while(
    feed: Feed, store: Counting, two: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "LOOK", 0.05)
    monkeypatch.setattr(subscriptions, "RETRY", 0.05)
    await insert(store, two[0], document("a"))
    async with feed.subscribe({two[0]: 0}) as behind, feed.subscribe({two[0]: None}) as live:
        await insert(store, two[0], document("b"))
        await take(live, 1)
        store.away = True
        takers = [asyncio.create_task(take(behind, 3)), asyncio.create_task(take(live, 1))]
        await insert(store, two[0], document("c"))
        await asyncio.sleep(0.2)
        assert not any(taker.done() for taker in takers)
        store.away = False
        assert [[change.identifier for change in await taker] for taker in takers] == [["a", "b", "c"], ["c"]]


async def test_the_end(feed: Feed, store: Counting, two: tuple[str, str]) -> None:
    async with feed.subscribe({two[0]: None}) as first, feed.subscribe({two[1]: 0}) as second:
        taker = asyncio.create_task(take_all(first))
        await settled(store)
        feed.close()
        assert await taker == []
        assert await take_all(second) == []
    async with feed.subscribe({two[0]: 0}) as late:
        assert await take_all(late) == []


async def take_all(subscription: Subscription) -> list[Change]:
    async with asyncio.timeout(PATIENCE):
        return [change async for change in subscription]


async def test_bells_of_another_process(
    opened: Database, store: Counting, two: tuple[str, str], migrated_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written elsewhere is heard, also after the connection that listens was cut; without the slow look."""
    monkeypatch.setattr(rounds, "LOOK", 3600.0)
    other = Database(migrated_url)
    await other.connect()
    try:
        elsewhere = DocumentTable(other)
        feed = Feed(store, Bells(opened.watch), two)
        async with feed.subscribe({two[0]: None}) as subscription:
            await insert(elsewhere, two[0], document("a"))
            await take(subscription, 1)
            if other.dialect.name == "postgresql":
                cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
                async with asyncio.timeout(PATIENCE):
                    while not await other.fetch(f"{cut} AND datname = current_database()"):  # noqa: ASYNC110
                        await asyncio.sleep(0.02)  # it is about to be made
            for name in ("b", "c", "d"):
                await insert(elsewhere, two[0], document(name))
                await take(subscription, 1)
    finally:
        await other.disconnect()
