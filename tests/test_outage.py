"""A database that is down, locked or full: 503 with Retry-After, nothing half-stored, and no restart to get over it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import multiprocessing
import os
import pwd
import resource
import secrets
import sqlite3
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from apiv3.app import Server, build
from apiv3.cli.place import check_file
from apiv3.installation import Installation as Wiring
from apiv3.model.errors import StorageUnavailable
from apiv3.provisioning import provision
from apiv3.settings import Settings, SettingsError, load
from apiv3.storage import database as databases
from apiv3.storage import postgresql, schema, sqlite
from apiv3.storage.database import Database
from apiv3.storage.documents import DocumentTable
from tests.support.devices import Connection, new_device, raw
from tests.support.engineio import socket
from tests.support.factories import FreshServer
from tests.support.installation import Installation
from tests.support.live import Stream
from tests.support.outages import OwnPostgres, Posters, own_postgres
from tests.support.postgres import Postgres
from tests.support.server import LiveServer
from tests.support.storage import DATE, POOLS, assert_whole, document, execute, history, insert
from tests.support.waiting import PATIENCE, until, wait_until
from tests.support.wire import now_ms

ENTRIES = "/api/v3/entries"
BEGINNING = 946_684_800_000
"""Seconds within which a server has to be itself again."""

READS = (
    ENTRIES,
    f"{ENTRIES}?app$re=t.st",
    f"{ENTRIES}?sort=sgv",
    f"{ENTRIES}/before",
    f"{ENTRIES}/history/{BEGINNING}",
    "/api/v3/lastModified",
)


def entry(identifier: str, **fields: Any) -> dict[str, Any]:
    return {"identifier": identifier, "date": DATE, "app": "test", **fields}


def writes(client: httpx.Client, identifier: str) -> list[httpx.Response]:
    """Of every kind; `before` is there already."""
    return [
        client.post(ENTRIES, json=entry(identifier)),
        client.put(f"{ENTRIES}/{identifier}", json=entry(identifier)),
        client.patch(f"{ENTRIES}/before", json={"changed": True}),
        client.delete(f"{ENTRIES}/before"),
        client.delete(f"{ENTRIES}/before?permanent=true"),
        client.post(f"{ENTRIES}/bulk", json=[entry(f"{identifier}-{number}") for number in range(30)]),
    ]


def administrate(server: LiveServer, method: str, path: str, json: Any = None) -> httpx.Response:
    headers = {"api-secret": hashlib.sha1(server.secret.encode()).hexdigest()}
    url = f"{server.url}/api/v2/authorization{path}"
    return httpx.request(method, url, json=json, headers=headers, trust_env=False, verify=False)


def administration(server: LiveServer) -> list[httpx.Response]:
    """Everything that has to look at the stored subjects and roles."""
    name, subject = secrets.token_hex(8), secrets.token_hex(12)
    return [
        administrate(server, "GET", "/subjects"),
        administrate(server, "POST", "/subjects", {"name": name, "roles": ["readable"]}),
        administrate(server, "DELETE", f"/subjects/{subject}"),
        administrate(server, "POST", f"/subjects/{subject}/rotate"),
        administrate(server, "GET", "/roles"),
        administrate(server, "POST", "/roles", {"name": name, "permissions": ["*:*:read"]}),
    ]


def assert_unavailable(answer: httpx.Response) -> None:
    """Refused for the time being, and told when to come back."""
    asked = f"{answer.request.method} {answer.request.url}: {answer.text}"
    assert answer.status_code == 503, asked
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json()["status"] == 503


def assert_recovers(ask: Callable[[], httpx.Response]) -> None:
    answers = list[httpx.Response]()

    def is_back() -> bool:
        answers.append(ask())
        return answers[-1].status_code != 503

    wait_until(is_back, "it stays unavailable")
    assert answers[-1].is_success, answers[-1].text


# --- PostgreSQL goes away


@pytest.fixture(scope="module")
def own(postgres: Postgres) -> Iterator[OwnPostgres]:
    """`postgres` is asked for because it knows what to do where there is none."""
    with own_postgres() as own:
        yield own


@pytest.fixture(scope="module")
def outlived(own: OwnPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server that is started once, and sees its database come and go."""
    server = LiveServer(Installation(tmp_path_factory.mktemp("installation"), own.new_database()))
    server.start()
    yield server
    assert "Traceback" not in server.output
    server.stop()


