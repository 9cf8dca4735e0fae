"""The holder of a token asks for much at once and reads none of it, or sends much at once: what that takes is bounded."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from email.utils import formatdate
from functools import partial

import httpx
import pytest

from tests.support.attacks import SECONDS, Witness, assert_harmless, many, unread
from tests.support.bystander import processor_time
from tests.support.documents import DATE, api_of, largest_bulk
from tests.support.factories import NewDatabase, running_server
from tests.support.server import LiveServer
from tests.support.wire import Line, request

MOST_MEMORY, MOST_WORK = 128, 0.5
"""Megabytes, and seconds; see `assert_harmless`."""
LARGEST = 8_000_000
"""Bytes of a document that is nearly as large as may be."""
PATCHES, MOST_OF_A_PATCH = 3000, 0.005
"""Small changes that are sent at once; and seconds of processor time that the event loop may spend on each, ten times what it
does."""


@pytest.fixture(scope="module")
def server(database: str, new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with running_server(tmp_path_factory.mktemp, new_database, database, env={"ACCESS_LOG": "false"}, real=True) as running:
        yield running


@pytest.fixture(scope="module")
def attacker(server: LiveServer) -> httpx.Client:
    """Who has stored five documents that are as large as may be, 64 of a megabyte, and a page of nearly a megabyte; and who has
    sent a `largest_bulk`.
    """
    client = api_of(server, "api:*:*")
    client.timeout = httpx.Timeout(120)
    for name, size in [*((f"largest{n}", LARGEST) for n in range(5)), *((f"large{n}", 1_000_000) for n in range(64))]:
        assert client.put(f"/profile/{name}", content=_document(name, size)).status_code == 201
    page = b"[%b]" % b",".join(_document(f"p{n}", 900) for n in range(1000))
    assert client.post("/entries/bulk", content=page).status_code == 200
    assert client.post("/food/bulk", content=largest_bulk()).status_code == 200
    return client


@pytest.fixture(scope="module")
def bystander(server: LiveServer, attacker: httpx.Client) -> Callable[[], Witness]:
    """`with bystander() as witness`."""
    del attacker  # what it stores is there before anybody looks
    return partial(Witness, server, "/api/v3/entries/p5", server.jwt(server.subject("innocent", "api:*:read")))


def _document(name: str, size: int, character: str = "a") -> bytes:
    return json.dumps({"identifier": name, "date": DATE, "app": "x", "notes": character * size}).encode()


CODINGS = {"sqlite": ("identity", "gzip", "zstd"), "postgres": ("identity",)}
"""Compression comes after the database has answered, so it is tried with one."""


@pytest.mark.parametrize(
    ("target", "connections"),
    [
        *(("profile/largest0", 50), ("profile/largest0.csv", 50), ("profile?limit=20", 50), ("profile/history/1?limit=20", 50)),
        ("entries?limit=900", 160),
    ],
)
def test_answers_that_nobody_reads(
    database: str,
    server: LiveServer,
    attacker: httpx.Client,
    bystander: Callable[[], Witness],
    target: str,
    connections: int,
) -> None:
    """The system takes the first one or two of each connection off the server's hands."""
    for coding in CODINGS[database]:
        headers = (
            ("Authorization", attacker.headers["Authorization"]),
            ("Date", formatdate(usegmt=True)),
            ("Accept-Encoding", coding),
        )
        ask = request("GET", f"/api/v3/{target}", *headers)
        with bystander() as witness, unread(server, ask * 6, connections):
            time.sleep(SECONDS)
        assert_harmless(witness.damage(), MOST_MEMORY, MOST_WORK)


def test_bulks_at_once(attacker: httpx.Client, bystander: Callable[[], Witness]) -> None:
    bulk = largest_bulk()
    with bystander() as witness:
        answers = many(lambda: attacker.post("/food/bulk", content=bulk), 6, 6)
    assert {answer.status_code for answer in answers} <= {200, 429, 503}
    assert 200 in {answer.status_code for answer in answers}
    assert_harmless(witness.damage(), MOST_MEMORY, MOST_WORK)


def test_patches_of_large_documents(attacker: httpx.Client, bystander: Callable[[], Witness]) -> None:
    """Small requests, which share a transaction, each for another large document; and many for one."""
    numbers = iter(range(10_000))

    def patch() -> int:
        n = next(numbers)
        name = f"large{n % 64}" if n < 128 else "largest0"
        return attacker.patch(f"/profile/{name}", json={"patched": n}).status_code

    with bystander() as witness:
        answers = many(patch, 150, 40)
    assert set(answers) == {200}
    assert_harmless(witness.damage(), MOST_MEMORY, MOST_WORK)
    assert attacker.get("/profile/large7?fields=patched").json()["result"]["patched"] == 71
    assert len(attacker.get("/profile/largest0").json()["result"]["notes"]) == LARGEST


def test_reads_of_many_large_documents_at_once(attacker: httpx.Client, bystander: Callable[[], Witness]) -> None:
    """All of them are answered: who waits its turn loses nothing."""
    numbers = iter(range(10_000))
    with bystander() as witness:
        answers = many(lambda: attacker.get(f"/profile/large{next(numbers) % 64}"), 128, 40)
    assert {answer.status_code for answer in answers} == {200}
    assert {len(answer.json()["result"]["notes"]) for answer in answers} == {1_000_000}
    assert_harmless(witness.damage(), MOST_MEMORY, MOST_WORK)


def test_thousands_of_small_patches(server: LiveServer, attacker: httpx.Client, bystander: Callable[[], Witness]) -> None:
    """Sent at once over 20 connections, for one small document: each of them is done, in bounded time."""
    each = request(
        "PATCH",
        "/api/v3/entries/p7",
        ("Authorization", attacker.headers["Authorization"]),
        ("Date", formatdate(usegmt=True)),
        body=b'{"patched":1}',
    )
    before = processor_time(server.pid)
    with bystander() as witness, ExitStack() as stack:
        lines = [stack.enter_context(Line(server)) for _ in range(20)]
        for line in lines:
            line.send(each * (PATCHES // 20))
        answers = [line.reply().status for line in lines for _ in range(PATCHES // 20)]
    assert answers == [200] * PATCHES
    assert processor_time(server.pid) - before < PATCHES * MOST_OF_A_PATCH
    assert_harmless(witness.damage(), MOST_MEMORY, MOST_WORK)
