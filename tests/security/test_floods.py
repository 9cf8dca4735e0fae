"""Whoever sends too much, too slowly or too often is refused, and the server answers the others."""

import json
import select
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from tests.support.factories import FreshServer
from tests.support.server import LiveServer
from tests.support.waiting import PATIENCE
from tests.support.wire import Line, ask, now_ms, request, undated, unique

MOST_BODY = 2048
MOST_HEADERS = 4096
MOST_IN_FLIGHT = 3
WAITING = 10 * MOST_IN_FLIGHT
TIMEOUT = 2.0
ENTRIES = "/api/v3/entries"
VERSION = "/api/v3/version"

Headers = tuple[tuple[str, str], ...]


@pytest.fixture(scope="module")
def small(lasting_server: FreshServer) -> LiveServer:
    """A server with little patience; it believes whom we say to speak for, and failures cost 3 s."""
    settings = {
        "API3_MAX_BODY": str(MOST_BODY),
        "API3_MAX_HEADERS": str(MOST_HEADERS),
        "API3_MAX_IN_FLIGHT": str(MOST_IN_FLIGHT),
        "API3_REQUEST_TIMEOUT": str(TIMEOUT),
        "AUTH_FAIL_DELAY": "3000",
        "TRUSTED_PROXIES": "127.0.0.1",
    }
    return lasting_server(env=settings)


@pytest.fixture(scope="module")
def writer(small: LiveServer) -> str:
    return small.jwt(small.subject(unique("writer"), "api:entries:create,read,update"))


@pytest.fixture(autouse=True)
def _still_there(small: LiveServer) -> Iterator[None]:
    """Whatever happened, the server goes on."""
    yield
    assert ask(small, "GET", VERSION).status == 200
    assert "Traceback" not in small.output


@pytest.fixture
def signed(writer: str) -> Headers:
    """What a good request carries."""
    return _signed(writer)


def _signed(jwt: str) -> Headers:
    return ("Date", str(now_ms())), ("Authorization", f"Bearer {jwt}")


def _entry(length: int) -> bytes:
    """An entry of so many bytes."""
    entry = {"identifier": unique("entry"), "app": "test", "date": now_ms(), "note": ""}
    entry["note"] = "x" * (length - len(json.dumps(entry)))
    return json.dumps(entry).encode()


def _check_that_it_ends_while_it_drips(line: Line) -> None:
    """A byte now and then does not move the bound on the whole."""
    started = time.monotonic()
    while time.monotonic() - started < 10 * TIMEOUT:
        try:
            line.send(b" ")
        except OSError:
            return
        time.sleep(0.1)
    raise AssertionError("the server waits for ever")


# --- bodies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("length", "status"), [(MOST_BODY - 1, 201), (MOST_BODY, 201), (MOST_BODY + 1, 413), (9_000_000, 413)])
def test_the_size_of_a_body(small: LiveServer, writer: str, length: int, status: int) -> None:
    answer = small.client().post(ENTRIES, content=_entry(length), headers={"Authorization": f"Bearer {writer}"})
    assert answer.status_code == status
    assert answer.json()["status"] == status


@pytest.mark.parametrize("length", [str(MOST_BODY + 1), str(2**31), str(2**63 - 1)])
def test_a_body_that_is_announced_as_too_large_is_not_waited_for(small: LiveServer, signed: Headers, length: str) -> None:
    with Line(small) as line:
        answer = line.send(request("POST", ENTRIES, *signed, ("Content-Length", length))).reply()
        assert (answer.status, answer.json) == (413, {"status": 413, "message": "Request body too large"})
        assert line.ends()


