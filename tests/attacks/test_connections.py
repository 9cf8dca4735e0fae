"""Attacks on connections that need no token: one caller does not take the server away from the others."""

import re
import resource
import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography import x509

from tests.support.attackers import ATTACKS, FIRST_FRAGMENT, PONG_ME, SWAGGER, UPGRADE
from tests.support.attacks import MEGABYTE, Bystander, Witness, assert_harmless, attack, resident, unread
from tests.support.factories import FreshServer
from tests.support.server import LiveServer
from tests.support.tls import self_signed
from tests.support.waiting import wait_until
from tests.support.wire import Line, ask, request

MOST_MEMORY, MOST_WORK = 64, 0.25
"""Megabytes, and seconds; see `assert_harmless`."""
VERSION = "/api/v3/version"
ELSEWHERE = "127.0.0.9"
"""An address that no attack came from: one that has used up its live connections is refused further ones for a while."""

PING_OF_Y = b"\x89\x83\0\0\0\0yyy"


@pytest.fixture(scope="module")
def target(lasting_server: FreshServer) -> LiveServer:
    return lasting_server(env={"ACCESS_LOG": "false"}, real=True)


@pytest.fixture(autouse=True)
def _still_well(target: LiveServer) -> Iterator[None]:
    yield
    assert ask(target, "GET", VERSION).status == 200
    assert "Traceback" not in target.output


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_costs_nobody_but_the_attacker(target: LiveServer, name: str) -> None:
    assert_harmless(attack(target, name), MOST_MEMORY, MOST_WORK)


@pytest.mark.parametrize(
    "headers",
    [
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "".join(f"X-{number}: y\r\n" for number in range(200)),
        f"X-Large: {'x' * 9000}\r\n",
    ],
    ids=["a length", "chunks", "200 headers", "a header of 9 kB"],
)
def test_a_websocket_that_cannot_begin_is_answered(target: LiveServer, headers: str) -> None:
    with Line(target, source=ELSEWHERE) as line:
        reply = line.send(UPGRADE + headers.encode() + b"\r\n").reply()
        assert reply.status == (400 if "Length" in headers or "chunked" in headers else 101)
        assert reply.status == 101 or line.ends()


@pytest.mark.parametrize("frames", [b"\x81\x82\0\0\0\0\xff\xfe\x88\x82\0\0\0\0\x03\xe8", b"\x88\x80\0\0\0\0" * 3])
def test_bad_frames_and_a_close_in_one_segment_end_the_websocket(target: LiveServer, frames: bytes) -> None:
    with Line(target, source=ELSEWHERE) as line:
        assert line.send(UPGRADE + b"\r\n").reply().status == 101
        assert line.send(frames).drained()


@pytest.mark.parametrize("opcode", [b"\x89", b"\x00"], ids=["pings", "continuations"])
def test_frames_without_a_message_are_read_slowly(target: LiveServer, opcode: bytes) -> None:
    """A hundred at once, then ten a second."""
    frame = opcode + PONG_ME[1:]
    with Line(target, source=ELSEWHERE) as line:
        assert line.send(UPGRADE + b"\r\n").reply().status == 101
        started = time.monotonic()
        line.send(FIRST_FRAGMENT + frame * 120 + PING_OF_Y)
        assert line.hears(b"yyy")
        assert time.monotonic() - started > 1


def _get_in_elsewhere(server: LiveServer) -> None:
    """Those who came before are accepted by then, or wait for their budget."""
    with Line(server, source=ELSEWHERE) as line:
        assert line.send(request("GET", VERSION)).reply().status == 200


