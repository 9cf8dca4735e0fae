"""Errors of PostgreSQL that are no outage: a transaction that was undone for another one runs again, a value is refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from apiv3.model.errors import ValueRefused
from apiv3.model.queries import Filter, Query
from apiv3.retrying import PAUSES
from apiv3.storage import schema
from apiv3.storage.database import Database
from apiv3.storage.documents import DocumentTable
from tests.support.engineio import socket
from tests.support.factories import FreshServer
from tests.support.postgres import Postgres
from tests.support.server import LiveServer
from tests.support.storage import document, insert, search, unique
from tests.support.wire import api_secret, now_ms

ENTRIES = "/api/v3/entries"
BEGINNING = 946_684_800_001
REFUSED = "The database can neither store nor compare a value of this request"
ATTEMPTS = len(PAUSES) + 1


@pytest.fixture(scope="module")
def server(lasting_server: FreshServer) -> LiveServer:
    return lasting_server("postgres")


@pytest.fixture(scope="module")
def client(server: LiveServer) -> httpx.Client:
    return server.client(server.subject("phone", "api:*:*"))


class Injected:
    """Errors that a trigger raises; `attempts`: how many transactions came so far that it did."""

    def __init__(self, database: Postgres) -> None:
        self._database = database

    @property
    def attempts(self) -> int:
        [[number]] = self._database.fetch("SELECT last_value - 1 FROM injected")
        return int(number)


@contextmanager
def injected(
    server: LiveServer, table: str, state: str, times: int, *, on_commit: bool = False, condition: str = "true"
) -> Iterator[Injected]:
    """The next `times` changes of a table fail with a SQLSTATE, at the statement or at the commit. A sequence counts them,
    since it is no part of the transaction that is undone.
    """
    database = Postgres(server.installation.database_url)
    kind, when = ("CONSTRAINT TRIGGER", "AFTER") if on_commit else ("TRIGGER", "BEFORE")
    late = "DEFERRABLE INITIALLY DEFERRED" if on_commit else ""
    database.execute(f"""
        CREATE SEQUENCE injected MINVALUE 1;
        SELECT nextval('injected');
        CREATE FUNCTION inject() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF {condition} AND nextval('injected') <= {times + 1} THEN
                RAISE EXCEPTION 'injected' USING ERRCODE = '{state}';
            END IF;
            RETURN coalesce(NEW, OLD);
        END $$;
        CREATE {kind} inject {when} INSERT OR UPDATE OR DELETE ON {table} {late} FOR EACH ROW EXECUTE FUNCTION inject();
    """)
    try:
        yield Injected(database)
    finally:
        database.execute(f"DROP TRIGGER inject ON {table}; DROP FUNCTION inject; DROP SEQUENCE injected")


def entry(identifier: str, **fields: Any) -> dict[str, Any]:
    return {"identifier": identifier, "date": 1_700_000_000_000, "app": "test", **fields}


# --- transactions that are undone


@pytest.mark.parametrize("on_commit", [False, True], ids=["at the statement", "at the commit"])
@pytest.mark.parametrize("state", ["40001", "40P01"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "bulk"])
def test_a_write_that_was_undone_runs_again(
    server: LiveServer, client: httpx.Client, method: str, state: str, on_commit: bool
) -> None:
    name = unique("entry")
    place = f"{ENTRIES}/{name}"
    if method in ("PUT", "PATCH", "DELETE"):
        assert client.post(ENTRIES, json=entry(name)).status_code == 201
    before = client.get("/api/v3/lastModified").json()["result"]["collections"].get("entries", BEGINNING)
    with injected(server, "documents", state, 3, on_commit=on_commit) as errors:
        answer = {
            "POST": lambda: client.post(ENTRIES, json=entry(name)),
            "PUT": lambda: client.put(place, json=entry(name, sgv=1)),
            "PATCH": lambda: client.patch(place, json={"sgv": 1}),
            "DELETE": lambda: client.delete(place),
            "bulk": lambda: client.post(f"{ENTRIES}/bulk", json=[entry(name)]),
        }[method]()
        assert answer.status_code == (201 if method == "POST" else 200), answer.text
        assert errors.attempts == 4
    changed = client.get(f"{ENTRIES}/history/{before}").json()["result"]
    assert [each["identifier"] for each in changed] == [name]


def test_those_that_share_a_commit_run_again_together(server: LiveServer, client: httpx.Client) -> None:
    prefix = unique("entry")
    with injected(server, "documents", "40001", 3, on_commit=True), ThreadPoolExecutor(8) as threads:
        answers = threads.map(lambda number: client.post(ENTRIES, json=entry(f"{prefix}-{number}")), range(24))
        assert [answer.status_code for answer in answers] == [201] * 24
    found = client.get(ENTRIES, params={"identifier$re": prefix, "limit": 100}).json()["result"]
    assert len({each["identifier"] for each in found}) == len(found) == 24


def test_attempts_are_bounded(server: LiveServer, client: httpx.Client) -> None:
    name = unique("entry")
    with injected(server, "documents", "40001", 1000) as errors:
        answer = client.post(ENTRIES, json=entry(name))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert errors.attempts == ATTEMPTS
    assert client.get(f"{ENTRIES}/{name}").status_code == 404
    assert client.post(ENTRIES, json=entry(name)).status_code == 201


@pytest.mark.parametrize("state", ["40001", "40P01"])
def test_a_change_of_subjects_and_roles_that_was_undone_runs_again(server: LiveServer, state: str) -> None:
    name = unique("name")
    with injected(server, "roles", state, 3):
        server.admin("POST", "/roles", {"name": name, "permissions": ["api:entries:read"]})
    with injected(server, "subjects", state, 3):
        made = server.admin("POST", "/subjects", {"name": name, "roles": [name]})
    with injected(server, "subjects", state, 3, on_commit=True):
        rotated = server.admin("POST", f"/subjects/{made['_id']}/rotate")
    assert rotated["accessToken"] != made["accessToken"]
    [subject] = [each for each in server.admin("GET", "/subjects") if each["name"] == name]
    assert subject["accessToken"] == rotated["accessToken"]
    with injected(server, "subjects", state, 3):
        server.admin("DELETE", f"/subjects/{made['_id']}")
    assert name not in {each["name"] for each in server.admin("GET", "/subjects")}


@pytest.mark.parametrize("state", ["40001", "40P01"])
def test_a_step_of_the_alarms_that_was_undone_is_taken_once(server: LiveServer, state: str) -> None:
    token = server.subject(unique("bedside"), "api:entries:read,create", "notifications:*:ack")
    client = server.client(token)
    with socket(server) as listener:
        assert listener.subscribe(token, "/alarm")["success"]
        with injected(server, "notifications", state, 3) as errors:
            low = entry(unique("low"), type="sgv", sgv=50, date=now_ms())
            assert client.post(ENTRIES, json=low).status_code == 201
            while f'"identifier":"{low["identifier"]}"' not in listener.receive():
                pass
            assert errors.attempts >= 4
    assert "alarms are sent when it is back" not in server.output


# --- values that are refused

VALUES = ["22P05", "22021", "22P02", "22023", "22001", "22003", "22P06", "22007", "22030", "22000", "54000"]


@pytest.mark.parametrize("state", VALUES)
def test_a_value_that_the_database_refuses_is_no_fault_of_ours(server: LiveServer, client: httpx.Client, state: str) -> None:
    there, new = unique("there"), unique("new")
    assert client.post(ENTRIES, json=entry(there)).status_code == 201
    with injected(server, "documents", state, 1000):
        for answer in (
            client.post(ENTRIES, json=entry(new)),
            client.put(f"{ENTRIES}/{there}", json=entry(there, sgv=1)),
            client.patch(f"{ENTRIES}/{there}", json={"sgv": 1}),
            client.post(f"{ENTRIES}/bulk", json=[entry(new)]),
        ):
            assert (answer.status_code, answer.json()["message"]) == (400, REFUSED)
    with injected(server, "subjects", state, 1000):
        refused = httpx.post(
            f"{server.url}/api/v2/authorization/subjects",
            json={"name": new, "roles": ["readable"]},
            headers={"api-secret": api_secret(server)},
            trust_env=False,
        )
        assert (refused.status_code, refused.json()["message"]) == (400, REFUSED)
    assert client.get(f"{ENTRIES}/{new}").status_code == 404
    assert "Traceback" not in server.output


def test_a_refused_value_stays_with_who_sent_it(server: LiveServer, client: httpx.Client) -> None:
    prefix = unique("entry")
    names = [f"{prefix}-{'bad' if number % 4 == 0 else 'good'}-{number}" for number in range(24)]
    with (
        injected(server, "documents", "22P05", 1000, condition="NEW.identifier LIKE '%-bad-%'"),
        ThreadPoolExecutor(8) as threads,
    ):
        answers = list(threads.map(lambda name: client.post(ENTRIES, json=entry(name)), names))
    assert [answer.status_code for answer in answers] == [400 if "-bad-" in name else 201 for name in names]


@pytest.mark.parametrize(
    ("state", "said"),
    [("53100", "Storage is unavailable, try again later: injected"), ("22P05", REFUSED), ("40001", "injected")],
)
def test_an_import_says_why_it_cannot_store(server: LiveServer, state: str, said: str) -> None:
    """A full disk, a value that is refused, and a transaction that is undone each time."""
    documents = json.dumps([entry(unique("imported"))])
    with injected(server, "documents", state, 1000):
        ended = server.installation.run("import", "-", "--collection", "entries", stdin=documents)
    assert ended.returncode == 1
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    ended = server.installation.run("import", "-", "--collection", "entries", stdin=documents)
    assert "entries: 1 new" in ended.stdout


@pytest.fixture
async def latin(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DocumentTable]:
    """A store in a database that is not UTF-8, as it can be behind a server that was started before that was checked."""

    async def unchecked(_connection: object) -> None:
        """Nothing is wrong."""

    name = unique("latin").replace("-", "_")
    postgres.execute(f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    monkeypatch.setattr(schema, "_check_encoding", unchecked)
    url = urlsplit(postgres.url)._replace(path=f"/{name}").geturl()
    await asyncio.to_thread(schema.upgrade, url)
    database = Database(url)
    await database.connect()
    store = DocumentTable(database)
    await store.prepare(["entries"])
    yield store
    await database.disconnect()
    postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")


async def test_texts_that_the_database_cannot_hold(latin: DocumentTable) -> None:
    await insert(latin, "entries", document("plain", notes="naïve"))
    with pytest.raises(ValueRefused):
        await insert(latin, "entries", document("odd", notes="\N{SYRINGE}"))
    with pytest.raises(ValueRefused):
        await latin.get("entries", "\N{SYRINGE}")
    with pytest.raises(ValueRefused):
        await search(latin, "entries", Query((Filter(("identifier",), "eq", "\N{SYRINGE}"),)))
    assert [each["notes"] for each in await search(latin, "entries", Query())] == ["naïve"]
