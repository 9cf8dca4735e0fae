"""What the server remembers of good headers does not grow with what clients send."""

from pathlib import Path

from tests.support.factories import FreshServer
from tests.support.wire import Line, now_ms, request

FORMS, LENGTH = 1500, 15_000
MOST_KEPT = 8 * 1024 * 1024
"""Bytes: a third of what the headers have together."""


def _resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def test_many_long_forms_of_one_good_header(fresh_server: FreshServer) -> None:
    """Of an access token only the last 16 characters count, so whoever has one has any number of it."""
    server = fresh_server(env={"ACCESS_LOG": "off"}, real=True)
    token = server.subject("reader", "api:entries:read")

    def send(line: Line, number: int) -> None:
        header = f"Bearer {number:0{LENGTH}}{token}"
        reply = line.send(request("GET", "/api/v3/entries?limit=1", ("Date", str(now_ms())), ("Authorization", header))).reply()
        assert reply.status == 200

    with Line(server) as line:
        for number in range(100):
            send(line, number)
        before = _resident(server.pid)
        for number in range(100, 100 + FORMS):
            send(line, number)
        assert _resident(server.pid) - before < MOST_KEPT
