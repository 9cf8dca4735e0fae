"""How answers stand on the wire: one after the other, each whole, and nothing between them."""

from __future__ import annotations

import asyncio
import gc
import inspect
import socket
import threading
import weakref
from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import httpx
import pytest
import uvicorn
from uvicorn.server import ServerState

from apiv3.cli.serve import listen
from apiv3.security.ledger import Budget
from apiv3.web.server.connection import Connection
from apiv3.web.server.connections import ENDING, LAST_PATIENCE, Connections
from apiv3.web.server.http import Http, too_large
from apiv3.web.server.run import Config, Server, alone
from tests.support.attackers import PONG_ME, POST, UPGRADE, text_frame
from tests.support.attacks import unread
from tests.support.server import LiveServer
from tests.support.waiting import wait_until
from tests.support.wire import Line, now_ms, request, unique

VERSION = "/api/v3/version"
STATUS = "/api/v3/status"
UNREAD = 200
"""Requests of which none of the answers is read."""
CHUNKS = 5000


@pytest.fixture
def token(api: httpx.Client) -> tuple[str, str]:
    return "Authorization", api.headers["Authorization"]


def test_requests_that_come_at_once_are_answered_in_their_order(server: LiveServer) -> None:
    with Line(server) as line:
        line.send(request("GET", VERSION) + request("GET", STATUS) + request("OPTIONS", VERSION) + request("GET", VERSION))
        assert [line.reply().status for _ in range(4)] == [200, 401, 204, 200]


def test_the_next_request_may_come_in_parts(server: LiveServer) -> None:
    """Its first part comes together with a request that is under way, and the rest after the answer."""
    both = request("GET", VERSION) + request("GET", STATUS)
    with Line(server) as line:
        assert line.send(both[:-30]).reply().status == 200
        assert line.send(both[-30:]).reply().status == 401


def test_requests_behind_an_answer_that_is_not_read_wait(server: LiveServer) -> None:
    """Each line of the log is a request that was begun. The system takes the first few answers off the server's hands."""
    mark, last = unique("unread"), unique("last")
    with unread(server, request("GET", f"/api/v3/openapi.json?{mark}") * UNREAD, 1), Line(server) as bystander:
        for target in [VERSION] * 2 * UNREAD + [f"{VERSION}?{last}"]:
            assert bystander.send(request("GET", target)).reply().status == 200
        wait_until(lambda: last in server.output, "the last line is missing")
        assert 1 <= server.output.count(mark) < UNREAD / 4


def _connected(app: Any, *, ends: bool = False) -> tuple[Connection, Mock]:
    """A connection to an application, with its transport. `ends`: whether the server was told to end before."""
    connections, transport = Connections(Budget(9), 30), Mock(spec=asyncio.Transport)
    transport.get_write_buffer_size.return_value = 0
    if ends:
        connections.end()
    connection = Connection(connections, ServerState(), ("127.0.0.1", 1), None, encrypted=False)
    connection.speaker = Http(connection, app, {}, most=1000)
    connection.connection_made(transport)
    return connection, transport


def _receive(connection: Connection, data: bytes) -> None:
    connection.get_buffer(-1)[: len(data)] = data
    connection.buffer_updated(len(data))


async def test_a_connection_that_has_ended_parses_nothing_more() -> None:
    """Whatever was still scheduled: a second refusal could not be written any more."""
    connection, transport = _connected(too_large)
    _receive(connection, b"G" * 2000)
    connection.speaker.drained()
    [(refusal,)] = [call.args for call in transport.write.call_args_list]
    assert refusal.startswith(b"HTTP/1.1 431 ")


async def test_what_has_arrived_when_a_connection_would_end_is_read() -> None:
    """To close it with unread bytes would reset it, and the client would lose the answer."""
    connection, transport = _connected(too_large)
    here, there = socket.socketpair()
    with here, there:
        transport.get_extra_info.return_value = here
        there.send(b"GET")
        connection.speaker.expired()
        transport.close.assert_not_called()
        here.recv(3)
        connection.speaker.expired()
        transport.close.assert_called_once_with()


