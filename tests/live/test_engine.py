"""Connections at /socket.io: how they are opened, kept and closed, and what is refused."""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.support.engineio import PATH, Poller, beside, socket
from tests.support.factories import FreshServer, NewDatabase, running_server
from tests.support.server import LiveServer
from tests.support.waiting import PATIENCE, wait_until
from tests.support.wire import Line, Reply, ask, request

UPGRADE = (("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"))
KEY = ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")


def _opening(server: LiveServer, *headers: tuple[str, str], target: str = f"{PATH}?EIO=4&transport=websocket") -> Reply:
    return ask(server, "GET", target, *UPGRADE, KEY, *headers)


@pytest.mark.parametrize("version", [3, 4])
def test_a_session_is_opened_by_polling(live: LiveServer, version: int) -> None:
    poller = Poller(live, version)
    assert poller.greeting == {
        "sid": poller.sid,
        "upgrades": ["websocket"],
        "pingInterval": 25_000,
        "pingTimeout": 20_000,
        "maxPayload": 65_536,
    }
    assert len(poller.sid) >= 30


@pytest.mark.parametrize("version", [3, 4])
def test_a_session_is_opened_by_a_websocket(live: LiveServer, version: int) -> None:
    with socket(live, version) as client:
        assert client.greeting["upgrades"] == []


def test_the_url_may_end_with_a_slash_or_not(live: LiveServer) -> None:
    for path in ("/socket.io", "/socket.io/"):
        answer = ask(live, "GET", f"{path}?EIO=4&transport=polling")
        assert answer.status == 200
        assert answer.body.startswith(b"0{")


def test_answers_are_kept_from_caches_and_sniffers(live: LiveServer) -> None:
    headers = ask(live, "GET", f"{PATH}?EIO=4&transport=polling").headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-type"] == "text/plain; charset=UTF-8"


def test_version_3_is_in_the_default_namespace_at_once(live: LiveServer) -> None:
    assert Poller(live, 3).receive() == "40"
    with socket(live, 3) as client:
        client.send("40/alarm,")
        assert client.receive() == "40/alarm,"
        client.send("40/nowhere?a=b,")
        assert client.receive() == '44/nowhere,"Invalid namespace"'


def test_version_4_enters_each_namespace(live: LiveServer) -> None:
    with socket(live) as client:
        client.send("40")
        assert json.loads(client.expect("40")) == {"sid": client.greeting["sid"]}
        client.send("40/alarm,")
        client.expect('40/alarm,{"sid":')
        client.send("40/nowhere,")
        assert json.loads(client.expect("44/nowhere,")) == {"message": "Invalid namespace"}


def test_a_client_leaves_a_namespace(live: LiveServer, reader: str) -> None:
    with socket(live) as client:
        assert client.subscribe(reader, "/alarm")["success"]
        client.send("41/alarm,").send('42/alarm,7["subscribe",{}]')  # the second goes nowhere
        assert client.enter("/alarm").emit("/alarm", "sing") == {"success": False, "message": "Unknown event"}


@pytest.mark.parametrize("version", [3, 4])
def test_a_polling_client_goes_on_over_a_websocket(live: LiveServer, version: int) -> None:
    poller = Poller(live, version)
    with beside(live, poller) as trial:
        trial.send("2probe")
        assert trial.recv(timeout=PATIENCE) == "3probe"
        poller.post("40/alarm,")
        trial.send("5")
        assert str(trial.recv(timeout=PATIENCE)).startswith("40/alarm,")
        assert poller.poll().status == 400


def test_a_poll_that_waits_ends_when_the_client_probes(live: LiveServer) -> None:
    poller = Poller(live)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(poller.poll)
        with beside(live, poller) as trial:
            trial.send("2probe")
            assert waiting.result().body == b"6"
            assert poller.poll().body == b"6"
    assert poller.post("40/alarm,").status == 200  # the websocket came to nothing, the session goes on
    assert poller.receive().startswith("40/alarm,")


# --- what is refused

