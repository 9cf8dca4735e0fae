"""Another service knows who is signed in, says so itself, and lets nobody in when it cannot know."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiv3.client import sessions as module
from apiv3.client.asgi import SESSION, Receive, Scope, Send, SessionMiddleware
from apiv3.client.errors import NoAddress, Silent
from apiv3.client.sessions import Session, SessionList
from apiv3.security.permissions import Demand, Permission, PermissionSet
from apiv3.security.principal import Principal
from tests.support.channel import ALIVE, Channel, channel, told
from tests.support.processes import clean_environment, free_port
from tests.support.waiting import PATIENCE, until

ANNA, BERT = "a" * 43, "b" * 43
PROGRAM = Path(__file__).parents[2] / "docs/how-to/second_service.py"
TOKEN = "reader-0123456789abcdef"


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reconnect soon."""
    monkeypatch.setattr(module, "SHORTEST_PAUSE", 0.01)
    monkeypatch.setattr(module, "LONGEST_PAUSE", 0.05)


def found(sessions: SessionList, secret: str) -> Session | None:
    with suppress(Silent):
        return sessions.find(secret)
    return None


def is_silent(sessions: SessionList) -> bool:
    try:
        sessions.find(ANNA)
    except Silent:
        return True
    return False


async def begin(server: Channel, sessions: SessionList, *open: dict[str, Any]) -> None:
    """Let the list have its first snapshot."""
    await until(lambda: server.asked)
    server.snapshot(*open)
    await until(lambda: not is_silent(sessions))


def beaten(server: Channel, sessions: SessionList) -> Session | None:
    """Whether a heartbeat has brought the session back."""
    server.write(ALIVE)
    return found(sessions, ANNA)


# --- what the channel tells


async def test_who_signs_in_is_found_and_who_signs_out_is_not() -> None:
    async with channel() as server, SessionList(server.url, TOKEN) as sessions:
        await begin(server, sessions, told(ANNA, "one", "api:*:read"))
        anna = sessions.find(ANNA)
        assert anna is not None
        assert (anna.name, anna.user, anna.groups, anna.via) == ("Anna", "u1", ("family",), "password")
        assert sessions.find(BERT) is None
        server.say("login", told(BERT, "two"))
        await until(lambda: sessions.find(BERT))
        server.say("logout", {"session": "one", "reason": "signed out"})
        await until(lambda: sessions.find(ANNA) is None)
        assert sessions.find(BERT) is not None
        assert not sessions.is_authorised(anna, "api:entries:read")


async def test_rights_that_change_hold_at_once_for_a_session_that_was_found_before() -> None:
    async with channel() as server, SessionList(server.url, TOKEN) as sessions:
        await begin(server, sessions, told(ANNA, "one", "api:*:read"))
        anna = sessions.find(ANNA)
        assert anna is not None
        assert sessions.is_authorised(anna, "api:entries:read")
        server.say("change", told(ANNA, "one", "api:food:read"))
        await until(lambda: not sessions.is_authorised(anna, "api:entries:read"))
        assert sessions.is_authorised(anna, "api:food:read")


async def test_a_session_is_over_when_it_expires_even_if_nobody_says_so() -> None:
    async with channel() as server, SessionList(server.url, TOKEN) as sessions:
        soon = time.time_ns() // 1_000_000 + 300
        await begin(server, sessions, told(ANNA, "one", "*", expires=soon), told(BERT, "two", "*", expires=soon + 10**6))
        anna = sessions._by_id["one"]
        await until(lambda: sessions.find(ANNA) is None)
        assert time.time_ns() // 1_000_000 >= soon
        assert not sessions.is_authorised(anna, "api:entries:read")
        assert sessions.find(BERT)


async def test_the_list_goes_on_after_the_last_event_and_a_snapshot_replaces_it() -> None:
    async with channel() as server, SessionList(server.url, TOKEN) as sessions:
        await begin(server, sessions, told(ANNA))
        server.say("login", told(BERT, "two"))
        await until(lambda: sessions.find(BERT))
        server.cut()
        await until(lambda: len(server.asked) == 2)
        assert server.asked == [None, "e.2"]
        assert sessions.find(ANNA), "a short break locks nobody out"
        server.snapshot(told(BERT, "two"))
        await until(lambda: sessions.find(ANNA) is None)
        assert sessions.find(BERT)


# --- when nothing is told


