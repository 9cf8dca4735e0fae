"""The clients of the field: socket.io-client 2, 3 and 4, and python-socketio's."""

import gc
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import pytest
import socketio

from tests.support.factories import FreshServer, NewDatabase, running_server
from tests.support.node import JsClient
from tests.support.server import LiveServer
from tests.support.wire import now_ms, unique

NewClient = Callable[[str, LiveServer], JsClient]

TRANSPORTS = {"polling": ["polling"], "websocket": ["websocket"], "both": ["polling", "websocket"]}
NOTES = '\U0001f600\U0001f469\u200d\U0001f52c grün \u2028 "quoted" \\ \u0007'


@pytest.fixture(scope="session")
def heartbeat(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """One process on SQLite, with a heartbeat each second."""
    with running_server(tmp_path_factory.mktemp, new_database, env={"API3_LIVE_PING_INTERVAL": "1"}) as server:
        yield server


@pytest.fixture(scope="session")
def crowd(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """Four processes on PostgreSQL."""
    with running_server(tmp_path_factory.mktemp, new_database, "postgres", workers=4) as server:
        yield server


@pytest.fixture(params=["heartbeat", "crowd"])
def place(request: pytest.FixtureRequest) -> LiveServer:
    server: LiveServer = request.getfixturevalue(request.param)
    return server


class People:
    """Somebody who reads and somebody who writes."""

    def __init__(self, server: LiveServer) -> None:
        self.reader = server.subject(unique("reader"), "api:*:read")
        self._writer = server.subject(unique("writer"), "api:*:*")
        self.begin(server)

    def begin(self, server: LiveServer) -> None:
        self.writer = server.client(self._writer)

    def post(self, **fields: Any) -> Any:
        note = {"app": "test", "eventType": "Note", "date": now_ms(), "device": unique("device"), "utcOffset": 0, **fields}
        answer = self.writer.post("/api/v3/treatments", json=note)
        assert answer.status_code == 201, answer.text
        return self.document(answer.json()["identifier"])

    def document(self, identifier: str) -> Any:
        return self.writer.get(f"/api/v3/treatments/{identifier}").json()["result"]


@pytest.mark.parametrize("major", ["2", "3", "4"])
def test_a_javascript_client_follows_what_happens(place: LiveServer, js: NewClient, major: str) -> None:
    people, client = People(place), js(major, place)
    wish = {"accessToken": people.reader, "collections": ["treatments", "foods"]}
    for name, transports in TRANSPORTS.items():
        client.connect(name, "/storage", transports=transports, forceNew=True)
        assert client.emit(name, "subscribe", wish) == {"success": True, "collections": ["treatments"]}
    assert client.expect("both", "upgrade") == ["websocket"]

    about = {"colName": "treatments"}
    first, second = people.post(notes=NOTES), people.post()
    for name in TRANSPORTS:
        assert [client.change(name) for _ in range(2)] == [("create", {**about, "doc": each}) for each in (first, second)]

    people.writer.patch(f"/api/v3/treatments/{second['identifier']}", json={"notes": "changed"})
    changed = people.document(second["identifier"])
    for name in TRANSPORTS:
        assert client.change(name) == ("update", {**about, "doc": changed})

    people.writer.delete(f"/api/v3/treatments/{first['identifier']}")
    people.writer.delete(f"/api/v3/treatments/{second['identifier']}?permanent=true")
    for name in TRANSPORTS:
        for each in (first, second):
            assert client.change(name) == ("delete", {**about, "identifier": each["identifier"]})


@pytest.mark.parametrize("major", ["2", "3", "4"])
def test_a_javascript_client_enters_several_namespaces_over_one_connection(
    crowd: LiveServer, js: NewClient, major: str
) -> None:
    people, client = People(crowd), js(major, crowd)
    _, first = client.connect("storage", "/storage")
    _, second = client.connect("alarm", "/alarm")
    assert first == second
    assert client.emit("storage", "subscribe", {"accessToken": people.reader})["success"]
    answer = {"success": True, "message": "Subscribed for alarms"}
    assert client.emit("alarm", "subscribe", {"accessToken": people.reader}) == answer
    high = {"app": "test", "type": "sgv", "sgv": 300 + int(major), "date": now_ms(), "device": unique("device")}
    assert people.writer.post("/api/v3/entries", json=high).status_code == 201
    while client.expect("alarm", "urgent_alarm")[0]["sgv"] != high["sgv"]:
        pass  # what was on before
    assert client.change("storage")[1]["colName"] == "entries"
    client.tell("connect", of="nowhere", namespace="/nowhere", options={})
    assert client.expect("nowhere", "refused") == ["Invalid namespace"]
    client.tell("leave", of="alarm")
    document = people.post()
    assert client.change("storage") == ("create", {"colName": "treatments", "doc": document})


@pytest.mark.parametrize("major", ["2", "3", "4"])
def test_a_javascript_client_stays_for_many_heartbeats(heartbeat: LiveServer, js: NewClient, major: str) -> None:
    people, client = People(heartbeat), js(major, heartbeat)
    for name, transports in TRANSPORTS.items():
        client.connect(name, "/storage", transports=transports, forceNew=True)
        assert client.emit(name, "subscribe", {"accessToken": people.reader})["success"]
    for name in TRANSPORTS:
        for _ in range(3):
            client.expect(name, "heartbeat")
    document = people.post()
    for name in TRANSPORTS:
        assert client.change(name) == ("create", {"colName": "treatments", "doc": document})
    client.never(*TRANSPORTS, event="disconnect")


@pytest.mark.parametrize("major", ["2", "4"])
def test_a_javascript_client_comes_back_and_misses_nothing(fresh_server: FreshServer, js: NewClient, major: str) -> None:
    server = fresh_server()
    people, client = People(server), js(major, server)
    quickly = {"reconnectionDelay": 50, "reconnectionDelayMax": 200, "forceNew": True}
    for name, transports in TRANSPORTS.items():
        client.connect(name, "/storage", transports=transports, **quickly)
        assert client.emit(name, "subscribe", {"accessToken": people.reader})["success"]
    cursor = people.post()["srvModified"]
    for name in TRANSPORTS:
        assert client.change(name)[1]["doc"]["srvModified"] == cursor
    server.stop()
    server.start()
    people.begin(server)
    missed = people.post()
    for name in TRANSPORTS:
        client.expect(name, "disconnect")
        client.expect(name, "connect")
        answer = client.emit(name, "subscribe", {"accessToken": people.reader, "from": {"treatments": cursor}})
        assert answer["success"]
        assert client.change(name) == ("create", {"colName": "treatments", "doc": missed})


# The library's client does not always close its websocket, of which aiohttp complains when it is collected.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("transport", ["polling", "websocket", None])
async def test_python_socketio_follows_what_happens(place: LiveServer, transport: str | None) -> None:
    people = People(place)
    async with aiohttp.ClientSession() as http, socketio.AsyncSimpleClient(http_session=http) as client:
        await client.connect(place.url, namespace="/storage", transports=transport and [transport])
        answer = await client.call("subscribe", {"accessToken": place.jwt(people.reader), "collections": ["treatments"]})
        assert answer == {"success": True, "collections": ["treatments"]}
        document = people.post(notes=NOTES)
        assert await client.receive(timeout=30) == ["create", {"colName": "treatments", "doc": document}]
    gc.collect()  # here, and not in another test
