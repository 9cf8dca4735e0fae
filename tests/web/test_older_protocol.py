"""Apps of the older protocol are told in one sentence that it is not spoken here."""

from collections.abc import Callable

import pytest

from tests.support.server import LiveServer
from tests.support.wire import ask

TOLD = {
    "status": 404,
    "message": "APIv1 is not spoken here, only APIv3; which apps work: docs/how-to/which-apps-work.md",
}


@pytest.mark.parametrize(
    "path",
    [
        *("/api/v1/entries", "/api/v1/entries.json?count=10", "/api/v1/entries/sgv.json", "/api/v1/status.json", "/api/v1/"),
        *("/api/v1", "/api/v1.json", "//api/v1/treatments", "/API/v1/profile", "/api/v1/entries?token=x&token=y"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS"])
def test_it_is_said_whoever_asks(sqlite_server: LiveServer, method: str, path: str) -> None:
    """Without any check: no time, no token, no look at the body."""
    reply = ask(sqlite_server, method, path, body=b"{" if method in ("POST", "PUT") else None)
    assert (reply.status, reply.json) == (404, TOLD)
    assert reply.headers["content-type"].startswith("application/json")


@pytest.mark.parametrize("path", ["/api/v10/entries", "/api/v1x", "/api", "/api/v2/entries", "/x/api/v1/entries", "/pebble"])
def test_other_paths_are_what_they_were(sqlite_server: LiveServer, path: str) -> None:
    assert ask(sqlite_server, "GET", path).json == {"status": 404, "message": "Bad operation or collection"}


@pytest.fixture
def sqlite_server(shared_servers: Callable[[str], LiveServer]) -> LiveServer:
    return shared_servers("sqlite")