async def test_nobody_is_let_in_after_too_long_a_silence_and_everybody_again_after_it() -> None:
    async with channel() as server, SessionList(server.url, TOKEN, limit=0.3) as sessions:
        await begin(server, sessions, told(ANNA, "one", "*"))
        anna, since = sessions._by_id["one"], time.monotonic()
        server.status = 503
        server.cut()
        await until(lambda: is_silent(sessions))
        assert time.monotonic() - since >= 0.3 - 0.1
        with pytest.raises(Silent, match="nothing was heard of it for"):
            sessions.is_authorised(anna, "api:entries:read")
        server.status = 200
        await until(lambda: beaten(server, sessions))


async def test_heartbeats_alone_keep_the_list_good() -> None:
    async with channel() as server, SessionList(server.url, TOKEN, limit=0.5) as sessions:
        await begin(server, sessions, told(ANNA))
        until_then = time.monotonic() + 1.5

        def beat() -> bool:
            server.write(ALIVE)
            assert sessions.find(ANNA)
            return time.monotonic() > until_then

        await until(beat)
        assert server.asked == [None]


async def test_the_greeting_of_a_server_is_no_news() -> None:
    """What was missed comes after it: somebody may have signed out."""
    async with channel() as server, SessionList(server.url, TOKEN, limit=0.3) as sessions:
        await begin(server, sessions, told(ANNA))
        await until(lambda: is_silent(sessions))
        before = len(server.asked)
        await until(lambda: len(server.asked) > before + 1)
        assert is_silent(sessions)

        def goodbye() -> bool:
            server.say("logout", {"session": "one", "reason": "ended"})
            return not is_silent(sessions)

        await until(goodbye)
        assert found(sessions, ANNA) is None


async def test_a_list_that_was_never_told_anything_refuses() -> None:
    async with channel() as server:
        server.status = 403
        async with SessionList(server.url, TOKEN) as sessions:
            await until(lambda: len(server.asked) > 1)
            with pytest.raises(Silent, match="The server answers 403: no") as raised:
                sessions.find(ANNA)
            assert TOKEN not in str(raised.value)


async def test_a_list_whose_token_is_refused_lets_nobody_in_from_then_on() -> None:
    async with channel() as server, SessionList(server.url, TOKEN) as sessions:
        await begin(server, sessions, told(ANNA))
        server.status = 401
        server.cut()
        await until(lambda: is_silent(sessions))
        server.status = 200
        await until(lambda: beaten(server, sessions))


MALFORMED = {
    "no JSON": ("login", "{"),
    "no object": ("login", "[]"),
    "a text": ("login", '"x"'),
    "null": ("snapshot", "null"),
    "no sessions": ("snapshot", "{}"),
    "a number of sessions": ("snapshot", '{"sessions": 7}'),
    "no user": ("login", json.dumps({**told(ANNA), "user": None})),
    "granted is a number": ("change", json.dumps({**told(ANNA), "granted": 7})),
    "granted holds a number": ("change", json.dumps({**told(ANNA), "granted": [7]})),
    "ceilings are numbers": ("change", json.dumps({**told(ANNA), "ceilings": [7]})),
    "expires is a text": ("change", json.dumps({**told(ANNA), "expires": "soon"})),
    "logout of nobody": ("logout", "{}"),
    "deep": ("login", "[" * 100_000),
}


@pytest.mark.parametrize(("kind", "data"), MALFORMED.values(), ids=list(MALFORMED))
async def test_an_event_that_cannot_be_read_is_followed_by_a_snapshot(kind: str, data: str) -> None:
    async with channel() as server, SessionList(server.url, TOKEN) as sessions:
        await begin(server, sessions, told(ANNA))
        server.say(kind, data)
        await until(lambda: len(server.asked) == 2)
        assert server.asked == [None, None]
        assert is_silent(sessions)
        server.snapshot(told(BERT, "two"))
        await until(lambda: found(sessions, BERT))


async def test_attempts_become_rarer_until_the_server_says_something() -> None:
    async with channel() as server, SessionList(server.url, TOKEN) as sessions:
        server.status = 503
        await until(lambda: sessions._pause == module.LONGEST_PAUSE)
        server.status = 200
        await until(lambda: server.asked)

        def is_heard() -> bool:
            server.snapshot()
            return not is_silent(sessions)

        await until(is_heard)
        assert sessions._pause == module.SHORTEST_PAUSE


def test_a_heartbeat_before_the_first_snapshot_says_nothing_of_anybody() -> None:
    sessions = SessionList("http://127.0.0.1:1", TOKEN)
    sessions._note()
    assert is_silent(sessions)


async def test_a_session_with_another_secret_is_found_by_that_one_alone() -> None:
    async with channel() as server, SessionList(server.url, TOKEN) as sessions:
        await begin(server, sessions, told(ANNA, "one"))
        server.say("change", told(BERT, "one"))
        await until(lambda: sessions.find(BERT))
        assert sessions.find(ANNA) is None


