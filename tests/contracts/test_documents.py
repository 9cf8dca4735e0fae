"""What every DocumentStore does with single documents: one suite, both databases."""

import asyncio
import random
import time
from itertools import product

import pytest

from apiv3.model import timestamps
from apiv3.model.documents import validate
from apiv3.model.errors import BadRequest, NotFound
from apiv3.model.queries import Filter, Query
from apiv3.storage.contracts import DocumentStore
from apiv3.storage.database import Database
from apiv3.storage.documents import DocumentTable
from tests.support.storage import (
    DATE,
    DAY,
    assert_whole,
    document,
    expected,
    history,
    identifiers,
    insert,
    sequence,
    unique,
)

# What a body must carry unchanged: Unicode of every length, the order of keys, integers and their kinds of number.
RICH = {
    "zulu": "first",
    "alpha": {"z": 1, "a": [1, 1.0, -0.5, 2**63 - 1, -(2**63), True, None, 'ünï 🍎 \u2028 \\ " \x1f']},
    "": "no name",
    "a.b": "dotted",
    "🍎": 0,
}


async def test_a_document_comes_back_as_it_was_stored(store: DocumentStore, collection: str) -> None:
    [stored] = await insert(store, collection, document("ünï/🍎.csv ", **RICH))
    found = await store.get(collection, "ünï/🍎.csv ")
    assert found is not None
    assert (found.identifier, found.srv_modified) == (stored["identifier"], stored["srvModified"])
    assert (found.valid, found.identified) == (True, True)
    assert list(found.document.items()) == list(stored.items())
    assert found.body.encode() == (await store.search(collection, Query())).text


async def test_what_is_not_there(store: DocumentStore, collection: str) -> None:
    await insert(store, collection, document("abc"))
    assert await store.get(collection, "ABC") is None
    assert await store.get(collection, "ab%") is None
    assert await store.get(unique("other"), "abc") is None
    async with store.writing(collection) as writer:
        assert await writer.find("abd") is None


async def test_an_identifier_is_unique_in_its_collection_only(store: DocumentTable, collection: str) -> None:
    other = unique("other")
    await store.prepare([other])
    await insert(store, collection, document("abc"))
    await insert(store, other, document("abc", app="other"))
    found = await store.get(other, "abc")
    assert found is not None
    assert found.document["app"] == "other"
    with pytest.raises(Exception, match=r"(?i)unique"):
        await insert(store, collection, document("new"), document("abc"))
    assert await store.get(collection, "new") is None


async def test_replace(store: DocumentStore, collection: str) -> None:
    await insert(store, collection, document("abc", type="sgv", sgv=1), document("other"))
    async with store.writing(collection) as writer:
        stored = await writer.find("abc")
        assert stored is not None
        new = {**stored.document, "sgv": 2, "isValid": False, "srvModified": writer.tick()}
        await writer.replace(stored, new)
        assert (await writer.find("abc")) is not None
    found = await store.get(collection, "abc")
    assert found is not None
    assert found.document == new
    assert (found.key, found.valid, found.srv_modified) == (stored.key, False, new["srvModified"])
    assert await identifiers(store, collection, Query()) == ["other"]
    assert [each["identifier"] for each in await history(store, collection)] == ["other", "abc"]


async def test_replace_moves_a_document_to_another_identifier(store: DocumentStore, collection: str) -> None:
    await insert(store, collection, document("5f" * 12), identified=False)
    async with store.writing(collection) as writer:
        stored = await writer.find("5f" * 12)
        assert stored is not None
        assert not stored.identified
        await writer.replace(stored, {**stored.document, "identifier": "its own", "srvModified": writer.tick()})
    assert await store.get(collection, "5f" * 12) is None
    found = await store.get(collection, "its own")
    assert found is not None
    assert found.identified


async def test_a_document_keeps_no_identifier_of_its_own_when_replaced_in_place(store: DocumentStore, collection: str) -> None:
    await insert(store, collection, document("5f" * 12), identified=False)
    async with store.writing(collection) as writer:
        stored = await writer.find("5f" * 12)
        assert stored is not None
        await writer.replace(stored, {**stored.document, "srvModified": writer.tick()})
    found = await store.get(collection, "5f" * 12)
    assert found is not None
    assert not found.identified