async def test_who_connects_while_the_server_ends_has_a_moment_for_a_request() -> None:
    connection, _ = _connected(too_large, ends=True)
    assert connection.deadline is not None
    assert connection.deadline <= connection.loop.time() + LAST_PATIENCE


async def test_a_websocket_that_is_not_accepted_yet_is_told_that_the_server_ends() -> None:
    """So that it is refused with 503 once it is cancelled."""
    scopes = list[Any]()

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        scopes.append(scope)
        await asyncio.Event().wait()

    connection, _ = _connected(app)
    _receive(connection, UPGRADE + b"\r\n")
    await asyncio.sleep(0)
    connection.shutdown()
    assert [ENDING in scope for scope in scopes] == [True]


async def test_chunks_are_not_read_before_those_before_them_are_parsed() -> None:
    """Tiny ones take longer to parse than to receive, and the application takes each piece at once."""
    taken, resumed, done = list[int](), list[int](), asyncio.Event()

    async def app(_scope: Any, receive: Any, _send: Any) -> None:
        while sum(taken) < CHUNKS:
            taken.append(len((await receive())["body"]))
        done.set()

    connection, transport = _connected(app)
    transport.resume_reading.side_effect = lambda: resumed.append(sum(taken))
    _receive(connection, POST + b"1\r\na\r\n" * CHUNKS)
    await done.wait()
    assert resumed[0] > CHUNKS - 256


async def _accept(_scope: Any, receive: Any, send: Any) -> None:
    """An application that accepts a websocket, and takes its first message only."""
    await receive()
    await send({"type": "websocket.accept"})
    await receive()
    await asyncio.Event().wait()


async def _talking() -> tuple[Connection, Mock]:
    """The same for a websocket that was accepted; the transport has forgotten what was written so far."""
    connection, transport = _connected(_accept)
    _receive(connection, UPGRADE + b"\r\n")
    await asyncio.sleep(0)
    transport.reset_mock()
    return connection, transport


async def test_nothing_is_left_of_a_websocket_that_was_lost() -> None:
    """Neither its timer for pings nor that for reading on."""

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept", "keepalive": 600})
        while (await receive())["type"] != "websocket.disconnect":
            pass

    connection, _ = _connected(app)
    _receive(connection, UPGRADE + b"\r\n")
    await asyncio.sleep(0)
    _receive(connection, PONG_ME * 200)
    for _ in range(40):  # until no more pings may be read for a while
        await asyncio.sleep(0)
    left = weakref.ref(connection.speaker)
    connection.connection_lost(None)
    del connection, _
    for _ in range(3):
        await asyncio.sleep(0)
    gc.collect()
    assert left() is None


async def test_pings_are_not_read_while_pongs_cannot_be_sent() -> None:
    """Somebody who reads a byte now and then would otherwise have as many kept as it likes."""
    connection, transport = await _talking()
    connection.pause_writing()
    _receive(connection, PONG_ME)
    transport.write.assert_not_called()
    transport.pause_reading.assert_called()
    connection.resume_writing()
    [(pong,)] = [call.args for call in transport.write.call_args_list]
    assert pong.endswith(b"x" * 125)


async def test_messages_are_not_read_before_the_application_takes_them() -> None:
    connection, transport = await _talking()
    for taken in (True, True, False):  # one by the application, and one that waits for it
        _receive(connection, text_frame("message"))
        await asyncio.sleep(0)
        assert transport.pause_reading.called != taken


def test_a_head_has_no_body_and_all_the_headers(server: LiveServer) -> None:
    with Line(server) as line:
        whole = line.send(request("GET", VERSION)).reply()
        head = line.send(request("HEAD", VERSION)).reply("HEAD")
        again = line.send(request("GET", VERSION)).reply()
    assert head.headers["content-length"] == str(len(whole.body))
    assert head.headers.keys() == whole.headers.keys()
    assert (again.status, len(again.body)) == (200, len(whole.body))


