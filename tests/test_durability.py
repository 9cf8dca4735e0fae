"""A write that was acknowledged is there, whatever dies afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import orjson
import pytest

from apiv3.storage import schema
from apiv3.storage.database import Database
from tests.support.factories import FreshServer
from tests.support.installation import Installation
from tests.support.outages import OwnPostgres, Posters, own_postgres
from tests.support.postgres import Postgres
from tests.support.server import LiveServer
from tests.support.storage import POOLS

ENOUGH = 30
"""Writes before something dies."""


async def _stored(server: LiveServer) -> dict[str, int]:
    """What the database holds: identifier -> srvModified."""
    database = Database(server.installation.database_url)
    await database.connect()
    try:
        async with database.connection() as connection:
            rows = await connection.fetch("SELECT identifier, srv_modified, body FROM documents")
    finally:
        await database.disconnect()
    for identifier, modified, body in rows:
        stored = orjson.loads(body)
        assert (stored["identifier"], stored["srvModified"], stored["sgv"]) == (identifier, modified, 120)
    return {identifier: modified for identifier, modified, _ in rows}


async def test_acknowledged_writes_survive_kill_9(fresh_server: FreshServer, database: str) -> None:
    """Of the whole server, workers included, twice."""
    server = await asyncio.to_thread(fresh_server, database, workers=2)
    token = await asyncio.to_thread(server.subject, "keeper", "api:entries:*")
    acknowledged: dict[str, int] = {}
    for again in (True, False):
        posters = await asyncio.to_thread(Posters, server, token)
        posting = asyncio.create_task(posters.post_until(asyncio.Event()))
        await posters.acknowledge(ENOUGH)
        await asyncio.to_thread(server.kill)
        await posting
        assert not posters.surprises
        # The clock does not fall back either: what is written after the crash comes after what was written before it.
        assert min(posters.acknowledged.values()) > max(acknowledged.values(), default=0)
        acknowledged |= posters.acknowledged
        assert acknowledged.items() <= (await _stored(server)).items()
        if again:
            await asyncio.to_thread(server.start)
            client = server.client(token)
            for identifier in list(acknowledged)[:10]:
                answer = await asyncio.to_thread(client.get, f"/api/v3/entries/{identifier}")
                assert answer.status_code == 200


@pytest.fixture(scope="module")
def own(postgres: Postgres) -> Iterator[OwnPostgres]:
    """`postgres` is asked for because it knows what to do where there is none."""
    with own_postgres() as own:
        yield own


async def test_acknowledged_writes_survive_a_crash_of_postgresql(own: OwnPostgres, tmp_path: Path) -> None:
    """The server that they went through goes on, and refuses what it cannot store meanwhile."""
    url = await asyncio.to_thread(own.new_database)
    server = LiveServer(Installation(tmp_path, url))
    await asyncio.to_thread(server.start)
    try:
        token = await asyncio.to_thread(server.subject, "keeper", "api:entries:*")
        posters = await asyncio.to_thread(Posters, server, token)
        over = asyncio.Event()
        posting = asyncio.create_task(posters.post_until(over))
        await posters.acknowledge(ENOUGH)
        await asyncio.to_thread(own.crash)
        await asyncio.sleep(0.2)
        await asyncio.to_thread(own.start)
        await posters.acknowledge(ENOUGH)
        over.set()
        await posting
        stored = await _stored(server)
    finally:
        await asyncio.to_thread(server.stop)
    assert not posters.surprises
    assert posters.refused
    assert posters.acknowledged.items() <= stored.items()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_sqlite_writes_through_to_the_disk(database_url: str) -> None:
    """On every connection that may write, and still so while it writes."""
    schema.upgrade(database_url)
    database = Database(database_url)
    await database.connect()
    try:
        async with AsyncExitStack() as loans:
            for _ in range(POOLS["sqlite"]):
                connection = await loans.enter_async_context(database.connection())
                async with connection.transaction():
                    assert await connection.fetch("PRAGMA journal_mode") == [("wal",)]
                    assert await connection.fetch("PRAGMA synchronous") == [(2,)], "not FULL"
    finally:
        await database.disconnect()


async def test_postgresql_commits_as_its_operator_says(own: OwnPostgres) -> None:
    database = Database(await asyncio.to_thread(own.new_database))
    await database.connect()
    try:
        async with database.transaction("any") as connection:
            assert await connection.fetch("SHOW synchronous_commit") == [("on",)]
    finally:
        await database.disconnect()
