"""The Login channel over the wire: who may follow it, where it goes on, and when it ends, over two processes."""

from __future__ import annotations

import re
import socket
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from tests.logins.conftest import BUS
from tests.support.browsers import signed_in
from tests.support.commands import here
from tests.support.factories import FreshServer
from tests.support.live import Stream
from tests.support.logins import PATH, Channel, digest
from tests.support.oauth2 import browser_of, new_person, register, tokens, unique
from tests.support.people import PASSWORD, add_person, done, token, user
from tests.support.server import LiveServer
from tests.support.storage import execute
from tests.support.waiting import PATIENCE, wait_until

# --- who may follow


@pytest.mark.parametrize(("permissions", "status"), [((BUS,), 200), (("*",), 200), (("*:*:read",), 403), (("admin:api",), 403)])
def test_who_may_follow(pair: LiveServer, permissions: tuple[str, ...], status: int) -> None:
    with Stream(pair, pair.subject(unique("caller", pair), *permissions), path=PATH) as stream:
        assert stream.status == status
        if status == 403:
            assert stream.json()["message"] == f"Missing permission {BUS}"


def test_a_stranger_hears_nothing(pair: LiveServer) -> None:
    with Stream(pair, None, path=PATH) as stream:
        assert stream.status == 401


def test_it_is_a_stream_that_no_proxy_holds_back(pair: LiveServer, service: str) -> None:
    with Stream(pair, service, path=PATH, headers={"Accept-Encoding": "gzip, zstd"}) as stream:
        assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert (stream.headers["x-accel-buffering"], stream.headers["cache-control"]) == ("no", "no-store")
        assert "content-encoding" not in stream.headers


def test_the_right_lasts_as_long_as_the_permission(pair: LiveServer) -> None:
    name = unique("role", pair)
    role = pair.admin("POST", "/roles", {"name": name, "permissions": [BUS]})
    caller = pair.admin("POST", "/subjects", {"name": name, "roles": [name]})
    channels = [Channel(pair, caller["accessToken"]) for _ in range(4)]  # on either process
    for channel in channels:
        channel.next()
    pair.admin("PUT", "/roles", {"_id": role["_id"], "name": name, "permissions": ["api:food:read"]})
    for channel in channels:
        with channel, pytest.raises(EOFError):
            channel.login("what nobody has")


# --- where it goes on


def test_it_begins_with_all_that_are_open(pair: LiveServer, service: str) -> None:
    email = new_person(pair)
    browser, secret = browser_of(pair, email), token(pair, email)
    with Channel(pair, service) as channel:
        first = channel.next()
        assert first.kind == "snapshot"
        assert re.fullmatch(rf"[0-9a-f]{{16}}\.{first.data['sequence']}", first.id)
        held = [each for each in channel.sessions.values() if each["user"]["name"] == email]
        assert {each["digest"] for each in held} == {digest(secret), digest(str(browser.session))}


def test_it_resumes_without_loss(pair: LiveServer, service: str) -> None:
    with Channel(pair, service) as channel:
        channel.next()
        session = channel.login(token(pair, new_person(pair)))
        last = channel.stream.id
    email = new_person(pair)
    missed = [token(pair, email), str(browser_of(pair, email).session)]
    done(user(pair.installation, "disable", email, "--json"))
    with Channel(pair, service, last) as channel:
        while len(channel.heard) < 4:
            channel.next()
        mine = channel.heard
        assert "snapshot" not in [told.kind for told in mine]
        assert [told.data["digest"] for told in mine if told.kind == "login"][:2] == [digest(secret) for secret in missed]
        numbers = [int(told.id.partition(".")[2]) for told in mine]
        assert numbers == sorted(set(numbers))
        assert session["session"] not in channel.sessions


