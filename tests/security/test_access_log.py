"""The access log tells who did what, how it ended and how long it took; and never a secret, whatever a client sends."""

import io
import json
import re
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiv3.web.access_log import AccessLog
from apiv3.web.calls import Call
from tests.support.factories import FreshServer, NewDatabase
from tests.support.installation import Installation
from tests.support.server import LiveServer
from tests.support.waiting import wait_until
from tests.support.wire import Line, api_secret, ask, now_ms, request, undated, unique

V2 = "/api/v2/authorization"
ENTRIES = "/api/v3/entries"
FIELDS = {"time", "request", "address", "subject", "method", "path", "status", "ms"}


@pytest.fixture(scope="module")
def server(lasting_server: FreshServer) -> LiveServer:
    """A server whose secrets were minted at its first start."""
    server = lasting_server(env={"API_SECRET": None, "JWT_KEY": None})
    server.installation.secret = (server.installation.data / "api_secret").read_text().strip()
    return server


@pytest.fixture(scope="module")
def token(server: LiveServer) -> str:
    return server.subject("the reader", "api:entries:read,create")


def _lines(server: LiveServer) -> Iterator[dict[str, Any]]:
    for line in server.output.splitlines():
        if line.startswith('{"time":'):
            yield json.loads(line)


def _line(server: LiveServer, id: str) -> dict[str, Any]:
    """The one line about a request; those of good requests are gathered for a moment."""
    found = list[dict[str, Any]]()

    def is_there() -> bool:
        found[:] = [line for line in _lines(server) if line["request"] == id]
        return bool(found)

    wait_until(is_there, f"there is no line about the request {id}")
    [line] = found
    return line


def test_a_line_for_each_request(server: LiveServer, token: str) -> None:
    client, started = server.client(token), time.time()
    for method, path, status, subject in [
        ("GET", "/api/v3/version", 200, None),
        ("GET", f"{ENTRIES}?limit=3&sort$desc=date", 200, "the reader"),
        ("HEAD", ENTRIES, 200, "the reader"),
        ("POST", ENTRIES, 400, "the reader"),
        ("GET", f"{ENTRIES}/nothing%2Fat%20all", 404, "the reader"),
        ("GET", "/nonsense", 404, None),
        ("GET", "/", 200, None),
        ("OPTIONS", ENTRIES, 204, None),
    ]:
        answer = client.request(method, path)
        line = _line(server, answer.headers["x-request-id"])
        assert line.keys() == FIELDS
        assert (line["method"], line["path"], line["status"], line["subject"]) == (method, path, status, subject)
        assert (answer.status_code, line["address"]) == (status, "127.0.0.1")
        assert 0 <= line["ms"] < 60_000
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
        assert started - 60 < datetime.fromisoformat(line["time"]).timestamp() < time.time() + 60


def test_the_line_of_a_refusal(server: LiveServer, token: str) -> None:
    nobody, client = undated(server), server.client(token)
    for answer, status in [
        (nobody.get(ENTRIES), 401),
        (server.client().get(ENTRIES), 401),
        (server.client().get(ENTRIES, headers={"Authorization": "Bearer x"}), 401),
        (nobody.get(f"{V2}/subjects"), 401),
        (client.get("/api/v3/food"), 403),
    ]:
        assert answer.status_code == status
        assert _line(server, answer.headers["x-request-id"])["status"] == status


def test_the_line_of_a_refusal_says_who_lacked_the_permission(server: LiveServer, token: str) -> None:
    refused = server.client(token).get("/api/v3/food")
    assert _line(server, refused.headers["x-request-id"])["subject"] == "the reader"
    refused = undated(server).get(f"{V2}/subjects", params={"token": token})
    assert _line(server, refused.headers["x-request-id"])["subject"] == "the reader"


def test_the_holder_of_the_api_secret_has_a_name_too(server: LiveServer) -> None:
    answer = undated(server).get(f"{V2}/roles", headers={"api-secret": api_secret(server)})
    assert _line(server, answer.headers["x-request-id"])["subject"] == "api-secret"