def test_an_answer_without_a_body_has_no_length(server: LiveServer) -> None:
    with Line(server) as line:
        reply = line.send(request("OPTIONS", VERSION)).reply()
        assert reply.status == 204
        assert reply.headers.keys().isdisjoint({"content-length", "content-type", "transfer-encoding"})
        assert line.send(request("GET", VERSION)).reply().status == 200


@pytest.mark.parametrize(
    "text",
    [
        request("GET", VERSION, ("Connection", "close")),
        f"GET {VERSION} HTTP/1.0\r\n\r\n".encode(),
        f"GET {VERSION} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".encode(),
    ],
    ids=["close", "1.0", "1.0 keep-alive"],
)
def test_a_connection_ends_when_that_is_due(server: LiveServer, text: bytes) -> None:
    with Line(server) as line:
        reply = line.send(text).reply()
        assert (reply.status, reply.headers["connection"]) == (200, "close")
        assert line.ends()


def test_who_asks_before_it_sends_a_body_is_told_to_go_on(server: LiveServer, token: tuple[str, str]) -> None:
    body = b'{"identifier":"%b","app":"test","date":%d}' % (unique("wire").encode(), now_ms())
    date = ("Date", str(now_ms()))
    whole = request("POST", "/api/v3/entries", date, token, ("Expect", "100-continue"), body=body)
    with Line(server) as line:
        assert line.send(whole.removesuffix(body)).reply().status == 100
        assert line.send(body).reply().status == 201
        assert line.send(request("GET", VERSION)).reply().status == 200


def test_a_stream_begins_at_once(server: LiveServer, token: tuple[str, str]) -> None:
    """Its headers come though nothing has happened yet."""
    with Line(server) as line:
        reply = line.send(request("GET", "/api/v3/events?collections=food", token)).reply()
    assert (reply.status, reply.headers["transfer-encoding"]) == (200, "chunked")


# --- applications that do what none of ours does


@pytest.fixture
def careless() -> Iterator[int]:
    """The port of an application that answers with the headers that it is sent, whatever is in them."""

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        value = scope["query_string"].replace(b"CR", b"\r").replace(b"LF", b"\n")
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-value", value), (b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    listener = listen("127.0.0.1", 0)
    server = Server(Config(alone(app, Connections(Budget(100), 10)), most_headers=16_384))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join()


@pytest.mark.parametrize(("value", "status"), [("fine", 200), ("aCRLFb", 500), ("aLFb", 500), ("aCRb", 500)])
def test_a_header_cannot_become_two(careless: int, value: str, status: int) -> None:
    answer = httpx.get(f"http://127.0.0.1:{careless}/?{value}", trust_env=False, verify=False)
    assert (answer.status_code, answer.headers.get("x-value")) == (status, value if status == 200 else None)


# --- what is used of uvicorn's inside (docs/decisions/0020)


def test_what_comes_after_a_refusal_is_discarded_up_to_a_bound(server: LiveServer) -> None:
    """The client may finish what it is sending, so that it gets the answer; not go on as long as the grace lasts."""
    with Line(server) as line:
        assert line.send(b"x" * 1_000_000).reply().status == 431

    def send_on() -> None:
        with Line(server) as line:
            for _ in range(64):
                line.send(b"x" * 1_000_000)

    with pytest.raises(ConnectionError):
        send_on()


def test_uvicorn_is_as_it_was_when_its_inside_was_looked_at() -> None:
    startup, shutdown = inspect.getsource(uvicorn.Server.startup), inspect.getsource(uvicorn.Server.shutdown)
    assert "if sockets is not None:" in startup
    assert "self.started = True" in startup
    assert "connection.shutdown()" in shutdown
    waiting = inspect.getsource(uvicorn.Server._wait_tasks_to_complete)
    assert "self.server_state.connections" in waiting
    assert "self.server_state.tasks" in waiting
    assert "self.ssl" in inspect.getsource(uvicorn.Config.load)
