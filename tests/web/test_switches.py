"""What settings change about the collections, and which pages of other sites may call them."""

import httpx
import pytest

from tests.support.documents import CREATED_AT, DATE, Corner, NewApi
from tests.support.server import LiveServer


@pytest.fixture
def mine(sparse: LiveServer, new_api: NewApi) -> Corner:
    """Documents on a server without fallbacks."""
    return Corner(new_api(sparse, "api:*:*"))


# --- API3_CREATED_AT_FALLBACK_ENABLED=off (API3_DEDUP_FALLBACK_ENABLED: see test_duplicates.py)


def test_there_is_no_created_at(mine: Corner) -> None:
    identifier = mine.add(created_at=CREATED_AT)
    assert "created_at" not in mine.read(identifier)
    assert mine.api.patch(mine.url(identifier), json={"created_at": "yesterday"}).status_code == 200
    assert "created_at" not in mine.read(identifier)
    assert mine.api.put(mine.url(identifier), json=mine.read(identifier) | {"created_at": CREATED_AT}).status_code == 200
    assert "created_at" not in mine.read(identifier)


def test_created_at_does_not_stand_in_for_the_date(mine: Corner) -> None:
    answer = mine.api.post("/treatments", json={"app": "tests", "device": mine.device, "created_at": CREATED_AT})
    assert (answer.status_code, answer.json()["message"]) == (400, "Bad or missing date field")


def test_durations_begin_at_the_date(mine: Corner) -> None:
    identifier = mine.add(date=DATE)
    assert mine.api.patch(mine.url(identifier), json={"duration": 1}).status_code == 200
    assert mine.read(identifier)["endmills"] == DATE + 60_000


def test_last_modified_does_without_it(mine: Corner) -> None:
    modified = mine.read(mine.add(date=4_102_444_800_000))["srvModified"]
    assert mine.api.get("/lastModified").json()["result"]["collections"]["treatments"] == modified


# --- CORS_ORIGINS

PREFLIGHT = {
    "Access-Control-Request-Method": "PATCH",
    "Access-Control-Request-Headers": "authorization, content-type, if-unmodified-since",
}


def test_no_page_may_call_unless_it_is_named(server: LiveServer) -> None:
    answer = server.client().get("/api/v3/version", headers={"Origin": "https://app.example"})
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    preflight = server.client().options("/api/v3/entries", headers={"Origin": "https://app.example", **PREFLIGHT})
    assert not [name for name in preflight.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("origin", ["https://app.example", "http://localhost:3000"])
def test_pages_that_are_named_may_call(roomy: LiveServer, new_api: NewApi, origin: str) -> None:
    mine = Corner(new_api(roomy, "api:*:*"), "entries")
    answer = mine.api.get(mine.url(mine.add()), headers={"Origin": origin})
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == origin
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert "Origin" in answer.headers["Vary"]
    exposed = set(answer.headers["Access-Control-Expose-Headers"].split(", "))
    assert {"ETag", "Last-Modified", "Location"} <= exposed

    refused = mine.api.get("/entries?limit=0", headers={"Origin": origin})
    assert (refused.status_code, refused.headers["Access-Control-Allow-Origin"]) == (400, origin)


@pytest.mark.parametrize("path", ["/entries", "/entries/one", "/notes/history/5"])
def test_a_preflight_needs_no_token(roomy: LiveServer, path: str) -> None:
    origin = {"Origin": "https://app.example"}
    answer = httpx.options(f"{roomy.url}/api/v3{path}", headers=origin | PREFLIGHT, trust_env=False, verify=False)
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert answer.headers["Date"]
    allowed = set(answer.headers["Access-Control-Allow-Methods"].split(", "))
    assert allowed >= {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}
    headers = {name.strip().lower() for name in answer.headers["Access-Control-Allow-Headers"].split(",")}
    assert headers >= {"authorization", "content-type", "date", "if-modified-since", "if-unmodified-since", "last-modified"}


@pytest.mark.parametrize("origin", ["https://app.example.evil", "http://app.example", "https://app.example:444", "null"])
def test_other_pages_may_not(roomy: LiveServer, origin: str) -> None:
    answer = roomy.client().get("/api/v3/version", headers={"Origin": origin})
    assert "Access-Control-Allow-Origin" not in answer.headers
    preflight = roomy.client().options("/api/v3/entries", headers={"Origin": origin, **PREFLIGHT})
    assert "Access-Control-Allow-Origin" not in preflight.headers


def test_every_page_may_call_where_that_is_set(sparse: LiveServer) -> None:
    answer = sparse.client().get("/api/v3/version", headers={"Origin": "https://anything.example"})
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize("path", ["/", "/login", "/account", "/device", "/oauth/authorize", "/oauth/introspect"])
def test_pages_for_people_are_for_no_other_page_wherever_that_is_set(sparse: LiveServer, roomy: LiveServer, path: str) -> None:
    for server, origin in ((sparse, "https://anything.example"), (roomy, "https://app.example")):
        preflight = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        for answer in (
            server.client().get(path, headers={"Origin": origin}),
            server.client().options(path, headers=preflight),
        ):
            assert "Access-Control-Allow-Origin" not in answer.headers


def test_tokens_are_for_every_page_once_wherever_that_is_set(sparse: LiveServer, roomy: LiveServer) -> None:
    for server, origin in (
        (sparse, "https://anything.example"),
        (roomy, "https://app.example"),
        (roomy, "https://other.example"),
    ):
        preflight = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        for answer in (
            server.client().post("/oauth/token", data={"grant_type": "x"}, headers={"Origin": origin}),
            server.client().options("/oauth/token", headers=preflight),
        ):
            assert answer.headers.get_list("Access-Control-Allow-Origin") == ["*"]
