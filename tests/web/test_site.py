"""What all pages have in common: their frame, their headers, and the files that they load."""

import gzip
import re

import httpx
import pytest

from apiv3.web.site.static import static
from tests.support.bystander import processor_time
from tests.support.server import LiveServer
from tests.support.wire import Line, ask, request, undated

PAGES = ["/", "/api3-docs", "/invitation/none"]
FILES = {
    "explorer.css": "text/css; charset=utf-8",
    "explorer.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml; charset=utf-8",
    "site.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
}
POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "connect-src": "'self'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
    "base-uri": "'none'",
}


@pytest.fixture
def anyone(server: LiveServer) -> httpx.Client:
    """A caller without a token and without a time, though security is on."""
    return undated(server)


@pytest.mark.parametrize(("path", "file"), [("/", "icon.svg"), ("/api3-docs", "swagger-ui.css")])
def test_the_page_for_strangers_costs_hardly_more_than_a_file(server: LiveServer, path: str, file: str) -> None:
    """It is rendered once, not for each of them: that would take several times as long as to send it.

    The system counts processor time in hundredths of a second, so many requests are compared.
    """

    def cost(target: str) -> float:
        with Line(server) as line:
            before = processor_time(server.pid)
            for _ in range(150):
                line.send(request("GET", target) * 10)
                assert {line.reply().status for _ in range(10)} == {200}
            return processor_time(server.pid) - before

    cost(path)
    pairs = [(cost(path), cost(static(file))) for _ in range(3)]
    assert min(page / other for page, other in pairs) < 1.6, pairs


@pytest.mark.parametrize("path", PAGES)
def test_a_page_protects_its_reader(anyone: httpx.Client, path: str) -> None:
    headers = anyone.get(path).headers
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert dict(each.strip().split(" ", 1) for each in headers["content-security-policy"].split(";")) == POLICY


@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_what_its_policy_allows(anyone: httpx.Client, path: str) -> None:
    """Neither styles nor scripts stand in it, and what it loads is a file of this server, under a name for good."""
    text = anyone.get(path).text
    assert not re.search(r"<script(?![^>]*\bsrc=)|\sstyle=|\son\w+=|<style|javascript:", text)
    needed = re.findall(r'<(?:link|script|img)[^>]*(?:href|src)="([^"]+)"', text)
    assert needed
    assert set(needed) <= set(map(static, FILES))


@pytest.mark.parametrize(("name", "media_type"), FILES.items())
def test_browsers_keep_a_file_for_good(anyone: httpx.Client, name: str, media_type: str) -> None:
    answer = anyone.get(static(name))
    assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.content


@pytest.mark.parametrize(
    ("accepted", "compressed"),
    [("gzip, deflate, br", True), ("br;q=1.0, GZIP;q=0.8", True), ("gzip;q=0", False), ("gzip; q=0.0", False), ("br", False)],
)
def test_files_are_compressed_for_those_who_take_it(server: LiveServer, accepted: str, compressed: bool) -> None:
    reply = ask(server, "GET", static("swagger-ui.css"), ("Accept-Encoding", accepted))
    plain = ask(server, "GET", static("swagger-ui.css"))
    assert (reply.headers.get("content-encoding") == "gzip") == compressed
    assert reply.headers["vary"] == "accept-encoding"
    assert (gzip.decompress(reply.body) if compressed else reply.body) == plain.body


@pytest.mark.parametrize(
    "name",
    [
        "site.css",
        "site.0123456789ab.css",
        "site..css",
        "nothing.0123456789ab.js",
        "..%2Fpages.py",
        "../pages.py",
        "..",
        "%2e%2e",
        "%2Fetc%2Fpasswd",
        static("site.css").rpartition("/")[2].upper(),
        static("site.css").rpartition("/")[2] + "%00",
        "%C3%A9",
        ".",
    ],
)
def test_no_other_file_can_be_had(server: LiveServer, name: str) -> None:
    reply = ask(server, "GET", f"/static/{name}")
    assert (reply.status, reply.headers["cache-control"]) == (404, "no-store")


def test_head_is_answered(anyone: httpx.Client) -> None:
    answer = anyone.head(static("explorer.js"))
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) > 0


def test_the_first_page_leads_to_the_api(anyone: httpx.Client) -> None:
    assert 'href="/api3-docs"' in anyone.get("/").text