REFUSED: Mapping[str, tuple[str, str, int, str]] = {
    "no transport": ("GET", "EIO=4", 0, "Transport unknown"),
    "another transport": ("GET", "EIO=4&transport=flash", 0, "Transport unknown"),
    "a websocket that is none": ("GET", "EIO=4&transport=websocket", 0, "Transport unknown"),
    "no version": ("GET", "transport=polling", 5, "Unsupported protocol version"),
    "another version": ("GET", "EIO=2&transport=polling", 5, "Unsupported protocol version"),
    "unknown session": ("GET", "EIO=4&transport=polling&sid=nobody", 1, "Session ID unknown"),
    "unknown session of a worker": ("POST", f"EIO=4&transport=polling&sid={'ab' * 15}", 1, "Session ID unknown"),
    "a path for a session": ("GET", "EIO=4&transport=polling&sid=../../../x", 1, "Session ID unknown"),
    "no session": ("POST", "EIO=4&transport=polling", 2, "Bad handshake method"),
    "HEAD": ("HEAD", "EIO=4&transport=polling", 2, ""),
    "JSONP": ("GET", "EIO=3&transport=polling&j=0", 3, "JSONP is not supported"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_served_is_refused(live: LiveServer, case: str) -> None:
    method, query, code, message = REFUSED[case]
    answer = ask(live, method, f"{PATH}?{query}", body=b"2" if method == "POST" else None)
    assert answer.status == 400
    if method != "HEAD":
        assert answer.json == {"code": code, "message": message}


def test_parameters_stand_once(live: LiveServer) -> None:
    assert ask(live, "GET", f"{PATH}?EIO=4&transport=polling&sid=a&sid=b").message == "Parameter sid is repeated"


@pytest.mark.parametrize("target", ["/", "/api/v3/version", "/socket.io/more?EIO=4&transport=websocket"])
def test_there_are_no_websockets_elsewhere(live: LiveServer, target: str) -> None:
    assert _opening(live, target=target).status == 404


def test_a_websocket_for_an_unknown_session_is_refused(live: LiveServer) -> None:
    answer = _opening(live, target=f"{PATH}?EIO=4&transport=websocket&sid=nobody")
    assert (answer.status, answer.json) == (400, {"code": 1, "message": "Session ID unknown"})


def test_headers_are_bounded(live: LiveServer) -> None:
    assert _opening(live, ("X-Long", "x" * 20_000)).status == 431


ORIGINS = {
    "none": (None, True),
    "our own": ("http://127.0.0.1", True),
    "one that is allowed": ("https://app.example", True),
    "another": ("https://evil.example", False),
    "another port": ("http://127.0.0.1:1", False),
    "null": ("null", False),
    "one that looks like ours": ("https://127.0.0.1.evil.example", False),
}


@pytest.mark.parametrize("case", ORIGINS)
def test_pages_come_from_where_cors_allows(choosy: LiveServer, case: str) -> None:
    origin, allowed = ORIGINS[case]
    headers = [("Origin", origin)] if origin else []
    assert _opening(choosy, *headers).status == (101 if allowed else 403)
    answer = ask(choosy, "GET", f"{PATH}?EIO=4&transport=polling", *headers)
    assert answer.status == (200 if allowed else 403)
    if not allowed:
        assert answer.json == {"code": 4, "message": "Forbidden"}
        assert "access-control-allow-origin" not in answer.headers
    if origin == "https://app.example":
        assert answer.headers["access-control-allow-origin"] == origin


@pytest.mark.parametrize(
    ("origin", "host", "headers", "status"),
    [
        ("https://ns.example", "NS.example:443", {}, 200),
        ("https://ns.example:443", "ns.example", {}, 200),
        ("http://ns.example", "ns.example:80", {}, 200),
        ("HTTPS://NS.example", "ns.example", {}, 200),
        ("https://[2001:db8::1]:8443", "[2001:DB8::1]:8443", {}, 200),
        ("https://ns.example:8443", "ns.example:8443", {}, 200),
        ("https://ns.example:8443", "ns.example", {}, 403),
        ("https://ns.example:8443", "ns.example", {"X-Forwarded-Proto": "https"}, 200),
        ("https://ns.example:8443", "ns.example:8444", {"X-Forwarded-Proto": "https"}, 403),
        ("https://ns.example", "127.0.0.1:8000", {"X-Forwarded-Host": "other.example, ns.example"}, 200),
        ("https://other.example", "127.0.0.1:8000", {"X-Forwarded-Host": "other.example, ns.example"}, 403),
        ("https://evil.example", "ns.example", {"X-Forwarded-Proto": "https"}, 403),
        ("https://evil@ns.example", "ns.example", {}, 403),
        ("https://ns.example:x", "ns.example", {}, 403),
        ("https://ns.example", "ns.example:x", {}, 400),
        ("https://APP.example", "ns.example", {}, 200),
        ("null", "", {}, 400),
    ],
)
def test_whose_page_it_is(choosy: LiveServer, origin: str, host: str, headers: dict[str, str], status: int) -> None:
    """Names without regard to case, and ports that the scheme implies; many a proxy leaves the port out. 400: no host."""
    lines = {"X-Forwarded-Proto": "https", **headers} if headers else headers
    url = f"{choosy.url}{PATH}?EIO=4&transport=polling"
    answer = httpx.get(url, headers={"Host": host, "Origin": origin, **lines}, trust_env=False, verify=False)
    assert answer.status_code == status, answer.text


def test_plain_http_from_elsewhere_is_refused(choosy: LiveServer) -> None:
    forwarded = (("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-Proto", "http"))
    assert _opening(choosy, *forwarded).status == 403
    assert ask(choosy, "GET", f"{PATH}?EIO=4&transport=polling", *forwarded).message == "Not using SSL/TLS"
    secure = (("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-Proto", "https"))
    assert _opening(choosy, *secure).status == 101
    answer = ask(choosy, "GET", f"{PATH}?EIO=4&transport=polling", *secure)
    assert answer.status == 200
    assert "strict-transport-security" in answer.headers


@pytest.fixture(scope="module")
def choosy(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server behind a proxy, which one other site may call."""
    env = {"CORS_ORIGINS": "https://app.example", "API3_REQUIRE_HTTPS": "true", "TRUSTED_PROXIES": "127.0.0.1"}
    with running_server(tmp_path_factory.mktemp, new_database, env=env) as server:
        yield server


# --- limits


def test_connections_of_an_address_are_bounded(fresh_server: FreshServer) -> None:
    server = fresh_server(env={"API3_LIVE_CONNECTIONS": "2"})
    poller = Poller(server)
    with socket(server):
        assert poller.request("GET").status == 429
        assert _opening(server).status == 429
    assert poller.post("1").status == 200
    wait_until(lambda: poller.request("GET").status == 200)


def test_who_never_subscribes_is_let_go(fresh_server: FreshServer) -> None:
    server = fresh_server(env={"API3_REQUEST_TIMEOUT": "1"})
    token = server.subject("patient", "api:*:read")
    with socket(server) as idle, socket(server) as subscribed:
        assert subscribed.subscribe(token)["success"]
        idle.enter("/storage")
        assert idle.ends()
        assert subscribed.emit("/storage", "sing")["message"] == "Unknown event"
        subscribed.send("41/storage,")
        assert subscribed.ends()


def test_the_log_tells_of_connections_and_no_secrets(fresh_server: FreshServer) -> None:
    server = fresh_server()
    poller = Poller(server)
    poller.post("40/alarm,")
    with socket(server) as client:
        sid = client.greeting["sid"]
    wait_until(lambda: '"status":101' in server.output)
    assert "sid=***" in server.output
    assert poller.sid not in server.output
    assert sid not in server.output


def test_a_second_poll_at_once_ends_the_session(live: LiveServer) -> None:
    poller = Poller(live)
    with Line(live) as line:
        line.send(request("GET", poller.target))
        assert poller.post("6").status == 200
        assert poller.poll().status == 400
        assert line.reply().body == b"1"
    assert poller.poll().json == {"code": 1, "message": "Session ID unknown"}


def test_the_end_of_the_server_ends_what_waits(fresh_server: FreshServer) -> None:
    server = fresh_server()
    poller = Poller(server)
    with socket(server) as client, Line(server) as line:
        line.send(request("GET", poller.target))
        assert poller.post("6").status == 200
        server.stop()
        assert line.reply().body == b"1"
        assert client.ends()
    assert "graceful shutdown exceeded" not in server.output
