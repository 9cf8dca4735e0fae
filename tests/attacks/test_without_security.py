"""A server without security on this machine, for debugging: nobody comes in through a proxy or a browser that is here too."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import nullcontext

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.support.factories import NewDatabase, running_server
from tests.support.server import LiveServer
from tests.support.wire import Line, Reply, now_ms, unique

ENTRIES = "/api/v3/entries"
SUBJECTS = "/api/v2/authorization/subjects"
FRIEND = "http://localhost:3000"
LOCAL = ("localhost", "LOCALHOST:{port}", "127.0.0.1", "127.0.0.1:{port}", "127.8.9.1", "[::1]:{port}", "[::1]")
FOREIGN = (
    "evil.example",
    "evil.example:{port}",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "192.0.2.1",
    "[2001:db8::1]",
)
ORIGINS = ("http://evil.example", "https://evil.example", "null", "http://localhost:1", "http://127.0.0.1", "")


@pytest.fixture(scope="module")
def open_server(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with running_server(tmp_path_factory.mktemp, new_database) as server:
        server.subject("somebody", "api:*:*")
        server.installation.settings = {"API3_SECURITY_ENABLE": "false", "CORS_ORIGINS": FRIEND}
        server.restart()
        yield server


def _ask(server: LiveServer, host: str | None, *headers: tuple[str, str], method: str = "GET", path: str = ENTRIES) -> Reply:
    body = f'{{"identifier": "{unique("entry")}", "app": "x", "date": {now_ms()}}}' if method == "POST" else ""
    sent = [("Content-Length", str(len(body))), ("Content-Type", "text/plain"), *headers]
    lines = [f"{method} {path} HTTP/1.1", *([] if host is None else [f"Host: {host}"]), *(f"{n}: {v}" for n, v in sent)]
    with Line(server) as line:
        return line.send("\r\n".join([*lines, "", body]).encode()).reply(method)


@pytest.mark.parametrize("host", LOCAL)
@pytest.mark.parametrize("path", [ENTRIES, "/", SUBJECTS, "/api/v3/version"])
def test_names_of_this_machine_are_answered(open_server: LiveServer, host: str, path: str) -> None:
    assert _ask(open_server, host.format(port=open_server.port), path=path).status == 200


@pytest.mark.parametrize("host", FOREIGN)
@pytest.mark.parametrize("path", [ENTRIES, "/", "/api3-docs", SUBJECTS, "/api/v3/version", "/api/v3/events"])
def test_other_names_are_refused(open_server: LiveServer, host: str, path: str) -> None:
    """DNS rebinding: a page's own name, which leads here by now."""
    refused = _ask(open_server, host.format(port=open_server.port), path=path)
    assert refused.status == 403
    assert "Security is switched off" in refused.message


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via", "CF-Connecting-IP", "X-Client-IP"])
def test_what_came_through_a_proxy_is_refused(open_server: LiveServer, name: str) -> None:
    assert _ask(open_server, "localhost", (name, "127.0.0.1")).status == 403


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_pages_of_other_sites_are_refused(open_server: LiveServer, origin: str, method: str) -> None:
    path = ENTRIES if method != "DELETE" else f"{ENTRIES}/x"
    host = f"127.0.0.1:{open_server.port}"
    assert _ask(open_server, host, ("Origin", origin), method=method, path=path).status == 403


def test_pages_of_this_server_and_of_those_it_trusts_are_answered(open_server: LiveServer) -> None:
    host = f"127.0.0.1:{open_server.port}"
    for origin in (f"http://{host}", FRIEND):
        assert _ask(open_server, host, ("Origin", origin), method="POST").status == 201


def test_a_websocket_of_another_name_is_refused(open_server: LiveServer) -> None:
    for name, is_local in (("localhost", True), ("evil.example", False)):
        with socket.create_connection(("127.0.0.1", open_server.port)) as line:
            url = f"ws://{name}:{open_server.port}/socket.io/?EIO=4&transport=websocket"
            with nullcontext() if is_local else pytest.raises(InvalidStatus), connect(url, sock=line):
                pass


def test_tokens_that_stay_good_are_not_shown(open_server: LiveServer) -> None:
    shown = _ask(open_server, "localhost", path=SUBJECTS)
    assert {each["name"] for each in shown.json} == {"admin", "somebody"}
    assert not any("accessToken" in each for each in shown.json)
    rotated = _ask(open_server, "localhost", method="POST", path=f"{SUBJECTS}/{shown.json[0]['_id']}/rotate")
    assert rotated.status == 200
    assert "accessToken" not in rotated.json