async def test_remove(store: DocumentStore, collection: str) -> None:
    await insert(store, collection, document("abc"), document("other"))
    async with store.writing(collection) as writer:
        stored = await writer.find("abc")
        assert stored is not None
        await writer.remove(stored)
        assert await writer.find("abc") is None
    assert await store.get(collection, "abc") is None
    assert [each["identifier"] for each in await history(store, collection)] == ["other"]
    await insert(store, collection, document("abc"))
    assert await store.get(collection, "abc") is not None


async def test_find_unidentified(store: DocumentStore, collection: str) -> None:
    iso = timestamps.iso(DATE)
    await insert(store, collection, document("b", type="one"), document("a", created_at=iso), identified=False)
    await insert(store, collection, document("identified", created_at=iso))
    await insert(store, collection, document("later", date=DATE + 1, created_at=timestamps.iso(DATE + 1)), identified=False)
    async with store.writing(collection) as writer:
        assert [found.identifier for found in await writer.find_unidentified("date", [DATE])] == ["b", "a"]
        assert [found.identifier for found in await writer.find_unidentified("created_at", [iso])] == ["a"]
        assert await writer.find_unidentified("date", [DATE + 2]) == []
        [found] = await writer.find_unidentified("date", [DATE + 1])
    assert (found.identified, found.document["identifier"]) == (False, "later")


# --- transactions


class Mishap(BaseException):
    """Something that no `except Exception` catches."""


@pytest.mark.parametrize("error", [ValueError("ours"), NotFound(), Mishap(), asyncio.CancelledError()], ids=repr)
async def test_whatever_is_raised_rolls_everything_back(
    store: DocumentStore, opened: Database, collection: str, error: BaseException
) -> None:
    [kept] = await insert(store, collection, document("kept"))

    async def fail() -> None:
        async with store.writing(collection) as writer:
            stored = await writer.find("kept")
            assert stored is not None
            await writer.insert(document("new", srvModified=writer.tick(), srvCreated=0))
            await writer.replace(stored, {**kept, "app": "changed", "srvModified": writer.tick()})
            raise error

    with pytest.raises(type(error)) as raised:
        await fail()
    assert raised.value is error
    assert raised.value.__cause__ is None
    assert await history(store, collection) == [kept]
    await assert_whole(opened)


async def test_nobody_sees_what_is_not_committed(store: DocumentStore, another: Database, collection: str) -> None:
    elsewhere = DocumentTable(another)
    async with store.writing(collection) as writer:
        await writer.insert(document("new", srvModified=writer.tick(), srvCreated=0))
        assert await writer.find("new") is not None
        for reader in (store, elsewhere):
            assert await reader.get(collection, "new") is None
            assert await history(reader, collection) == []
    for reader in (store, elsewhere):
        assert await reader.get(collection, "new") is not None


# --- the clock


async def test_ticks_are_unique_and_increase(store: DocumentStore, collection: str) -> None:
    before = time.time_ns() // 1_000_000
    ticks = []
    for number in range(30):
        async with store.writing(collection) as writer:
            ticks += [writer.tick() for _ in range(number % 4)]
    assert sequence(ticks)
    assert ticks[0] >= before


async def test_a_burst_runs_ahead_of_the_wall_clock_and_is_not_forgotten(store: DocumentStore, collection: str) -> None:
    async with store.writing(collection) as writer:
        burst = [writer.tick() for _ in range(5_000)]
    assert burst == list(range(burst[0], burst[0] + 5_000))
    async with store.writing(collection) as writer:
        assert writer.tick() == burst[-1] + 1


async def test_ticks_go_on_after_a_rollback(store: DocumentStore, collection: str) -> None:
    committed = []
    for number in range(20):
        try:
            async with store.writing(collection) as writer:
                ticks = [writer.tick() for _ in range(3)]
                await writer.insert(document(f"d{number}", srvModified=ticks[-1], srvCreated=ticks[-1]))
                if number % 3 == 1:
                    raise NotFound
                committed += ticks
        except NotFound:
            pass
    assert sequence(committed)
    assert [each["srvModified"] for each in await history(store, collection)] == committed[2::3]


