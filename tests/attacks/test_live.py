"""Live channels: followers that read nothing while documents are written, and clients that subscribe without a pause."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

import httpx
import pytest
from websockets.exceptions import WebSocketException

from tests.support.attackers import UPGRADE, text_frame
from tests.support.attacks import Witness, assert_harmless, unread, while_it_lasts
from tests.support.documents import DATE, largest_bulk
from tests.support.engineio import Socket, socket
from tests.support.factories import NewDatabase, running_server
from tests.support.server import LiveServer
from tests.support.wire import request

MOST_MEMORY, MOST_WORK = 128, 0.5
"""Megabytes, and seconds; see `assert_harmless`."""
FOLLOWERS = 90
"""Nearly as many live connections as one address may have."""
ALL = "*"


@pytest.fixture(scope="module")
def server(database: str, new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with running_server(tmp_path_factory.mktemp, new_database, database, env={"ACCESS_LOG": "false"}, real=True) as running:
        yield running
        assert "Traceback" not in running.output


@pytest.fixture(scope="module")
def token(server: LiveServer) -> str:
    return server.subject("attacker", ALL)


@pytest.fixture(scope="module")
def attacker(server: LiveServer, token: str) -> httpx.Client:
    client = server.client(token, timeout=120)
    client.base_url = httpx.URL(f"{server.url}/api/v3")
    assert client.post("/settings/bulk", content=largest_bulk()).status_code == 200
    return client


@pytest.fixture(scope="module")
def bystander(server: LiveServer, attacker: httpx.Client) -> Callable[[], Witness]:
    """`with bystander() as witness`."""
    assert attacker.put("/entries/e5", json={"date": DATE, "app": "x"}).status_code == 201
    return partial(Witness, server, "/api/v3/entries/e5", server.jwt(server.subject("innocent", "api:*:read")))


def _small(number: int) -> bytes:
    each = '{"identifier":"s%d","date":%d,"app":"x","notes":"%s"}'
    return f"[{','.join(each % (n % 3000, DATE, 'a' * 2000) for n in range(200 * number, 200 * number + 200))}]".encode()


def _large(number: int) -> bytes:
    return json.dumps([{"identifier": f"l{number % 5}", "date": DATE, "app": "x", "notes": "a" * 7_000_000}]).encode()


@pytest.mark.parametrize("make", [_small, _large])
@pytest.mark.parametrize("channel", ["events", "socket.io"])
def test_followers_that_read_nothing(
    server: LiveServer,
    attacker: httpx.Client,
    token: str,
    bystander: Callable[[], Witness],
    channel: str,
    make: Callable[[int], bytes],
) -> None:
    """They begin with what is stored, and what is written meanwhile comes on top."""
    numbers = itertools.count()
    assert attacker.post("/food/bulk", content=make(next(numbers))).status_code == 200
    if channel == "events":
        dated = ("Authorization", attacker.headers["Authorization"])
        asked = [request("GET", "/api/v3/events?collections=food&since=2000-01-01", dated)]
    else:
        wish = {"accessToken": token, "collections": ["food"], "from": {"food": 1}}
        subscribe = f"42/storage,1{json.dumps(['subscribe', wish])}"
        asked = [UPGRADE + b"\r\n", text_frame("40/storage,") + text_frame(subscribe)]
    with bystander() as witness, unread(server, asked[0], FOLLOWERS, *asked[1:]):
        while_it_lasts(lambda: attacker.post("/food/bulk", content=make(next(numbers))).raise_for_status(), 3)
    assert_harmless(witness.damage(), MOST_MEMORY, MOST_WORK)


def _subscribe(client: Socket, token: str) -> None:
    client.enter("/storage").emit("/storage", "subscribe", {"accessToken": token, "from": {"food": 1, "entries": 1}})
    for _ in range(10):
        client.emit("/storage", "subscribe", {"accessToken": token, "collections": ["settings"]})


def _acknowledge(client: Socket, token: str) -> None:
    client.subscribe(token, "/alarm")
    for number in range(10):
        client.emit("/alarm", "ack", 2, f"{number}" * 100, 1000)


@pytest.mark.parametrize("event", [_subscribe, _acknowledge])
def test_events_without_a_pause(
    server: LiveServer, token: str, bystander: Callable[[], Witness], event: Callable[[Socket, str], None]
) -> None:
    def connect() -> None:
        with suppress(WebSocketException, AssertionError), socket(server) as client:  # other events come between
            event(client, token)

    with bystander() as witness:
        assert while_it_lasts(connect, 10)
    assert_harmless(witness.damage(), MOST_MEMORY, MOST_WORK)
