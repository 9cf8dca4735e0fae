"""Server-sent events: changes as they happen, to those who may see them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from typing import Any

import httpx
import orjson
import pytest

from apiv3.model.changes import Cursor
from apiv3.model.errors import BadRequest
from apiv3.web.events import format_id, parse_id
from tests.support.documents import Corner, api_of, import_documents
from tests.support.factories import FreshServer
from tests.support.live import Stream, Told
from tests.support.server import LiveServer
from tests.support.waiting import wait_until
from tests.support.wire import Line, request, unique


@pytest.fixture
def token(server: LiveServer) -> str:
    return server.subject(unique("follower"), "api:*:read")


def own(stream: Stream, corner: Corner, number: int) -> list[Told]:
    """The next events that are about this test's own documents; the server is shared."""
    found: list[Told] = []
    while len(found) < number:
        told = stream.next()
        if _about(told).startswith(corner.device):
            found.append(told)
    return found


def _about(told: Told) -> str:
    return str(told.data.get("doc", told.data)["identifier"])


# --- what comes


def test_changes_as_they_happen(server: LiveServer, corner: Corner, token: str) -> None:
    name = corner.name("a")
    with Stream(server, token, "collections=treatments,entries") as stream:
        assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert stream.headers["cache-control"] == "no-store"
        assert stream.headers["x-accel-buffering"] == "no"
        corner.add(identifier=name, notes="Grüße\n\u2028🍎")
        [created] = own(stream, corner, 1)
        assert created.kind == "create"
        assert created.data == {"colName": "treatments", "doc": corner.read(name)}

        corner.api.patch(corner.url(name), json={"notes": "x"})
        [patched] = own(stream, corner, 1)
        assert (patched.kind, patched.data["doc"]) == ("update", corner.read(name))

        corner.api.delete(corner.url(name))
        [deleted] = own(stream, corner, 1)
        corner.api.delete(corner.url(name), params={"permanent": "true"})
        [gone] = own(stream, corner, 1)
        for told in (deleted, gone):
            assert told.kind == "delete"
            assert told.data.keys() == {"colName", "identifier", "srvModified"}
            assert (told.data["colName"], told.data["identifier"]) == ("treatments", name)
        assert patched.data["doc"]["srvModified"] < deleted.data["srvModified"] < gone.data["srvModified"]
        assert gone.id.startswith(f"treatments={gone.data['srvModified']},entries=")


def test_all_collections_that_the_caller_may_read(server: LiveServer, api: httpx.Client) -> None:
    token = server.subject(unique("some"), "api:entries,food:read")
    with Stream(server, token) as stream:
        assert parse_id(stream.id).keys() == {"entries", "food"}
    everything = server.subject(unique("all"), "api:*:read,admin")
    with Stream(server, everything) as stream:
        assert "settings" in parse_id(stream.id)


def test_what_was_missed_comes_first(server: LiveServer, corner: Corner, token: str) -> None:
    with Stream(server, token, "collections=treatments") as stream:
        first = corner.add(identifier=corner.name("first"))
        [told] = own(stream, corner, 1)
        assert _about(told) == first
    missed = [corner.add(identifier=corner.name(number)) for number in range(1, 6)]
    corner.api.delete(corner.url(missed[0]), params={"permanent": "true"})
    expected = [*missed[1:], missed[0]]
    for headers, query in (({"Last-Event-ID": told.id}, ""), ({}, f"&lastEventId={told.id}")):
        with Stream(server, token, f"collections=treatments{query}", headers=headers) as stream:
            assert [_about(each) for each in own(stream, corner, len(expected))] == expected
            expected.append(corner.add(identifier=corner.name(unique("live"))))
            assert [_about(each) for each in own(stream, corner, 1)] == expected[-1:]


def test_where_nothing_happened_yet_nothing_is_missed_either(server: LiveServer, corner: Corner, token: str) -> None:
    with Stream(server, token, "collections=treatments") as stream:
        start = stream.id
    name = corner.add()
    with Stream(server, token, "collections=treatments", headers={"Last-Event-ID": start}) as stream:
        assert _about(own_any(stream, name)) == name


def own_any(stream: Stream, name: str) -> Told:
    while _about(told := stream.next()) != name:
        pass
    return told


def test_since_a_time(server: LiveServer, corner: Corner, token: str) -> None:
    name = corner.add(identifier=corner.name("a"))
    changed = corner.read(name)["srvModified"]
    with Stream(server, token, f"collections=treatments&since={changed - 1}") as stream:
        assert own(stream, corner, 1)[0].kind == "create"
    corner.add(identifier=corner.name("b"))
    with Stream(server, token, f"collections=treatments&since={changed}") as stream:
        assert _about(own(stream, corner, 1)[0]) == corner.name("b")


