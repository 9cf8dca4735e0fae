"""/storage: who may subscribe to what, what comes, and when it ends."""

import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from apiv3.live.storage_namespace import LARGEST_KEPT, Encoder
from apiv3.model.changes import Change
from tests.support.engineio import socket, subscriber
from tests.support.factories import FreshServer
from tests.support.live import Stream
from tests.support.server import LiveServer
from tests.support.wire import now_ms, unique

ALL = ["devicestatus", "entries", "food", "profile", "settings", "treatments"]
NOT_GOOD = {"success": False, "message": "Missing or bad accessToken"}
NOTHING = {"success": False, "message": "Unauthorized to receive any collection"}


@pytest.fixture
def writer(server: LiveServer) -> httpx.Client:
    return server.client(server.subject(unique("writer"), "api:*:*"))


@pytest.fixture
def reader(server: LiveServer) -> str:
    return server.subject(unique("reader"), "api:*:read")


def test_an_event_is_made_once_and_not_kept_for_ever() -> None:
    encoded = Encoder()
    changes = [Change("entries", "create", f"{number}", '{"notes":"' + "x" * 100_000 + '"}', number) for number in range(200)]
    tracemalloc.start()
    try:
        for change in changes:
            packet = encoded(change)
            assert packet == f'42/storage,["create",{{"colName":"entries","doc":{change.body}}}]'
            assert encoded(change) is packet
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1.2 * LARGEST_KEPT


def _note(**fields: Any) -> dict[str, Any]:
    return {"app": "test", "eventType": "Note", "date": now_ms(), "device": unique("device"), "utcOffset": 0, **fields}


def _post(client: httpx.Client, **fields: Any) -> str:
    answer = client.post("/api/v3/treatments", json=_note(**fields))
    assert answer.status_code == 201, answer.text
    return str(answer.json()["identifier"])


def _document(client: httpx.Client, identifier: str) -> Any:
    return client.get(f"/api/v3/treatments/{identifier}").json()["result"]


# --- who may

GRANTS: dict[str, tuple[list[str], Any, Any]] = {
    "everything": (["*"], None, ALL),
    "all that may be read": (["api:*:read"], None, [name for name in ALL if name != "settings"]),
    "settings need admin": (["api:settings:admin"], None, ["settings"]),
    "settings asked for": (["api:*:read"], ["settings", "food"], ["food"]),
    "one": (["api:entries:read"], None, ["entries"]),
    "unknown names": (["api:*:read"], ["foods", "entries", "../x", ""], ["entries"]),
    "each on its own": (["api:entries:read", "api:food:create"], ["entries", "food"], ["entries"]),
    "none": (["api:*:create"], None, None),
    "none of those asked for": (["api:entries:read"], ["treatments"], None),
    "only unknown names": (["*"], ["foods"], None),
    "an empty list": (["*"], [], None),
    "one document": (["api:entries:read:abc"], None, None),
}


@pytest.mark.parametrize("case", GRANTS)
def test_each_collection_is_authorised(live: LiveServer, case: str) -> None:
    permissions, asked, granted = GRANTS[case]
    token = live.subject(unique("subscriber"), *permissions)
    wishes = {} if asked is None else {"collections": asked}
    with socket(live) as client:
        answer = client.subscribe(token, **wishes)
    assert answer == (NOTHING if granted is None else {"success": True, "collections": granted})


def test_a_jwt_will_do(live: LiveServer) -> None:
    token = live.subject(unique("subscriber"), "api:entries:read")
    with socket(live) as client:
        assert client.subscribe(live.jwt(token)) == {"success": True, "collections": ["entries"]}


@pytest.mark.parametrize("token", [None, "", "nobody-0123456789abcdef", "a.b.c", 7, [], {}, "x" * 5000, "\0"])
def test_a_bad_token_is_refused(live: LiveServer, token: Any) -> None:
    with socket(live) as client:
        assert client.subscribe(token) == NOT_GOOD
        assert client.emit("/storage", "subscribe", {}) == NOT_GOOD


@pytest.mark.parametrize("arguments", [[], [None], ["token"], [[]], [7, {}]])
def test_a_subscription_is_an_object(live: LiveServer, arguments: list[Any]) -> None:
    with socket(live) as client:
        answer = client.enter("/storage").emit("/storage", "subscribe", *arguments)
    assert answer == {"success": False, "message": "Bad subscription: it must be an object with accessToken"}