@contextmanager
def ended(own: OwnPostgres, how: Callable[[OwnPostgres], None]) -> Iterator[None]:
    how(own)
    try:
        yield
    finally:
        own.start()


@pytest.mark.parametrize("how", [OwnPostgres.stop, OwnPostgres.crash], ids=["stopped", "crashed"])
def test_a_server_outlives_its_database(outlived: LiveServer, own: OwnPostgres, how: Callable[[OwnPostgres], None]) -> None:
    token = outlived.subject(secrets.token_hex(8), "api:*:*")
    client = outlived.client(token)
    assert client.post(ENTRIES, json=entry("before")).status_code in (200, 201)
    name = secrets.token_hex(8)
    with ended(own, how):
        for _ in range(2):  # connections that were open, and then those that cannot be opened
            for path in READS:
                assert_unavailable(client.get(path))
            for answer in (*writes(client, name), *administration(outlived)):
                assert_unavailable(answer)
        # Who is calling is known without the database, and so is what they may do.
        assert client.get(ENTRIES, headers={"Authorization": "Bearer wrong"}).status_code == 401
        with httpx.Client(trust_env=False) as anybody:  # the exchange is told to others, which needs the database
            assert_unavailable(anybody.get(f"{outlived.url}/api/v2/authorization/request/{token}"))
        assert client.get("/api/v3/version").status_code == 200
    assert_recovers(lambda: client.get(f"{ENTRIES}/before"))
    told = [line for line in outlived.output.splitlines() if "answered with 503" in line]
    assert any(line.endswith("a request was answered with 503: Connection refused") for line in told), told
    assert len(told) < 20, "a flood, not a count"
    for path in READS:
        assert client.get(path).status_code == 200
    assert client.get(f"{ENTRIES}/{name}").status_code == 404, "a refused write was stored"
    assert [answer.status_code for answer in writes(client, name)] == [201, 200, 200, 200, 200, 200]
    assert administrate(outlived, "GET", "/subjects").status_code == 200
    assert outlived.client(outlived.subject(secrets.token_hex(8), "api:*:read")).get(ENTRIES).status_code == 200


def test_a_stream_outlives_the_database(outlived: LiveServer, own: OwnPostgres) -> None:
    """It stays, and goes on where it was; a new one is told to come back later."""
    token = outlived.subject(secrets.token_hex(8), "api:*:*")
    client = outlived.client(token)
    with Stream(outlived, token, "collections=entries") as stream:
        for how in (OwnPostgres.stop, OwnPostgres.crash):
            name = secrets.token_hex(8)
            with ended(own, how):
                assert_unavailable(client.get(f"{ENTRIES}/{name}"))
                with Stream(outlived, token, "collections=entries") as refused:
                    assert refused.status == 503
            assert_recovers(lambda: client.get(ENTRIES))
            assert client.post(ENTRIES, json=entry(name)).status_code == 201
            assert stream.next().data["doc"]["identifier"] == name


async def test_devices_outlive_the_database(outlived: LiveServer, own: OwnPostgres) -> None:
    """One that is connected stays, one that comes is told to try later, and that one has gone is stored afterwards."""
    staying, going, coming = [await new_device(outlived) for _ in range(3)]
    state, name = {"name": "up", "value": True}, str(uuid.uuid4())
    async with staying.connected() as connection:
        async with going.connected() as leaving:
            await leaving.told("time")
            await asyncio.to_thread(own.stop)
            try:
                assert (await connection.ask("state", state, id=name))["body"]["status"] == 503
                async with coming.socket() as socket:
                    refused = Connection(socket)
                    await refused.shake_hands(coming.keys, raw(coming.hub_key))
                    assert await refused.closed() == 1013
                await leaving.socket.close()
            finally:
                await asyncio.to_thread(own.start)
        async with asyncio.timeout(PATIENCE):
            while (await connection.ask("state", state, id=name))["type"] != "ack":
                pass
        url, query = outlived.installation.database_url, "SELECT connection FROM devices WHERE id = ?"
        await until(lambda: execute(url, query, going.id) == [(None,)])
        async with coming.connected() as late:
            assert (await late.ask("state", state))["type"] == "ack"


