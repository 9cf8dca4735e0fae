"""The bodies of all requests under way share one account of memory: who finds too little left waits for their turn."""

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from email.utils import formatdate

import pytest

from tests.support.documents import DATE
from tests.support.factories import FreshServer
from tests.support.server import LiveServer
from tests.support.wire import Line, request

HALF = 16_777_216
"""Bytes of the longest body, half of what all may take."""


@pytest.fixture
def server(fresh_server: FreshServer, database: str) -> LiveServer:
    return fresh_server(database, env={"API3_REQUEST_TIMEOUT": "4"})


def _begin(server: LiveServer, token: str, path: str, size: int | None) -> Line:
    """A request whose body is on its way, and stays there. `size`: None for one that does not say its length."""
    length = ("Transfer-Encoding", "chunked") if size is None else ("Content-Length", str(size))
    headers = (("Date", formatdate(usegmt=True)), ("Authorization", f"Bearer {token}"), length)
    return Line(server).send(request("POST", path, *headers) + (b"1\r\n[\r\n" if size is None else b"["))


def test_bodies_wait_for_their_turn(server: LiveServer) -> None:
    token = server.subject("uploader", "api:*:*")
    jwt, api = server.jwt(token), server.client(token)
    document = {"date": DATE, "app": "tests"}
    with ExitStack() as lines, ThreadPoolExecutor() as threads:
        first, _ = (lines.enter_context(_begin(server, jwt, "/api/v3/entries/bulk", size)) for size in (HALF, None))
        waiting = threads.submit(api.post, "/api/v3/entries", json=document)
        assert api.get("/api/v3/entries").status_code == 200  # what has no body does not wait
        with pytest.raises(TimeoutError):
            waiting.result(0.5)
        first._socket.shutdown(socket.SHUT_RDWR)  # it gives up
        assert waiting.result(3).status_code == 201


def test_who_would_wait_for_too_long_may_come_again(server: LiveServer) -> None:
    """Those before it are slow, and are refused for that in the end; nobody waits for ever, and nothing is stored."""
    token = server.subject("uploader", "api:*:*")
    jwt, api = server.jwt(token), server.client(token)
    document = json.dumps({"date": DATE, "app": "tests"}).encode()
    with ExitStack() as lines:
        slow = [lines.enter_context(_begin(server, jwt, "/api/v3/entries/bulk", HALF)) for _ in range(2)]
        answer = api.post("/api/v3/entries", content=document)
        assert answer.status_code in (201, 503)
        assert [line.reply("POST").status for line in slow] == [408, 408]
        if answer.status_code == 503:
            assert answer.json() == {"status": 503, "message": "The server is busy, try again later"}
            assert answer.headers["Retry-After"] == "5"
    assert api.post("/api/v3/entries", content=document).status_code in (200, 201)


def test_a_burst_of_large_documents_is_stored(fresh_server: FreshServer, database: str) -> None:
    """Ten bodies of 7 MB at once are more than may be in memory together; all of them get in."""
    server = fresh_server(database)
    api = server.client(server.subject("uploader", "api:*:*"))

    def upload(number: int) -> int:
        document = {"date": DATE + number, "app": "tests", "identifier": f"large {number}", "text": "x" * 7_000_000}
        return api.post("/api/v3/profile", json=document).status_code

    with ThreadPoolExecutor(10) as threads:
        assert list(threads.map(upload, range(10))) == [201] * 10
    for number in range(10):  # one by one: all of them are more than one answer may hold
        found = api.get(f"/api/v3/profile/large {number}?fields=date").json()
        assert found == {"status": 200, "result": {"date": DATE + number}}
