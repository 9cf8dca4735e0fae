"""Every collection, those of the protocol and those that an installation adds, takes every operation."""

import httpx
import pytest

from tests.support.documents import CREATED_AT, DATE, SIX, TESTER, Corner, NewApi
from tests.support.server import LiveServer
from tests.support.wire import unique

ALL = (*SIX, "notes", "pump_log")


@pytest.mark.parametrize("collection", ALL)
def test_the_life_of_a_document(roomy: LiveServer, new_api: NewApi, collection: str) -> None:
    api = new_api(roomy, "api:*:*")
    mine = Corner(api, collection)
    sent = {"date": DATE, "app": "tests", "device": mine.device, "value": 1}

    created = api.post(f"/{collection}", json=sent)
    assert created.status_code == 201
    identifier, began = created.json()["identifier"], created.json()["lastModified"]
    assert created.json() == {"status": 201, "identifier": identifier, "lastModified": began}
    assert created.headers["Location"] == f"/api/v3/{collection}/{identifier}"

    read = api.get(f"/{collection}/{identifier}")
    assert read.status_code == 200
    stored = {
        **sent,
        "identifier": identifier,
        "utcOffset": 0,
        "created_at": CREATED_AT,
        "srvModified": began,
        "srvCreated": began,
        "subject": TESTER,
    }
    assert read.json() == {"status": 200, "result": stored}
    assert mine.search() == [stored]

    updated = api.put(f"/{collection}/{identifier}", json={**sent, "value": 2})
    assert updated.status_code == 200
    assert updated.json() == {"status": 200, "lastModified": updated.json()["lastModified"]}
    assert updated.json()["lastModified"] > began

    patched = api.patch(f"/{collection}/{identifier}", json={"value": 3})
    assert (patched.status_code, patched.json()) == (200, {"status": 200})

    deleted = api.delete(f"/{collection}/{identifier}")
    assert (deleted.status_code, deleted.json()) == (200, {"status": 200})
    assert api.get(f"/{collection}/{identifier}").status_code == 410
    assert mine.search() == []

    history = api.get(f"/{collection}/history/{began}")
    assert history.status_code == 200
    [last] = [each for each in history.json()["result"] if each["identifier"] == identifier]
    assert last == {
        **stored,
        "value": 3,
        "isValid": False,
        "modifiedBy": TESTER,
        "srvModified": last["srvModified"],
    }
    newest = api.get("/lastModified").json()["result"]["collections"]
    assert newest[collection] >= last["srvModified"]

    removed = api.delete(f"/{collection}/{identifier}?permanent=true")
    assert (removed.status_code, removed.json()) == (200, {"status": 200})
    assert api.get(f"/{collection}/{identifier}").status_code == 404


def test_collections_do_not_share_documents(api: httpx.Client) -> None:
    here, there = Corner(api, "treatments"), Corner(api, "entries")
    identifier = here.add(identifier=here.name())
    assert api.get(there.url(identifier)).status_code == 404
    assert api.post(there.path, json=there.document(identifier=identifier)).status_code == 201
    assert api.delete(here.url(identifier)).status_code == 200
    assert api.get(there.url(identifier)).status_code == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize(
    "path",
    [
        "/notes",
        "/notes/one",
        "/Entries",
        "/entriesx",
        "/entries/one/two",
        "/entries/history/1/2",
        "/",
        "/users",
    ],
)
def test_a_path_that_is_not_there_is_told_before_any_check(server: LiveServer, method: str, path: str) -> None:
    answer = server.client().request(method, f"/api/v3{path}")
    assert answer.status_code == 404
    if method != "HEAD":
        assert answer.json() == {"status": 404, "message": "Bad operation or collection"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("PUT", "/entries"), ("PATCH", "/entries"), ("DELETE", "/entries")),
        *(("POST", "/entries/one"), ("POST", "/entries/history/1"), ("POST", "/entries.csv")),
        *(("PUT", "/entries/history"), ("PATCH", "/entries/history"), ("DELETE", "/entries/history")),
        *(("POST", "/status"), ("DELETE", "/version"), ("PUT", "/lastModified")),
    ],
)
def test_a_method_that_a_path_does_not_take(api: httpx.Client, method: str, path: str) -> None:
    answer = api.request(method, path)
    assert answer.status_code == 404
    assert answer.json() == {"status": 404, "message": "Bad operation or collection"}


def test_a_slash_at_the_end_changes_nothing(corner: Corner) -> None:
    identifier = corner.add()
    assert corner.api.get(f"{corner.path}/?device={corner.device}").json()["result"] == corner.search()
    assert corner.api.get(f"{corner.url(identifier)}/").json()["result"] == corner.read(identifier)
    assert corner.api.post(f"{corner.path}/", json=corner.document()).status_code == 201
    assert corner.api.delete(f"{corner.url(identifier)}/").status_code == 200


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/entries", {"GET", "HEAD", "POST", "OPTIONS"}),
        ("/entries.csv", {"GET", "HEAD", "OPTIONS"}),
        ("/entries/one", {"GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"}),
        ("/entries/history", {"GET", "HEAD", "OPTIONS"}),
        ("/entries/history/1600087000000", {"GET", "HEAD", "OPTIONS"}),
        ("/version", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_options_says_what_a_path_takes(server: LiveServer, path: str, methods: set[str]) -> None:
    answer = server.client().options(f"/api/v3{path}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert set(answer.headers["Allow"].split(", ")) == methods


@pytest.mark.parametrize(
    "path", ["/version", "/status", "/lastModified", "/treatments?limit=2", "/treatments/{}", "/treatments/history/{}"]
)
def test_head_is_get_without_the_body(corner: Corner, path: str) -> None:
    identifier = corner.add()
    path = path.format(corner.read(identifier)["srvModified"] - 1 if "history" in path else identifier)
    got, head = corner.api.get(path), corner.api.head(path)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("Content-Type", "Content-Length", "Last-Modified", "ETag", "Cache-Control"):
        assert head.headers.get(name) == got.headers.get(name)
    assert corner.api.head("/treatments/nobody").status_code == 404


@pytest.mark.parametrize(
    "path", ["/API/v3/entries", "/api/V3/entries", "/api/v3/Entries", "/api/v3/ENTRIES.csv", "/api/v3/STATUS"]
)
def test_paths_tell_upper_from_lower_case(server: LiveServer, path: str) -> None:
    answer = server.client(server.subject(unique("anybody"), "*")).get(path)
    assert (answer.status_code, answer.json()["message"]) == (404, "Bad operation or collection")
