"""Who asks in the same turn of the event loop shares a query, and nothing else."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress

import pytest

from apiv3.model.errors import StorageUnavailable
from apiv3.storage.contracts import Stored
from apiv3.storage.gathering import MOST, Gathering


class Shelf:
    """Documents, and the queries for them; each waits until the shelf is open."""

    def __init__(self, *identifiers: str) -> None:
        self.stored = {name: Stored(number, name, "{}", 1, True, True) for number, name in enumerate(identifiers)}
        self.queries: list[tuple[str, list[str]]] = []
        self.asked, self.open = asyncio.Event(), asyncio.Event()
        self.open.set()
        self.failure: Exception | None = None

    async def find(self, collection: str, identifiers: Sequence[str]) -> Mapping[str, Stored]:
        self.queries.append((collection, list(identifiers)))
        self.asked.set()
        await self.open.wait()
        if self.failure:
            raise self.failure
        return {name: self.stored[name] for name in identifiers if name in self.stored}


async def test_each_gets_its_own() -> None:
    shelf = Shelf("one", "two")
    gathering = Gathering(shelf.find)
    asked = [("entries", "one"), ("entries", "none"), ("food", "two"), ("entries", "two"), ("entries", "one")]
    found = await asyncio.gather(*(gathering.get(*each) for each in asked))
    assert found == [shelf.stored.get(name) for _, name in asked]
    assert shelf.queries == [("entries", ["one", "none", "two", "one"]), ("food", ["two"])]


async def test_a_crowd_is_split() -> None:
    names = [f"document {number}" for number in range(2 * MOST + 1)]
    shelf = Shelf(*names)
    gathering = Gathering(shelf.find)
    found = await asyncio.gather(*(gathering.get("entries", name) for name in names))
    assert [stored.identifier for stored in found if stored] == names
    assert [len(identifiers) for _, identifiers in shelf.queries] == [MOST, MOST, 1]


async def test_one_that_asks_later_is_not_told_of_what_was_found_before() -> None:
    shelf = Shelf("one")
    gathering = Gathering(shelf.find)
    shelf.open.clear()
    early = asyncio.create_task(gathering.get("entries", "one"))
    await shelf.asked.wait()
    late = asyncio.create_task(gathering.get("entries", "one"))
    await asyncio.sleep(0.01)
    assert len(shelf.queries) == 2
    shelf.open.set()
    assert await early == await late == shelf.stored["one"]


async def test_one_that_goes_away_takes_nobody_along() -> None:
    shelf = Shelf("one", "two")
    gathering = Gathering(shelf.find)
    shelf.open.clear()
    first, second = (asyncio.create_task(gathering.get("entries", name)) for name in ("one", "two"))
    await shelf.asked.wait()
    first.cancel()
    with suppress(asyncio.CancelledError):
        await first
    shelf.open.set()
    assert first.cancelled()
    assert await second == shelf.stored["two"]


async def test_a_failure_is_everybodys_and_the_next_one_asks_again() -> None:
    shelf = Shelf("one")
    gathering = Gathering(shelf.find)
    shelf.failure = StorageUnavailable()
    answers = await asyncio.gather(*(gathering.get("entries", name) for name in ("one", "none")), return_exceptions=True)
    assert answers == [shelf.failure] * 2
    shelf.failure = None
    assert await gathering.get("entries", "one") == shelf.stored["one"]


async def test_a_failure_while_some_have_gone_away(caplog: pytest.LogCaptureFixture) -> None:
    shelf = Shelf()
    gathering = Gathering(shelf.find)
    shelf.open.clear()
    gone, there = (asyncio.create_task(gathering.get("entries", "one")) for _ in range(2))
    await shelf.asked.wait()
    gone.cancel()
    shelf.failure = StorageUnavailable()
    shelf.open.set()
    with pytest.raises(StorageUnavailable):
        await there
    assert not caplog.records
