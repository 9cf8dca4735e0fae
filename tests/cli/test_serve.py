"""`apiv3 serve`: what it says at the start, and how it and its workers end."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from apiv3.cli.checks import check_reach
from apiv3.settings import Settings, load
from tests.support.factories import FreshServer
from tests.support.installation import Installation
from tests.support.storage import DATE
from tests.support.wire import Line, ask, now_ms, request, undated

ENTRIES = "/api/v3/entries"
BEGINNING = 946_684_800_000
WITHOUT_A_BATTERY = """
import time
began = time.time_ns()
now = time.time_ns
time.time_ns = lambda: now() - began + 61_634_000_000
"""

# --- the clock


def test_a_clock_that_stands_in_1970(fresh_server: FreshServer, database: str, tmp_path: Path) -> None:
    """Whoever asks for all changes is told of all."""
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_A_BATTERY)
    server = fresh_server(database, env={"PYTHONPATH": str(tmp_path), "API3_CLIENT_TIMESTAMP": "off"})
    token = server.subject("phone", "api:*:*")
    api = undated(server, params={"token": token})
    assert "CLOCK OF THIS MACHINE IS WRONG" in server.output
    assert "It says 1970-01-01T" in server.output
    assert "Date header out of tolerance" in server.output
    for number in range(3):
        document = {"identifier": f"entry-{number}", "date": DATE, "device": f"{number}", "app": "test"}
        assert api.post(ENTRIES, json=document).status_code == 201
    found = api.get(f"{ENTRIES}/history/{BEGINNING}").json()["result"]
    assert [each["identifier"] for each in found] == ["entry-0", "entry-1", "entry-2"]
    assert [each["srvModified"] for each in found] == [BEGINNING + 1, BEGINNING + 2, BEGINNING + 3]


def test_a_clock_behind_what_is_stored(fresh_server: FreshServer) -> None:
    server = fresh_server()
    assert "CLOCK" not in server.output
    server.stop()
    file = server.installation.database_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE clocks SET last = ? WHERE name = 'food'", (now_ms() + 86_400_000,))
    server.start()
    assert "CLOCK OF THIS MACHINE IS WRONG" in server.output
    assert "the newest document was stored at" in server.output


# --- who can come in


def test_a_server_that_refuses_the_network_says_so(fresh_server: FreshServer) -> None:
    server = fresh_server(env={"API3_REQUIRE_HTTPS": None}, arguments=["--host", "0.0.0.0"])
    [warning] = [line for line in server.output.splitlines() if "WARNING" in line]
    for name in ("Not using SSL/TLS", "--tls-cert", "TRUSTED_PROXIES", "API3_REQUIRE_HTTPS"):
        assert name in warning


@pytest.mark.parametrize(
    "changed",
    [
        {"host": "127.0.0.1"},
        {"host": "localhost"},
        {"tls_cert": "c", "tls_key": "k"},
        {"trusted_proxies": "10.0.0.1"},
        {"api3_require_https": "false"},
        {"api3_security_enable": "false"},
    ],
)
def test_nothing_is_said_where_somebody_can_come_in(changed: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    settings: Settings = load(**({"host": "0.0.0.0"} | changed))
    with caplog.at_level(logging.WARNING):
        check_reach(settings)
    assert caplog.messages == []


@pytest.mark.parametrize(("host", "families"), [("0.0.0.0", ["127.0.0.1"]), ("::", ["127.0.0.1", "::1"])])
def test_the_whole_network(fresh_server: FreshServer, host: str, families: list[str]) -> None:
    """`::` is IPv4 too; what is printed is an address that can be opened."""
    if host == "::" and not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 on this machine")
    server = fresh_server(arguments=["--host", host])
    opened = "[::1]" if host == "::" else "127.0.0.1"
    assert f"listens on http://{opened}:{server.port} and every other address of this machine," in server.output
    for address in families:
        with socket.create_connection((address, server.port), timeout=30) as connection:
            connection.sendall(b"GET /api/v3/version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert connection.recv(12) == b"HTTP/1.1 200"


# --- the end


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_is_a_silent_end(fresh_server: FreshServer, workers: int) -> None:
    server = fresh_server(workers=workers)
    before = server.output
    assert server.interrupt() == 0
    said = server.output.removeprefix(before).splitlines()
    assert [line for line in said if not line.startswith("{")] == []  # the log of requests may be late


def test_ctrl_c_while_a_command_begins(tmp_path: Path) -> None:
    """Most of the time until then goes into imports."""
    (tmp_path / "click.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    done = Installation(tmp_path, "", {"PYTHONPATH": str(tmp_path)}).run("subject", "list")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_workers_end_when_their_parent_is_killed(fresh_server: FreshServer) -> None:
    """They would hold the port for ever."""
    server = fresh_server(workers=2)
    server.kill_parent()
    server.start()
    assert ask(server, "GET", "/api/v3/version").status == 200


def test_a_body_that_is_still_on_its_way_at_the_end(fresh_server: FreshServer) -> None:
    server = fresh_server()
    bearer = ("Authorization", f"Bearer {server.jwt(server.subject('slow', 'api:*:*'))}")
    head = request("POST", ENTRIES, ("Date", str(now_ms())), bearer, ("Content-Length", "1000"))
    with Line(server) as line:
        line.send(head + b"{")
        line.send(b" ")
        os.kill(server.pid, signal.SIGTERM)
        reply = line.reply("POST")
        assert line.ends()
    server.stop()
    assert (reply.status, reply.message) == (503, "The server is shutting down, try again later")
    assert reply.headers["retry-after"] == "5"
    assert "date" in reply.headers
    assert "Traceback" not in server.output
    logged = [json.loads(line) for line in server.output.splitlines() if line.startswith("{")]
    assert [(each["method"], each["subject"]) for each in logged if each["status"] == 503] == [("POST", "slow")]