async def test_of_two_sessions_with_one_secret_the_one_that_is_left_is_found() -> None:
    async with channel() as server, SessionList(server.url, TOKEN) as sessions:
        await begin(server, sessions, told(ANNA, "one"))
        server.say("login", told(ANNA, "two"))
        server.say("logout", {"session": "one", "reason": "ended"})
        server.say("login", told(BERT, "three"))
        await until(lambda: sessions.find(BERT))
        found_now = sessions.find(ANNA)
        assert found_now is not None
        assert found_now.id == "two"


async def test_another_program_at_the_address_is_no_server() -> None:
    async with channel() as server:
        server.kind = "text/html"
        async with SessionList(server.url, TOKEN) as sessions:
            await until(lambda: len(server.asked) > 1)
            with pytest.raises(Silent, match="but not as this server does"):
                sessions.find(ANNA)


def test_an_address_with_a_token_in_it_is_an_error_at_once() -> None:
    with pytest.raises(NoAddress):
        SessionList(f"http://127.0.0.1:1/?token={TOKEN}", "")


async def test_the_program_of_the_documentation_lets_in_who_is_signed_in() -> None:
    """As a process of its own, against a server that has nothing but the channel."""
    port = free_port()
    async with channel() as server, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        own = {"APIV3_URL": server.url, "APIV3_TOKEN": TOKEN, "PORT": str(port), "LIMIT": "3"}
        program = await asyncio.create_subprocess_exec(sys.executable, PROGRAM, env=clean_environment() | own)

        async def status() -> int:
            with suppress(httpx.TransportError):
                return (await client.get("/", headers={"Authorization": f"Bearer {ANNA}"})).status_code
            return 0

        async def becomes(wanted: int) -> None:
            deadline = time.monotonic() + PATIENCE
            while (got := await status()) != wanted:
                assert time.monotonic() < deadline, got
                await asyncio.sleep(0.05)
                server.write(ALIVE)

        try:
            await until(lambda: server.asked)
            server.snapshot()
            await becomes(401)
            server.say("login", told(ANNA, "one", "api:food:read"))
            await becomes(403)
            server.say("change", told(ANNA, "one", "api:*:read"))
            await becomes(200)
            server.say("logout", {"session": "one", "reason": "signed out"})
            await becomes(401)
            server.say("login", told(ANNA, "two", "*"))
            await becomes(200)
            server.status = 503
            server.cut()
            await becomes(503)
            server.status = 200
            await becomes(200)
        finally:
            program.terminate()
            await program.wait()


# --- rights

WORDS = st.sampled_from(["api", "admin", "entries", "food", "read", "update", "*", "api,admin", "entries,food", "Read"])
TEXTS = st.lists(WORDS, min_size=1, max_size=4).map(":".join)
SETS = st.lists(TEXTS, max_size=3)
ASKED = st.lists(st.sampled_from(["api", "admin", "entries", "food", "read", "update"]), min_size=3, max_size=4)


def listed(*sessions: dict[str, Any]) -> SessionList:
    """A list with these sessions, which follows nothing."""
    made = SessionList("http://127.0.0.1:1", TOKEN)
    made._take("snapshot", json.dumps({"sessions": sessions}))
    made._after = "e.1"
    made._note()
    return made


@given(SETS, st.lists(SETS, max_size=2), ASKED)
def test_the_list_decides_as_the_server_does(granted: list[str], ceilings: list[list[str]], asked: list[str]) -> None:
    def compiled(texts: list[str]) -> PermissionSet:
        return PermissionSet(map(Permission.parse, texts))

    principal = Principal("anna", compiled(granted), ceilings=tuple(map(compiled, ceilings)))
    demand = Demand(tuple(asked[:3]), *asked[3:])
    sessions = listed(told(ANNA, "one", *granted, ceilings=ceilings))
    anna = sessions.find(ANNA)
    assert anna is not None
    assert sessions.is_authorised(anna, ":".join(asked)) == principal.allows(demand)