def test_documents_of_a_collection_with_an_identifier_that_changes(server: LiveServer, api: httpx.Client, token: str) -> None:
    corner = Corner(api, "entries")
    document = corner.document(type="sgv", sgv=100)
    import_documents(server, "entries", {**document, "identifier": corner.name("its-id")})
    with Stream(server, token, "collections=entries") as stream:
        answer = api.post("/entries", json={**document, "identifier": corner.name("own")})
        assert answer.json()["deduplicatedIdentifier"] == corner.name("its-id")
        told = own(stream, corner, 2)
        assert [(each.kind, _about(each)) for each in told] == [
            ("update", corner.name("own")),
            ("delete", corner.name("its-id")),
        ]


# --- what is asked wrongly


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("collections=", {}),
        ("collections=entries,foods", {}),
        ("collections=entries&collections=food", {}),
        ("since=yesterday", {}),
        ("lastEventId=nonsense", {}),
        ("", {"Last-Event-ID": "entries=1;food=2"}),
        ("", {"Last-Event-ID": "entries=1,entries=2"}),
        ("", {"Last-Event-ID": "entries=99999999999999999999"}),
        ("", {"Last-Event-ID": "entries=-1"}),
    ],
)
def test_bad_requests(server: LiveServer, token: str, query: str, headers: dict[str, str]) -> None:
    with Stream(server, token, query, headers=headers) as stream:
        assert stream.status == 400
        assert stream.json()["message"]


def test_an_unknown_collection_is_told_what_there_is(server: LiveServer, token: str) -> None:
    with Stream(server, token, "collections=foods") as stream:
        assert "devicestatus, entries, food, profile, settings, treatments" in stream.json()["message"]


def test_permissions(server: LiveServer) -> None:
    token = server.subject(unique("reader"), "api:entries:read", "api:settings:read")
    for collections, missing in (
        ("entries,treatments", "api:treatments:read"),
        ("settings", "api:settings:admin"),
        ("entries,settings", "api:settings:admin"),
    ):
        with Stream(server, token, f"collections={collections}") as stream:
            assert stream.status == 403
            assert stream.json()["message"] == f"Missing permission {missing}"
    blind = server.subject(unique("blind"), "api:entries:create")
    with Stream(server, blind) as stream:
        assert stream.status == 403
    with Stream(server, None) as stream:
        assert (stream.status, stream.json()["message"]) == (401, "Missing or bad access token or JWT")
    with Stream(server, token, f"token={token}") as stream:
        assert (stream.status, stream.json()["message"]) == (400, "More than one credential")


def test_no_time_is_asked_for(server: LiveServer, token: str) -> None:
    """And one that is sent is not looked at, as in any other event stream."""
    for headers in ({}, {"Date": "yesterday"}):
        with Stream(server, token, headers=headers) as stream:
            assert stream.status == 200


def test_head(server: LiveServer, token: str) -> None:
    with Stream(server, token, method="HEAD") as stream:
        assert stream.status == 200
        assert stream.headers["content-type"].startswith("text/event-stream")
    with Stream(server, None, method="HEAD") as stream:
        assert stream.status == 401


def test_ids() -> None:
    cursors = {"entries": Cursor(1_700_000_000_000), "food": Cursor(5, 1_700_000_000_001)}
    assert format_id(cursors) == "entries=1700000000000,food=5~1700000000001"
    assert parse_id(format_id(cursors)) == cursors
    assert parse_id("") == {}
    for bad in (",", "entries", "entries=", "entries=1,", "entries=1~", "entries=1~2~3", "Entries=1", "entries=١"):
        with pytest.raises(BadRequest):
            parse_id(bad)


# --- when it ends


def subject_id(server: LiveServer, name: str) -> str:
    [found] = [each["_id"] for each in server.admin("GET", "/subjects") if each["name"] == name]
    return str(found)


@pytest.mark.parametrize("how", ["removed", "rotated", "demoted", "another role"])
def test_a_stream_ends_with_the_right(server: LiveServer, how: str) -> None:
    name = unique("leaver")
    token = server.subject(name, "api:entries:read")
    with Stream(server, token, "collections=entries") as stream:
        key = subject_id(server, name)
        [subject] = [each for each in server.admin("GET", "/subjects") if each["_id"] == key]
        [role] = [each for each in server.admin("GET", "/roles") if each["name"] == subject["roles"][0]]
        if how == "removed":
            server.admin("DELETE", f"/subjects/{key}")
        elif how == "rotated":
            server.admin("POST", f"/subjects/{key}/rotate")
        elif how == "demoted":
            server.admin("PUT", "/roles", {**role, "permissions": ["api:food:read"]})
        else:
            server.admin("PUT", "/subjects", {**subject, "roles": ["denied"]})
        assert stream.ends()


def test_a_stream_stays_while_its_right_does(server: LiveServer, api: httpx.Client) -> None:
    name = unique("stayer")
    corner = Corner(api, "food")
    with Stream(server, server.subject(name, "api:food:read"), "collections=food") as stream:
        key = subject_id(server, name)
        [subject] = [each for each in server.admin("GET", "/subjects") if each["_id"] == key]
        server.admin("PUT", "/subjects", {**subject, "roles": ["readable"]})
        corner.add(identifier=corner.name("a"))
        assert len(own(stream, corner, 1)) == 1