def test_connections_of_one_address_beyond_its_budget_wait(fresh_server: FreshServer) -> None:
    """Others get in meanwhile; one that waits gets in when another one closes, or has its answer."""
    server = fresh_server(env={"API3_MAX_CONNECTIONS": "5"})
    with ExitStack() as stack:
        held = [stack.enter_context(Line(server)) for _ in range(5)]
        for line in held:
            line.send(b"GET / HTTP/1.1\r\n")  # so that it is not idle
        waiting = stack.enter_context(Line(server))
        waiting.send(request("GET", VERSION))
        _get_in_elsewhere(server)
        assert select.select([waiting], [], [], 0) == ([], [], [])
        held[0].__exit__(None, None, None)
        assert waiting.reply().status == 200
        another = stack.enter_context(Line(server))
        another.send(request("GET", VERSION))
        _get_in_elsewhere(server)
        assert held[1].send(b"Host: 127.0.0.1\r\n\r\n").reply().headers["connection"] == "close"
        assert another.reply().status == 200


def test_an_idle_connection_gives_way(fresh_server: FreshServer) -> None:
    """The one that has been idle longest, and for more than a second."""
    server = fresh_server(env={"API3_MAX_CONNECTIONS": "3"})
    with ExitStack() as stack:
        idle, *busy = [stack.enter_context(Line(server)) for _ in range(3)]
        assert idle.send(request("GET", VERSION)).reply().status == 200
        time.sleep(1.2)
        for line in busy:
            assert line.send(request("GET", VERSION)).reply().status == 200
        assert stack.enter_context(Line(server)).send(request("GET", VERSION)).reply().status == 200
        assert idle.ends()
        for line in busy:
            assert line.send(request("GET", VERSION)).reply().status == 200


def test_connections_that_are_refused_are_told_in_the_log(fresh_server: FreshServer) -> None:
    server = fresh_server(env={"API3_MAX_CONNECTIONS": "2", "API3_REQUEST_TIMEOUT": "1"})
    with ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(Line(server)).send(b"GET / HTTP/1.1\r\n")
        wait_until(lambda: "connections of 127.0.0.1" in server.output, lambda: server.output)
    assert len(re.findall(r"refused \d+ connections", server.output)) < 5


def test_descriptors_are_raised_to_what_the_system_allows(fresh_server: FreshServer) -> None:
    server = fresh_server()
    soft, hard = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
    assert soft == hard


