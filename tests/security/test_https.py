"""HTTPS: spoken here, spoken by a proxy that is trusted, or demanded in vain."""

import ipaddress
import json
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx
import pytest
from cryptography import x509

from apiv3.client.errors import Unreachable
from apiv3.client.uploads import Uploader
from apiv3.security.addresses import Network, is_loopback
from apiv3.web.proxies import Proxies
from tests.support.factories import FreshServer
from tests.support.processes import free_port
from tests.support.server import LiveServer
from tests.support.tls import Pair, self_signed
from tests.support.wire import Line, Reply, ask, now_ms, request, undated, unique

NOT_SECURE = {"status": 403, "message": "Not using SSL/TLS"}
VERSION = "/api/v3/version"
HSTS = "strict-transport-security"


# --- TLS spoken here --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A self-signed certificate for 127.0.0.1."""
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    return self_signed(tmp_path_factory.mktemp("tls"), address, x509.DNSName("localhost"))


@dataclass(frozen=True)
class Encrypted:
    """A server that speaks TLS, and listens for plain HTTP on a port beside it."""

    server: LiveServer
    plain_port: int

    def plain(self, method: str, target: str, *headers: tuple[str, str], host: str | None = "127.0.0.1") -> Reply:
        hosts = () if host is None else (("Host", host),)
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in (*hosts, *headers)), "", ""]
        with Line(self.server, port=self.plain_port) as line:
            return line.send("\r\n".join(lines).encode("latin-1")).reply(method)


@pytest.fixture(scope="module")
def encrypted(lasting_server: FreshServer, pair: Pair) -> Encrypted:
    port = free_port()
    files = ("--tls-cert", str(pair.certificate), "--tls-key", str(pair.key))
    server = lasting_server(env={"API3_REQUIRE_HTTPS": None}, arguments=(*files, "--http-port", str(port)))
    return Encrypted(server, port)


@pytest.fixture
def browser(encrypted: Encrypted, pair: Pair) -> Iterator[httpx.Client]:
    """A client that trusts the certificate and no other."""
    trust = ssl.create_default_context(cafile=str(pair.certificate))
    with httpx.Client(base_url=encrypted.server.url, verify=trust, trust_env=False) as client:
        yield client


def test_the_certificate_is_shown_and_the_whole_api_is_there(encrypted: Encrypted, browser: httpx.Client) -> None:
    token = encrypted.server.subject(unique("keeper"), "api:entries:create,read")
    jwt = browser.get(f"/api/v2/authorization/request/{token}").json()["token"]
    headers = {"Authorization": f"Bearer {jwt}", "Date": str(now_ms())}
    assert browser.post("/api/v3/entries", json={"app": "test", "date": now_ms()}, headers=headers).status_code == 201
    assert len(browser.get("/api/v3/entries", headers=headers).json()["result"]) == 1


def test_tls_makes_browsers_come_back_by_tls(browser: httpx.Client) -> None:
    for path, status in (("/", 200), (VERSION, 200), ("/api/v3/entries", 401), ("/nonsense", 404)):
        answer = browser.get(path)
        assert answer.status_code == status
        assert answer.headers[HSTS] == "max-age=31536000"
        assert "date" in answer.headers


async def test_an_upload_does_not_wait_for_another_certificate(encrypted: Encrypted) -> None:
    """Not even one that has had an answer."""
    told: list[str] = []
    async with Uploader(encrypted.server.url, "phone-0123456789abcdef", told.append) as uploader:
        uploader._has_answered = True
        with pytest.raises(Unreachable, match="CERTIFICATE_VERIFY_FAILED"):
            await uploader.send("entries", [{"app": "test"}])
    assert told == []


def test_no_old_tls(encrypted: Encrypted) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", encrypted.server.port)) as plain, context.wrap_socket(plain) as line:
        assert line.version() in ("TLSv1.2", "TLSv1.3")


def test_what_is_forwarded_does_not_matter_over_tls(browser: httpx.Client) -> None:
    """TLS ends here, so no proxy is asked for the truth."""
    assert browser.get(VERSION, headers={"X-Forwarded-Proto": "http", "X-Forwarded-For": "192.0.2.7"}).status_code == 200