@pytest.mark.parametrize("wish", [{"collections": "entries"}, {"collections": [1]}, {"collections": {}}])
def test_bad_names_are_refused(live: LiveServer, reader_of_all: str, wish: Any) -> None:
    with socket(live) as client:
        assert client.subscribe(reader_of_all, **wish)["message"] == "Bad collections: it must be a list of names"


@pytest.mark.parametrize(
    "cursors", [[], "x", {"entries": "1"}, {"entries": -1}, {"entries": 1.5}, {"entries": True}, {"food": 2**60}]
)
def test_bad_cursors_are_refused(live: LiveServer, reader_of_all: str, cursors: Any) -> None:
    with socket(live) as client:
        answer = client.subscribe(reader_of_all, **{"from": cursors})
    assert answer["message"] == "Bad from: it must be an object of collections with a srvModified in ms"


def test_without_security_everybody_receives_everything(fresh_server: FreshServer) -> None:
    server = fresh_server(env={"API3_SECURITY_ENABLE": "false"})
    with socket(server) as client:
        assert client.enter("/storage").emit("/storage", "subscribe", {}) == {"success": True, "collections": ALL}
        identifier = _post(server.client())
        assert client.change()[1]["doc"]["identifier"] == identifier


@pytest.fixture
def reader_of_all(live: LiveServer) -> str:
    return live.subject(unique("reader"), "api:*:read")


# --- what comes


def test_changes_come_as_they_happen(server: LiveServer, writer: httpx.Client, reader: str) -> None:
    with subscriber(server, reader, collections=["treatments", "foods"]) as client:
        first, other = _post(writer, notes="\U0001f600 grün\u2028 \u0001"), _post(writer, notes="b")
        for identifier in (first, other):
            assert client.change() == ("create", {"colName": "treatments", "doc": _document(writer, identifier)})
        assert writer.patch(f"/api/v3/treatments/{first}", json={"notes": "c"}).status_code == 200
        assert client.change() == ("update", {"colName": "treatments", "doc": _document(writer, first)})
        assert writer.delete(f"/api/v3/treatments/{first}").status_code == 200
        assert client.change() == ("delete", {"colName": "treatments", "identifier": first})
        assert writer.delete(f"/api/v3/treatments/{other}?permanent=true").status_code == 200
        assert client.change() == ("delete", {"colName": "treatments", "identifier": other})


def test_only_what_was_subscribed_to_comes(server: LiveServer, writer: httpx.Client, reader: str) -> None:
    with subscriber(server, reader, collections=["food"]) as client:
        _post(writer)
        food = {"app": "test", "date": now_ms(), "device": unique("device"), "utcOffset": 0}
        identifier = writer.post("/api/v3/food", json=food).json()["identifier"]
        assert client.change()[1]["doc"]["identifier"] == identifier
        answer = client.emit("/storage", "subscribe", {"accessToken": reader, "collections": ["treatments"]})
        assert answer == {"success": True, "collections": ["treatments"]}  # in the place of the one before
        writer.patch(f"/api/v3/food/{identifier}", json={"notes": "x"})
        second = _post(writer)
        assert client.change()[1]["doc"]["identifier"] == second


def test_what_was_missed_comes_first_and_nothing_twice(server: LiveServer, writer: httpx.Client, reader: str) -> None:
    old = _post(writer)
    cursor = _document(writer, old)["srvModified"]
    missed = [_post(writer, number=number) for number in range(5)]
    with ThreadPoolExecutor(2) as threads:
        posting = [threads.submit(lambda: [_post(writer) for _ in range(20)]) for _ in range(2)]
        with subscriber(server, reader, collections=["treatments"], **{"from": {"treatments": cursor}}) as client:
            received = [client.change() for _ in range(45)]
    documents = [change["doc"] for _, change in received]
    assert [each["identifier"] for each in documents[:5]] == missed
    posted = {identifier for future in posting for identifier in future.result()}
    assert {each["identifier"] for each in documents[5:]} == posted
    stamps = [each["srvModified"] for each in documents]
    assert stamps == sorted(set(stamps))


def test_the_acknowledgement_comes_before_what_was_missed(live: LiveServer, reader_of_all: str) -> None:
    client = live.client(live.subject(unique("writer"), "api:*:*"))
    _post(client)
    for _ in range(5):
        with subscriber(live, reader_of_all, collections=["treatments"], **{"from": {"treatments": 1}}) as each:
            each.change()


