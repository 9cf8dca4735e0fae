"""Show how the database finds what apps ask for: the plan of each query, and how long it takes.

    .venv/bin/python docs/explanation/plans.py [--documents 100000] [--url postgresql://user:password@host/name]

Fills an empty database (without --url: a SQLite file that is removed afterwards) with that many entries, treatments and
device statuses each. Then it sends the apps' queries through the server's own code, and prints for each statement what
EXPLAIN says, and the median time of the whole operation, in ms. A database that --url names is left filled.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import click

from apiv3.model import timestamps
from apiv3.model.collections import STANDARD
from apiv3.storage import schema
from apiv3.storage.database import Database
from apiv3.storage.documents import DocumentTable
from apiv3.storage.postgresql import FEW_ROWS
from apiv3.web import search_parameters
from apiv3.web.parameters import parse_query

START = 1_600_000_000_000
STEP = 300_000
BATCH = 1_000
RUNS = 15
EVENTS = ("Meal Bolus", "Correction Bolus", "Temp Basal", "Site Change", "Note")


def entry(number: int) -> dict[str, Any]:
    return {"type": "mbg" if number % 50 == 0 else "sgv", "sgv": 70 + number % 180, "direction": "Flat"}


def treatment(number: int) -> dict[str, Any]:
    return {"eventType": EVENTS[number % len(EVENTS)], "insulin": number % 70 / 10, "notes": f"note {number}"}


def device_status(number: int) -> dict[str, Any]:
    return {"uploader": {"battery": number % 101}, "pump": {"reservoir": number % 300, "status": {"bolusing": False}}}


CONTENTS = {"entries": entry, "treatments": treatment, "devicestatus": device_status}


async def fill(table: DocumentTable, documents: int) -> None:
    """That many documents in each of the big collections, five minutes apart."""
    for collection, content in CONTENTS.items():
        for first in range(0, documents, BATCH):
            async with table.writing(collection) as writer:
                for number in range(first, min(first + BATCH, documents)):
                    date, moment = START + number * STEP, writer.tick()
                    common = {"identifier": f"{collection}-{number:09}", "date": date, "created_at": timestamps.iso(date)}
                    server = {"srvCreated": moment, "srvModified": moment, "subject": "loader"}
                    await writer.insert({**common, "app": "plans", "utcOffset": 0, **content(number), **server})


class Explained:
    """A connection that prints the plan of what it is asked to fetch, and then fetches it."""

    def __init__(self, connection: Any, is_sqlite: bool) -> None:
        self._connection, self._is_sqlite = connection, is_sqlite

    async def explain(self, sql: str, *args: Any) -> None:
        click.echo(f"  {sql}")
        explain = "EXPLAIN QUERY PLAN " if self._is_sqlite else "EXPLAIN "
        for row in await self._connection.fetch(explain + sql, *args):
            click.echo(f"    {row[-1]}")

    async def explain_stream(self, sql: str, *args: Any) -> None:
        """PostgreSQL plans otherwise for a cursor, which `storage.postgresql` makes for a stream."""
        if self._is_sqlite:
            await self.explain(sql, *args)
            return
        async with self._connection.transaction():
            await self._connection.execute(FEW_ROWS)
            await self.explain(f"DECLARE scan NO SCROLL CURSOR FOR {sql}", *args)

    async def fetch(self, sql: str, *args: Any) -> object:
        await self.explain(sql, *args)
        return await self._connection.fetch(sql, *args)


class Explaining:
    """In the place of a Database, behind a DocumentTable: explains every query that comes by."""

    def __init__(self, database: Database) -> None:
        self.dialect = database.dialect
        self._database = database

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Explained]:
        async with self._database.connection() as connection:
            yield Explained(connection, self.dialect.name == "sqlite")

    async def fetch(self, sql: str, *args: Any) -> object:
        async with self.connection() as connection:
            return await connection.fetch(sql, *args)

    async def fetch_quick(self, sql: str, *args: Any) -> object:
        return await self.fetch(sql, *args)

    async def stream(self, sql: str, *args: Any, caller: str = "") -> AsyncIterator[Sequence[Any]]:
        click.echo("  (row by row, until enough documents match:)")
        async with self.connection() as connection:
            await connection.explain_stream(sql, *args)
        async for rows in self._database.stream(sql, *args, caller=caller):
            yield rows


def search(collection: str, query: str) -> Callable[[DocumentTable], Awaitable[object]]:
    """A SEARCH as the server understands the query string."""
    parsed = search_parameters.search_query(parse_query(query.encode()), 1000)
    return lambda table: table.search(collection, parsed)


def operations(documents: int) -> dict[str, Callable[[DocumentTable], Awaitable[object]]]:
    """What apps send, at a moment when the newest hundred documents are new to them."""
    recent = START + (documents - 100) * STEP
    later, iso = recent + 50 * STEP, timestamps.iso(recent)
    searches = (
        ("entries", "sort$desc=date&type=sgv&limit=100"),
        ("entries", f"sort=date&date$gt={recent}&limit=500"),
        ("entries", f"type$eq=sgv&sort$desc=date&date$gte={recent}&date$lt={later}"),
        ("treatments", f"sort=created_at&created_at$gt={iso}&limit=500"),
        ("treatments", "eventType=Site+Change&sort$desc=created_at&limit=10"),
        ("devicestatus", "sort$desc=created_at&limit=1&skip=0"),
        ("food", "limit=1000"),
        ("profile", "sort$desc=date&limit=1"),
        ("treatments", f"created_at$gt={iso}&sort$desc=created_at&notes$re=(?i)NOTE"),
        ("devicestatus", "uploader.battery$lt=20&sort$desc=created_at&limit=10"),
        ("devicestatus", "uploader.battery$gt=100&sort$desc=created_at&limit=10"),
    )
    shown = {f"GET /{collection}?{query}": search(collection, query) for collection, query in searches}
    return {
        "GET /entries/{identifier}": lambda table: table.get("entries", f"entries-{documents // 2:09}"),
        **shown,
        "GET /devicestatus/history/{recent}": _history,
        "GET /lastModified, its part for entries": lambda table: table.last_modified({"entries": "date"}),
    }


async def _history(table: DocumentTable) -> object:
    latest = await table.last_modified({"devicestatus": None})
    return await table.history("devicestatus", latest["devicestatus"] - 100, 500)


async def median(work: Callable[[], Awaitable[object]]) -> float:
    """Milliseconds."""
    times = []
    for _ in range(RUNS):
        started = time.perf_counter()
        await work()
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)


async def show(url: str, documents: int) -> None:
    database = Database(url)
    await database.connect()
    try:
        table = DocumentTable(database)
        await table.prepare([collection.name for collection in STANDARD])
        await fill(table, documents)
        name, version = await table.version()
        if name == "postgresql":
            async with database.connection() as connection:
                await connection.execute("ANALYZE documents")  # what autovacuum does by itself a minute later
        click.echo(f"{name} {version}, {documents} documents in each of {', '.join(CONTENTS)}")
        explaining = DocumentTable(cast("Database", Explaining(database)))
        for title, operation in operations(documents).items():
            click.echo(f"\n{title}")
            await operation(explaining)
            click.echo(f"  = {await median(lambda run=operation: run(table)):.2f} ms")  # type: ignore[misc]
    finally:
        await database.disconnect()


@click.command(help=__doc__.partition("\n")[0])
@click.option("--documents", default=100_000, show_default=True, help="Documents in each of the big collections.")
@click.option("--url", help="An empty database to use, instead of a SQLite file of its own.")
def main(documents: int, url: str | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = url or f"sqlite:///{Path(folder) / 'plans.sqlite'}"
        schema.upgrade(url)
        asyncio.run(show(url, documents))


if __name__ == "__main__":
    main()
