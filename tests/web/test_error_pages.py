"""Who navigates with a browser gets a page in place of JSON, with the same status and a way on."""

import re
from typing import Any

import httpx
import pytest

from apiv3.model.errors import (
    ApiError,
    BadRequest,
    MissingPermission,
    MissingToken,
    RequestTimeout,
    StorageUnavailable,
    TooLarge,
    TooManyRequests,
)
from apiv3.web.calls import Call
from apiv3.web.site.errors import error_page
from tests.support.browsers import signed_in
from tests.support.factories import FreshServer
from tests.support.people import add_person
from tests.support.server import LiveServer
from tests.support.wire import ask, undated

CHROMIUM = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
FORWARDED = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "http"}


def ways(answer: httpx.Response) -> list[str]:
    """Where the buttons of a page lead."""
    return re.findall(r'<a class="button[^"]*" href="([^"]*)"', answer.text)


@pytest.mark.parametrize("accept", [CHROMIUM, "text/html", "application/json;q=0.5,text/html", "text/html;q=0.1"])
@pytest.mark.parametrize(("method", "path"), [("GET", "/nothing"), ("POST", "/"), ("GET", "/static/nothing.css")])
def test_a_browser_gets_a_page(server: LiveServer, accept: str, method: str, path: str) -> None:
    answer = undated(server).request(method, path, headers={"Accept": accept})
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    assert "<h1>There is no such page</h1>" in answer.text
    assert answer.headers["x-request-id"] in answer.text
    assert ways(answer) == ["/"]


@pytest.mark.parametrize(
    "accept", [None, "*/*", "application/json", "application/json,text/html;q=0.9", "text/html;q=0", "junk"]
)
def test_a_program_gets_json(server: LiveServer, accept: str | None) -> None:
    headers = [] if accept is None else [("Accept", accept)]
    reply = ask(server, "GET", "/nothing", *headers)
    assert (reply.status, reply.json) == (404, {"status": 404, "message": "Bad operation or collection"})


@pytest.mark.parametrize("path", ["/api/nothing", "/api/v3/entries", "/socket.io", "/api/v1/entries"])
def test_the_api_answers_as_ever(server: LiveServer, path: str) -> None:
    answer = undated(server).get(path, headers={"Accept": CHROMIUM})
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.status_code >= 400


def test_a_bad_request_is_told_about_and_escaped(server: LiveServer) -> None:
    reply = ask(server, "GET", "/<script>'\"&", ("Accept", CHROMIUM))
    assert reply.status in (400, 404)
    assert b"<script>" not in reply.body
    reply = ask(server, "GET", "/", ("Accept", CHROMIUM), ("Date", "x"), ("Date", "y"))
    assert (reply.status, b"Header date is repeated" in reply.body) == (400, True)
    assert reply.headers["content-type"].startswith("text/html")


def test_a_form_that_is_too_large(server: LiveServer) -> None:
    answer = undated(server).post("/invitation/x", content=b"x" * 100_000, headers={"Accept": CHROMIUM})
    assert answer.headers["content-type"].startswith("text/html")


@pytest.fixture(scope="module")
def proxied(lasting_server: FreshServer) -> LiveServer:
    """Behind a proxy that it trusts."""
    return lasting_server(env={"TRUSTED_PROXIES": "127.0.0.1", "API3_REQUIRE_HTTPS": "true"})


@pytest.mark.parametrize("path", ["/", "/api3-docs?x=%2F", "/invitation/a%2Fb", "/?next=//evil.example", "/nothing", "//evil"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_page_over_plain_http_leads_to_https(proxied: LiveServer, method: str, path: str) -> None:
    reply = ask(proxied, method, path, *FORWARDED.items(), ("Accept", CHROMIUM))
    assert (reply.status, reply.headers["location"]) == (308, f"https://127.0.0.1{path}")
    assert reply.headers["cache-control"] == "no-store"


def test_it_leads_to_the_port_of_https(proxied: LiveServer) -> None:
    answer = undated(proxied).get("/", headers={**FORWARDED, "Host": "data.example:8080"})
    assert answer.headers["location"] == "https://data.example/"


@pytest.mark.parametrize("path", ["/api/v3/version", "/api/v3/entries?token=x", "/socket.io/?EIO=4&transport=polling"])
def test_an_api_call_over_plain_http_is_refused(proxied: LiveServer, path: str) -> None:
    answer = undated(proxied).get(path, headers={**FORWARDED, "Accept": CHROMIUM})
    assert (answer.status_code, answer.json()) == (403, {"status": 403, "message": "Not using SSL/TLS"})


def test_it_leads_to_the_public_url(fresh_server: FreshServer) -> None:
    settings = {"TRUSTED_PROXIES": "127.0.0.1", "API3_REQUIRE_HTTPS": "true", "PUBLIC_URL": "https://data.example:8443"}
    server = fresh_server(env=settings)
    answer = undated(server).get("/?y=z", headers={**FORWARDED, "Host": "evil.example"})
    assert (answer.status_code, answer.headers["location"]) == (308, "https://data.example:8443/?y=z")
    secure = undated(server).get("/", headers={"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"})
    assert (secure.status_code, secure.headers["strict-transport-security"]) == (200, "max-age=31536000")


def test_who_is_signed_in_stays_so(fresh_server: FreshServer) -> None:
    server = fresh_server()
    add_person(server.installation, "anna@x.example", name="Anna")
    browser = signed_in(server, "anna@x.example")
    lost = browser.get("/nothing", headers={"Accept": CHROMIUM})
    assert (lost.status_code, '<a href="/account">Anna</a>' in lost.text) == (404, True)


async def _nothing() -> Any:
    raise AssertionError


WAYS = {
    BadRequest("Bad query parameters"): ["/"],
    MissingToken(): ["/login?next=/account%3Fx%3D%252F", "/"],
    MissingPermission("api:entries:read"): ["/"],
    RequestTimeout(): ["", "/"],
    TooLarge(): ["/"],
    TooManyRequests(retry_after=7): ["", "/"],
    ApiError("Internal error, request 1-a"): ["", "/"],
    StorageUnavailable(): ["", "/"],
}


@pytest.mark.parametrize("error", WAYS, ids=lambda error: str(error.status))
def test_each_error_has_words_of_its_own_and_a_way_on(error: ApiError) -> None:
    scope = {"method": "GET", "raw_path": b"/account", "query_string": b"x=%2F", "headers": []}
    answer = error_page(Call(scope, _nothing, "1-a"), error)
    text = answer.body.decode()
    assert answer.status == error.status
    assert "This does not work" not in text
    assert str(error.message) in text
    assert re.findall(r'<a class="button[^"]*" href="([^"]*)"', text) == WAYS[error]
    assert dict(answer.headers).get(b"retry-after") == {429: b"7", 503: b"5"}.get(error.status)