def test_a_stream_ends_with_its_jwt(fresh_server: FreshServer) -> None:
    server = fresh_server(env={"API3_JWT_LIFETIME": "2"})
    with Stream(server, server.jwt(server.subject("short", "api:entries:read"))) as stream:
        assert stream.status == 200
        assert stream.ends()


def test_a_stream_ends_with_the_server(fresh_server: FreshServer, database: str) -> None:
    server = fresh_server(database)
    token = server.subject("reader", "api:*:read")
    streams = [Stream(server, token) for _ in range(3)]
    with Line(server) as deaf:  # reads nothing
        deaf.send(request("GET", "/api/v3/events", ("Authorization", f"Bearer {token}")))
        server.stop()
    for stream in streams:
        assert stream.ends()
        stream.close()
    assert "graceful shutdown exceeded" not in server.output
    assert "Traceback" not in server.output


def test_who_goes_away_is_let_go(fresh_server: FreshServer) -> None:
    server = fresh_server(env={"API3_LIVE_CONNECTIONS": "3"})
    token = server.subject("reader", "api:*:read")
    streams = [Stream(server, token) for _ in range(3)]
    with Stream(server, token) as refused:
        assert refused.status == 429
    for stream in streams:
        stream.close()

    def admitted() -> bool:
        with Stream(server, token) as stream:
            return stream.status == 200

    wait_until(admitted, "streams whose clients went away still count")
    wait_until(lambda: len(_ended(server)) >= 3, "the access log does not tell of streams")
    assert {line["subject"] for line in _ended(server)} == {"reader"}


def _ended(server: LiveServer) -> list[Any]:
    """The lines of the access log about streams that were there."""
    lines = [orjson.loads(line) for line in server.output.splitlines() if line.startswith("{")]
    return [line for line in lines if line["path"] == "/api/v3/events" and line["status"] == 200]


def test_who_does_not_read_is_let_go(fresh_server: FreshServer, database: str) -> None:
    """And nobody else notices."""
    server = fresh_server(database, env={"API3_REQUEST_TIMEOUT": "2"})
    api = api_of(server, "api:*:*")
    token = server.subject("reader", "api:*:read")
    corner = Corner(api, "entries")
    with Line(server) as deaf, Stream(server, token, "collections=entries") as stream:
        deaf._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.send(request("GET", "/api/v3/events?collections=entries", ("Authorization", f"Bearer {token}")))
        text = "x" * 500_000

        def let_go() -> bool:
            corner.add(notes=text)
            stream.next()
            return server.output.count('"path":"/api/v3/events?collections=entries"') == 1

        wait_until(let_go, "a client that does not read is kept")
        name = corner.add()
        assert _about(stream.next()) == name
    assert "Traceback" not in server.output


# --- several processes


def test_every_worker_tells_of_every_change(fresh_server: FreshServer, database: str) -> None:
    server = fresh_server(database, workers=2)
    token = server.subject("reader", "api:*:read")
    api = api_of(server, "api:*:*")
    corner = Corner(api, "treatments")
    streams = [Stream(server, token, "collections=treatments") for _ in range(8)]
    names = []
    for _ in range(10):
        with httpx.Client(trust_env=False, verify=False) as client:  # a connection of its own: any worker may take it
            answer = client.post(f"{server.url}/api/v3/treatments", json=corner.document(), headers=_dated(api))
            assert answer.status_code == 201
            names.append(answer.json()["identifier"])
    for stream in streams:
        assert [_about(told) for told in stream.take(10)] == names
        stream.close()


def _dated(api: httpx.Client) -> dict[str, str]:
    return {"Authorization": api.headers["Authorization"], "Date": str(int(time.time()))}


def test_a_worker_that_is_killed_takes_only_its_own_streams(fresh_server: FreshServer) -> None:
    server = fresh_server(workers=2)
    token = server.subject("reader", "api:*:read")
    corner = Corner(api_of(server, "api:*:*"), "treatments")
    with Stream(server, token, "collections=treatments") as stream:
        start = stream.id
    children = subprocess.run(["pgrep", "-P", str(server.pid)], capture_output=True, text=True, check=True).stdout.split()
    os.kill(int(children[-1]), signal.SIGKILL)
    name = ""

    def written() -> bool:
        nonlocal name
        try:
            name = corner.add()
        except httpx.TransportError:
            return False
        return True

    wait_until(written, "nobody answers any more")

    def resumed() -> bool:
        try:
            with Stream(server, token, "collections=treatments", headers={"Last-Event-ID": start}) as stream:
                return _about(own_any(stream, name)) == name
        except (OSError, EOFError):
            return False

    wait_until(resumed, "nobody tells what was missed")
