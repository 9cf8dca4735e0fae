"""A write that was acknowledged is there, whatever dies afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from email.utils import formatdate
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from apiv3.storage import schema
from apiv3.storage.database import Database
from tests.support.factories import FreshServer
from tests.support.installation import Installation
from tests.support.outages import OwnPostgres, Posters, own_postgres
from tests.support.postgres import Postgres
from tests.support.server import LiveServer
from tests.support.storage import DATE, POOLS, unique

ENOUGH = 30
"""Writes before something dies."""


async def _documents(server: LiveServer, collection: str) -> dict[str, Any]:
    """What the database holds: identifier -> document."""
    database = Database(server.installation.database_url)
    await database.connect()
    try:
        sql = database.dialect.sql("SELECT identifier, body FROM documents WHERE collection = ?")
        return {identifier: orjson.loads(body) for identifier, body in await database.fetch(sql, collection)}
    finally:
        await database.disconnect()


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
        assert (stored["identifier"], stored["srvModified"]) == (identifier, modified)
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


class Groups:
    """Clients that create, patch and replace documents, and post five at once, so close together that they share commits."""

    def __init__(self, server: LiveServer, token: str) -> None:
        self._url, self._jwt = f"{server.url}/api/v3/treatments", server.jwt(token)
        self.said: dict[str, int] = {}
        """The number that each document was last answered to have; and the one that it was sent with since."""
        self.sent: dict[str, int] = {}
        self.fives: dict[str, bool] = {}
        """Whether the five documents of a name were answered to be stored."""
        self._answers, self.enough = 0, asyncio.Event()

    async def run(self) -> None:
        """Until the server is gone."""
        await asyncio.gather(*(self._one(unique("one")) for _ in range(12)), *(self._five() for _ in range(4)))

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[httpx.AsyncClient]:
        with suppress(httpx.TransportError):
            async with httpx.AsyncClient(base_url=self._url, trust_env=False, verify=False) as client:
                yield client

    async def _one(self, name: str) -> None:
        async with self._client() as client:
            for number in count():
                self.sent[name] = number
                body = {"date": DATE, "app": "test", "carbs": number, "copy": number}
                if number % 3 == 0:
                    await self._send(client, "POST", "", {**body, "identifier": name})
                elif number % 3 == 1:
                    await self._send(client, "PUT", f"/{name}", body)
                else:
                    await self._send(client, "PATCH", f"/{name}", {"carbs": number, "copy": number})
                self.said[name] = number

    async def _five(self) -> None:
        async with self._client() as client:
            while True:
                name = unique("five")
                self.fives[name] = False
                body = [{"date": DATE, "app": "test", "identifier": f"{name}.{number}"} for number in range(5)]
                await self._send(client, "POST", "/bulk", body)
                self.fives[name] = True

    async def _send(self, client: httpx.AsyncClient, method: str, path: str, body: object) -> None:
        headers = {"Authorization": f"Bearer {self._jwt}", "Date": formatdate(usegmt=True)}
        answer = await client.request(method, path, json=body, headers=headers)
        assert answer.status_code in (200, 201), answer.text
        self._answers += 1
        if self._answers == 3 * ENOUGH:
            self.enough.set()

    def check(self, stored: Mapping[str, Mapping[str, Any]]) -> None:
        for name, sent in self.sent.items():
            found = stored.get(name, {"carbs": -1, "copy": -1})
            assert self.said.get(name, -1) <= found["carbs"] == found["copy"] <= sent
        for name, said in self.fives.items():
            halves = sum(f"{name}.{number}" in stored for number in range(5))
            assert halves == 5 if said else halves in (0, 5)


async def test_a_group_that_kill_9_meets_is_stored_as_a_whole_or_not_at_all(fresh_server: FreshServer, database: str) -> None:
    """Of each of its members: what was answered is there, and of what was not answered no half is."""
    server = await asyncio.to_thread(fresh_server, database)
    token = await asyncio.to_thread(server.subject, "keeper", "api:treatments:*")
    for _ in range(2):
        clients = await asyncio.to_thread(Groups, server, token)
        running = asyncio.create_task(clients.run())
        async with asyncio.timeout(60):
            await clients.enough.wait()
        await asyncio.to_thread(server.kill)
        await running
        clients.check(await _documents(server, "treatments"))
        await asyncio.to_thread(server.start)


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
        await posters.be_refused()
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