def test_a_body_without_a_length(small: LiveServer, signed: Headers) -> None:
    with Line(small) as line:
        line.send(request("POST", ENTRIES, *signed, ("Transfer-Encoding", "chunked")))
        for _ in range(MOST_BODY // 512):
            line.send(b"200\r\n" + b" " * 512 + b"\r\n")
        line.send(b"1\r\n \r\n")
        assert line.reply().status == 413
        assert line.ends()


def test_a_body_without_a_length_that_is_small_enough(small: LiveServer, signed: Headers) -> None:
    with Line(small) as line:
        line.send(request("POST", ENTRIES, *signed, ("Transfer-Encoding", "chunked")))
        body = _entry(300)
        line.send(b"64\r\n" + body[:100] + b"\r\nc8\r\n" + body[100:] + b"\r\n0\r\n\r\n")
        assert line.reply().status == 201


@pytest.mark.parametrize("length", ["-1", "+5", "0x10", "1e3", "5, 5", "9" * 30, " "])
def test_a_length_that_is_none(small: LiveServer, signed: Headers, length: str) -> None:
    with Line(small) as line:
        assert line.send(request("POST", ENTRIES, *signed, ("Content-Length", length))).reply().status in (400, 413)
        assert line.ends()


def test_a_length_beside_chunks(small: LiveServer, signed: Headers) -> None:
    """Request smuggling: no proxy and no server may disagree about where a request ends (RFC 9112, section 6.3)."""
    with Line(small) as line:
        framing = (("Content-Length", "6"), ("Transfer-Encoding", "chunked"))
        line.send(request("POST", ENTRIES, *signed, *framing) + b"0\r\n\r\nG")
        assert line.reply().status == 400
        assert line.ends()


def test_a_body_that_comes_too_slowly(small: LiveServer, signed: Headers) -> None:
    with Line(small) as line:
        started = time.monotonic()
        line.send(request("POST", ENTRIES, *signed, ("Content-Length", "1000")) + b'{"app":')
        answer = line.reply()
        assert (answer.status, answer.json["status"]) == (408, 408)
        assert time.monotonic() - started > TIMEOUT - 0.1
        assert line.ends()


def test_a_body_that_drips(small: LiveServer, signed: Headers) -> None:
    with Line(small) as line:
        line.send(request("POST", ENTRIES, *signed, ("Content-Length", "1000")))
        _check_that_it_ends_while_it_drips(line)


def test_who_is_refused_early_may_send_the_rest_and_go_on(small: LiveServer) -> None:
    """An app's first call carries no token; it replays the call on the same connection."""
    with Line(small) as line:
        rest = b" " * (5 * MOST_HEADERS)
        line.send(request("POST", ENTRIES, ("Date", str(now_ms())), ("Content-Length", str(len(rest)))))
        answer = line.reply()
        assert answer.status == 401
        try:
            line.send(rest).send(request("GET", VERSION))
            assert line.reply().status == 200
        except ConnectionError:  # it may close the connection too, if it says so
            assert answer.headers["connection"] == "close"


def test_who_is_refused_early_may_not_send_the_rest_for_ever(small: LiveServer) -> None:
    with Line(small) as line:
        line.send(request("POST", ENTRIES, ("Date", str(now_ms())), ("Content-Length", "1000000")))
        assert line.reply().status == 401
        _check_that_it_ends_while_it_drips(line)


# --- headers ----------------------------------------------------------------------------------------------------------


def test_headers_that_are_large_enough(small: LiveServer, signed: Headers) -> None:
    assert ask(small, "GET", ENTRIES, *signed, ("X-Large", "x" * (MOST_HEADERS // 2))).status == 200


@pytest.mark.parametrize("length", [MOST_HEADERS, 5 * MOST_HEADERS, 100 * MOST_HEADERS])
@pytest.mark.parametrize("path", [ENTRIES, "/nonsense", "/"])
def test_a_large_header_is_refused(small: LiveServer, signed: Headers, path: str, length: int) -> None:
    with Line(small) as line:
        try:
            answer = line.send(request("GET", path, *signed, ("X-Large", "x" * length))).reply()
        except ConnectionError:  # the answer is lost when so much is still on its way
            assert length > 64 * 1024
            return
        assert answer.status == 431
        assert "date" in answer.headers


def test_many_small_headers_are_refused(small: LiveServer, signed: Headers) -> None:
    many = [(f"X-{number}", "x" * 20) for number in range(MOST_HEADERS // 20)]
    assert ask(small, "GET", ENTRIES, *signed, *many).status == 431


def test_a_large_header_in_pieces_is_refused(small: LiveServer, signed: Headers) -> None:
    whole = request("GET", ENTRIES, *signed, ("X-Large", "x" * (2 * MOST_HEADERS)))
    with Line(small) as line:
        with suppress(ConnectionError):  # it may be refused before its last piece
            for start in range(0, len(whole), 1000):
                line.send(whole[start : start + 1000])
                time.sleep(0.01)
        with suppress(ConnectionError):
            assert line.reply().status == 431
        assert line.ends()


def test_a_large_url_is_refused(small: LiveServer, signed: Headers) -> None:
    assert ask(small, "GET", f"{ENTRIES}?x={'x' * MOST_HEADERS}", *signed).status in (414, 431)
    assert ask(small, "GET", "/" + "x" * MOST_HEADERS).status in (414, 431)


def test_large_headers_of_a_later_request_are_refused(small: LiveServer, signed: Headers) -> None:
    with Line(small) as line:
        for _ in range(3):
            assert line.send(request("GET", ENTRIES, *signed)).reply().status == 200
        assert line.send(request("GET", ENTRIES, *signed, ("X-Large", "x" * (2 * MOST_HEADERS)))).reply().status == 431
        assert line.ends()


def test_headers_that_come_too_slowly(small: LiveServer) -> None:
    with Line(small) as silent, Line(small) as started:
        started.send(b"GET / HTTP/1.1\r\nHost: x\r\n")
        assert silent.ends()
        assert started.ends()


def test_headers_that_drip(small: LiveServer) -> None:
    with Line(small) as line:
        line.send(b"GET / HTTP/1.1\r\nX-Slow: ")
        _check_that_it_ends_while_it_drips(line)


def test_a_connection_without_a_next_request_is_closed(small: LiveServer) -> None:
    with Line(small) as line:
        assert line.send(request("GET", VERSION)).reply().status == 200
        assert line.ends()


def test_headers_behind_a_request_that_takes_its_time_are_bounded(small: LiveServer) -> None:
    """While one request waits for its answer, the next one on the same connection is read already."""
    guess = (("Date", str(now_ms())), ("Authorization", f"Bearer {unique('guess')}"), ("X-Forwarded-For", "203.0.113.50"))
    assert ask(small, "GET", ENTRIES, *guess).status == 401
    piece = b"X-Large: " + b"x" * 60_000 + b"\r\n"
    with Line(small, patience=2) as line:
        line.send(request("GET", ENTRIES, *guess) + b"GET / HTTP/1.1\r\n")  # waits for 3 s
        for _ in range(1000):  # far more than what systems hold between two processes
            try:
                line.send(piece)
            except OSError:  # closed, or not read any more
                return
    raise AssertionError("the server has read 60 MB of headers")


@pytest.mark.parametrize(
    "nonsense",
    [
        b"nonsense\r\n\r\n",
        b"\r\n\r\n\r\n\x00",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET http:// HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET \xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: \x00\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_what_is_no_request_is_refused(small: LiveServer, nonsense: bytes) -> None:
    with Line(small) as line:
        answer = line.send(nonsense).reply()
        assert answer.status in (400, 404, 405, 505)


# --- requests under way -----------------------------------------------------------------------------------------------


def _hold(line: Line, jwt: str, *headers: tuple[str, str]) -> None:
    """A request that is under way: the server asks for its body, and gets none."""
    line.send(request("POST", ENTRIES, *_signed(jwt), ("Content-Length", "5"), ("Expect", "100-continue"), *headers))
    assert line.reply().status == 100


def test_a_burst_from_one_address_waits_its_turn(small: LiveServer, writer: str) -> None:
    """First come, first served; only what waits beyond measure is refused."""
    with ExitStack() as stack:
        held = [stack.enter_context(Line(small)) for _ in range(MOST_IN_FLIGHT)]
        for line in held:
            _hold(line, writer)
        waiting = [stack.enter_context(Line(small)) for _ in range(WAITING + 1)]
        for line in waiting:
            line.send(request("GET", VERSION))
        [too_many] = select.select(waiting, [], [], PATIENCE)[0]
        waiting.remove(too_many)
        refused = too_many.reply()
        assert (refused.status, refused.json["status"]) == (429, 429)
        assert int(refused.headers["retry-after"]) > 0
        # Others, elsewhere, are not concerned.
        assert ask(small, "GET", VERSION, ("X-Forwarded-For", "203.0.113.60")).status == 200
        assert held[0].send(b"[1,2]").reply().status == 400
        assert [line.reply().status for line in waiting] == [200] * WAITING


def test_a_burst_of_one_subject_waits_its_turn(small: LiveServer, writer: str) -> None:
    other = small.jwt(small.subject(unique("other"), "api:entries:read"))
    elsewhere = ("X-Forwarded-For", "203.0.113.79")
    with ExitStack() as stack:
        held = [stack.enter_context(Line(small)) for _ in range(MOST_IN_FLIGHT)]
        for number, line in enumerate(held):
            _hold(line, writer, ("X-Forwarded-For", f"203.0.113.{70 + number}"))
        waiting = stack.enter_context(Line(small))
        waiting.send(request("GET", ENTRIES, *_signed(writer), elsewhere))
        assert ask(small, "GET", ENTRIES, *_signed(other), elsewhere).status == 200
        assert held[0].send(b"[1,2]").reply().status == 400
        assert waiting.reply().status == 200


def test_who_goes_away_is_under_way_no_more(small: LiveServer, writer: str) -> None:
    for _ in range(MOST_IN_FLIGHT + 1):
        with Line(small) as line:
            _hold(line, writer)
    assert ask(small, "GET", ENTRIES, *_signed(writer)).status == 200
    assert undated(small).get(VERSION).status_code == 200


def test_a_place_is_given_back_however_a_request_ends(small: LiveServer, writer: str) -> None:
    for _ in range(MOST_IN_FLIGHT + 1):
        for target, status in ((f"{ENTRIES}/nothing", 404), (f"{ENTRIES}?limit=x", 400), ("/api/v3/food", 403)):
            assert ask(small, "GET", target, *_signed(writer)).status == status
        assert ask(small, "GET", ENTRIES, ("Date", str(now_ms()))).status == 401
    assert ask(small, "GET", ENTRIES, *_signed(writer)).status == 200