def test_alarms_outlive_the_database(outlived: LiveServer, own: OwnPostgres) -> None:
    token = outlived.subject(secrets.token_hex(8), "api:*:*")
    client, complaint = outlived.client(token), "alarms are sent when it is back"
    before = outlived.output.count(complaint)
    with socket(outlived) as listener:
        assert listener.subscribe(token, "/alarm")["success"]
        with ended(own, OwnPostgres.crash):
            wait_until(lambda: outlived.output.count(complaint) > before)
            with socket(outlived) as refused:
                assert refused.subscribe(token, "/alarm")["message"] == "Storage is unavailable, try again later"
        assert_recovers(lambda: client.get(ENTRIES))
        low = entry(secrets.token_hex(8), type="sgv", sgv=50, date=now_ms())
        assert client.post(ENTRIES, json=low).status_code == 201
        while f'"identifier":"{low["identifier"]}"' not in listener.receive():
            pass  # what was on before
        assert outlived.output.count(complaint) == before + 1


async def test_what_is_under_way_when_the_database_crashes(outlived: LiveServer, own: OwnPostgres) -> None:
    """No answer but a 201, which is true, and a 503; no connection is cut."""
    token = await asyncio.to_thread(outlived.subject, secrets.token_hex(8), "api:*:*")
    posters = await asyncio.to_thread(Posters, outlived, token)
    over = asyncio.Event()
    posting = asyncio.create_task(posters.post_until(over))
    for _ in range(2):
        await posters.acknowledge(10)
        await asyncio.to_thread(own.crash)
        await posters.be_refused()
        await asyncio.to_thread(own.start)
    await posters.acknowledge(10)
    over.set()
    await posting
    assert not posters.surprises
    assert posters.refused
    client = outlived.client(token)
    for identifier in list(posters.acknowledged)[-20:]:
        assert client.get(f"{ENTRIES}/{identifier}").status_code == 200


