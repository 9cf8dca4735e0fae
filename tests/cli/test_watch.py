"""`apiv3 watch`: a program of its own beside a server that runs."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509

from apiv3.settings import load, local_url
from tests.support.documents import Corner, api_of
from tests.support.factories import FreshServer
from tests.support.installation import Installation
from tests.support.live import Stream
from tests.support.processes import free_port
from tests.support.server import LiveServer
from tests.support.tls import self_signed
from tests.support.waiting import PATIENCE, wait_until
from tests.support.wire import unique


class Watch:
    """The program while it runs; its lines as they come."""

    def __init__(self, installation: Installation, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            installation.command("watch", *arguments),
            cwd=installation.folder,
            env=installation.environment() | dict(environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for it alone
        )
        self.lines: list[str] = []
        self.errors: list[str] = []
        self._threads = [
            threading.Thread(target=self._listen, args=pair)
            for pair in ((self.process.stdout, self.lines), (self.process.stderr, self.errors))
        ]
        for thread in self._threads:
            thread.start()

    def _listen(self, pipe: Any, lines: list[str]) -> None:
        with pipe:
            for line in pipe:
                lines.append(line.rstrip("\n"))  # noqa: PERF401 (each as it comes)

    def end(self, how: signal.Signals = signal.SIGKILL) -> int:
        self.process.send_signal(how)
        return self.wait()

    def wait(self) -> int:
        status = self.process.wait(PATIENCE)
        for thread in self._threads:
            thread.join()
        return status


NewWatch = Callable[..., Watch]


@pytest.fixture
def watch() -> Iterator[NewWatch]:
    """Starts one: `watch(server, token, "entries")`."""
    with ExitStack() as ends:

        def start(server: LiveServer, token: str, *arguments: str) -> Watch:
            begun = Watch(server.installation, [*arguments, "--url", server.url], {"APIV3_TOKEN": token})
            ends.callback(lambda: begun.process.poll() is None and begun.end())
            return begun

        yield start


@pytest.fixture(scope="module")
def server(shared_servers: Callable[[str], LiveServer]) -> LiveServer:
    return shared_servers("sqlite")


@pytest.fixture(scope="module")
def api(server: LiveServer) -> httpx.Client:
    return api_of(server, "api:*:*")


@pytest.fixture(scope="module")
def token(server: LiveServer) -> str:
    return server.subject(unique("watcher"), "api:*:read")


def test_lines_for_people(server: LiveServer, api: httpx.Client, token: str, watch: NewWatch) -> None:
    corner = Corner(api, "food")
    name = corner.add(identifier=corner.name("a"), notes="🍎")
    changed = corner.read(name)["srvModified"]
    begun = watch(server, token, "food", "--since", str(changed - 1))
    wait_until(lambda: len(begun.lines) == 1)
    corner.api.delete(corner.url(name), params={"permanent": "true"})
    wait_until(lambda: len(begun.lines) == 2)
    assert f"Z  create  food  {name}  {{" in begun.lines[0]
    assert "🍎" in begun.lines[0]
    assert begun.lines[1].endswith(f"Z  delete  food  {name}")
    assert begun.end(signal.SIGINT) == 130
    assert begun.errors == ["apiv3 watch: waiting for changes; Ctrl-C ends it"]


def test_lines_for_programs(server: LiveServer, api: httpx.Client, token: str, watch: NewWatch) -> None:
    corner = Corner(api, "profile")
    name = corner.add(identifier=corner.name("a"))
    changed = corner.read(name)["srvModified"]
    begun = watch(server, token, "profile", "--since", str(changed - 1), "--json")
    wait_until(lambda: len(begun.lines) == 1)
    told = json.loads(begun.lines[0])
    assert told == {"event": "create", "colName": "profile", "doc": corner.read(name), "id": f"profile={changed}"}
    begun.end()
    other = corner.add(identifier=corner.name("b"))
    again = watch(server, token, "profile", "--after", told["id"], "--json")
    wait_until(lambda: len(again.lines) == 1)
    assert json.loads(again.lines[0])["doc"]["identifier"] == other


def test_it_goes_on_where_it_was(fresh_server: FreshServer, watch: NewWatch) -> None:
    """Also when nothing had happened before the connection was lost."""
    server = fresh_server(env={"API3_LIVE_CONNECTIONS": "2"})
    token = server.subject("watcher", "api:*:read")
    corner = Corner(api_of(server, "api:*:*"), "entries")
    corner.add()
    begun = watch(server, token, "entries", "--json")
    with Stream(server, token):
        wait_until(lambda: _is_full(server, token))  # so it is connected
    for number in range(3):
        server.kill()
        server.start()
        with suppress(httpx.TransportError):
            corner.api.get("/version")  # its old connection is dead
        corner.add(identifier=f"while-away-{number}")
        wait_until(lambda: len(begun.lines) == number + 1)  # noqa: B023 (asked at once)
    found = [json.loads(line)["doc"]["identifier"] for line in begun.lines]
    assert found == [f"while-away-{number}" for number in range(3)]
    assert all("trying again" in line or "waiting for changes" in line for line in begun.errors)
    assert token not in "".join(begun.errors) + server.output


def _is_full(server: LiveServer, token: str) -> bool:
    """Whether the two streams that the subject may have are there."""
    with Stream(server, token) as stream:
        return stream.status == 429


def test_the_server_here_speaks_tls(fresh_server: FreshServer, tmp_path: Path) -> None:
    """With a certificate for its name, not for the address of this machine, that nobody knows."""
    pair = self_signed(tmp_path, x509.DNSName("localhost"), authority=False)
    server = fresh_server(arguments=["--tls-cert", str(pair.certificate), "--tls-key", str(pair.key)])
    token = server.subject("watcher", "api:*:*")
    corner = Corner(api_of(server, "api:*:*"), "food")
    corner.add()
    settings = {"APIV3_TOKEN": token, "PORT": str(server.port), "TLS_CERT": str(pair.certificate), "TLS_KEY": str(pair.key)}
    begun = Watch(server.installation, ["food", "--since", "2000-01-02"], settings)
    try:
        wait_until(lambda: len(begun.lines) == 1 or begun.process.poll() is not None)
    finally:
        begun.end(signal.SIGINT)
    assert len(begun.lines) == 1
    assert [line for line in begun.errors if "waiting for changes" not in line] == []

    elsewhere = ["food", "--url", f"https://localhost:{server.port}", "--after", "nonsense"]
    for trusted, answer in ((None, "CERTIFICATE_VERIFY_FAILED"), (pair.certificate, "400: Bad Last-Event-ID")):
        own = {"SSL_CERT_FILE": str(trusted)} if trusted else {}
        done = Watch(server.installation, elsewhere, {"APIV3_TOKEN": token} | own)
        assert done.wait() == 1
        assert answer in "".join(done.errors)

    (tmp_path / "other").mkdir()
    other = self_signed(tmp_path / "other", x509.DNSName("localhost"))
    done = Watch(server.installation, ["food"], settings | {"TLS_CERT": str(other.certificate), "TLS_KEY": str(other.key)})
    assert done.wait() == 1
    assert "CERTIFICATE_VERIFY_FAILED" in "".join(done.errors)


def test_a_certificate_that_is_none(server: LiveServer, tmp_path: Path) -> None:
    for text in ("", "nonsense"):
        (tmp_path / "c").write_text(text)
        done = Watch(server.installation, [], {"APIV3_TOKEN": "x", "TLS_CERT": str(tmp_path / "c"), "TLS_KEY": "k"})
        assert done.wait() == 1
        assert done.errors[0].startswith("Error: TLS_CERT is ")


def refused(server: LiveServer, token: str, *arguments: str, url: str | None = None) -> str:
    done = Watch(server.installation, [*arguments, "--url", url or server.url], {"APIV3_TOKEN": token})
    assert done.wait() == 1
    assert done.lines == []
    [error] = [line for line in done.errors if "waiting for changes" not in line]
    assert not token or token not in error
    return error


def test_what_the_server_refuses(server: LiveServer, token: str) -> None:
    assert "401: Bad access token or JWT. Use the access token of a" in refused(server, "wrong-0123456789abcdef")
    assert "401: Bad access token or JWT" in refused(server, "wróng-0123456789abcdef")
    assert "there are devicestatus" in refused(server, token, "foods")
    assert "400: Bad Last-Event-ID" in refused(server, token, "--after", "nonsense")
    assert "403: Missing permission api:settings:admin" in refused(server, token, "settings")


def test_no_token(server: LiveServer) -> None:
    assert "set APIV3_TOKEN" in refused(server, "")


def test_no_server(server: LiveServer, token: str) -> None:
    assert "cannot be reached" in refused(server, token, url=f"http://127.0.0.1:{free_port()}")
    assert "no address of a server" in refused(server, token, url="nightscout.example")
    assert "404: Bad operation or collection" in refused(server, token, url=f"{server.url}/elsewhere")


class Stranger(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        """Nothing."""


class Garbled(Stranger):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        self.wfile.write(b"data: plain\n\n")


class Talkative(Stranger):
    """Sends events; the test says what is in them."""

    data = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.write(b"event: update\ndata: %s\n\n" % self.data)


@pytest.mark.parametrize("kind", [Stranger, Garbled])
def test_another_kind_of_server(server: LiveServer, token: str, kind: type[Stranger]) -> None:
    _another_kind(server, token, kind)


@pytest.mark.parametrize(
    "data",
    [
        b"hello",
        b"[" * 100_000,
        b"5",
        b"{}",
        b'{"colName":"entries"}',
        b'{"colName":"entries","doc":{}}',
        b'{"colName":"entries","identifier":"a","srvModified":1e999}',
        b'{"colName":"entries","identifier":"a","srvModified":999999999999999999999}',
    ],
    ids=lambda data: data[:70].decode(),
)
def test_events_of_another_kind_of_server(server: LiveServer, token: str, data: bytes) -> None:
    _another_kind(server, token, type("Talker", (Talkative,), {"data": data}))


def _another_kind(server: LiveServer, token: str, kind: type[Stranger]) -> None:
    with HTTPServer(("127.0.0.1", 0), kind) as stranger:
        threading.Thread(target=stranger.handle_request, daemon=True).start()
        assert "not as this server does" in refused(server, token, url=f"http://127.0.0.1:{stranger.server_port}")


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({}, "http://127.0.0.1:8000"),
        ({"HOST": "0.0.0.0", "PORT": "81"}, "http://127.0.0.1:81"),
        ({"HOST": "::"}, "http://[::1]:8000"),
        ({"HOST": "nightscout.example", "TLS_CERT": "c", "TLS_KEY": "k", "PORT": "443"}, "https://nightscout.example:443"),
    ],
)
def test_where_the_server_is(settings: dict[str, str], url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    loaded = load()
    assert local_url(loaded, loaded.port) == url
