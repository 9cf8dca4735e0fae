"""VERSION, STATUS and LASTMODIFIED."""

import re
import time

import httpx
import pytest

from tests.support.documents import DATE, SIX, Corner, NewApi, import_documents
from tests.support.factories import FreshServer
from tests.support.server import LiveServer


def assert_is_now(ms: int) -> None:
    assert abs(ms - time.time_ns() // 1_000_000) < 60_000


def assert_describes(result: dict[str, object], database: str) -> None:
    """What VERSION and STATUS say alike."""
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", str(result["version"]))
    assert re.fullmatch(r"3\.\d+\.\d+\S*", str(result["apiVersion"]))
    assert isinstance(result["srvDate"], int)
    assert_is_now(result["srvDate"])
    storage = result["storage"]
    assert isinstance(storage, dict)
    assert storage.keys() == {"storage", "version"}
    assert storage["storage"] == {"sqlite": "sqlite", "postgres": "postgresql"}[database]
    assert re.match(r"\d+\.\d+", storage["version"])


def test_the_version_is_for_everybody(server: LiveServer, database: str) -> None:
    """No token, no timestamp."""
    answer = httpx.get(f"{server.url}/api/v3/version", trust_env=False, verify=False)
    assert answer.status_code == 200
    assert list(answer.json()) == ["status", "result"]
    assert answer.json()["result"].keys() == {"version", "apiVersion", "srvDate", "storage"}
    assert_describes(answer.json()["result"], database)
    assert answer.headers["Date"]


def test_the_status(api: httpx.Client, database: str) -> None:
    answer = api.get("/status")
    assert answer.status_code == 200
    result = answer.json()["result"]
    assert result.keys() == {"version", "apiVersion", "srvDate", "storage", "apiPermissions"}
    assert_describes(result, database)
    assert result["apiPermissions"] == dict.fromkeys(SIX, "crud")


def test_the_status_is_not_for_strangers(server: LiveServer) -> None:
    answer = server.client().get("/api/v3/status")
    assert (answer.status_code, answer.json()["message"]) == (401, "Missing or bad access token or JWT")


@pytest.mark.parametrize(
    ("permissions", "expected"),
    [
        ([], {}),
        (["*"], dict.fromkeys(SIX, "crud")),
        (["*:*:read"], dict.fromkeys(SIX, "r")),
        (["api:treatments:create"], {"treatments": "c"}),
        (["api:entries:delete,create", "api:food:update"], {"entries": "cd", "food": "u"}),
        (["api:settings:admin"], {}),
        (["api:entries"], {"entries": "crud"}),
    ],
)
def test_the_status_names_all_six_collections(
    server: LiveServer, new_api: NewApi, permissions: list[str], expected: dict[str, str]
) -> None:
    answer = new_api(server, *permissions).get("/status")
    assert answer.json()["result"]["apiPermissions"] == dict.fromkeys(SIX, "") | expected


def test_the_status_names_further_collections(roomy: LiveServer, new_api: NewApi) -> None:
    answer = new_api(roomy, "api:notes:read").get("/status")
    assert answer.json()["result"]["apiPermissions"] == dict.fromkeys((*SIX, "pump_log"), "") | {"notes": "r"}


@pytest.fixture
def empty(fresh_server: FreshServer, database: str) -> LiveServer:
    return fresh_server(database)


def test_last_modified(empty: LiveServer, new_api: NewApi) -> None:
    """From an empty server on, with documents of the past, of the future, and of readers with fewer rights."""
    api, reader = new_api(empty, "api:*:*"), new_api(empty, "api:entries,food:read")
    answer = api.get("/lastModified")
    assert answer.status_code == 200
    assert answer.json()["result"].keys() == {"srvDate", "collections"}
    assert_is_now(answer.json()["result"]["srvDate"])
    assert answer.json()["result"]["collections"] == {}

    future = 4_102_444_800_000  # 2100
    times = {}
    for collection in SIX:
        mine = Corner(api, collection)
        mine.add(date=DATE)
        times[collection] = mine.read(mine.add())["srvModified"]
    assert api.get("/lastModified").json()["result"]["collections"] == times
    assert reader.get("/lastModified").json()["result"]["collections"] == {name: times[name] for name in ("entries", "food")}

    # a date that lies ahead of srvModified counts; not so for settings
    for collection in SIX:
        Corner(api, collection).add(date=future, identifier="ahead")
    settings = api.get("/settings/ahead").json()["result"]["srvModified"]
    assert api.get("/lastModified").json()["result"]["collections"] == dict.fromkeys(SIX, future) | {"settings": settings}

    # a deletion is a change too
    for collection in SIX:
        api.delete(f"/{collection}/ahead?permanent=true")
        identifier = Corner(api, collection).add()
        api.delete(f"/{collection}/{identifier}")
        history = api.get(f"/{collection}/history/{times[collection]}").json()["result"]
        times[collection] = history[-1]["srvModified"]
    assert api.get("/lastModified").json()["result"]["collections"] == times

    # a document from elsewhere may have one of the two only: what counts is the date of entries, the created_at of others
    import_documents(empty, "entries", {"identifier": "0" * 24, "date": future})
    import_documents(empty, "food", {"identifier": "0" * 24, "created_at": "2100-01-01T00:00:00.000Z"})
    import_documents(empty, "treatments", {"identifier": "0" * 24, "date": future})
    newest = api.get("/lastModified").json()["result"]["collections"]
    assert (newest["entries"], newest["food"]) == (future, future)
    assert newest["treatments"] < future


def test_last_modified_is_not_for_strangers(server: LiveServer, new_api: NewApi) -> None:
    assert server.client().get("/api/v3/lastModified").status_code == 401
    answer = new_api(server).get("/lastModified")
    assert (answer.status_code, answer.json()["result"]["collections"]) == (200, {})