@pytest.mark.parametrize("change", ["epoch", "sequence", "text", "longer", "huge"])
def test_an_id_that_is_not_known_begins_anew(pair: LiveServer, service: str, change: str) -> None:
    with Channel(pair, service) as channel:
        epoch, _, sequence = channel.next().id.partition(".")
    unknown = {"epoch": f"0000.{sequence}", "sequence": f"{epoch}.{int(sequence) + 5}", "text": "ïd\u00b2".encode().hex() * 50}
    unknown |= {"longer": f"{epoch}.{sequence}x", "huge": f"{epoch}.{'9' * 30}"}
    with Channel(pair, service, unknown[change]) as channel:
        assert channel.next().kind == "snapshot"


def test_a_restored_backup_begins_anew(fresh_server: FreshServer) -> None:
    """Also for those who follow at that moment."""
    server = fresh_server(env={"API3_JWT_LIFETIME": "2"})
    service = server.subject("service", BUS)
    file = server.installation.environment()["DATABASE_URL"].removeprefix("sqlite:///")
    with Channel(server, service) as channel:
        epoch = channel.next().id.partition(".")[0]
        assert channel.reason(channel.login(server.jwt(service))) == "expired"  # the server has seen the numbers grow
        lost = channel.login(server.jwt(service))["session"]
        with sqlite3.connect(file) as database:  # as if the backup were from before the login
            database.execute("DELETE FROM login_events")
            database.execute("DELETE FROM logins WHERE id = ?", (lost,))
            database.execute("UPDATE clocks SET last = 5 WHERE name = '/logins'")
        database.close()
        while channel.next().id.startswith(epoch):
            pass
        assert channel.heard[-1].kind == "snapshot"
        assert lost not in channel.sessions


def test_what_a_restart_changes_is_told(fresh_server: FreshServer, database: str) -> None:
    """Here the roles that every subject has besides its own."""
    server = fresh_server(database)
    service = server.subject("service", BUS)
    with Channel(server, service) as channel:
        session = channel.login(server.jwt(service))
        last = channel.stream.id
    server.stop()
    server.installation.settings = {"AUTH_DEFAULT_ROLES": "careportal"}
    server.start()
    with Channel(server, service, last) as channel:
        assert channel.about(session, "change") == session | {"granted": [*session["granted"], "api:treatments:create"]}


def test_a_hundred_logins_during_a_subscription(pair: LiveServer, service: str) -> None:
    app = register(pair, "--scope", "read", "--grant", "client_credentials", redirect="")

    def log_in(_number: int) -> str:
        return str(tokens(app.token("client_credentials"))["access_token"])

    with ThreadPoolExecutor(8) as pool:
        issuing = [pool.submit(log_in, number) for number in range(100)]
        wait_until(lambda: sum(each.done() for each in issuing) > 20)
        with Channel(pair, service) as one, Channel(pair, service) as other:
            secrets = [each.result() for each in issuing]
            for channel in (one, other):
                assert {channel.login(secret)["user"]["_id"] for secret in secrets} == {app.id}
                numbers = [int(told.id.partition(".")[2]) for told in channel.heard]
                assert numbers == sorted(numbers)


def test_it_is_told_within_a_second(pair: LiveServer, channel: Channel) -> None:
    """By whichever process; the best of several, since the machine may be busy."""
    email, fastest = new_person(pair), PATIENCE
    for _ in range(6):
        secret, begun = token(pair, email), time.monotonic()
        channel.login(secret)
        fastest = min(fastest, time.monotonic() - begun)
    assert fastest < 1


def test_a_comment_comes_while_nothing_happens(fresh_server: FreshServer) -> None:
    """Every 15 seconds; after three of them that are missing, services refuse everybody."""
    server = fresh_server()
    with Channel(server, server.subject("service", BUS)) as channel:
        channel.next()
        begun = time.monotonic()
        assert channel.stream._block() == [":"]
        assert time.monotonic() - begun < 40


# --- what ends by time alone


