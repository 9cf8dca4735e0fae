"""The queries that apps send are answered by an index: what they cost does not grow with the collection.

Each goes from its query string through the parser into the store, whose statements are explained by the database instead
of being trusted.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from apiv3.storage import schema
from apiv3.storage.database import Database
from apiv3.storage.documents import DocumentTable
from apiv3.web.parameters import parse_query
from apiv3.web.search_parameters import search_query
from tests.support.factories import NewDatabase
from tests.support.postgres import Postgres

ROWS = 20_000
"""Enough for PostgreSQL to prefer an index by itself; SQLite goes by rules."""
DATE = 1_700_000_000_000
ISO = "2023-11-14T22:13:20.000Z"

# Two collections of some size: `entries` by date and type, `treatments` by created_at and eventType; deleted ones in both.
FILL = """
    WITH RECURSIVE numbers(n) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT n + 1 FROM numbers WHERE n < {rows})
    INSERT INTO documents (collection, identifier, identified, valid, srv_modified, srv_created, date, created_at, type,
        event_type, body)
    SELECT '{collection}', 'id-' || n, n % 50 > 0, n % 20 > 0, {date} + n * 300000, {date} + n * 300000, {date} + n * 300000,
        {iso}, {type}, {event_type}, '{{"identifier":"id-' || n || '"}}'
    FROM numbers
