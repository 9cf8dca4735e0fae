"""The interactive page on the wire: its files, their caching, its policy. tests/browser/ looks at it as people do."""

import gzip
import re

import httpx
import pytest

from tests.support.server import LiveServer
from tests.support.wire import ask, undated

PAGE = "/api3-docs"
FILES = {
    "explorer.css": "text/css; charset=utf-8",
    "explorer.js": "text/javascript; charset=utf-8",
    "favicon-32x32.png": "image/png",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
}


@pytest.fixture
def anyone(server: LiveServer) -> httpx.Client:
    """A caller without a token and without a time, though security is on."""
    return undated(server)


def test_the_page_is_public(anyone: httpx.Client) -> None:
    answer = anyone.get(PAGE)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert anyone.get("/api/v3/entries").status_code == 401


def test_the_page_needs_the_files_that_are_there(anyone: httpx.Client) -> None:
    needed = re.findall(rf'(?:href|src)="{PAGE}/([^"]+)"', anyone.get(PAGE).text)
    assert set(needed) == FILES.keys()


@pytest.mark.parametrize(("name", "media_type"), FILES.items())
def test_a_file(anyone: httpx.Client, name: str, media_type: str) -> None:
    answer = anyone.get(f"{PAGE}/{name}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.content


def test_a_page_runs_no_script_but_its_files(anyone: httpx.Client) -> None:
    answer = anyone.get(PAGE)
    policy = dict(each.strip().split(" ", 1) for each in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert not re.search(r"<script(?![^>]*\bsrc=)|\bstyle=|\bon\w+=|<style|://", answer.text)


def test_other_pages_keep_a_stricter_policy(anyone: httpx.Client) -> None:
    assert "script-src" not in anyone.get("/").headers["content-security-policy"]


def test_browsers_keep_files_and_ask_whether_they_are_good(anyone: httpx.Client) -> None:
    first = anyone.get(f"{PAGE}/swagger-ui.css")
    assert first.headers["cache-control"] == "no-cache"
    for known in (first.headers["etag"], f'"other", {first.headers["etag"]}', first.headers["etag"].removeprefix("W/"), "*"):
        again = anyone.get(f"{PAGE}/swagger-ui.css", headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert anyone.get(f"{PAGE}/swagger-ui.css", headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    ("accepted", "compressed"),
    [("gzip, deflate, br", True), ("br;q=1.0, GZIP;q=0.8", True), ("gzip;q=0", False), ("gzip; q=0.0", False), ("br", False)],
)
def test_files_are_compressed_for_those_who_take_it(server: LiveServer, accepted: str, compressed: bool) -> None:
    reply = ask(server, "GET", f"{PAGE}/swagger-ui.css", ("Accept-Encoding", accepted))
    plain = ask(server, "GET", f"{PAGE}/swagger-ui.css")
    assert (reply.headers.get("content-encoding") == "gzip") == compressed
    assert reply.headers["vary"] == "accept-encoding"
    assert (gzip.decompress(reply.body) if compressed else reply.body) == plain.body


@pytest.mark.parametrize(
    "name",
    [
        "nothing.js",
        "..%2Fpages.py",
        "../pages.py",
        "..",
        "%2e%2e",
        "%2Fetc%2Fpasswd",
        "explorer.js%00.css",
        "explorer%2Ejs",
        "EXPLORER.JS",
        "LICENSE",
    ],
)
def test_no_other_file_can_be_had(server: LiveServer, name: str) -> None:
    reply = ask(server, "GET", f"{PAGE}/{name}")
    assert (reply.status, reply.json) == (404, {"status": 404, "message": "Bad operation or collection"})


def test_head_is_answered(anyone: httpx.Client) -> None:
    answer = anyone.head(f"{PAGE}/explorer.js")
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) > 0


def test_the_first_page_leads_there(anyone: httpx.Client) -> None:
    assert f'href="{PAGE}"' in anyone.get("/").text