def test_every_end_by_time_is_told_once(fresh_server: FreshServer, database: str) -> None:
    env = {
        "SESSION_IDLE_MINUTES": "0.03",
        "API3_JWT_LIFETIME": "3",
        "SECURITY_TOKEN_MAX_AGE": "3",
        "OAUTH_ACCESS_LIFETIME": "3",
    }
    server = fresh_server(database, workers=2, env=env)
    service = server.subject("service", BUS)
    add_person(server.installation, "anna@x.example", name="anna")
    app = register(server, "--scope", "read", "--grant", "client_credentials", redirect="")
    with Channel(server, service) as channel:
        secrets = [
            str(signed_in(server, "anna@x.example").session),
            token(server, "anna@x.example"),
            tokens(app.token("client_credentials"))["access_token"],
            server.jwt(service),
        ]
        sessions = [channel.login(secret)["session"] for secret in secrets]
        while set(sessions) & channel.sessions.keys():
            channel.next()
        channel.login(server.jwt(service))
        ends = [told.data for told in channel.heard if told.kind == "logout" and told.data["session"] in sessions]
        assert sorted(each["session"] for each in ends) == sorted(sessions)
        assert {each["reason"] for each in ends} == {"expired"}


def test_an_end_by_idleness_is_told_in_time(fresh_server: FreshServer, database: str) -> None:
    """A use is stored within a minute, and yet it is told at once that there was none."""
    server = fresh_server(database, workers=2, env={"SESSION_IDLE_MINUTES": "60"})
    add_person(server.installation, "anna@x.example", name="anna")
    with Channel(server, server.subject("service", BUS)) as channel:
        session = channel.login(str(signed_in(server, "anna@x.example").session))
        execute(server.installation.database_url, "UPDATE sessions SET seen = seen - 3600000")
        assert channel.reason(session) == "expired"


# --- the end of a stream


def test_the_end_of_the_server_ends_it(fresh_server: FreshServer) -> None:
    server = fresh_server(workers=2)
    service = server.subject("service", BUS)
    channels = [Channel(server, service) for _ in range(4)]
    for channel in channels:
        channel.next()
    server.stop()  # fails if it does not end
    for channel in channels:
        with channel:
            assert channel.stream.ends()


def test_who_does_not_read_is_cut_off(fresh_server: FreshServer) -> None:
    server = fresh_server(env={"API3_REQUEST_TIMEOUT": "1"})
    with _lazy(server, _crowded(server)) as lazy:
        wait_until(lambda: not _is_connected(server.port, lazy.getsockname()[1]), "the server waits for ever")


def test_who_loses_the_right_in_the_middle_gets_no_more(fresh_server: FreshServer) -> None:
    """The snapshot was read in whole, and is sent in pieces."""
    server = fresh_server()
    service = _crowded(server)
    with Channel(server, service) as other, _lazy(server, service) as lazy:
        other.next()
        [subject] = [each for each in server.admin("GET", "/subjects") if each["name"] == "service"]
        server.admin("DELETE", f"/subjects/{subject['_id']}")
        assert other.stream.ends()  # so the server knows
        rest = bytearray()
        while piece := lazy.recv(1 << 20):
            rest += piece
    assert b"]}\n\n" not in rest
    assert len(rest) < 50 * 180_000


def _crowded(server: LiveServer) -> str:
    """Make the snapshot larger than all buffers in between: 50 sessions of 180 kB. The access token of a service."""
    texts = [f"api:entries:read:{number:0900d}" for number in range(200)]
    server.admin("POST", "/roles", {"name": "large", "permissions": texts})
    add_person(server.installation, "anna@x.example", PASSWORD, "large", name="anna")
    for _ in range(50):
        token(server, "anna@x.example")
    return server.subject("service", BUS)


@contextmanager
def _lazy(server: LiveServer, service: str) -> Iterator[socket.socket]:
    """A follower that reads no more than the first line."""
    with socket.socket() as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.settimeout(PATIENCE)
        lazy.connect(("127.0.0.1", server.port))
        lazy.sendall(f"GET {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {service}\r\n\r\n".encode())
        assert lazy.recv(12) == b"HTTP/1.1 200"
        yield lazy


def _is_connected(server: int, client: int) -> bool:
    """Whether the server's end of a connection is open."""
    with open("/proc/net/tcp") as file:
        rows = [line.split() for line in file.readlines()[1:]]
    return any(row[1].endswith(f":{server:04X}") and row[2].endswith(f":{client:04X}") and row[3] == "01" for row in rows)


