"""The head of a request: the header Host (RFC 9112, section 3.2), and its size."""

from collections.abc import Iterator

import pytest

from tests.support.factories import NewDatabase, running_server
from tests.support.server import LiveServer
from tests.support.wire import Line, request

BAD = ("", " ", "x y", "x/y", "user@x", "x, y", "x:port", "x:999999", "[::1", "x?", "<x>", "x\\y")


@pytest.fixture(scope="module")
def roomy(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with running_server(tmp_path_factory.mktemp, new_database, env={"API3_MAX_HEADERS": "1048576"}) as server:
        yield server


@pytest.mark.parametrize(
    ("version", "hosts", "status"),
    [
        ("1.1", ["x"], 200),
        ("1.1", ["example.org:8000"], 200),
        ("1.1", ["[::1]:8000"], 200),
        ("1.1", ["name_with_underscores"], 200),
        ("1.0", [], 200),
        ("1.0", ["x"], 200),
        ("1.1", [], 400),
        ("1.1", ["x", "x"], 400),
        ("1.1", ["x", "y"], 400),
        ("1.0", ["x", "y"], 400),
        *(("1.1", [bad], 400) for bad in BAD),
    ],
)
@pytest.mark.parametrize("path", ["/api/v3/version", "/", "/nonsense"])
def test_who_is_asked_is_said_once(server: LiveServer, version: str, hosts: list[str], status: int, path: str) -> None:
    lines = [f"GET {path} HTTP/{version}", *(f"Host: {host}" for host in hosts), "Connection: close", "", ""]
    with Line(server) as line:
        reply = line.send("\r\n".join(lines).encode()).reply()
    assert reply.status == (404 if status == 200 and path == "/nonsense" else status)


@pytest.mark.parametrize("pieces", [1, 100])
@pytest.mark.parametrize(("length", "status"), [(100_000, 200), (900_000, 200), (1_100_000, 431)])
def test_headers_as_large_as_the_setting_allows(roomy: LiveServer, length: int, status: int, pieces: int) -> None:
    data = request("GET", "/api/v3/version", ("X-Large", "x" * length))
    size = len(data) // pieces + 1
    with Line(roomy) as line:
        try:
            for start in range(0, len(data), size):
                line.send(data[start : start + size])
            assert line.reply().status == status
        except ConnectionError:  # the answer is lost when there is still much on its way
            assert status == 431
