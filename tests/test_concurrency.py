"""Many at once, through the front door: nothing is lost, doubled or refused, whichever process is asked.

The servers are two installations on one database: one with two worker processes, one with one.
"""

from __future__ import annotations

import asyncio
import random
import re
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from email.utils import formatdate
from functools import cache
from itertools import count, cycle
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson
import pytest

from apiv3.model.collections import STANDARD
from apiv3.storage.database import Database
from tests.support.factories import FreshServer, NewDatabase
from tests.support.installation import Installation
from tests.support.postgres import Postgres
from tests.support.server import LiveServer

BEGINNING = 946_684_800_000
DATE = 1_700_000_000_000
WRITERS = 8
WRITES = 25
"""Of each writer."""
LIMITS = (1, 3, 500)


class Servers:
    """All that listen for one database, and a token that they all take."""

    def __init__(self, servers: Sequence[LiveServer]) -> None:
        self.all = servers
        self.database_url = servers[0].installation.database_url
        self.token = servers[0].subject("crowd", "api:*:*")
        for server in servers[1:]:
            server._wait_until_known(self.token)

    @asynccontextmanager
    async def clients(self, number: int) -> AsyncIterator[list[httpx.AsyncClient]]:
        """Clients with an open connection each, in turn for each server."""
        async with AsyncExitStack() as opened:
            clients = []
            tokens = {server: await asyncio.to_thread(server.jwt, self.token) for server in self.all}
            for server, _ in zip(cycle(self.all), range(number), strict=False):
                headers = {"Authorization": f"Bearer {tokens[server]}"}
                options: dict[str, Any] = {"trust_env": False, "verify": False, "timeout": 30}
                client = httpx.AsyncClient(base_url=f"{server.url}/api/v3", headers=headers, **options)
                client.event_hooks["request"].append(_date)
                clients.append(await opened.enter_async_context(client))
                assert (await client.get("/status")).status_code == 200
            yield clients

    async def table(self, collection: str) -> dict[str, Any]:
        """What the database holds, by identifier."""
        database = Database(self.database_url)
        await database.connect()
        try:
            async with database.connection() as connection:
                sql = database.dialect.sql("SELECT identifier, body FROM documents WHERE collection = ?")
                return {identifier: orjson.loads(body) for identifier, body in await connection.fetch(sql, collection)}
        finally:
            await database.disconnect()


async def _date(request: httpx.Request) -> None:
    request.headers["Date"] = formatdate(usegmt=True)


@pytest.fixture(scope="module")
def started(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Servers]]:
    with ExitStack() as cleanup:

        @cache
        def start(kind: str) -> Servers:
            url = cleanup.enter_context(new_database(kind))
            secret = secrets.token_urlsafe(24)
            servers = []
            for workers in (2, 1):
                settings = {"API3_EXTRA_COLLECTIONS": "followed"}
                installation = Installation(tmp_path_factory.mktemp("installation"), url, settings, secret)
                servers.append(LiveServer(installation, workers=workers))
                cleanup.callback(servers[-1].stop)
            with ThreadPoolExecutor() as threads:  # both find an empty database
                list(threads.map(LiveServer.start, servers))
            return Servers(servers)

        yield start


@pytest.fixture
def servers(database: str, started: Callable[[str], Servers]) -> Servers:
    return started(database)


# --- followers of HISTORY


class Writer:
    """Makes random changes of documents that all writers share, and of new ones. `acknowledged`: identifier -> lastModified."""

    def __init__(self, client: httpx.AsyncClient, name: str, random: random.Random) -> None:
        self._client, self._name, self._random = client, name, random
        self._numbers = count()
        self.acknowledged: dict[str, int] = {}

    async def write(self, times: int) -> None:
        for _ in range(times):
            change = self._random.choice(
                (self._add, self._add, self._add, self._post, self._put, self._put, self._patch, self._delete)
            )
            await change()

    async def _add(self) -> None:
        await self._send("POST", "", f"{self._name}-{next(self._numbers)}", {201})

    async def _post(self) -> None:
        await self._send("POST", "", self._shared(), {200, 201})

    async def _put(self) -> None:
        shared = self._shared()
        await self._send("PUT", f"/{shared}", shared, {200, 201, 410})

    async def _patch(self) -> None:
        answer = await self._client.patch(f"/followed/{self._shared()}", json={"value": next(self._numbers)})
        assert answer.status_code in {200, 404, 410}, answer.text

    async def _delete(self) -> None:
        answer = await self._client.delete(f"/followed/{self._shared()}")
        assert answer.status_code in {200, 404}, answer.text

    def _shared(self) -> str:
        return f"shared-{self._random.randrange(6)}"

    async def _send(self, method: str, path: str, identifier: str, allowed: set[int]) -> None:
        body = {"identifier": identifier, "date": DATE, "app": "test", "value": next(self._numbers)}
        answer = await self._client.request(method, f"/followed{path}", json=body)
        assert answer.status_code in allowed, answer.text
        if answer.status_code < 300:
            self.acknowledged[identifier] = answer.json()["lastModified"]


