"""What the server remembers of good headers does not grow with what clients send."""

from unittest.mock import Mock

from apiv3.security.authenticator import LONGEST_REMEMBERED, MOST_REMEMBERED, Authenticator
from apiv3.security.credentials import Identity
from apiv3.security.throttle import Throttle
from tests.support.attacks import resident
from tests.support.factories import FreshServer
from tests.support.wire import Line, now_ms, request

FORMS, LENGTH = 1500, 15_000
CODINGS, LONGEST = 200, 200_000
MOST_KEPT = 8 * 1024 * 1024
"""Bytes: a third of what the headers have together."""


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
        before = resident(server.pid)
        for number in range(100, 100 + FORMS):
            send(line, number)
        assert resident(server.pid) - before < MOST_KEPT


def test_many_long_wishes_for_a_coding(fresh_server: FreshServer) -> None:
    """Where headers may be large."""
    server = fresh_server(env={"ACCESS_LOG": "off", "API3_MAX_HEADERS": "1048576"}, real=True)

    def send(line: Line, number: int) -> None:
        wish = ("Accept-Encoding", f"x-{number}, gzip, {'x' * LONGEST}")
        assert line.send(request("GET", "/api/v3/version", wish)).reply().status == 200

    with Line(server) as line:
        for number in range(20):
            send(line, number)
        before = resident(server.pid)
        for number in range(20, 20 + CODINGS):
            send(line, number)
        assert resident(server.pid) - before < MOST_KEPT


def test_the_latest_short_headers_are_remembered() -> None:
    authenticator, identity = Authenticator((), Throttle(0), Mock(on_change=[])), Mock(spec=Identity)
    first, last, long = b"Bearer first", b"Bearer last", b"x" * (LONGEST_REMEMBERED + 1)
    for header in (first, *(b"Bearer %d" % number for number in range(MOST_REMEMBERED - 1)), last, long):
        authenticator.remember(header, identity)
    assert [authenticator.recall(header) for header in (first, last, long)] == [None, identity, None]