def test_a_large_session_never_fails_a_sign_in(pair: LiveServer, channel: Channel) -> None:
    """A notification of PostgreSQL holds 8,000 bytes."""
    name = unique("large", pair)
    texts = [f"api:entries:read:{number:0200d}" for number in range(100)]
    pair.admin("POST", "/roles", {"name": name, "permissions": texts})
    browser = browser_of(pair, new_person(pair, name))
    assert channel.login(str(browser.session))["granted"] == texts


# --- groups and organisational units


def test_groups_by_the_command_line_and_the_api(pair: LiveServer) -> None:
    name = unique("meter", pair)
    added = here(
        pair.installation, "subject", "add", name, "--role", "readable", "--group", "a b", "--group", "c", "--ou", "x", "--json"
    )
    made = done(added)
    assert (made["groups"], made["ous"]) == (["a b", "c"], ["x"])
    changed = done(here(pair.installation, "subject", "change", name, "--group", "", "--json"))
    assert (changed["groups"], changed["ous"]) == ([], ["x"])
    sent = {"_id": made["_id"], "name": name, "groups": ["d"]}
    answer = pair.admin("PUT", "/subjects", sent)
    assert (answer["groups"], answer["ous"]) == (["d"], ["x"])
    email = f"{unique('anna', pair)}@x.example"
    person = pair.admin("POST", "/users", {"email": email, "roles": ["readable"], "ous": ["ward 7"]})
    assert (person["groups"], person["ous"]) == ([], ["ward 7"])
    person = pair.admin("PUT", "/users", {"_id": person["_id"], "groups": ["nurses"]})
    assert (person["groups"], person["ous"]) == (["nurses"], ["ward 7"])


BAD: list[object] = [
    ["x"] * 2,
    [""],
    [" x"],
    ["x" * 101],
    ["a\nb"],
    [str(number) for number in range(51)],
    "a, b",
    [1],
    {"a": 1},
]


@pytest.mark.parametrize("groups", BAD)
@pytest.mark.parametrize("field", ["groups", "ous"])
def test_bad_groups_are_refused(pair: LiveServer, groups: object, field: str) -> None:
    headers = {"Authorization": f"Bearer {_administrator(pair)}"}
    body = {"name": unique("bad", pair), "roles": ["readable"], field: groups}
    answer = httpx.post(f"{pair.url}/api/v2/authorization/subjects", json=body, headers=headers, trust_env=False)
    assert (answer.status_code, answer.json()["message"].startswith(f"Bad {field}: ")) == (400, True)


_administrators: dict[str, str] = {}


def _administrator(server: LiveServer) -> str:
    if server.url not in _administrators:
        _administrators[server.url] = server.subject(unique("boss", server), "*")
    return _administrators[server.url]


def test_groups_on_the_admin_pages(pair: LiveServer) -> None:
    boss = browser_of(pair, new_person(pair, "admin"))
    page, name = "/admin/subjects/add", unique("meter", pair)
    fields = boss.form(page, page) | {"name": name, "roles": "readable", "groups": "a b\r\n\r\n c ", "ous": "x", "notes": ""}
    place = boss.post(page, fields | {"timestamp": "required"}).headers["location"].partition("?")[0]
    assert "\na b\nc</textarea>" in boss.get(place).text
    email = f"{unique('anna', pair)}@x.example"
    page = "/admin/users/add"
    given = {"email": email, "name": email, "roles": "readable", "groups": "nurses", "ous": ""}
    assert boss.post(page, boss.form(page, page) | given).status_code == 200
    shown = done(user(pair.installation, "show", email, "--json"))
    assert (shown["groups"], shown["ous"]) == (["nurses"], [])
    place = f"/admin/users/{shown['_id']}"
    change = boss.form(place, f"{place}/change") | {"groups": "nurses\ntutors", "ous": "ward 7"}
    assert boss.post(f"{place}/change", change).status_code == 303
    shown = done(user(pair.installation, "show", email, "--json"))
    assert (shown["groups"], shown["ous"]) == (["nurses", "tutors"], ["ward 7"])
