"""The audit trail: what the database refuses, how it is searched, and when entries are removed."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from apiv3.model.audit import Actor, Entry, Order, Search, Target
from apiv3.storage import audit, schema
from apiv3.storage.audit import AuditTable
from apiv3.storage.database import Database
from tests.support.factories import FreshServer
from tests.support.people import trail
from tests.support.waiting import wait_until

NOW = time.time_ns() // 1_000_000
DAY = 86_400_000
ENTRY = Entry(NOW, Actor(None, "somebody", "test"), "sign-in", None, "failure", {"tries": 3})
ANNA, BEN = Actor("a" * 24, "anna", "jwt", "192.0.2.1"), Actor("b" * 24, "ben", "session", "192.0.2.2")


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    await asyncio.to_thread(schema.upgrade, url)
    database = Database(url)
    await database.connect()
    try:
        yield database
    finally:
        await database.disconnect()


async def added(database: Database, *entries: Entry) -> None:
    async with database.transaction("audit") as connection:
        for entry in entries:
            await audit.add(connection, database.dialect, entry)


@pytest.mark.parametrize("statement", ["UPDATE audit SET outcome = 'success'", "DELETE FROM audit"])
async def test_the_database_refuses_other_changes(statement: str, database_url: str) -> None:
    async with opened(database_url) as database:
        await added(database, ENTRY)
        with pytest.raises(Exception, match="can only be added to"):
            async with database.transaction("audit") as connection:
                await connection.execute(statement)
        assert list(await AuditTable(database).find(Search())) == [ENTRY]


async def test_only_old_entries_can_be_removed(database_url: str) -> None:
    ages = (1000, 731, 91, 89, 0)
    entries = [replace(ENTRY, time=NOW - days * DAY) for days in ages]
    async with opened(database_url) as database:
        table = AuditTable(database)
        await added(database, *entries)
        with pytest.raises(Exception, match="can only be added to"):
            await table.prune(NOW - 80 * DAY, 100)
        assert list(await table.find(Search())) == entries
        assert await table.prune(NOW - 730 * DAY, 1) == 1
        assert await table.prune(NOW - 730 * DAY, 100) == 1
        assert await table.prune(NOW - 730 * DAY, 100) == 0
        assert list(await table.find(Search())) == entries[2:]


async def test_it_is_searched_and_paged(database_url: str) -> None:
    role, person = Target("role", "c" * 24, "reader"), Target("person", "d" * 24, "dora", "dora@x.example")
    entries = [
        Entry(NOW - 5000, ANNA, "role-made", role),
        Entry(NOW - 4000, BEN, "sign-in", None),
        Entry(NOW - 3000, ANNA, "account-made", person),
        Entry(NOW - 2000, BEN, "sign-in", person, "failure"),
        Entry(NOW - 1000, ANNA, "sign-in", None, "failure"),
    ]
    searches: dict[Search, list[int]] = {
        Search(): [0, 1, 2, 3, 4],
        Search(since=NOW - 3000): [2, 3, 4],
        Search(until=NOW - 3000): [0, 1],
        Search(since=NOW - 4000, until=NOW - 1000): [1, 2, 3],
        Search(actor="anna"): [0, 2, 4],
        Search(actor=BEN.id): [1, 3],
        Search(action="sign-in"): [1, 3, 4],
        Search(target="reader"): [0],
        Search(target="dora@x.example"): [2, 3],
        Search(target=person.id): [2, 3],
        Search(outcome="failure"): [3, 4],
        Search(actor="anna", action="sign-in", outcome="failure"): [4],
        Search(actor="nobody"): [],
        Search(text="DORA"): [2, 3],
        Search(text="192.0.2.2"): [1, 3],
        Search(text="-MADE"): [0, 2],
        Search(text="%"): [],
        Search(text="_"): [],
        Search(text="!"): [],
    }
    async with opened(database_url) as database:
        table = AuditTable(database)
        await added(database, *entries)
        for search, numbers in searches.items():
            wanted = [entries[number] for number in numbers]
            assert list(await table.find(search)) == wanted, search
            pages = [await table.page(search, "time", skip, 2, descending=True) for skip in (0, 2, 4)]
            assert {page.total for page in pages} == {len(wanted)}
            paged = [entry for page in pages for entry in page.entries]
            assert paged == wanted[::-1], search
        orders: dict[Order, list[int]] = {"actor": [0, 2, 4, 1, 3], "action": [2, 0, 1, 3, 4], "address": [0, 2, 4, 1, 3]}
        for order, numbers in orders.items():
            for descending in (False, True):
                page = await table.page(Search(), order, 0, 9, descending=descending)
                wanted = [entries[number] for number in numbers]
                assert list(page.entries) == (wanted[::-1] if descending else wanted), order


def test_the_server_removes_old_entries(fresh_server: FreshServer, database: str) -> None:
    server = fresh_server(database, env={"AUDIT_DAYS": "100"})
    server.stop()
    ages = (101, 99, 0)

    async def put() -> None:
        async with opened(server.installation.database_url) as opened_:
            await added(opened_, *(replace(ENTRY, time=NOW - days * DAY, details={"days": days}) for days in ages))

    asyncio.run(put())
    server.start()
    wait_until(lambda: [each["details"]["days"] for each in trail(server.installation, "--action", "sign-in")] == [99, 0])