async def test_ticks_of_several_processes_follow_the_order_of_their_commits(
    store: DocumentStore, another: Database, collection: str
) -> None:
    committed: list[int] = []

    async def write(store: DocumentStore, name: str) -> None:
        for number in range(15):
            async with store.writing(collection) as writer:
                tick = writer.tick()
                await asyncio.sleep(0)
                await writer.insert(document(f"{name}-{number}", srvModified=tick, srvCreated=tick))
                # Nobody can have committed a greater one: that would be lost to who had read it already.
                assert not committed or tick > committed[-1]
                committed.append(tick)

    elsewhere = DocumentTable(another)
    await asyncio.gather(*(write(each, name) for each, name in ((store, "a"), (store, "b"), (elsewhere, "c"))))
    assert sequence(committed)
    assert [each["srvModified"] for each in await history(store, collection)] == committed


async def test_each_collection_has_a_clock_of_its_own(store: DocumentTable, collection: str) -> None:
    other = unique("other")
    await store.prepare([other, collection, other])
    async with store.writing(collection) as writer:
        ahead = [writer.tick() for _ in range(100_000)][-1]
    async with store.writing(other) as writer:
        assert writer.tick() < ahead
    await store.prepare([collection])
    async with store.writing(collection) as writer:
        assert writer.tick() == ahead + 1


# --- HISTORY


@pytest.mark.parametrize("limit", [1, 3, 1000])
async def test_history_is_paged_without_gap_or_repetition(store: DocumentStore, collection: str, limit: int) -> None:
    stored = await insert(store, collection, *(document(f"{number:02}", isValid=number % 3 > 0) for number in range(10)))
    seen, cursor = [], 0
    while (page := await store.history(collection, cursor, limit)).documents:
        seen += [each["srvModified"] for each in await history(store, collection, cursor, limit)]
        assert len(page.documents) <= limit
        assert page.srv_modified == seen[-1] > cursor
        cursor = page.srv_modified
    assert seen == [each["srvModified"] for each in stored]
    assert page.srv_modified == 0


async def test_history_is_exclusive_and_knows_its_collection(store: DocumentStore, collection: str) -> None:
    first, second = await insert(store, collection, document("a"), document("b"))
    assert await history(store, collection, first["srvModified"]) == [second]
    assert await history(store, collection, first["srvModified"] - 1) == [first, second]
    assert await history(store, collection, second["srvModified"]) == []
    assert await history(store, collection, 253_402_300_799_999) == []
    assert await history(store, unique("other")) == []


# --- LASTMODIFIED, autoprune, VERSION


async def test_last_modified(store: DocumentTable, collection: str) -> None:
    ahead, texts, empty = unique("ahead"), unique("texts"), unique("empty")
    await store.prepare([ahead, texts, empty])
    future = time.time_ns() // 1_000_000 + DAY
    await insert(store, collection, document("a"), document("b"))
    [last] = await insert(store, collection, document("deleted", isValid=False))
    await insert(store, ahead, document("a", date=future), document("b"))
    await insert(store, texts, document("a", created_at=timestamps.iso(future)), document("b", created_at=timestamps.iso(DATE)))
    fields = {collection: "date", ahead: "date", texts: "created_at", empty: "date"}
    assert await store.last_modified(fields) == {collection: last["srvModified"], ahead: future, texts: future}
    only_clock = await store.last_modified({ahead: None, empty: None})
    assert only_clock.keys() == {ahead}
    assert only_clock[ahead] < future
    assert await store.last_modified({}) == {}


