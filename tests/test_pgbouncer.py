"""A whole server on a PostgreSQL behind a real pgbouncer, which lends out its connections a transaction at a time."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.commands import here
from tests.support.installation import Installation
from tests.support.live import Stream
from tests.support.pgbouncer import pgbouncer, through
from tests.support.postgres import Postgres
from tests.support.server import LiveServer
from tests.support.storage import DATE

ENTRIES = "/api/v3/entries"
BEGINNING = 946_684_800_000
READS = (f"{ENTRIES}?app$re=t.st&sort=sgv", f"{ENTRIES}?type=sgv&sort$desc=date", "/api/v3/lastModified")
Start = Callable[..., LiveServer]


@pytest.fixture(scope="module", params=["transaction", "session"])
def bouncer(postgres: Postgres, request: pytest.FixtureRequest) -> Iterator[int]:
    with pgbouncer(postgres, request.param) as port:
        yield port


@pytest.fixture
def start(postgres: Postgres, bouncer: int, tmp_path: Path) -> Iterator[Start]:
    """Starts a server on a new database behind pgbouncer."""
    running: list[LiveServer] = []
    with postgres.database() as url:

        def run(parameters: str = "", workers: int = 1) -> LiveServer:
            server = LiveServer(Installation(tmp_path, through(bouncer, url, parameters)), workers=workers)
            running.append(server)
            server.start()
            return server

        try:
            yield run
        finally:
            for server in running:
                server.stop()


def entry(identifier: str, **fields: Any) -> dict[str, Any]:
    return {"identifier": identifier, "date": DATE, "app": "test", **fields}


@pytest.mark.parametrize(
    ("bouncer", "parameters"),
    [("transaction", ""), ("transaction", "?statement_cache_size=0"), ("session", "")],
    indirect=["bouncer"],
)
def test_a_server_works_behind_pgbouncer(start: Start, parameters: str) -> None:
    server = start(parameters, workers=2)
    token = server.subject("phone", "api:*:*")
    client = server.client(token)
    names = [secrets.token_hex(6) for _ in range(24)]
    asked: list[Callable[[], httpx.Response]] = []
    for name in names:
        asked.append(partial(client.post, ENTRIES, json=entry(name, type="sgv", sgv=100)))
        asked.append(partial(client.post, "/api/v3/treatments", json=entry(name, eventType="Note")))
        asked += [partial(client.get, path) for path in READS]
    with ThreadPoolExecutor(16) as threads:
        answers = [each.result() for each in [threads.submit(ask) for ask in asked]]
    assert {answer.status_code for answer in answers} == {200, 201}
    bulk = client.post(f"{ENTRIES}/bulk", json=[entry(f"bulk-{number}", date=DATE + number) for number in range(200)])
    assert {each["status"] for each in bulk.json()["result"]} == {201}
    assert client.patch(f"{ENTRIES}/{names[0]}", json={"sgv": 101}).status_code == 200
    assert client.delete(f"{ENTRIES}/{names[1]}?permanent=true").status_code == 200
    changed = client.get(f"{ENTRIES}/history/{BEGINNING}").json()["result"]
    assert {each["identifier"] for each in changed} == {*names, *(f"bulk-{number}" for number in range(200))} - {names[1]}
    assert "Traceback" not in server.output
    server.stop()
    server.start()
    assert server.client(token).get(f"{ENTRIES}/{names[0]}").json()["result"]["sgv"] == 101


def test_what_another_process_writes_is_told_behind_pgbouncer(start: Start) -> None:
    """Notifications are not heard there, so the clocks are looked at."""
    server = start(workers=2)
    token = server.subject("phone", "api:*:*")
    with Stream(server, token, "collections=entries") as stream:
        for number in range(6):  # each on a connection of its own, so that either worker has some
            assert server.client(token).post(ENTRIES, json=entry(f"entry-{number}")).status_code == 201
            assert stream.next().data["doc"]["identifier"] == f"entry-{number}"


def test_the_commands_work_behind_pgbouncer(start: Start) -> None:
    server = start()
    server.subject("phone", "api:*:*")
    for command in ("db upgrade", "subject list", "role list", "export entries"):
        done = here(server.installation, *command.split())
        assert done.status == 0, done.errors
    assert "phone" in here(server.installation, "subject", "list").output


def test_a_pooler_that_knows_no_transactions_stops_the_start(postgres: Postgres, tmp_path: Path) -> None:
    with pgbouncer(postgres, "statement") as port, postgres.database() as url:
        done = Installation(tmp_path, through(port, url)).run("serve", "--port", "0")
    assert done.returncode == 1
    [sentence] = [line for line in done.stderr.splitlines() if not line.startswith("2")]
    assert "DATABASE_URL" in sentence
    assert "statement pooling" in sentence