def test_plain_http_on_the_port_of_tls_is_no_answer(encrypted: Encrypted) -> None:
    with Line(encrypted.server) as line:
        line.send(request("GET", VERSION))
        assert line.ends()


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("target", ["/", "/nonsense", "/a/b?c=d&e=%2F", "/%2e%2e/%0d%0aX:%20y", "/apiary", "/api", "/?token=x"])
def test_a_page_is_sent_to_https(encrypted: Encrypted, method: str, target: str) -> None:
    answer = encrypted.plain(method, target)
    assert answer.status == 308
    assert answer.headers["location"] == f"https://127.0.0.1:{encrypted.server.port}{target}"
    assert answer.body == b""
    assert HSTS not in answer.headers  # it means nothing over plain HTTP (RFC 6797, section 7.2)
    assert "date" in answer.headers


def test_a_page_is_where_it_was_sent(encrypted: Encrypted, browser: httpx.Client) -> None:
    location = encrypted.plain("GET", "/").headers["location"]
    assert browser.get(location).status_code == 200


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", VERSION),
        ("GET", "/api/v3/entries?token=x"),
        ("POST", "/api/v3/entries"),
        ("POST", "/api/requestAuthToken"),
        ("GET", "/api/v2/authorization/request/x"),
        ("GET", "/api/nonsense"),
        ("GET", "/api/"),
    ],
)
def test_the_api_is_not_answered_over_plain_http(encrypted: Encrypted, method: str, target: str) -> None:
    answer = encrypted.plain(method, target, ("X-Forwarded-Proto", "https"))
    assert (answer.status, answer.json) == (403, NOT_SECURE)
    assert "location" not in answer.headers


@pytest.mark.parametrize(
    ("host", "to"),
    [
        ("example.org", "example.org"),
        ("example.org:80", "example.org"),
        ("EXAMPLE.org:8080", "EXAMPLE.org"),
        ("[::1]", "[::1]"),
        ("[2001:db8::1]:80", "[2001:db8::1]"),
        ("192.0.2.1", "192.0.2.1"),
    ],
)
def test_a_page_is_sent_to_the_host_that_was_asked_for(encrypted: Encrypted, host: str, to: str) -> None:
    location = encrypted.plain("GET", "/x", host=host).headers["location"]
    assert location == f"https://{to}:{encrypted.server.port}/x"


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        ":80",
        "a b",
        "example.org/path",
        "example.org/?",
        "example.org#",
        "user@example.org",
        "user:password@example.org",
        "example.org:80@evil.example",
        "example.org:port",
        "example.org:",
        "https://example.org",
        "exa%6Dple.org",
        "<script>",
        '"',
        "\\\\evil.example",
        "[::1",
        "[evil.example]",
        "::1",
        "exämple.org",
        "example.org\x0b",
        "example.org\tx",
    ],
)
def test_a_hostile_host_is_sent_nowhere(encrypted: Encrypted, host: str | None) -> None:
    answer = encrypted.plain("GET", "/", host=host)
    assert answer.status in (400, 403)
    assert "location" not in answer.headers


def test_a_host_cannot_add_a_header(encrypted: Encrypted) -> None:
    answer = encrypted.plain("GET", "/", host="example.org\r\n X-Evil: yes")
    assert "x-evil" not in answer.headers
    assert answer.headers.get("location", "https://example.org").startswith("https://example.org")