async def test_prune_goes_by_date_else_created_at_else_creation(store: DocumentStore, collection: str) -> None:
    old, new = timestamps.iso(DATE - 1), timestamps.iso(DATE)
    dateless = {"identifier": "", "app": "test", "srvModified": 0}
    documents = {
        "date: old": document("", date=DATE - 1, created_at=new),
        "date: new": document("", date=DATE, created_at=old, srvCreated=1),
        "created_at: old": {**dateless, "created_at": old},
        "created_at: new": {**dateless, "created_at": new, "srvCreated": 1},
        "srvCreated: old": {**dateless, "srvCreated": DATE - 1},
        "srvCreated: new": {**dateless, "srvCreated": DATE},
        "deleted: old": document("", date=DATE - 1, isValid=False),
    }
    ticks = range(1, 100)
    await insert(
        store,
        collection,
        *(
            {**each, "identifier": name, "srvModified": tick}
            for (name, each), tick in zip(documents.items(), ticks, strict=False)
        ),
    )
    assert await store.prune(collection, DATE, 100) == 4
    assert [each["identifier"] for each in await history(store, collection)] == [
        "date: new",
        "created_at: new",
        "srvCreated: new",
    ]
    assert await store.prune(collection, DATE, 100) == 0


async def test_prune_that_finds_nothing_writes_nothing(store: DocumentTable, collection: str) -> None:
    """Nobody is told of it, in any process, and the clock stands still."""
    told: list[str] = []
    store.on_write.append(told.append)
    await insert(store, collection, document("young"))
    told.clear()
    before = await store.clock(collection)
    assert await store.prune(collection, DATE, 100) == 0
    assert (told, await store.clock(collection)) == ([], before)
    assert await store.prune(collection, DATE + 1, 100) == 1
    assert told == [collection]


async def test_prune_takes_the_oldest_first_and_no_more_than_it_may(store: DocumentTable, collection: str) -> None:
    other = unique("other")
    await store.prepare([other])
    await insert(store, other, document("other", date=1))
    days = [5, 1, 4, 2, 3]
    await insert(store, collection, *(document(f"day {day}", date=DATE - DAY * (10 - day)) for day in days))
    assert await store.prune(collection, DATE, 2) == 2
    assert await identifiers(store, collection, Query()) == ["day 3", "day 4", "day 5"]
    assert await store.prune(collection, DATE - DAY * 6, 2) == 1
    assert await store.prune(collection, DATE, 100) == 2
    assert await identifiers(store, other, Query()) == ["other"]


async def test_version(store: DocumentStore, database: str) -> None:
    name, version = await store.version()
    assert name == {"sqlite": "sqlite", "postgres": "postgresql"}[database]
    assert version[0].isdigit()


@pytest.mark.parametrize("length", [200, 201, 700, 7_000])
async def test_long_texts_in_the_columns(store: DocumentStore, collection: str, length: int) -> None:
    """Whatever may be sent can be stored and found: no index is too narrow for it, however little it can be compressed."""
    noise = _noise(length)
    stored = await insert(
        store,
        collection,
        document("whole", type=noise, eventType=noise),
        document("longer", type=noise + "x", eventType=noise + "x"),
        document("shorter", type=noise[:-1], eventType=noise[:-1]),
        document("begins alike", type=noise[:50], eventType=noise[:50]),
    )
    found = await store.get(collection, "whole")
    assert found is not None
    assert found.document == stored[0]
    for name, operator in product(("type", "eventType"), ("eq", "gt", "gte", "lt", "lte", "in", "nin", "ne")):
        for value in (noise, noise + "x", noise[:-1], noise[:50], noise[:49], noise[:199], noise[:200], noise[:201], "a"):
            query = Query((Filter((name,), operator, (value,) if operator in ("in", "nin") else value),))
            assert await identifiers(store, collection, query) == expected(stored, query)


async def test_the_longest_identifier(store: DocumentStore, collection: str) -> None:
    identifier = _noise(2000)
    while not _is_good(identifier):
        identifier = identifier[:-1]
    await insert(store, collection, document(identifier, type=_noise(2000), eventType=_noise(2000)))
    assert await store.get(collection, identifier) is not None
    assert await identifiers(store, collection, Query((Filter(("identifier",), "eq", identifier),))) == [identifier]


def _noise(length: int) -> str:
    """What no compression makes shorter, four bytes for each character."""
    letters = random.Random(length)
    return "".join(chr(letters.randrange(0x10000, 0x20000)) for _ in range(length))


def _is_good(identifier: str) -> bool:
    try:
        validate({**document(identifier), "utcOffset": 0})
    except BadRequest:
        return False
    return True
