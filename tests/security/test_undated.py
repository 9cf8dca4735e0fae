"""Calls without the client's time: a subject may be excused from it; nobody else can tell a good token from a bad one.

And a token that another process made a moment ago is good here at once.
"""

import time
from collections.abc import Callable

import httpx
import pytest

from apiv3.security.tokens import Tokens
from tests.support.factories import FreshServer
from tests.support.live import Stream
from tests.support.server import LiveServer
from tests.support.wire import Line, Reply, ask, now_ms, request, undated, unique

ENTRIES = "/api/v3/entries"
V2 = "/api/v2/authorization"
NO_DATE = (401, "Missing Date header")
Send = Callable[..., httpx.Response]


def _made(server: LiveServer, timestamp: str = "optional", **fields: object) -> dict[str, str]:
    made: dict[str, str] = server.admin(
        "POST", "/subjects", {"name": unique("app"), "roles": ["readable"], "timestamp": timestamp, **fields}
    )
    return made


def _told(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json().get("message")


@pytest.fixture(scope="module")
def sqlite_server(shared_servers: Callable[[str], LiveServer]) -> LiveServer:
    return shared_servers("sqlite")


@pytest.fixture(params=["query", "access token", "jwt"])
def send(request: pytest.FixtureRequest, server: LiveServer) -> Send:
    """Sends a call with a token, in each way there is, and nothing of its own accord."""
    caller = undated(server)

    def call(token: str, path: str = ENTRIES, **headers: str) -> httpx.Response:
        if request.param == "query":
            return caller.get(path, params={"token": token}, headers=headers)
        secret = server.jwt(token) if request.param == "jwt" else token
        return caller.get(path, headers={"Authorization": f"Bearer {secret}", **headers})

    return call


def test_who_is_excused_needs_no_time(server: LiveServer, send: Send) -> None:
    excused, other = (_made(server, rule)["accessToken"] for rule in ("optional", "required"))
    for path in (ENTRIES, "/api/v3/status", "/api/v3/lastModified", f"{ENTRIES}/history/1565041446908"):
        assert send(excused, path).status_code == 200
        assert _told(send(other, path)) == NO_DATE
        assert send(other, path, Date=str(now_ms())).status_code == 200
        assert _told(send(other, path)) == NO_DATE  # and a remembered header is none the better
        assert send(excused, path).status_code == 200


def test_a_time_that_is_there_is_checked(server: LiveServer, send: Send) -> None:
    """So a call that was recorded with its time cannot be sent again, even with a token that needs none."""
    excused = _made(server)["accessToken"]
    assert send(excused, Date=str(now_ms())).status_code == 200
    assert _told(send(excused, Date=str(now_ms() - 3_600_000))) == (401, "Date header out of tolerance")
    assert _told(send(excused, Date="nonsense")) == (401, "Bad Date header")
    assert send(excused).status_code == 200


def test_one_subject_is_excused_for_as_long_as_it_is(server: LiveServer, send: Send) -> None:
    made = _made(server)
    token = made["accessToken"]
    assert send(token).status_code == 200
    server.admin("PUT", "/subjects", {**made, "timestamp": "required"})
    assert _told(send(token)) == NO_DATE
    server.admin("PUT", "/subjects", {**made, "timestamp": "optional"})
    assert send(token).status_code == 200
    server.admin("PUT", "/subjects", {**made, "roles": ["denied"]})
    assert _told(send(token)) == (403, "Missing permission api:entries:read")
    server.admin("DELETE", f"/subjects/{made['_id']}")
    assert _told(undated(server).get(ENTRIES, params={"token": token})) == NO_DATE


def test_writes_need_no_time_either(server: LiveServer) -> None:
    token = _made(server, roles=["admin"])["accessToken"]
    entry = {"identifier": unique("entry"), "app": "tests", "date": now_ms()}
    assert undated(server).post(ENTRIES, params={"token": token}, json=entry).status_code == 201


def test_an_expired_jwt_of_who_is_excused(sqlite_server: LiveServer) -> None:
    """The app has to hear that it is the JWT, since a time would not help it."""
    key = (sqlite_server.installation.data / "jwt_key").read_text().strip()
    told = []
    for rule in ("optional", "required"):
        expired, _ = Tokens(key, 3600).sign(_made(sqlite_server, rule)["accessToken"], int(time.time()) - 7200)
        told.append(_told(undated(sqlite_server).get(ENTRIES, headers={"Authorization": f"Bearer {expired}"})))
    assert told == [(401, "Bad access token or JWT"), NO_DATE]


def test_event_streams_ask_nobody_for_the_time(sqlite_server: LiveServer) -> None:
    for rule in ("required", "optional"):
        with Stream(sqlite_server, _made(sqlite_server, rule)["accessToken"]) as stream:
            assert stream.status == 200


# --- a stranger learns nothing ----------------------------------------------------------------------------------------


def _without_what_varies(reply: Reply) -> tuple[int, list[tuple[str, str]], bytes]:
    """An answer byte by byte, but for its time and its number."""
    headers = [(name, value) for name, value in reply.headers.items() if name.lower() not in ("date", "x-request-id")]
    return reply.status, headers, reply.body


def test_good_and_bad_tokens_are_refused_alike(sqlite_server: LiveServer) -> None:
    good = _made(sqlite_server, "required")["accessToken"]
    excused = _made(sqlite_server)["accessToken"]
    jwt = sqlite_server.jwt(good)
    forged, _ = Tokens("x" * 43, 3600).sign(good, int(time.time()))
    remembered = sqlite_server.client(good)
    assert remembered.get(ENTRIES).status_code == 200
    bad = f"{good[:-16]}0123456789abcdef"
    calls = [
        ask(sqlite_server, "GET", ENTRIES),
        *(ask(sqlite_server, "GET", f"{ENTRIES}?token={token}") for token in (good, bad, "x", jwt, forged, "a.b.c")),
        *(ask(sqlite_server, "GET", ENTRIES, ("Authorization", f"Bearer {token}")) for token in (good, bad, "", jwt, forged)),
        ask(sqlite_server, "GET", ENTRIES, ("Authorization", remembered.headers["Authorization"])),
        ask(sqlite_server, "GET", f"{ENTRIES}?token={good}&token={good}"),
        ask(sqlite_server, "GET", f"{ENTRIES}?token={excused}", ("Authorization", f"Bearer {excused}")),
    ]
    answers = [_without_what_varies(reply) for reply in calls]
    assert answers[0][0] == 401
    assert b"Missing Date header" in answers[0][2]
    assert answers == answers[:1] * len(answers)
    assert remembered.get(ENTRIES).status_code == 200


@pytest.fixture(scope="module")
def slow(lasting_server: FreshServer) -> LiveServer:
    """A server on which each failure costs the next one 0.3 s; it believes whom we say to speak for."""
    return lasting_server(env={"AUTH_FAIL_DELAY": "300", "TRUSTED_PROXIES": "127.0.0.1"})


def _took(server: LiveServer, address: str, token: str) -> float:
    started = time.monotonic()
    answer = undated(server).get(ENTRIES, headers={"X-Forwarded-For": address, "Authorization": f"Bearer {token}"})
    assert _told(answer) == NO_DATE
    return time.monotonic() - started


def test_good_and_bad_tokens_are_slowed_down_alike(slow: LiveServer) -> None:
    """Or a guess without a time would be free, and would tell by its speed whether it is right."""
    good = [slow.jwt(_made(slow, "required")["accessToken"]), _made(slow, "required")["accessToken"]]
    for number, token in enumerate((*good, f"nobody-{'0' * 16}", "a.b.c")):
        address = f"203.0.113.{number}"
        _took(slow, address, token)
        assert _took(slow, address, token) >= 0.29
        assert _took(slow, address, token) >= 0.59
        assert _took(slow, f"198.51.100.{number}", token) >= 0.89  # the token counts, wherever it comes from


def test_who_is_excused_does_not_wait_for_who_is_not(slow: LiveServer) -> None:
    excused, address = _made(slow)["accessToken"], "203.0.113.77"
    for _ in range(3):
        _took(slow, address, unique("guess"))
    with Line(slow) as line:
        headers = (("X-Forwarded-For", address), ("Authorization", f"Bearer {unique('guess')}"))
        line.send(request("GET", ENTRIES, *headers))
        started = time.monotonic()
        answer = undated(slow).get(ENTRIES, params={"token": excused}, headers={"X-Forwarded-For": address})
        assert answer.status_code == 200
        assert line.reply().status == 401
        assert time.monotonic() - started > 0.8


def test_who_runs_the_server_is_told_once(sqlite_server: LiveServer) -> None:
    made = _made(sqlite_server, "required")
    for _ in range(3):
        ask(sqlite_server, "GET", f"{ENTRIES}?token={made['accessToken']}")
    assert sqlite_server.output.count(f"the calls of the subject {made['name']!r} carry no time") == 1
    assert made["accessToken"] not in sqlite_server.output


# --- several processes ------------------------------------------------------------------------------------------------


@pytest.fixture
def crowd(database: str, fresh_server: FreshServer) -> LiveServer:
    return fresh_server(database, workers=2)


def test_a_new_token_is_good_at_once_in_every_process(crowd: LiveServer) -> None:
    """Whoever makes a subject may use its token in the next request, whichever process that comes to."""
    for _ in range(15):
        made = _made(crowd)
        statuses = [ask(crowd, "GET", f"{V2}/request/{made['accessToken']}").status for _ in range(2)]
        statuses += [ask(crowd, "GET", f"{ENTRIES}?token={made['accessToken']}").status]
        rotated = crowd.admin("POST", f"/subjects/{made['_id']}/rotate")["accessToken"]
        statuses += [ask(crowd, "GET", f"{ENTRIES}?token={rotated}").status for _ in range(2)]
        assert statuses == [200] * 5


def test_who_is_excused_here_is_excused_at_once_in_every_process(crowd: LiveServer) -> None:
    made = _made(crowd, "required")

    def statuses() -> set[int]:
        return {ask(crowd, "GET", f"{ENTRIES}?token={made['accessToken']}").status for _ in range(6)}

    assert statuses() == {401}
    for _ in range(3):
        crowd.admin("PUT", "/subjects", {**made, "timestamp": "optional"})
        assert statuses() == {200}
        crowd.admin("PUT", "/subjects", {**made, "timestamp": "required"})
        crowd.wait_everywhere(lambda: statuses() == {401})  # what is taken away is gone soon