def test_request_ids_are_unique_and_our_own(server: LiveServer) -> None:
    answers = [ask(server, "GET", "/", ("X-Request-Id", "theirs")) for _ in range(5)]
    ids = {answer.headers["x-request-id"] for answer in answers}
    assert len(ids) == 5
    assert "theirs" not in ids


@pytest.mark.parametrize(
    "path",
    [
        '/x"y',
        "/x\\y",
        "/x%0d%0ay",
        '/x%0a{"time":1,"request":"forged"}',
        '/x"},{"request":"forged"}',
        "/\x7f",
        "/?x=\\u000a",
        "/?x=%0a%0d%00",
        "/<script>",
        "/x?y=${jndi:x}",
    ],
)
def test_a_path_cannot_make_a_line_of_its_own(server: LiveServer, path: str) -> None:
    answer = ask(server, "GET", path)
    if answer.status == 400:  # no request at all
        return
    assert _line(server, answer.headers["x-request-id"])["path"] == path
    assert not any(each["request"] == "forged" for each in _lines(server))


def test_a_name_cannot_make_a_line_of_its_own(server: LiveServer) -> None:
    name = 'x","status":200,"y":"'
    answer = server.client(server.subject(name, "api:entries:read")).get(ENTRIES)
    assert _line(server, answer.headers["x-request-id"])["subject"] == name


def test_the_switch_that_the_setting_was(fresh_server: FreshServer) -> None:
    server = fresh_server(env={"ACCESS_LOG": "True"})
    assert _line(server, undated(server).get(ENTRIES).headers["x-request-id"])["status"] == 401


def test_the_log_can_be_switched_off(fresh_server: FreshServer) -> None:
    server = fresh_server(env={"ACCESS_LOG": "off"})
    assert undated(server).get(ENTRIES).status_code == 401
    server.stop()
    assert '"request":' not in server.output


class Mute(Installation):
    """One that cannot say anything: its standard error goes to a disk that is full."""

    def command(self, *arguments: str) -> list[str]:
        return ["/bin/sh", "-c", 'exec "$@" 2>/dev/full', "sh", *super().command(*arguments)]


def test_a_log_that_cannot_be_written_changes_no_answer(tmp_path: Path, new_database: NewDatabase, database: str) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with new_database(database) as url:
        server = LiveServer(Mute(tmp_path, url))
        server.start()
        nobody = undated(server)
        for path, status in [("/api/v3/version", 200), (ENTRIES, 401), ("/nonsense", 404), (f"{ENTRIES}/x?token=x", 401)]:
            assert nobody.get(path).status_code == status
        [admin] = server.admin("GET", "/subjects")
        assert undated(server).get(ENTRIES, params={"token": admin["accessToken"], "now": now_ms()}).status_code == 200
        server.stop()
        assert "Traceback" not in server.output


# --- for people -------------------------------------------------------------------------------------------------------

MOMENT = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
MS = r"[0-9.]+ ms\r?\n"


# Not `pty.spawn`: it gives the command a session of its own, where nobody finds it to end it. Only the hangup of the terminal
# would, which a run that was started with nohup ignores.
TERMINAL = """
import os, pty, signal, subprocess, sys
screen, terminal = pty.openpty()
command = subprocess.Popen(sys.argv[1:], stdin=terminal, stdout=terminal, stderr=terminal)
signal.signal(signal.SIGTERM, lambda *_: command.terminate())
os.close(terminal)
try:
    while shown := os.read(screen, 4096):
        os.write(1, shown)
except OSError:  # nobody has the terminal open any more
    pass
sys.exit(command.wait())
"""


class OnTerminal(Installation):
    """One whose commands run in a terminal; what that shows goes to their standard output."""

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-c", TERMINAL, *super().command(*arguments)]