"""
TYPE = "CASE WHEN n % 10 = 0 THEN 'mbg' ELSE 'sgv' END"
EVENT_TYPE = "CASE WHEN n % 10 = 0 THEN 'Note' ELSE 'Temp Basal' END"
TIME = f"{DATE // 1000} + n * 300"
ISO_OF = {
    "sqlite": f"strftime('%Y-%m-%dT%H:%M:%S.000Z', {TIME}, 'unixepoch')",
    "postgresql": f"to_char(to_timestamp({TIME}) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.000\"Z\"')",
}


class Explained:
    """A database that explains each SELECT before it runs it. `plans`: what it said."""

    def __init__(self, database: Database, *, generic: bool = False) -> None:
        self._database, self.dialect, self.plans = database, database.dialect, list[str]()
        self._generic = generic
        self._connection: Any = None

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Explained]:
        async with self._database.connection() as self._connection:
            yield self
        self._connection = None

    @asynccontextmanager
    async def transaction(self, lane: str) -> AsyncIterator[Explained]:
        async with self._database.transaction(lane) as self._connection:
            yield self
        self._connection = None

    async def stream(self, sql: str, *_args: Any, **_caller: str) -> AsyncGenerator[Any, None]:
        yield []
        raise AssertionError(f"this reads more than an index: {sql}")

    async def execute(self, _sql: str, *_args: Any) -> None:
        """Nothing: the next test wants the same rows."""

    async def fetch_quick(self, sql: str, *args: Any) -> Any:
        return await self.fetch(sql, *args)

    async def fetch(self, sql: str, *args: Any) -> Any:
        if self._connection is None:
            async with self.connection():
                return await self.fetch(sql, *args)
        if sql.startswith("SELECT"):
            self.plans.append(await self._explain(sql, args))
        return await self._connection.fetch(sql, *args)

    async def _explain(self, sql: str, args: Any) -> str:
        if self.dialect.name == "sqlite":
            rows = await self._connection.fetch(f"EXPLAIN QUERY PLAN {sql}", *args)
            return "\n".join(row[3] for row in rows)
        rows = await (self._explain_generic(sql, args) if self._generic else self._connection.fetch(f"EXPLAIN {sql}", *args))
        return "\n".join(row[0] for row in rows)

    async def _explain_generic(self, sql: str, args: Any) -> Any:
        """The parameters of EXECUTE must be literals; those of these tests are numbers and harmless texts."""
        await self._connection.execute(f"SET plan_cache_mode = force_generic_plan; PREPARE explained AS {sql}")
        try:
            return await self._connection.fetch(f"EXPLAIN EXECUTE explained ({', '.join(map(_literal, args))})")
        finally:
            await self._connection.execute("DEALLOCATE explained; RESET plan_cache_mode")


def _literal(value: object) -> str:
    return f"ARRAY{value!r}" if isinstance(value, list) else repr(value)


@pytest.fixture(scope="session")
def filled_url(plan: str, new_database: NewDatabase, start_postgres: Callable[[], Postgres]) -> Iterator[str]:
    if plan != "sqlite":
        start_postgres()
    with new_database(plan.partition(":")[0]) as url:
        schema.upgrade(url)
        asyncio.run(_fill(url))
        yield url


@pytest.fixture(scope="session", params=["sqlite", "postgres", "postgres:generic"])
def plan(request: pytest.FixtureRequest) -> str:
    """Generic: how PostgreSQL may plan a statement that it has seen five times, without a look at the parameters."""
    return str(request.param)


@pytest.fixture
async def explained(plan: str, filled_url: str) -> AsyncIterator[Explained]:
    database = Database(filled_url)
    await database.connect()
    try:
        yield Explained(database, generic=plan.endswith("generic"))
    finally:
        await database.disconnect()


async def _fill(url: str) -> None:
    database = Database(url)
    await database.connect()
    try:
        await DocumentTable(database).prepare(["entries", "treatments"])
        values = {"rows": ROWS, "date": DATE, "iso": ISO_OF[database.dialect.name]}
        async with database.connection() as connection:
            await connection.execute(FILL.format(collection="entries", type=TYPE, event_type="NULL", **values))
            await connection.execute(FILL.format(collection="treatments", type="NULL", event_type=EVENT_TYPE, **values))
            if database.dialect.name == "postgresql":
                await connection.execute("VACUUM ANALYZE documents")
    finally:
        await database.disconnect()


def assert_indexed(plan: str, index: str | None = None) -> None:
    """Rows are found by an index and come in its order; what is scanned is no more than the page that they make up."""
    assert not re.search(r"SCAN (?!CONSTANT|page\b)|TEMP B-TREE|Seq Scan|Sort|Bitmap", plan), plan
    assert re.search(r"USING (COVERING )?INDEX|Index (Only )?Scan", plan), plan
    if index:
        assert f"documents_{index}" in plan, plan


SEARCHES = {
    "entries?sort$desc=date&limit=100": "date",
    "entries?sort$desc=date&limit=1": "date",
    "entries?sort=date&limit=10": "date",
    f"entries?sort=date&date$gt={DATE}&limit=500": "date",
    f"entries?sort$desc=date&date$gte={DATE}&date$lt={DATE + 10**9}": "date",
    "entries?sort$desc=date&type=sgv": "type",
    f"entries?type$eq=sgv&sort$desc=date&date$gte={DATE}&date$lt={DATE + 10**9}&limit=100": "type",
    "treatments?sort$desc=created_at&limit=1&skip=0": "created_at",
    f"treatments?sort=created_at&created_at$gt={ISO}&limit=500": "created_at",
    f"treatments?sort=created_at&created_at$gte={ISO}&created_at$lt=2024-01-01T00:00:00Z": "created_at",
    "treatments?sort$desc=created_at&eventType=Note&limit=10": "event_type",
    f"treatments?eventType=Temp%20Basal&sort$desc=created_at&created_at$gte={ISO}": "event_type",
    "entries?identifier=id-77": "identifier",
    "entries?identifier$gt=id-77&limit=10": "identifier",
    "entries?limit=10": "identifier",
    "entries?sort$desc=identifier&limit=10": "identifier",
    f"entries?sort=srvModified&srvModified$gt={DATE}&limit=10": "srv_modified",
    "entries?sort$desc=srvModified&limit=1": "srv_modified",
}


@pytest.mark.parametrize("url", SEARCHES)
async def test_search(explained: Explained, url: str) -> None:
    page = await _store(explained).search(*_parsed(url))
    assert page.text
    [plan] = explained.plans
    assert_indexed(plan, SEARCHES[url])
    assert ("documents_listed" in plan) == (SEARCHES[url] in ("type", "event_type")), plan


# Without `sort` the order is by identifier: what a range finds has to be sorted, but no more than that may be read.
RANGES = {
    f"entries?date$gte={DATE + 10**9}&date$lt={DATE + 10**9 + 10**7}": "date",
    "treatments?created_at$gte=2023-12-01T00:00:00Z&created_at$lt=2023-12-02T00:00:00Z": "created_at",
    f"entries?type=mbg&date$gte={DATE + 10**9}&date$lt={DATE + 10**9 + 10**7}": "type",
    "treatments?eventType=Note&created_at$gte=2023-12-01T00:00:00Z&created_at$lt=2023-12-02T00:00:00Z": "event_type",
}


@pytest.mark.parametrize("url", RANGES)
async def test_an_unsorted_range(explained: Explained, url: str) -> None:
    assert (await _store(explained).search(*_parsed(url))).text
    [plan] = explained.plans
    assert f"documents_{RANGES[url]}" in plan, plan


Ask = Callable[[DocumentTable], Awaitable[object]]


OTHERS: dict[str, Ask] = {
    "READ": lambda store: store.get("entries", "id-77"),
    "HISTORY": lambda store: store.history("entries", DATE + 10**9, 100),
    "HISTORY from the beginning": lambda store: store.history("entries", 0, 1000),
    "the clock": lambda store: store.clock("entries"),
    "old tombstones": lambda store: store.forget("entries", DATE + 10**9, 100),
    "LASTMODIFIED": lambda store: store.last_modified({"entries": "date", "treatments": "created_at"}),
}


@pytest.mark.parametrize("name", OTHERS)
async def test_everything_else(explained: Explained, name: str) -> None:
    await OTHERS[name](_store(explained))
    assert explained.plans
    for plan in explained.plans:
        assert_indexed(plan)


@pytest.mark.parametrize("since", [0, DATE + 10**9])
async def test_changes(explained: Explained, since: int) -> None:
    """Two indexes are merged; SQLite sorts what it took from each, which is a page at the most."""
    assert len(await _store(explained).changes("entries", since, 200)) == 200
    [plan] = explained.plans
    assert not re.search(r"SCAN (documents|tombstones)|Seq Scan|(^|-> +)Sort|Bitmap", plan), plan
    assert re.search(r"USING INDEX documents_srv_modified|Index Scan using documents_srv_modified", plan), plan
    assert re.search(r"SEARCH tombstones USING INDEX|Index Scan using tombstones_pkey", plan), plan


@pytest.mark.parametrize("collection", ["entries", "treatments"])
async def test_autoprune(explained: Explained, collection: str) -> None:
    """The oldest come first out of the index: a batch reads no more than it removes, however much is too old."""
    for before, found in ((DATE, 0), (DATE + 10**9, 100)):
        explained.plans.clear()
        assert await _store(explained).prune(collection, before, 100) == found
        by_date, *by_other = explained.plans
        assert_indexed(by_date, "date")
        for plan in by_other:  # documents without a date: there are hardly any
            assert re.search(r"USING (COVERING )?INDEX|Index (Only )?Scan", plan), plan


async def test_what_a_writer_looks_for(explained: Explained) -> None:
    async with _store(explained).writing("entries") as writer:
        assert await writer.find("id-77")
        assert await writer.find_unidentified("date", [DATE + 50 * 300_000])
        assert await writer.find_unidentified("created_at", ["2023-11-15T02:23:20.000Z"])
    for plan, index in zip(explained.plans, ("identifier", "date", "created_at"), strict=True):
        assert index in plan, plan


def _store(explained: Explained) -> DocumentTable:
    return DocumentTable(cast("Database", explained))


def _parsed(url: str) -> tuple[str, Any]:
    collection, _, query = url.partition("?")
    return collection, search_query(parse_query(query.encode()), 1000)