def _confined(server: LiveServer, files: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start the server anew where the system allows so many open files; 64 of them are not for clients."""
    server.stop()
    command = server.installation.command
    limited = ["sh", "-c", f'ulimit -n {files} && exec "$@"', "sh"]
    monkeypatch.setattr(server.installation, "command", lambda *arguments: [*limited, *command(*arguments)])
    server.start()
    assert resource.prlimit(server.pid, resource.RLIMIT_NOFILE) == (files, files)


@pytest.mark.parametrize(("files", "connections"), [(1024, 1100), (128, 200)])
@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\n"], ids=["idle", "busy"])
def test_connections_of_one_address_leave_descriptors_to_others(
    fresh_server: FreshServer, monkeypatch: pytest.MonkeyPatch, files: int, connections: int, sent: bytes
) -> None:
    server = fresh_server()
    _confined(server, files, monkeypatch)
    with ExitStack() as stack:
        for _ in range(connections):
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port))).sendall(sent)
        with Bystander(server) as bystander:
            time.sleep(2)
        assert bystander.waits
        assert len(bystander.waits) == bystander.asked
    assert "no further connection can be accepted" not in server.output


def _open_files(server: LiveServer) -> int:
    return len(list(Path(f"/proc/{server.pid}/fd").iterdir()))


def test_no_descriptor_is_left_for_a_moment(fresh_server: FreshServer) -> None:
    """Whoever connects then gets in as soon as there is one."""
    server = fresh_server()
    allowed = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (_open_files(server), allowed[1]))
    with Line(server) as line:
        line.send(request("GET", VERSION))
        wait_until(lambda: "no further connection can be accepted for now" in server.output, lambda: server.output)
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, allowed)
        assert line.reply().status == 200
    assert "Traceback" not in server.output


def _has_owner(line: socket.socket) -> bool:
    """Whether the other end of a connection is held by a process; an aborted one has bytes to send, but no inode any more."""
    here, there = (f":{address[1]:04X}" for address in (line.getsockname(), line.getpeername()))
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(row[1].endswith(there) and row[2].endswith(here) and row[9] != "0" for row in rows)


def test_who_reads_nothing_is_dropped(fresh_server: FreshServer) -> None:
    server = fresh_server(env={"API3_REQUEST_TIMEOUT": "1"})
    with socket.create_connection(("127.0.0.1", server.port)) as line:
        line.sendall(SWAGGER * 20)
        wait_until(lambda: _has_owner(line))
        wait_until(lambda: not _has_owner(line))


def test_answers_that_all_have_in_common_are_not_copied(target: LiveServer) -> None:
    with Witness(target) as witness, unread(target, SWAGGER, 200):
        time.sleep(1)
    assert_harmless(witness.damage(), MOST_MEMORY, MOST_WORK)


@pytest.mark.parametrize("websocket", [False, True])
def test_nothing_is_left_of_those_who_went(target: LiveServer, websocket: bool) -> None:
    opening = UPGRADE + b"\r\n" if websocket else request("GET", VERSION)

    def come_and_go(number: int) -> None:
        for _ in range(number):
            with Line(target, source=f"127.0.3.{1 + websocket}") as line:
                assert line.send(opening).reply().status in (101, 200)

    come_and_go(300)
    before = resident(target.pid)
    come_and_go(2000)
    assert resident(target.pid) - before < 3 * MEGABYTE


def _gets_in(server: LiveServer, source: str) -> bool:
    try:
        with Line(server, source=source) as line:
            return line.send(request("GET", VERSION)).reply().status == 200
    except ConnectionError:
        return False


def test_connections_of_many_addresses_leave_descriptors_to_the_server(
    fresh_server: FreshServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those beyond what the process can have are refused, and whoever is connected is served."""
    server = fresh_server()
    token = server.subject("writer", "api:*:*")
    _confined(server, 128, monkeypatch)
    with ExitStack() as stack:
        writer = stack.enter_context(Line(server, source=ELSEWHERE))
        for number in range(160):
            source = (f"127.0.1.{1 + number % 8}", 0)
            line = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), source_address=source))
            line.sendall(b"GET / HTTP/1.1\r\n")
        wait_until(lambda: "connections of 127.0.1." in server.output, lambda: server.output)
        assert not _gets_in(server, "127.0.2.1")
        body = f'{{"app":"x","date":{time.time_ns() // 1_000_000}}}'.encode()
        sent = request("POST", f"/api/v3/entries?token={token}&now={time.time_ns() // 1_000_000}", body=body)
        assert writer.send(sent).reply().status == 201
    assert "no further connection can be accepted" not in server.output


def test_idle_connections_give_way_when_the_process_is_full(fresh_server: FreshServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server = fresh_server(env={"API3_REQUEST_TIMEOUT": "600"})
    _confined(server, 128, monkeypatch)
    with ExitStack() as stack:
        for number in range(64):
            source = (f"127.0.1.{1 + number % 8}", 0)
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), source_address=source))
        wait_until(lambda: _gets_in(server, ELSEWHERE))


def test_a_silent_tls_handshake_ends(fresh_server: FreshServer, tmp_path: Path) -> None:
    pair = self_signed(tmp_path, x509.DNSName("localhost"))
    arguments = ["--tls-cert", str(pair.certificate), "--tls-key", str(pair.key)]
    server = fresh_server(env={"API3_REQUEST_TIMEOUT": "1"}, arguments=arguments)
    with Line(server, patience=30) as silent, Line(server, patience=30) as started:
        started.send(b"\x16\x03\x01")
        assert silent.ends()
        assert started.ends()


def test_sigterm_ends_a_server_that_websockets_cannot_begin_on(fresh_server: FreshServer) -> None:
    server = fresh_server()
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(Line(server)).send(UPGRADE)  # and never the end of it
        server.stop()
    assert "Traceback" not in server.output