# --- when it ends


def _expelled(client: Any) -> bool:
    return bool(client.receive() == "41/storage,")


def _find(server: LiveServer, kind: str, token: str) -> Any:
    [found] = [each for each in server.admin("GET", "/subjects") if each["accessToken"] == token]
    if kind == "subjects":
        return found
    [role] = [each for each in server.admin("GET", "/roles") if each["name"] == found["roles"][0]]
    return role


def _remove(server: LiveServer, token: str) -> None:
    server.admin("DELETE", f"/subjects/{_find(server, 'subjects', token)['_id']}")


def _rotate(server: LiveServer, token: str) -> None:
    server.admin("POST", f"/subjects/{_find(server, 'subjects', token)['_id']}/rotate")


def _narrow(server: LiveServer, token: str) -> None:
    role = _find(server, "roles", token)
    server.admin("PUT", "/roles", {**role, "permissions": ["api:food:read"]})


@pytest.mark.parametrize("jwt", [False, True], ids=["token", "jwt"])
@pytest.mark.parametrize("lose", [_remove, _rotate, _narrow])
def test_who_loses_the_right_is_put_out(server: LiveServer, writer: httpx.Client, lose: Any, jwt: bool) -> None:
    token = server.subject(unique("loser"), "api:treatments:read", "api:food:read")
    with subscriber(server, server.jwt(token) if jwt else token) as client:
        lose(server, token)
        assert _expelled(client)
        _post(writer)
        client.send("40/storage,")  # nothing of that comes before the answer to this
        assert client.receive().startswith("40/storage,")


def test_other_changes_of_the_policy_put_nobody_out(server: LiveServer, writer: httpx.Client, reader: str) -> None:
    with subscriber(server, reader, collections=["treatments"]) as client:
        other = server.subject(unique("other"), "api:*:read")
        _remove(server, other)
        identifier = _post(writer)
        assert client.change()[1]["doc"]["identifier"] == identifier


def test_a_jwt_is_good_until_it_expires(fresh_server: FreshServer) -> None:
    server = fresh_server(env={"API3_JWT_LIFETIME": "2"})
    token = server.subject("reader", "api:*:read")
    with subscriber(server, server.jwt(token)) as brief, subscriber(server, token) as lasting:
        assert _expelled(brief)
        identifier = _post(server.client(server.subject("writer", "api:*:*")))
        assert lasting.change()[1]["doc"]["identifier"] == identifier


def test_failed_authentications_are_slowed_down(fresh_server: FreshServer) -> None:
    server = fresh_server(env={"AUTH_FAIL_DELAY": "60000"})
    with socket(server) as client:
        assert client.subscribe("nobody-0123456789abcdef") == NOT_GOOD
        for _ in range(5):
            client.send('42/storage,["subscribe",{"accessToken":"nobody-0123456789abcdef"}]')
        client.send('42/storage,["subscribe",{"accessToken":"nobody-0123456789abcdef"}]')  # five are at work: one too many
        assert client.ends()


def test_large_documents_come_whole(server: LiveServer, writer: httpx.Client, reader: str) -> None:
    """Those that were there and those that come, in their order among small ones, by both live channels."""
    notes = {"a": "é" * 500_000, "b": "small", "c": "x" * 7_000_000, "d": "🍎" * 40_000}
    documents = [_note(identifier=unique(name), notes=text) for name, text in notes.items()]
    since = int(_document(writer, _post(writer))["srvModified"])

    def write(*some: dict[str, Any]) -> None:
        assert writer.post("/api/v3/treatments/bulk", json=some).status_code == 200

    write(*documents[:2])
    wishes: dict[str, Any] = {"collections": ["treatments"], "from": {"treatments": since}}
    with (
        Stream(server, server.jwt(reader), f"collections=treatments&since={since + 1}") as stream,
        socket(server, max_size=None) as client,
    ):
        assert client.subscribe(reader, **wishes)["success"]
        for some in (documents[:2], documents[2:]):
            if some[0] is not documents[0]:
                write(*some)
            for each in some:
                told, (kind, heard) = stream.next(), client.change()
                assert (told.kind, told.data) == (kind, heard)
                assert {name: heard["doc"][name] for name in each} == each