def _screen(folder: Path, url: str, **settings: str) -> str:
    """What is shown on a terminal where a server starts and is asked for what is there, what is not, and what is odd."""
    server = LiveServer(OnTerminal(folder, url, {"TERM": "xterm", **settings}))
    server.start()
    try:
        for target in ("/api/v3/version?x=%1b[31m", "/nonsense?token=a-0123456789abcdef", ENTRIES, "/x?last"):
            ask(server, "GET", target)
        wait_until(lambda: "/x?last" in server.output, "the last request is not shown")
    finally:
        server.stop()
    return server.output


def test_on_a_terminal_a_line_is_for_people(tmp_path: Path, new_database: NewDatabase) -> None:
    with new_database("sqlite") as url:
        screen = _screen(tmp_path, url)
    for status, colour, path in [
        (200, 32, "/api/v3/version?x=%1b[31m"),
        (404, 33, "/nonsense?token=***"),
        (401, 33, ENTRIES),
    ]:
        line = rf"^{MOMENT} \x1b\[{colour}m{status}\x1b\[0m GET    {re.escape(path)} {MS}"
        assert len(re.findall(line, screen, re.MULTILINE)) == 1
    assert '{"time"' not in screen


@pytest.mark.parametrize("settings", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_who_wants_no_colours_gets_none(tmp_path: Path, new_database: NewDatabase, settings: dict[str, str]) -> None:
    with new_database("sqlite") as url:
        screen = _screen(tmp_path, url, **settings)
    assert re.search(rf"^{MOMENT} 401 GET    {ENTRIES} {MS}", screen, re.MULTILINE)
    assert "\x1b" not in screen


def test_a_terminal_may_have_json(tmp_path: Path, new_database: NewDatabase) -> None:
    with new_database("sqlite") as url:
        screen = _screen(tmp_path, url, ACCESS_LOG="json")
    [line] = [json.loads(line) for line in screen.splitlines() if line.startswith('{"time"') and ENTRIES in line]
    assert (line["path"], line["status"]) == (ENTRIES, 401)


def test_text_in_a_file_has_no_colours(fresh_server: FreshServer) -> None:
    server = fresh_server(env={"ACCESS_LOG": "text", "TERM": "xterm"})
    assert undated(server).get(ENTRIES, params={"token": "a-0123456789abcdef"}).status_code == 401
    assert re.search(rf"^{MOMENT} 401 GET    {ENTRIES}\?token=\*\*\* {MS}", server.output, re.MULTILINE)
    assert "\x1b" not in server.output
    assert '{"time"' not in server.output


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _written(stream: io.StringIO, path: bytes, query: bytes) -> str:
    """The line of a refused request, which is written at once."""
    client = {"client": ("127.0.0.1", 1), "method": "GET", "headers": []}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TERM", "xterm")
        patch.delenv("NO_COLOR", raising=False)
        log = AccessLog("text", stream)
    log.write(Call({**client, "raw_path": path, "query_string": query}, _nothing, "id"), 400, 0.001)
    return stream.getvalue()


async def _nothing() -> dict[str, Any]:
    return {}


@given(query=st.binary(max_size=40), colour=st.booleans())
def test_no_bytes_of_a_client_control_the_terminal(query: bytes, colour: bool) -> None:
    line = _written(Terminal() if colour else io.StringIO(), b"/", query).replace("\x1b[33m400\x1b[0m", "400")
    assert re.fullmatch(r"[ -~]+\n", line)


# --- secrets ----------------------------------------------------------------------------------------------------------

# Where a client may put a secret, rightly or by mistake: method, target. {} is the secret.
PLACES = [
    ("GET", "/api/v3/entries?token={}"),
    ("GET", "/api/v3/entries?now=1&token={}&limit=1"),
    ("GET", "/api/v3/entries?to%6Ben={}"),
    ("GET", "/api/v3/entries?%74%6f%6b%65%6e={}"),
    ("GET", "/api/v3/entries?TOKEN={}"),
    ("GET", "/api/v3/entries?token={}&token={}"),
    ("GET", "/api/v3/entries?token=%20{}"),
    ("GET", "/api/v3/entries?token={}%0a{}"),
    ("GET", "/api/v3/entries?x=%0d%0a&token={}"),
    ("GET", "/api/v3/entries?&&token={}"),
    ("GET", "/api/v3/entries?token=={}"),
    ("GET", "/api/v3/entries?access_token={}"),
    ("GET", "/api/v3/entries?secret={}"),
    ("GET", "/api/v3/entries?api-secret={}"),
    ("GET", "/api/v3/entries?api_secret={}&x=%zz"),
    ("GET", "/api/v3/entries?password={}"),
    ("GET", "/api/v3/entries/abc?token={}"),
    ("GET", "/nonsense?token={}"),
    ("POST", "/api/v3/entries?token={}"),
    ("GET", "/?token={}"),
    ("GET", "/api/v2/authorization/request/{}"),
    ("GET", "/api/v2/authorization/request/{}/"),
    ("GET", "/api/v2/authorization/request/{}?token={}"),
    ("GET", "/api/v2/authorization/request/x/{}"),
    ("GET", "/api/v2/authorization/%72equest/{}"),
    ("POST", "/api/v2/authorization/request/{}"),
    ("GET", "/api/v2/authorization/subjects?token={}"),
    ("DELETE", "/api/v2/authorization/subjects/x?secret={}"),
]
# The same, where only what a secret looks like can tell.
MISPLACED = [
    ("GET", "/api/v2/authorization/requests/{}"),
    ("GET", "/api/v2/Authorization/request/{}"),
    ("GET", "/api/v2/authorization//request/{}"),
    ("GET", "//api/v2/authorization/request/{}"),
    ("GET", "/api/v3/entries;token={}"),
    ("GET", "/api/v3/entries?limit=1;token={}"),
    ("GET", "/api/v3/entries?{}"),
    ("GET", "/api/v2/request/{}"),
    ("GET", "/api/v3/entries?unknown={}"),
    ("GET", "/api/v3/entries/{}"),
    ("GET", "/{}/x"),
]
HEADERS = [("Authorization", "Bearer {}"), ("Authorization", "{}"), ("api-secret", "{}"), ("Cookie", "x={}"), ("X-Y", "{}")]


@pytest.fixture(scope="module")
def known(server: LiveServer, token: str) -> dict[str, str]:
    """Everything that must not be read in the output, by what it is."""
    jwt = server.jwt(token)
    return {
        "an access token": token,
        "its digits": token[-16:],
        "a JWT": jwt,
        "the signature of a JWT": jwt.rpartition(".")[2],
        "API_SECRET": server.secret,
        "the digest of API_SECRET": api_secret(server),
        "the key of the JWTs": (server.installation.data / "jwt_key").read_text().strip(),
    }


def _check_that_nothing_was_told(server: LiveServer, known: dict[str, str]) -> None:
    last = unique("last")  # the lines of good requests are gathered for a moment
    assert ask(server, "GET", f"/api/v3/version?{last}").status == 200
    wait_until(lambda: last in server.output)
    assert {what for what, secret in known.items() if secret in server.output} == set()


@pytest.mark.parametrize(("method", "target"), PLACES)
def test_no_secret_in_a_url_is_logged(server: LiveServer, known: dict[str, str], method: str, target: str) -> None:
    for what in ("an access token", "a JWT", "API_SECRET", "the digest of API_SECRET"):
        with Line(server) as line:
            line.send(request(method, target.replace("{}", known[what]), ("Date", str(now_ms()))))
            assert line.reply(method).status < 500
    _check_that_nothing_was_told(server, known)


@pytest.mark.parametrize(("method", "target"), MISPLACED)
def test_no_misplaced_token_is_logged(server: LiveServer, method: str, target: str) -> None:
    other = server.subject(unique("clumsy"), "api:entries:read")  # one of its own, as the output is kept
    for secret in (other, server.jwt(other), other.replace("-", "%2D"), other.replace("-", "%252d")):
        assert ask(server, method, target.replace("{}", secret), ("Date", str(now_ms()))).status < 500
    _check_that_nothing_was_told(server, {"an access token": other[-16:], "a JWT": server.jwt(other).split(".")[1]})


@pytest.mark.parametrize(("method", "target"), MISPLACED)
def test_no_misplaced_digest_is_logged(server: LiveServer, method: str, target: str) -> None:
    digest = api_secret(server)
    for secret in (digest, digest.upper(), f"%{ord(digest[0]):x}{digest[1:]}"):
        assert ask(server, method, target.replace("{}", secret), ("Date", str(now_ms()))).status < 500
    _check_that_nothing_was_told(server, {"the digest": digest[1:], "in capitals": digest[1:].upper()})


@pytest.mark.parametrize(("name", "value"), HEADERS)
def test_no_secret_in_a_header_is_logged(server: LiveServer, known: dict[str, str], name: str, value: str) -> None:
    for secret in known.values():
        assert ask(server, "GET", ENTRIES, ("Date", str(now_ms())), (name, value.format(secret))).status < 500
        assert ask(server, "GET", f"{V2}/subjects", (name, value.format(secret))).status < 500
    _check_that_nothing_was_told(server, known)


def test_no_secret_in_a_body_or_in_what_is_no_request_is_logged(server: LiveServer, known: dict[str, str], token: str) -> None:
    client = server.client(token)
    for secret in known.values():
        assert client.post(ENTRIES, json={"token": secret}).status_code == 400
        assert client.post(ENTRIES, content=f'{{"{secret}'.encode()).status_code == 400
        with Line(server) as line:
            assert line.send(f"{secret}\r\n\r\n".encode()).reply().status == 400
        with Line(server) as line:
            assert line.send(f"GET /\xff?token={secret} HTTP/1.1\r\nHost: x\r\n\r\n".encode("latin-1")).reply().status == 400
    _check_that_nothing_was_told(server, known)


def test_what_administration_answers_is_not_logged(server: LiveServer) -> None:
    made = server.admin("POST", "/subjects", {"name": unique("new"), "roles": ["readable"]})
    rotated = server.admin("POST", f"/subjects/{made['_id']}/rotate")
    server.admin("GET", "/subjects")
    tokens = {"the first": made["accessToken"][-16:], "the second": rotated["accessToken"][-16:]}
    _check_that_nothing_was_told(server, tokens)


def test_the_first_start_shows_one_token_once(server: LiveServer) -> None:
    [admin] = [each for each in server.admin("GET", "/subjects") if each["name"] == "admin"]
    shown = [line for line in server.output.splitlines() if admin["accessToken"] in line]
    assert shown[0].strip() == admin["accessToken"]
    assert len(shown) == 3  # itself, and in the two commands that work when pasted
    assert len([line for line in shown if line.startswith("curl ")]) == 2
    assert re.search(r"shown only now", server.output)


SECRET = "correct horse/battery & staple"


@pytest.mark.parametrize("written", [quote(SECRET, safe=""), quote_plus(SECRET), quote(quote(SECRET, safe=""), safe="")])
def test_the_api_secret_is_masked_under_any_name(fresh_server: FreshServer, written: str) -> None:
    server = fresh_server(env={"API_SECRET": SECRET})
    for target in (f"/nothing?q={written}", f"/nothing/{written}", f"{ENTRIES}?sgv$gt=1&x={written}"):
        status = ask(server, "GET", target).status
        assert status >= 400  # and so its line is written at once
    wait_until(lambda: server.output.count('"status":4') == 3, "the lines are missing")
    assert not [word for word in ("battery", "staple", written) if word in server.output]
    assert server.output.count("***") == 3


def test_coloured_lines_mask_secrets_too() -> None:
    line = _written(Terminal(), b"/api/v3/entries", b"token=phone-0123456789abcdef&limit=3")
    assert "\x1b[33m400\x1b[0m" in line
    assert "/api/v3/entries?token=***&limit=3" in line
    assert "0123456789abcdef" not in line
