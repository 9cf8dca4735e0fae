"""Connections to PostgreSQL that a firewall has forgotten: all are dead, nobody is told, and new ones are fine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from apiv3.model.errors import StorageUnavailable
from apiv3.storage import liveness, schema
from apiv3.storage.database import Database
from apiv3.storage.documents import DocumentTable
from tests.support.blackhole import Blackhole, blackhole
from tests.support.installation import Installation
from tests.support.postgres import Postgres
from tests.support.server import LiveServer
from tests.support.storage import DATE, assert_whole, document, history, insert

ENTRIES = "/api/v3/entries"
BOUND = 10.0
"""Seconds after which the first good answer has to be there."""


@pytest.fixture
def way(postgres: Postgres) -> Iterator[Blackhole]:
    parts = urlsplit(postgres.url)
    with blackhole(parts.hostname or "", parts.port or 5432) as way:
        yield way


@pytest.fixture
def url(postgres: Postgres, way: Blackhole) -> Iterator[str]:
    """A database, reached by a way that can be cut."""
    with postgres.database() as url:
        yield f"{url}?host=127.0.0.1&port={way.port}"


def entry(identifier: str) -> dict[str, Any]:
    return {"identifier": identifier, "date": DATE, "app": "test"}


def test_a_server_outlives_its_connections(url: str, way: Blackhole, tmp_path: Path) -> None:
    server = LiveServer(Installation(tmp_path, url))
    server.start()
    try:
        client = server.client(server.subject("phone", "api:*:*"))
        with ThreadPoolExecutor(20) as threads:
            posts = [partial(client.post, ENTRIES, json=entry(f"before-{number}")) for number in range(40)]
            reads = [partial(client.get, f"{ENTRIES}/before-{number}") for number in range(40)]
            assert {each.status_code for each in threads.map(lambda ask: ask(), posts)} == {201}
            assert {each.status_code for each in threads.map(lambda ask: ask(), reads)} == {200}
            way.forget()
            read = threads.submit(until_good, lambda: client.get(f"{ENTRIES}/before-0"))
            written = threads.submit(until_good, lambda: client.post(ENTRIES, json=entry("after")))
            assert read.result() < BOUND
            assert written.result() < BOUND
        assert "a connection to the database is dead" in server.output
        assert "Traceback" not in server.output
    finally:
        server.stop()


def test_a_server_ends_although_its_connections_are_dead(url: str, way: Blackhole, tmp_path: Path) -> None:
    """And nobody has noticed yet."""
    server = LiveServer(Installation(tmp_path, url))
    server.start()
    client = server.client(server.subject("phone", "api:*:*"))
    assert client.post(ENTRIES, json=entry("before")).status_code == 201
    way.forget()
    server.stop()
    assert "Traceback" not in server.output


def until_good(ask: Callable[[], httpx.Response]) -> float:
    """Asks until the answer is good, or for a minute; the seconds that took."""
    began = time.monotonic()
    while not ask().is_success and time.monotonic() < began + 60:
        time.sleep(0.05)
    return time.monotonic() - began


async def test_locks_of_a_dead_transaction_are_released(url: str, way: Blackhole) -> None:
    await asyncio.to_thread(schema.upgrade, url)
    database, store = Database(url), None
    await database.connect()
    try:
        store = DocumentTable(database)
        await store.prepare(["entries"])
        with pytest.raises(StorageUnavailable):
            await _write_over(store, way)
        async with asyncio.timeout(BOUND):
            [after] = await insert(store, "entries", document("after"))
        assert await history(store, "entries") == [after]
        await assert_whole(database)
    finally:
        await database.disconnect()


async def _write_over(store: DocumentTable, way: Blackhole) -> None:
    async with store.writing("entries") as writer:
        way.forget()
        await writer.find("nobody")


async def test_a_slow_query_is_left_alone(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database says that it is at work."""
    monkeypatch.setattr(liveness, "SILENCE", 1.2)
    monkeypatch.setattr(liveness, "INTERVAL", 0.2)
    database = Database(url)
    await database.connect()
    try:
        assert [tuple(row) for row in await database.fetch("SELECT 1 FROM pg_sleep(3)")] == [(1,)]
        async with database.connection() as connection:  # one that is lent, and asks nothing
            await connection.fetch("SELECT 1")
            await asyncio.sleep(2)
            assert [tuple(row) for row in await connection.fetch("SELECT 2")] == [(2,)]
    finally:
        await database.disconnect()
