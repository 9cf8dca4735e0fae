"""Old documents are removed in the background, where a setting says how many days to keep."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import httpx

from apiv3.model import timestamps
from apiv3.storage.changes import BURY
from apiv3.storage.database import Database
from apiv3.storage.documents import DocumentTable
from tests.support.documents import Corner, Json, api_of, import_documents
from tests.support.factories import FreshServer
from tests.support.live import Stream
from tests.support.server import LiveServer
from tests.support.waiting import wait_until

T = TypeVar("T")

DAY = 86_400_000


def restarted(server: LiveServer, settings: dict[str, str | None]) -> httpx.Client:
    """A client of the same server, started anew with other settings."""
    server.stop()
    server.installation.settings = {**server.installation.settings, **settings}
    server.start()
    return api_of(server, "api:*:*")


def identifiers(api: httpx.Client, collection: str) -> list[str]:
    return [each["identifier"] for each in api.get(f"/{collection}", params={"limit": 1000}).json()["result"]]


def test_old_documents_are_removed(fresh_server: FreshServer, database: str) -> None:
    now = time.time_ns() // 1_000_000
    young, old, ancient = now - 29 * DAY, now - 31 * DAY, now - 3000 * DAY

    server = fresh_server(database, env={"API3_AUTOPRUNE_FOOD": "0", "API3_EXTRA_COLLECTIONS": "notes"})
    api = api_of(server, "api:*")
    for collection in ("entries", "treatments", "food", "notes"):
        mine = Corner(api, collection)
        mine.add(identifier="young", date=young)
        mine.add(identifier="old", date=old)
        mine.add(identifier="ancient", date=ancient)
        mine.add(identifier="deleted", date=old)
        api.delete(f"/{collection}/deleted")
        mine.add(identifier="read-only", date=old, isReadOnly=True)
    batches: list[Json] = [{"identifier": f"one-of-many-{number:03d}", "date": ancient + number} for number in range(250)]
    # by date, else by created_at, else by srvCreated
    elsewhere: list[Json] = [
        {"identifier": "old-created", "created_at": timestamps.iso(old)},
        {"identifier": "young-created", "created_at": timestamps.iso(young), "srvCreated": old},
        {"identifier": "old-on-server", "srvCreated": old},
        {"identifier": "young-on-server", "srvCreated": young},
        {"identifier": "young-date", "date": young, "created_at": timestamps.iso(old), "srvCreated": old},
        {"identifier": "old-date", "date": old, "created_at": timestamps.iso(young), "srvCreated": young},
    ]
    import_documents(server, "entries", *elsewhere, *batches)
    everything = {name: identifiers(api, name) for name in ("treatments", "food", "notes")}
    assert len(identifiers(api, "entries")) == 4 + len(elsewhere) + len(batches)

    api = restarted(server, {"API3_AUTOPRUNE_ENTRIES": "30", "API3_AUTOPRUNE_NOTES": "1000"})
    left = ["young", "young-created", "young-date", "young-on-server"]
    wait_until(lambda: len(identifiers(api, "entries")) <= len(left) and len(identifiers(api, "notes")) == 3)
    assert identifiers(api, "entries") == left
    assert identifiers(api, "notes") == ["old", "read-only", "young"]
    for gone in ("old", "deleted", "read-only", "one-of-many-249"):
        assert api.get(f"/entries/{gone}").status_code == 404
    # nothing is said of the others: they are kept for ever
    assert {name: identifiers(api, name) for name in ("treatments", "food")} == {
        name: everything[name] for name in ("treatments", "food")
    }
    assert Corner(api, "entries").add(date=old)  # what comes later is for the next round


def test_old_tombstones_are_forgotten(fresh_server: FreshServer, database: str) -> None:
    """In every collection, whether its documents are pruned or not; and a follower that was away for longer is told."""
    server = fresh_server(database, env={"API3_TOMBSTONE_DAYS": "2"})
    token = server.subject("follower", "api:*:read")
    api = api_of(server, "api:*:*")
    now = time.time_ns() // 1_000_000
    Corner(api, "food").add(identifier="stays")
    Corner(api, "food").add(identifier="goes")
    api.delete("/food/goes", params={"permanent": "true"})
    bury(server, "food", now - 3 * DAY, now - 2 * DAY - 1)
    server.restart()
    wait_until(lambda: tombstones(server, "food") == ["goes"])
    with Stream(server, token, f"collections=food&since={now - 3 * DAY}") as stream:
        assert [told.kind for told in stream.take(3)] == ["reset", "create", "delete"]
    for since in (now - 2 * DAY, "2000-01-01"):
        with Stream(server, token, f"collections=food&since={since}") as stream:
            assert [told.kind for told in stream.take(2)] == ["create", "delete"]


def bury(server: LiveServer, collection: str, *moments: int) -> None:
    """Tombstones of long ago."""

    async def work(database: Database) -> None:
        async with database.transaction(collection) as connection:
            for moment in moments:
                await connection.execute(database.dialect.sql(BURY), collection, moment, f"{moment}")

    on(server, work)


def tombstones(server: LiveServer, collection: str) -> list[str]:
    async def work(database: Database) -> list[str]:
        changes = await DocumentTable(database).changes(collection, 0, 1000)
        return [change.identifier for change in changes if change.kind == "delete"]

    return on(server, work)


def on(server: LiveServer, work: Callable[[Database], Awaitable[T]]) -> T:
    async def run() -> T:
        database = Database(server.installation.database_url)
        await database.connect()
        try:
            return await work(database)
        finally:
            await database.disconnect()

    return asyncio.run(run())