async def follow(client: httpx.AsyncClient, limit: int, over: asyncio.Event) -> dict[str, Any]:
    """What a client holds that applies every page of HISTORY, its cursor the ETag, until all is said."""
    state: dict[str, Any] = {}
    cursor = BEGINNING
    while True:
        last_look = over.is_set()
        answer = await client.get(f"/followed/history/{cursor}", params={"limit": limit})
        assert answer.status_code == 200, answer.text
        page = answer.json()["result"]
        assert len(page) <= limit
        for changed in page:
            assert changed["srvModified"] > cursor, "seen twice, or out of order"
            cursor = changed["srvModified"]
            state[changed["identifier"]] = changed
        if page:
            tag = re.fullmatch(r'W/"(\d+)"', answer.headers["etag"])
            assert tag
            assert int(tag[1]) == cursor
        elif last_look:
            return state


async def test_followers_miss_nothing_and_see_nothing_twice(servers: Servers) -> None:
    seed = random.randrange(2**32)
    print("seed:", seed)  # noqa: T201  (shown when it fails)
    over = asyncio.Event()
    async with servers.clients(WRITERS + 2 * len(LIMITS)) as clients:
        writers = [Writer(client, f"{seed}-{n}", random.Random(seed + n)) for n, client in enumerate(clients[:WRITERS])]
        # Each limit is followed at two servers.
        followers = [asyncio.create_task(follow(client, LIMITS[n // 2], over)) for n, client in enumerate(clients[WRITERS:])]
        await asyncio.gather(*(writer.write(WRITES) for writer in writers))
        over.set()
        states = await asyncio.gather(*followers)
    table = await servers.table("followed")
    assert len(table) > WRITERS
    for state in states:
        assert state.keys() == table.keys()
        missed = {name: (state[name], last) for name, last in table.items() if state[name] != last}
        assert not missed
    for writer in writers:
        for identifier, modified in writer.acknowledged.items():
            assert table[identifier]["srvModified"] >= modified
    acknowledged = [modified for writer in writers for modified in writer.acknowledged.values()]
    assert len(set(acknowledged)) == len(acknowledged)


# --- eight CREATEs of one document

CREATED: dict[str, Callable[[str], dict[str, Any]]] = {
    "identifier": lambda unique: {"identifier": unique},
    "computed identifier": lambda unique: {"device": unique},
    "computed identifier with an event type": lambda unique: {"device": unique, "eventType": "Note", "notes": "ü"},
}


@pytest.mark.parametrize("kind", CREATED)
async def test_concurrent_creates_of_one_document_make_one(servers: Servers, kind: str) -> None:
    async with servers.clients(8) as clients:
        for _ in range(4):
            unique = secrets.token_hex(8)
            body = {"date": DATE, "app": "test", **CREATED[kind](unique)}
            answers = await asyncio.gather(*(client.post("/treatments", json=body) for client in clients))
            assert Counter(answer.status_code for answer in answers) == {201: 1, 200: 7}, [each.text for each in answers]
            said = [answer.json() for answer in answers]
            assert [each.get("isDeduplication", False) for each in said] == [each["status"] == 200 for each in said]
            assert len({each["identifier"] for each in said}) == 1
            assert len({each["lastModified"] for each in said}) == 8
            [name, value] = next(iter(CREATED[kind](unique).items()))
            found = await asyncio.gather(*(client.get("/treatments", params={name: value}) for client in clients))
            for answer in found:
                [stored] = answer.json()["result"]
                [created] = [each["lastModified"] for each in said if each["status"] == 201]
                assert stored["srvCreated"] == created == min(each["lastModified"] for each in said)
                assert stored["srvModified"] == max(each["lastModified"] for each in said)


# --- a crowd


def test_of_two_first_starts_at_once_one_creates_the_admin(servers: Servers) -> None:
    names = [subject["name"] for subject in servers.all[0].admin("GET", "/subjects")]
    assert names.count("admin") == 1
    greetings = [server.output.count("This is the first start.") for server in servers.all]
    assert sorted(greetings) == [0, 1]


async def test_a_crowd_of_writers_all_succeed(servers: Servers) -> None:
    prefix = secrets.token_hex(8)
    names = [collection.name for collection in STANDARD]

    async def write(client: httpx.AsyncClient, writer: int) -> None:
        for number in range(10):
            name = names[(writer + number) % len(names)]
            body = {"identifier": f"{prefix}-{writer}-{number}", "date": DATE, "app": "test"}
            answer = await client.post(f"/{name}", json=body)
            assert answer.status_code == 201, answer.text

    async with servers.clients(16) as clients:
        await asyncio.gather(*(write(client, writer) for writer, client in enumerate(clients)))
    stored = [identifier for name in names for identifier in await servers.table(name) if identifier.startswith(prefix)]
    assert len(stored) == 160


async def test_a_crowd_of_readers_each_get_their_own(servers: Servers) -> None:
    """Also where several want the same document, or one that is gone or never was; and a write that was answered is seen."""
    prefix = secrets.token_hex(8)
    there, gone, never = ([f"{prefix}-{kind}-{number}" for number in range(8)] for kind in ("there", "gone", "never"))
    names = there + gone + never

    async def read(client: httpx.AsyncClient, reader: int) -> None:
        choice = random.Random(reader)
        for number in range(20):
            name = choice.choice(names)
            answer = await client.get(f"/food/{name}")
            assert answer.status_code == (200 if name in there else 410 if name in gone else 404)
            if name in there:
                assert answer.json()["result"]["identifier"] == name
            if number % 10 == 0:
                own = f"{prefix}-own-{reader}-{number}"
                assert (await client.post("/food", json={"identifier": own, "date": DATE, "app": "test"})).status_code == 201
                assert (await client.get(f"/food/{own}")).json()["result"]["identifier"] == own

    async with servers.clients(16) as clients:
        for name in there + gone:
            body = {"identifier": name, "date": DATE, "app": "test"}
            assert (await clients[0].post("/food", json=body)).status_code == 201
        for name in gone:
            assert (await clients[0].delete(f"/food/{name}")).status_code == 200
        await asyncio.gather(*(read(client, reader) for reader, client in enumerate(clients)))


Reader = Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]


async def test_readers_are_served_while_others_write(servers: Servers) -> None:
    """Also those whose search looks at every document."""
    over = asyncio.Event()
    prefix = secrets.token_hex(8)
    searches = ("/food?limit=5", "/food?app$re=t.s&limit=5", "/food?sort=value&limit=5")
    paths = (*searches, f"/food/history/{BEGINNING}", "/lastModified")

    async def write(client: httpx.AsyncClient, writer: int) -> None:
        number = 0
        while not over.is_set():
            number += 1
            body = {"identifier": f"{prefix}-{writer}-{number}", "date": DATE + number, "app": "test", "value": number}
            assert (await client.post("/food", json=body)).status_code == 201

    async def read(client: httpx.AsyncClient) -> None:
        for _ in range(6):
            for path in paths:
                assert (await client.get(path)).status_code == 200

    async with servers.clients(12) as clients:
        writing = [asyncio.create_task(write(client, writer)) for writer, client in enumerate(clients[:6])]
        try:
            await asyncio.gather(*(read(client) for client in clients[6:]))
        finally:
            over.set()
        await asyncio.gather(*writing)


def test_writers_where_transactions_are_serializable_by_default(fresh_server: FreshServer, postgres: Postgres) -> None:
    """None fails for the others: the transactions ask for the isolation that they are made for."""
    server = fresh_server("postgres", workers=2)
    database = urlsplit(server.installation.database_url).path[1:]
    postgres.execute(f"ALTER DATABASE {database} SET default_transaction_isolation = 'serializable'")
    server.restart()
    client = server.client(server.subject("phone", "api:*:*"))
    documents = [{"identifier": f"entry-{number}", "date": DATE, "app": "test"} for number in range(160)]
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda each: client.post("/api/v3/entries", json=each), documents))
    assert {answer.status_code for answer in answers} == {201}