async def test_a_database_that_hangs(own: OwnPostgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks is told in time, and the connections that were asked are of use again, or replaced."""
    monkeypatch.setitem(postgresql._OPTIONS, "command_timeout", 1)
    monkeypatch.setattr(postgresql, "POOL_TIMEOUT", 1)
    url = await asyncio.to_thread(own.new_database)
    await asyncio.to_thread(schema.upgrade, url)
    database = Database(url)
    await database.connect()
    try:
        store = DocumentTable(database)
        await store.prepare(["entries"])
        [before] = await insert(store, "entries", document("before"))
        with own.hanging():
            asked = [store.get("entries", "before"), history(store, "entries"), insert(store, "entries", document("refused"))]
            async with asyncio.timeout(PATIENCE):
                answers = await asyncio.gather(*asked, return_exceptions=True)
            assert [type(answer) for answer in answers] == [StorageUnavailable] * 3
        async with asyncio.timeout(PATIENCE):
            await assert_whole(database)
            assert await history(store, "entries") == [before]
            await insert(store, "entries", document("after"))
    finally:
        await database.disconnect()


@pytest.mark.parametrize("command", [("serve", "--port", "0"), ("db", "upgrade"), ("subject", "list")], ids=" ".join)
def test_nothing_starts_without_a_database(own: OwnPostgres, tmp_path: Path, command: tuple[str, ...]) -> None:
    """One sentence says why, without the password."""
    installation = Installation(tmp_path, own.new_database())
    installation.data.mkdir()
    with ended(own, OwnPostgres.stop):
        ended_with = installation.run(*command)
    assert_one_sentence(ended_with.stderr, ended_with.stdout, ended_with.returncode)
    assert "DATABASE_URL" in ended_with.stderr
    assert ":***@" in ended_with.stderr


def assert_one_sentence(error: str, output: str, status: int) -> None:
    assert status == 1
    assert output == ""
    assert error.startswith("Error: ")
    assert len(error.splitlines()) == 1, error


@pytest.mark.parametrize("kind", ["no directory", "no database", "unreadable"])
def test_nothing_starts_with_a_file_that_is_none(tmp_path: Path, kind: str) -> None:
    file = {"no directory": tmp_path / "missing" / "file", "no database": tmp_path / "text", "unreadable": tmp_path}[kind]
    if kind == "no database":
        file.write_text("not a database at all\n" * 500)
    ended_with = Installation(tmp_path, f"sqlite:///{file}").run("serve", "--port", "0")
    assert_one_sentence(ended_with.stderr, ended_with.stdout, ended_with.returncode)
    assert str(file) in ended_with.stderr


@pytest.mark.parametrize(
    ("error", "blamed"),
    [
        (asyncpg.DiskFullError("could not extend file"), True),
        (asyncpg.OutOfMemoryError("out of memory"), True),
        (asyncpg.TooManyConnectionsError("sorry, too many clients already"), True),
        (asyncpg.CannotConnectNowError("the database system is starting up"), True),
        (asyncpg.AdminShutdownError("terminating connection due to administrator command"), True),
        (asyncpg.ReadOnlySQLTransactionError("cannot execute UPDATE in a read-only transaction"), True),
        (asyncpg.DeadlockDetectedError("deadlock detected"), True),
        (asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"), True),
        (asyncpg.InterfaceError("connection is closed"), True),
        (ConnectionRefusedError(), True),
        (TimeoutError(), True),
        (asyncpg.UniqueViolationError("duplicate key value"), False),
        (asyncpg.PostgresSyntaxError("syntax error"), False),
        (asyncpg.CharacterNotInRepertoireError("invalid byte sequence"), False),
        (ValueError(), False),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, Exception) else "",
)
def test_which_errors_of_postgresql_are_for_another_time(error: Exception, blamed: bool) -> None:
    """Those that a test cannot bring about by itself, such as a full disk, included."""
    assert postgresql.is_unavailable(error) is blamed


@pytest.fixture
def others_can_find() -> Iterator[Path]:
    """A folder that every user may look into, as pytest's are not."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_database_of_somebody_else_is_one_sentence(others_can_find: Path, kind: str) -> None:
    """Without DATABASE_URL, which nobody has set, the sentence names the file and its owner."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    data = others_can_find / "data"
    data.mkdir(mode=0o755)
    file = data / "apiv3.sqlite"
    file.touch(0o644)
    nobody = pwd.getpwnam("nobody").pw_uid
    os.chown(data if kind == "file" else file, nobody, -1)
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork"), os.setuid, (nobody,)) as process:
        sentence = process.submit(_refusal, data).result()
    path = file if kind == "file" else data
    assert sentence == (
        f"The database file {file} cannot be used: the {kind} {path} belongs to root, and this program, which runs as nobody, "
        "may not read and write it."
    )


def _refusal(data: Path) -> str:
    try:
        check_file(load(apiv3_data=data, database_url=""))
    except SettingsError as error:
        return str(error)
    return ""


# --- SQLite is locked by somebody else


@contextmanager
def locked(url: str) -> Iterator[sqlite3.Connection]:
    """As a backup program or another process may do it."""
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None, timeout=5)) as other:
        other.execute("BEGIN EXCLUSIVE")
        try:
            yield other
        finally:
            other.execute("ROLLBACK")


async def test_a_writer_waits_for_a_lock_and_readers_do_not(fresh_server: FreshServer) -> None:
    server = await asyncio.to_thread(fresh_server, "sqlite")
    token = await asyncio.to_thread(server.subject, "patient", "api:*:*")
    headers = {"Authorization": f"Bearer {await asyncio.to_thread(server.jwt, token)}", "Date": str(int(time.time()))}
    async with httpx.AsyncClient(base_url=server.url, headers=headers, trust_env=False, verify=False) as client:
        with locked(server.installation.database_url):
            posts = [asyncio.create_task(client.post(ENTRIES, json=entry(f"d{number}"))) for number in range(10)]
            await asyncio.sleep(0.5)
            for path in (ENTRIES, "/api/v3/lastModified", f"{ENTRIES}/history/{BEGINNING}"):
                assert (await client.get(path)).status_code == 200
            assert not any(post.done() for post in posts)
        answers = await asyncio.gather(*posts)
        assert [answer.status_code for answer in answers] == [201] * 10


@asynccontextmanager
async def in_process(folder: Path) -> AsyncIterator[tuple[Server, httpx.AsyncClient]]:
    """The whole application in this process, where its patience can be made short."""
    url = f"sqlite:///{folder / 'apiv3.db'}"
    options: dict[str, Any] = {"api3_security_enable": False, "apiv3_data": folder, "access_log": False}
    settings = provision(Settings(database_url=SecretStr(url), **options))
    schema.upgrade(url)
    app = Server(Wiring(settings))
    transport = httpx.ASGITransport(build(app))
    async with app.running(), httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield app, client


async def test_a_lock_that_is_held_for_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT", 100)
    monkeypatch.setattr(databases, "TURN_TIMEOUT", 0.15)
    async with in_process(tmp_path) as (_, client):
        assert (await client.post(ENTRIES, json=entry("before"))).status_code == 201
        with locked(f"sqlite:///{tmp_path / 'apiv3.db'}"):
            answers = await asyncio.gather(
                *(client.post(ENTRIES, json=entry(f"refused-{number}")) for number in range(4)),
                client.patch(f"{ENTRIES}/before", json={"changed": True}),
                client.delete(f"{ENTRIES}/before"),
                client.post("/api/v2/authorization/subjects", json={"name": "refused", "roles": []}),
            )
            for answer in answers:
                assert_unavailable(answer)
            for path in READS:
                assert (await client.get(path)).status_code == 200
        assert (await client.get(f"{ENTRIES}/refused-0")).status_code == 404
        assert (await client.get(f"{ENTRIES}/before")).json()["result"].keys().isdisjoint({"changed", "modifiedBy"})
        assert (await client.post(ENTRIES, json=entry("refused-0"))).status_code == 201


# --- no room is left for SQLite


def test_a_full_disk(fresh_server: FreshServer) -> None:
    """The limit of the file size stands for it: writing beyond fails with EFBIG as it would with ENOSPC."""
    server = fresh_server("sqlite", env={"ACCESS_LOG": "false"})
    client = server.client(server.subject("writer", "api:*:*"))
    assert client.post(ENTRIES, json=entry("before")).status_code == 201
    log = Path(server.installation.database_url.removeprefix("sqlite:///") + "-wal")
    before = client.get(f"{ENTRIES}/history/{BEGINNING}").json()
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (log.stat().st_size, resource.RLIM_INFINITY))
    try:
        for answer in writes(client, "refused"):
            assert_unavailable(answer)
        assert_unavailable(client.post(ENTRIES, json=entry("large", notes="x" * 500_000)))
        assert_unavailable(administrate(server, "POST", "/roles", {"name": "refused", "permissions": []}))
        for path in READS:
            assert client.get(path).status_code == 200
        assert client.get(f"{ENTRIES}/history/{BEGINNING}").json() == before
    finally:
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert "a request was answered with 503: " in server.output
    assert client.get(f"{ENTRIES}/refused").status_code == 404
    assert client.get(f"{ENTRIES}/history/{BEGINNING}").json() == before
    assert [answer.status_code for answer in writes(client, "refused")] == [201, 200, 200, 200, 200, 200]
    server.kill()
    server.start()
    changed = [each["identifier"] for each in client.get(f"{ENTRIES}/history/{BEGINNING}").json()["result"]]
    assert changed == ["refused", *(f"refused-{number}" for number in range(30))]
    with closing(sqlite3.connect(server.installation.database_url.removeprefix("sqlite:///"))) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


class Cramped(Installation):
    """One whose commands can write no file of more than 256 KiB."""

    def command(self, *arguments: str) -> list[str]:
        return ["/bin/sh", "-c", 'ulimit -f 512; exec "$@"', "sh", *super().command(*arguments)]


def test_an_import_says_why_it_cannot_store(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'apiv3.db'}"
    assert Installation(tmp_path, url).run("import", "-", "--collection", "entries", stdin="[]").returncode == 0
    documents = json.dumps([entry(f"large-{number}", notes="x" * 100_000) for number in range(30)])
    ended = Cramped(tmp_path, url).run("import", "-", "--collection", "entries", stdin=documents)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert "Error: Storage is unavailable, try again later: disk I/O error" in ended.stderr
    again = Installation(tmp_path, url).run("import", "-", "--collection", "entries", stdin=documents)
    assert "entries: 30 new" in again.stdout


async def test_a_database_that_may_not_grow(tmp_path: Path) -> None:
    """SQLite's own word for a full disk, SQLITE_FULL, in the middle of a transaction."""
    url = f"sqlite:///{tmp_path / 'apiv3.db'}"
    schema.upgrade(url)
    database = Database(url)
    await database.connect()
    store = DocumentTable(database)
    await store.prepare(["entries"])
    [before] = await insert(store, "entries", document("before"))
    try:
        await _limit_pages(database, 1)  # SQLite makes that the pages that there are
        large = [document(f"large-{number}", notes="x" * 3000) for number in range(20)]
        for _ in range(3):
            with pytest.raises(StorageUnavailable):
                await insert(store, "entries", *large)
            assert await history(store, "entries") == [before]
        await _limit_pages(database, 1_000_000)
        stored = await insert(store, "entries", *large)
        assert await history(store, "entries") == [before, *stored]
    finally:
        await database.disconnect()


async def _limit_pages(database: Database, most: int) -> None:
    async with AsyncExitStack() as loans:
        for _ in range(POOLS["sqlite"]):
            connection = await loans.enter_async_context(database.connection())
            await connection.fetch(f"PRAGMA max_page_count = {most}")