@pytest.mark.parametrize(
    ("granted", "asked", "may"),
    [
        ("*", "api:entries:read", True),
        ("*:*:read", "api:entries:read", True),
        ("*:*:read", "admin:bus:logins:read", False),
        ("admin:bus:logins:read", "admin:bus:logins:read", True),
        ("api:entries:read:Ab", "api:entries:read:Ab", True),
        ("api:entries:read:Ab", "api:entries:read:ab", False),
        ("api:entries:read:a", "api:entries:read:a:b", False),
        ("api:entries", "API:Entries:READ", True),
        ("api:entries:read", "api:entries,food:read", False),
        ("api:entries:read", "api:*:read", False),
        ("api:entries:read", "", False),
        ("", "api:entries:read", False),
        (",", "api:entries:read", False),
    ],
)
def test_permissions_as_the_documentation_has_them(granted: str, asked: str, may: bool) -> None:
    sessions = listed(told(ANNA, "one", granted))
    anna = sessions.find(ANNA)
    assert anna is not None
    assert sessions.is_authorised(anna, asked) is may


def test_a_decision_takes_microseconds_among_many_sessions() -> None:
    granted = ("api:*:read", "api:food:*")
    sessions = listed(*(told(f"{each:043}", f"s{each}", *granted, ceilings=[["*"]]) for each in range(10_000)))
    began = time.perf_counter()
    for number in range(1000):
        one = sessions.find(f"{number:043}")
        assert one is not None
        assert sessions.is_authorised(one, "api:entries:read")
    assert (time.perf_counter() - began) / 1000 < 0.001


# --- the middleware


async def _application(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope[SESSION].name.encode()})


async def answer(sessions: SessionList, *headers: tuple[str, str], permission: str = "") -> httpx.Response:
    app = SessionMiddleware(_application, sessions, permission)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://second.example") as client:
        return await client.get("/", headers=list(headers))


def _presented() -> Iterator[tuple[list[tuple[str, str]], int]]:
    bearer, cookie = ("Authorization", f"Bearer {ANNA}"), ("Cookie", f"session={ANNA}")
    yield [bearer], 200
    yield [("Authorization", f"bearer   {ANNA}")], 200
    yield [cookie], 200
    yield [("Cookie", f"theme=dark; __Host-session={ANNA}; a=b")], 200
    yield [("Cookie", f"__Host-session={ANNA}; session={BERT}")], 200
    yield [("Cookie", f"session={ANNA}; session={BERT}")], 401
    yield [("Cookie", f"session={ANNA}; session={ANNA}")], 401
    yield [("Cookie", f"xsession={ANNA}")], 401
    yield [("Cookie", f"session={ANNA}x")], 401
    yield [("Cookie", "session=")], 401
    yield [bearer, bearer], 401
    yield [bearer, ("Authorization", "Basic eA==")], 401
    yield [("Authorization", f"Basic {ANNA}"), cookie], 401
    yield [("Authorization", f"Bearer {BERT}"), cookie], 401
    yield [("Authorization", "Bearer ")], 401
    yield [("Authorization", "Bearer " + "x" * 10_000)], 401
    yield [("Authorization", f"Bearer {ANNA} {ANNA}")], 401
    yield [("X-Token", ANNA)], 401
    yield [], 401


@pytest.mark.parametrize(("headers", "status"), list(_presented()))
async def test_what_a_request_presents(headers: list[tuple[str, str]], status: int) -> None:
    told_back = await answer(listed(told(ANNA, "one", "*")), *headers)
    assert told_back.status_code == status
    if status == 401:
        assert told_back.json()["reason"] == "unauthorized"
        assert told_back.headers["www-authenticate"] == "Bearer"
    else:
        assert told_back.text == "Anna"


async def test_what_a_request_lacks_is_said() -> None:
    sessions, bearer = listed(told(ANNA, "one", "api:food:read")), ("Authorization", f"Bearer {ANNA}")
    assert (await answer(sessions, bearer, permission="api:food:read")).status_code == 200
    refused = await answer(sessions, bearer, permission="api:entries:read")
    assert (refused.status_code, refused.json()) == (
        403,
        {"status": 403, "reason": "forbidden", "message": "Missing permission api:entries:read"},
    )
    sessions._heard = time.monotonic() - module.LIMIT - 1
    silent = await answer(sessions, bearer)
    assert (silent.status_code, silent.json()["reason"]) == (503, "silent")
    assert "nothing was heard of it for 46 seconds" in silent.json()["message"]
    assert silent.headers["retry-after"] == "5"
    assert {each.headers["cache-control"] for each in (refused, silent)} == {"no-store"}


async def test_a_websocket_is_closed_before_it_is_open() -> None:
    done: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        done.append({"type": "websocket.connect"})
        return done[-1]

    async def send(message: Any) -> None:
        done.append(message)

    app = SessionMiddleware(_application, listed(told(ANNA)))
    await app({"type": "websocket", "headers": []}, receive, send)
    refused = {"type": "websocket.close", "code": 1008, "reason": "unauthorized"}
    assert done == [{"type": "websocket.connect"}, refused]  # in the order that ASGI demands