def test_a_websocket_over_plain_http_is_refused_and_nothing_breaks(encrypted: Encrypted) -> None:
    """Browsers follow no redirect of a websocket; the server must not fail over one."""
    upgrade = (("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"))
    key = ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
    answer = encrypted.plain("GET", "/socket.io/?EIO=4&transport=websocket", *upgrade, key)
    assert answer.status == 403
    assert encrypted.plain("GET", "/").status == 308
    assert "Traceback" not in encrypted.server.output


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--tls-cert", "{cert}"], "TLS_KEY"),
        (["--tls-key", "{key}"], "TLS_CERT"),
        (["--http-port", "8080"], "HTTP_PORT"),
        (["--tls-cert", "{cert}", "--tls-key", "/nonsense/key.pem"], "/nonsense/key.pem"),
        (["--tls-cert", "{key}", "--tls-key", "{cert}"], "TLS_CERT"),
        (["--tls-cert", "{cert}", "--tls-key", "{key}", "--http-port", "{taken}"], "HTTP_PORT"),
    ],
)
def test_tls_that_cannot_work_stops_the_start(encrypted: Encrypted, pair: Pair, arguments: list[str], named: str) -> None:
    words = {"cert": pair.certificate, "key": pair.key, "taken": encrypted.plain_port}
    refused = encrypted.server.installation.run("serve", "--port", "0", *(each.format(**words) for each in arguments))
    assert refused.returncode != 0
    assert refused.stdout == ""  # it never said that it listens
    [sentence] = refused.stderr.splitlines()
    assert sentence.startswith("Error: ")
    assert named in sentence


# --- plain HTTP where HTTPS is demanded -------------------------------------------------------------------------------

FORWARDED = [
    ("Forwarded", "for=192.0.2.7;proto=https"),
    ("X-Forwarded-For", "192.0.2.7"),
    ("X-Forwarded-Proto", "https"),
    ("x-forwarded-proto", "http"),
    ("X-Forwarded-Host", "example.org"),
    ("X-Forwarded-Port", "443"),
    ("X-Forwarded-Server", "proxy.example.org"),
    ("X-Forwarded-Prefix", "/x"),
    ("X-Forwarded-Ssl", "on"),
    ("X-Forwarded-Anything", ""),
    ("X-Real-IP", "192.0.2.7"),
    ("Via", "1.1 proxy"),
    ("Front-End-Https", "on"),
    ("CF-Connecting-IP", "192.0.2.7"),
    ("CF-Connecting-IPv6", "2001:db8::7"),
    ("CF-Ray", "x"),
    ("CDN-Loop", "x"),
    ("True-Client-IP", "192.0.2.7"),
    ("X-Client-IP", "192.0.2.7"),
    ("X-Cluster-Client-IP", "192.0.2.7"),
    ("Fastly-Client-IP", "192.0.2.7"),
    ("Fly-Client-IP", "192.0.2.7"),
    ("WL-Proxy-Client-IP", "192.0.2.7"),
    ("X-Azure-ClientIP", "192.0.2.7"),
    ("DO-Connecting-IP", "192.0.2.7"),
    ("X-Original-Forwarded-For", "192.0.2.7"),
    ("X-Original-For", "192.0.2.7"),
    ("X-Originating-IP", "192.0.2.7"),
    ("X-Remote-Addr", "192.0.2.7"),
    ("X-Url-Scheme", "https"),
]


def test_a_loopback_peer_may_speak_plain_http(strict: LiveServer) -> None:
    answer = undated(strict).get(VERSION)
    assert answer.status_code == 200
    assert HSTS not in answer.headers


@pytest.mark.parametrize(("name", "value"), FORWARDED)
def test_a_loopback_peer_that_speaks_for_somebody_else_may_not(strict: LiveServer, name: str, value: str) -> None:
    for path in (VERSION, "/api/v3/entries", "/api/v2/authorization/subjects", "/api/v2/authorization/request/x"):
        answer = undated(strict).get(path, headers={name: value})
        assert (answer.status_code, answer.json()) == (403, NOT_SECURE)
        assert HSTS not in answer.headers
    page = undated(strict).get("/", headers={name: value})
    assert (page.status_code, page.headers["location"]) == (308, "https://127.0.0.1/")
    assert HSTS not in page.headers


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7"}, 200),
        ({"X-Forwarded-Proto": "HTTPS"}, 200),
        ({"X-Forwarded-Proto": "http, https"}, 200),  # the last one is what our proxy says
        ({"X-Forwarded-Proto": "https, http"}, 403),
        ({"X-Forwarded-Proto": "http"}, 403),
        ({"X-Forwarded-Proto": "https:"}, 403),
        ({"X-Forwarded-Proto": ""}, 403),
        ({"X-Forwarded-For": "192.0.2.7"}, 403),
        ({"Forwarded": "proto=https"}, 200),
        ({"Forwarded": 'for=192.0.2.7;Proto="HTTPS";by=_x'}, 200),
        ({"Forwarded": "for=192.0.2.7;proto=http, for=192.0.2.8;proto=https"}, 200),
        ({"Forwarded": "for=192.0.2.7;proto=https, for=192.0.2.8"}, 403),
        ({"Forwarded": "proto=https;proto=https"}, 403),
        ({"Forwarded": "proto=https", "X-Forwarded-Proto": "http"}, 403),
        ({"Forwarded": "proto=https", "X-Forwarded-For": "192.0.2.7"}, 403),  # perhaps the client's own
        ({}, 200),  # the proxy itself asks, from this machine
    ],
)
def test_a_trusted_proxy_is_believed(strict: LiveServer, proxy: str, headers: dict[str, str], status: int) -> None:
    with _from(strict, proxy) as caller:
        answer = caller.get(VERSION, headers=headers)
    assert answer.status_code == status
    assert status == 200 or answer.json() == NOT_SECURE
    assert (HSTS in answer.headers) is (status == 200 and bool(headers))


