"""A collection as a log: what every DocumentStore tells those who follow it; one suite, both databases."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from apiv3.model.changes import Change, Clock
from apiv3.model.documents import Document
from apiv3.storage.contracts import DocumentStore
from apiv3.storage.database import Database
from apiv3.storage.documents import DocumentTable
from tests.support.live import apply
from tests.support.storage import DATE, document, history, insert, interrupt_everywhere, sequence, unique


async def changed(store: DocumentStore, collection: str, name: str, /, **fields: object) -> None:
    async with store.writing(collection) as writer:
        stored = await writer.find(name)
        assert stored is not None
        await writer.replace(stored, {**stored.document, **fields, "srvModified": writer.tick()})


async def removed(store: DocumentStore, collection: str, identifier: str) -> None:
    async with store.writing(collection) as writer:
        stored = await writer.find(identifier)
        assert stored is not None
        await writer.remove(stored)


async def everything(store: DocumentStore, collection: str, since: int = 0, page: int = 1000) -> Sequence[Change]:
    found: list[Change] = []
    while more := await store.changes(collection, found[-1].srv_modified if found else since, page):
        found += more
    return found


def told(changes: Sequence[Change]) -> list[str]:
    return [f"{change.kind} {change.identifier}" for change in changes]


async def test_what_happened(store: DocumentStore, collection: str) -> None:
    await insert(store, collection, document("a"), document("b"), document("c"), document("d"))
    start = (await store.clock(collection)).last
    assert told(await everything(store, collection)) == ["create a", "create b", "create c", "create d"]

    await insert(store, collection, document("e"))
    await changed(store, collection, "b", sgv=7)
    await changed(store, collection, "c", isValid=False)
    await removed(store, collection, "d")
    found = await everything(store, collection, start)
    assert told(found) == ["create e", "update b", "delete c", "delete d"]
    assert sequence([change.srv_modified for change in found])
    assert found[-1].body is None
    assert all(change.collection == collection for change in found)
    for change in found[:-1]:
        stored = await store.get(collection, change.identifier)
        assert stored is not None
        assert (change.body, change.srv_modified) == (stored.body, stored.srv_modified)
    assert (await store.clock(collection)).last == found[-1].srv_modified
    assert await everything(store, collection, found[-1].srv_modified) == []
    # from the beginning: what was never heard of is new
    assert told(await everything(store, collection)) == ["create a", "create e", "create b", "delete c", "delete d"]


async def test_pages_are_the_whole(store: DocumentStore, collection: str) -> None:
    await insert(store, collection, *(document(f"{number:02}") for number in range(20)))
    for number in range(0, 20, 2):
        await removed(store, collection, f"{number:02}")
    whole = await everything(store, collection)
    assert len(whole) == 20
    for page in (1, 2, 3, 7, 20, 21):
        assert await everything(store, collection, page=page) == whole


async def test_an_identifier_that_changes_is_gone(store: DocumentStore, collection: str) -> None:
    await insert(store, collection, document("its-_id"), identified=False)
    start = (await store.clock(collection)).last
    await changed(store, collection, "its-_id", identifier="own")
    found = await everything(store, collection, start)
    assert told(found) == ["update own", "delete its-_id"]
    assert sequence([change.srv_modified for change in found])


async def test_what_comes_back_is_there(store: DocumentStore, collection: str) -> None:
    await insert(store, collection, document("a"))
    start = (await store.clock(collection)).last
    await removed(store, collection, "a")
    await insert(store, collection, document("a", app="other"))
    assert told(await everything(store, collection, start)) == ["delete a", "create a"]
    await changed(store, collection, "a", isValid=False)
    await changed(store, collection, "a", isValid=True)
    assert told(await everything(store, collection, start)) == ["delete a", "create a"]


async def test_pruning_leaves_tombstones(store: DocumentStore, collection: str) -> None:
    await insert(store, collection, *(document(f"{number}", date=DATE + number) for number in range(5)))
    start = (await store.clock(collection)).last
    assert await store.prune(collection, DATE + 3, 2) == 2
    assert await store.prune(collection, DATE + 3, 2) == 1
    assert told(await everything(store, collection, start)) == ["delete 0", "delete 1", "delete 2"]


async def test_history_says_what_it_always_said(store: DocumentStore, collection: str) -> None:
    await insert(store, collection, document("a"), document("b"))
    await removed(store, collection, "a")
    assert [each["identifier"] for each in await history(store, collection)] == ["b"]


async def test_nothing_remains_of_a_removal_that_failed(store: DocumentStore, collection: str) -> None:
    await insert(store, collection, document("a"))
    before, clock = await everything(store, collection), await store.clock(collection)
    try:
        async with store.writing(collection) as writer:
            stored = await writer.find("a")
            assert stored is not None
            await writer.remove(stored)
            raise RuntimeError
    except RuntimeError:
        pass
    assert await everything(store, collection) == before
    assert await store.clock(collection) == clock


async def test_tombstones_are_forgotten(store: DocumentStore, collection: str) -> None:
    assert (await store.clock(collection)).forgotten == 0
    await insert(store, collection, *(document(f"{number}") for number in range(6)))
    for number in range(5):
        await removed(store, collection, f"{number}")
    gone = [change for change in await everything(store, collection) if change.kind == "delete"]
    before = gone[3].srv_modified
    assert await store.forget(collection, gone[0].srv_modified, 100) == 0
    assert (await store.clock(collection)).forgotten == 0
    assert await store.forget(collection, before, 2) == 2
    assert await store.forget(collection, before, 2) == 1
    assert await store.forget(collection, before, 2) == 0
    assert told(await everything(store, collection)) == ["create 5", "delete 3", "delete 4"]
    assert await store.clock(collection) == Clock(gone[-1].srv_modified, gone[2].srv_modified)


async def test_who_writes_tells_after_the_commit(store: DocumentTable, another: Database, collection: str) -> None:
    """When it is told, somebody else can see it."""
    other = DocumentTable(another)
    looks: list[asyncio.Task[Sequence[Change]]] = []
    rung: list[str] = []

    def look(name: str) -> None:
        rung.append(name)
        looks.append(asyncio.create_task(everything(other, name)))

    store.on_write.append(look)
    await insert(store, collection, document("a"))
    assert told(await looks[0]) == ["create a"]
    await store.prune(collection, DATE + 1, 10)
    assert told(await looks[1]) == ["delete a"]
    assert rung == [collection, collection]


async def test_a_removal_is_whole_however_it_is_cancelled(store: DocumentTable, collection: str) -> None:
    async def work() -> None:
        name = unique("cancelled")
        await insert(store, collection, document(name))
        await removed(store, collection, name)
        await store.forget(collection, 1, 1)
        await store.changes(collection, 0, 10)
        await store.clock(collection)

    assert await interrupt_everywhere(work) > 0
    state = apply({}, await everything(store, collection))
    assert state.keys() == {each["identifier"] for each in await history(store, collection)}


async def test_who_applies_the_log_has_the_table(store: DocumentStore, collection: str) -> None:
    """Whatever happens, and wherever the follower stood."""
    dice = random.Random(7)
    state: dict[str, Document] = {}
    cursor = 0
    for _ in range(60):
        for _ in range(dice.randrange(4)):
            await _something(store, collection, dice)
        page = dice.choice((1, 2, 5, 100))
        for change in await store.changes(collection, cursor, page):
            assert change.srv_modified > cursor
            cursor = change.srv_modified
            apply(state, [change])
    apply(state, await everything(store, collection, cursor))
    table = {each["identifier"]: each for each in await history(store, collection)}
    assert state == {name: found for name, found in table.items() if found.get("isValid", True)}
    assert state == apply({}, await everything(store, collection))


async def _something(store: DocumentStore, collection: str, dice: random.Random) -> None:
    name = f"{dice.randrange(12)}"
    found = await store.get(collection, name)
    if found is None:
        await insert(store, collection, document(name, date=DATE + dice.randrange(10)), identified=False)
        return
    match dice.randrange(6):
        case 0:
            await removed(store, collection, name)
        case 1:
            await changed(store, collection, name, isValid=False)
        case 2:
            await store.prune(collection, DATE + dice.randrange(3), 2)
        case 3 if not await store.get(collection, name + "-own"):
            await changed(store, collection, name, identifier=name + "-own")
        case _:
            await changed(store, collection, name, isValid=True, sgv=dice.randrange(100))