def _from(server: LiveServer, address: str) -> httpx.Client:
    """A client at another address of this machine."""
    transport = httpx.HTTPTransport(verify=False, local_address=address)
    return httpx.Client(base_url=server.url, transport=transport, trust_env=False)


def test_a_proxy_that_nobody_trusts_is_not_believed(strict: LiveServer, proxy: str) -> None:
    for address, status in ((proxy, 200), (f"{proxy}3", 403)):
        with _from(strict, address) as caller:
            assert caller.get(VERSION, headers={"X-Forwarded-Proto": "https"}).status_code == status


def test_the_network_is_refused(strict: LiveServer) -> None:
    """Plain HTTP that left this machine, or could have: from an address of its network."""
    address = _own_address()
    with Line(strict, to=address) as line:
        assert line.send(request("GET", VERSION)).reply().json == NOT_SECURE
    with Line(strict, to=address) as line:
        assert line.send(request("GET", VERSION, ("X-Forwarded-Proto", "https"))).reply().json == NOT_SECURE
    with Line(strict, to=address) as line:
        person = json.dumps({"email": "anna@x.example", "password": "secret"}).encode()
        assert line.send(request("POST", "/api/requestAuthToken", body=person)).reply().json == NOT_SECURE


def _own_address() -> str:
    """This machine's address towards the network; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address on a network")
        address: str = probe.getsockname()[0]
    if is_loopback(address):
        pytest.skip("this machine has no address on a network")
    return address


def test_the_demand_can_be_lifted(shared_servers: Callable[[str], LiveServer]) -> None:
    server = shared_servers("sqlite")
    assert server.installation.environment()["API3_REQUIRE_HTTPS"] == "false"
    for header in FORWARDED:
        answer = ask(server, "GET", VERSION, header)
        assert answer.status == 200
        assert HSTS not in answer.headers


def test_a_proxy_that_was_forgotten_is_told_once(fresh_server: FreshServer) -> None:
    server = fresh_server(env={"API3_REQUIRE_HTTPS": None})
    for _ in range(3):
        assert ask(server, "GET", VERSION, ("X-Forwarded-Proto", "https")).status == 403
    [told] = [line for line in server.output.splitlines() if "TRUSTED_PROXIES" in line]
    assert "it came from 127.0.0.1" in told
    assert "set TRUSTED_PROXIES=127.0.0.1" in told


def test_a_proxy_that_does_not_speak_of_tls_is_told(fresh_server: FreshServer) -> None:
    server = fresh_server(env={"API3_REQUIRE_HTTPS": None, "TRUSTED_PROXIES": "127.0.0.1"})
    assert ask(server, "GET", VERSION, ("X-Forwarded-Proto", "http")).status == 403
    assert "X-Forwarded-Proto" not in server.output
    assert ask(server, "GET", VERSION, ("X-Forwarded-For", "203.0.113.9")).status == 403
    assert "sends X-Forwarded-For, but no X-Forwarded-Proto" in server.output


# --- whom a proxy speaks for ------------------------------------------------------------------------------------------


def _networks(*names: str) -> tuple[Network, ...]:
    return tuple(map(ipaddress.ip_network, names))


# Trusted networks, peer, X-Forwarded-For, the client's address.
HOPS: list[tuple[tuple[str, ...], str, bytes | None, str]] = [
    ((), "192.0.2.1", b"203.0.113.9", "192.0.2.1"),
    (("192.0.2.1",), "192.0.2.2", b"203.0.113.9", "192.0.2.2"),
    (("192.0.2.1",), "192.0.2.1", b"203.0.113.9", "203.0.113.9"),
    (("192.0.2.1",), "192.0.2.1", None, "192.0.2.1"),
    (("192.0.2.1",), "192.0.2.1", b"", "192.0.2.1"),
    # only what the trusted ones added counts; a client can write anything before it
    (("192.0.2.1",), "192.0.2.1", b"127.0.0.1, 203.0.113.9", "203.0.113.9"),
    (("192.0.2.1",), "192.0.2.1", b"nonsense, 203.0.113.9", "203.0.113.9"),
    (("192.0.2.0/24",), "192.0.2.1", b"127.0.0.1, 203.0.113.9, 192.0.2.3", "203.0.113.9"),
    (("192.0.2.0/24",), "192.0.2.1", b"192.0.2.2, 192.0.2.3", "192.0.2.2"),
    (("192.0.2.0/24",), "192.0.2.1", b"203.0.113.9, nonsense", "192.0.2.1"),
    (("192.0.2.0/24",), "192.0.2.1", b"203.0.113.9, nonsense, 192.0.2.3", "192.0.2.3"),
    (("192.0.2.0/24",), "192.0.2.1", b"203.0.113.9:4711", "203.0.113.9"),
    (("192.0.2.0/24",), "192.0.2.1", b"[2001:db8::7]:4711", "2001:db8::7"),
    (("192.0.2.0/24",), "192.0.2.1", b"[2001:db8::7]", "2001:db8::7"),
    (("192.0.2.0/24",), "192.0.2.1", b'"203.0.113.9"', "203.0.113.9"),
    (("192.0.2.0/24",), "192.0.2.1", b'"[2001:DB8::7]:4711"', "2001:db8::7"),
    (("192.0.2.0/24",), "192.0.2.1", b"203.0.113.9, ::ffff:192.0.2.6", "203.0.113.9"),
    (("192.0.2.0/24",), "192.0.2.1", b"203.0.113.9, ,192.0.2.6:80,", "203.0.113.9"),
    (("192.0.2.0/24",), "192.0.2.1", b'"open, 203.0.113.9', "203.0.113.9"),
    (("192.0.2.0/24",), "192.0.2.1", b"203.0.113.9:99999999", "192.0.2.1"),
    (("192.0.2.0/24",), "192.0.2.1", b"[203.0.113.9]:80", "192.0.2.1"),
    (("192.0.2.0/24",), "192.0.2.1", b"unknown", "192.0.2.1"),
    (("192.0.2.0/24",), "::ffff:192.0.2.1", b"203.0.113.9", "203.0.113.9"),
    (("::ffff:192.0.2.0/120",), "192.0.2.1", b"203.0.113.9", "203.0.113.9"),
    ((), "::ffff:192.0.2.1", b"203.0.113.9", "192.0.2.1"),
    (("192.0.2.0/24",), "192.0.2.1", b"\xff", "192.0.2.1"),
    (("2001:db8::/32",), "2001:db8::1", b"2001:db9::7", "2001:db9::7"),
    (("10.0.0.0/8", "2001:db8::/32"), "10.1.2.3", b"203.0.113.9, 2001:db8::5", "203.0.113.9"),
    (("10.0.0.0/8",), "", b"203.0.113.9", ""),
]


@pytest.mark.parametrize(("trusted", "peer", "hops", "address"), HOPS)
def test_the_address_of_the_client(trusted: tuple[str, ...], peer: str, hops: bytes | None, address: str) -> None:
    headers = {} if hops is None else {b"x-forwarded-for": hops}
    assert Proxies(_networks(*trusted)).origin("http", peer, headers).address == address


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        (b"for=203.0.113.9", "203.0.113.9"),
        (b"For=203.0.113.9;proto=https;by=192.0.2.1", "203.0.113.9"),
        (b'proto=https; for="203.0.113.9:4711"', "203.0.113.9"),
        (b'for="[2001:db8::7]:4711"', "2001:db8::7"),
        (b'for="[2001:db8::7]:_hidden"', "2001:db8::7"),
        (b"for=127.0.0.1, for=203.0.113.9", "203.0.113.9"),
        (b'for=203.0.113.9, for="::ffff:192.0.2.6"', "203.0.113.9"),
        (b'for="open, for=203.0.113.9', "203.0.113.9"),
        (b"for=203.0.113.9, for=_hidden", "192.0.2.1"),
        (b"for=203.0.113.9;for=203.0.113.8", "192.0.2.1"),
        (b"by=203.0.113.9", "192.0.2.1"),
        (b"", "192.0.2.1"),
    ],
)
def test_the_address_of_the_client_by_forwarded(forwarded: bytes, address: str) -> None:
    proxies = Proxies(_networks("192.0.2.0/24"))
    assert proxies.origin("http", "192.0.2.1", {b"forwarded": forwarded}).address == address
    # A client that writes one header cannot speak for a proxy that writes the other.
    both = {b"forwarded": forwarded, b"x-forwarded-for": b"203.0.113.5"}
    assert proxies.origin("http", "192.0.2.1", both).address == "203.0.113.5"


def test_several_lines_are_one_list(strict: LiveServer, proxy: str) -> None:
    mark = unique("mark")
    with _from(strict, proxy) as trusted:
        lines = [("X-Forwarded-For", "127.0.0.1"), ("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-For", f"{proxy}:80")]
        trusted.get(f"/{mark}", headers=[*lines, ("X-Forwarded-Proto", "http"), ("X-Forwarded-Proto", "https")])
    [line] = [json.loads(line) for line in strict.output.splitlines() if mark in line]
    assert (line["address"], line["status"]) == ("203.0.113.9", 404)


@pytest.mark.parametrize(
    ("scheme", "peer", "headers", "secure"),
    [
        ("https", "203.0.113.9", {}, True),
        ("https", "203.0.113.9", {b"x-forwarded-proto": b"http"}, True),
        ("http", "127.0.0.1", {}, True),
        ("http", "127.8.9.10", {}, True),
        ("http", "::1", {}, True),
        ("http", "::ffff:127.0.0.1", {}, True),
        ("http", "203.0.113.9", {}, False),
        ("http", "192.168.0.1", {}, False),
        ("http", "::ffff:203.0.113.9", {}, False),
        ("http", "", {}, False),
        ("http", "localhost", {}, False),
        ("http", "127.0.0.1", {b"x-forwarded-proto": b"https"}, False),
        ("http", "203.0.113.9", {b"x-forwarded-proto": b"https"}, False),
        ("http", "10.0.0.1", {b"x-forwarded-proto": b"https"}, True),
        ("http", "10.0.0.1", {b"x-forwarded-proto": b"http"}, False),
        ("http", "10.0.0.1", {b"forwarded": b"proto=https"}, True),
        ("http", "10.0.0.1", {b"forwarded": b"proto=http"}, False),
        ("http", "203.0.113.9", {b"forwarded": b"proto=https"}, False),
        ("http", "10.0.0.1", {b"x-forwarded-for": b"127.0.0.1"}, False),
        ("http", "10.0.0.1", {}, False),
    ],
)
def test_what_is_secure(scheme: str, peer: str, headers: dict[bytes, bytes], secure: bool) -> None:
    assert Proxies(_networks("10.0.0.0/8")).origin(scheme, peer, headers).secure is secure


def test_the_address_that_is_logged(strict: LiveServer, proxy: str) -> None:
    mark = unique("mark")
    with _from(strict, proxy) as trusted:
        trusted.get(f"/{mark}-trusted", headers={"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"})
    undated(strict).get(f"/{mark}-stranger", headers={"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"})
    lines = {name: line for line in strict.output.splitlines() for name in ("trusted", "stranger") if f"{mark}-{name}" in line}
    assert '"address":"203.0.113.9"' in lines["trusted"]
    assert '"address":"127.0.0.1"' in lines["stranger"]
