"""What no well-behaved client sends: it costs nobody but its sender anything, and leaves no traceback in the log."""

import random
import socket as sockets
from collections.abc import Iterator
from contextlib import suppress

import pytest
from websockets.exceptions import ConnectionClosed

from tests.support.engineio import PATH, Poller, beside, socket, subscriber
from tests.support.factories import FreshServer
from tests.support.server import LiveServer
from tests.support.waiting import PATIENCE, wait_until
from tests.support.wire import Line, ask, now_ms, request

DEEP = "[" * 30_000

MESSAGES: dict[str, str | bytes] = {
    "nothing": "",
    "no packet": "hello",
    "open": "0{}",
    "a heartbeat of the other version": "2",
    "upgrade": "5",
    "unknown type": "9",
    "no Socket.IO packet": "4",
    "unknown Socket.IO type": "49",
    "binary event": '451-["subscribe",{"_placeholder":true,"num":0}]',
    "connect error": "44{",
    "half a JSON": '42["subscribe"',
    "nested too deep": f"42{DEEP}",
    "an event without a name": "42[]",
    "an event that is an object": '42{"a":1}',
    "an event that is a number": "42[7]",
    "an event of no data": "42",
    "lone surrogate": '42["\\ud83d"]',
    "a long namespace": f"40/{'n' * 1000},",
    "a long id": f"42{'1' * 400}[]",
    "binary": b"\x04\x00\xff",
    "base64": "b4aGVsbG8=",
    "too large": "4" + "x" * 100_000,
}


@pytest.mark.parametrize("message", MESSAGES)
def test_a_bad_message_ends_the_connection(watched: LiveServer, message: str) -> None:
    with socket(watched) as client:
        client.send(MESSAGES[message])
        assert client.ends()


@pytest.mark.parametrize("message", [each for each in MESSAGES if isinstance(MESSAGES[each], str) and each != "too large"])
@pytest.mark.parametrize("version", [3, 4])
def test_a_bad_payload_ends_the_session(watched: LiveServer, version: int, message: str) -> None:
    if (version, message) == (3, "a heartbeat of the other version"):
        message = "unknown type"
    poller = Poller(watched, version)
    answer = poller.post(str(MESSAGES[message]))
    assert (answer.status, answer.json["code"]) == (400, 3)
    assert poller.poll().json == {"code": 1, "message": "Session ID unknown"}


@pytest.mark.parametrize("body", [b"\xff\xfe", b"\x00\x01\xff4", b"4\xc3\x28"])
def test_a_payload_is_text(watched: LiveServer, body: bytes) -> None:
    poller = Poller(watched)
    assert poller.request("POST", body, sid=poller.sid).status == 400


def test_a_payload_is_bounded(watched: LiveServer) -> None:
    poller = Poller(watched)
    assert poller.post("4" + "x" * 70_000).status == 413
    assert poller.post("6").status == 200


def test_a_client_that_talks_too_much_is_let_go(watched: LiveServer) -> None:
    with socket(watched) as client:
        with suppress(ConnectionClosed):
            for _ in range(200):
                client.send("6")
        assert client.ends()


def test_unknown_events_are_answered_or_ignored(watched: LiveServer) -> None:
    with socket(watched) as client:
        client.enter("/storage").send('42/storage,["sing"]').send('42/nowhere,1["sing"]').send("43/storage,1[]")
        assert client.emit("/storage", "sing", *range(100)) == {"success": False, "message": "Unknown event"}


PROBES: dict[str, list[str]] = {
    "silence": [],
    "no probe": ["2"],
    "no packet": [""],
    "another packet than the upgrade": ["2probe", "42[]"],
    "nonsense": ["hello"],
}


@pytest.mark.parametrize("case", PROBES)
def test_a_failed_change_of_transport_changes_nothing(watched: LiveServer, case: str) -> None:
    poller = Poller(watched)
    with beside(watched, poller) as trial:
        for packet in PROBES[case]:
            trial.send(packet)
        assert poller.post("40/alarm,").status == 200
    assert any(poller.receive().startswith("40/alarm,") for _ in range(3))


def test_two_changes_of_transport_at_once(watched: LiveServer) -> None:
    poller = Poller(watched)
    with beside(watched, poller) as first:
        first.send("2probe")
        assert first.recv(timeout=PATIENCE) == "3probe"
        target = f"{PATH}?EIO=4&transport=websocket&sid={poller.sid}"
        assert ask(watched, "GET", target, *HANDSHAKE).status == 400


HANDSHAKE = (
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
)
FRAMES: dict[str, bytes] = {
    "no mask": b"\x81\x01" + b"2",
    "reserved bits": b"\xf1\x80\0\0\0\0",
    "unknown opcode": b"\x83\x80\0\0\0\0",
    "a long control frame": b"\x89\xfe\x00\x80\0\0\0\0" + b"x" * 128,
    "no UTF-8": b"\x81\x82\0\0\0\0\xc3\x28",
    "a frame of 8 exabytes": b"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0",
    "a continuation of nothing": b"\x80\x80\0\0\0\0",
    "an unfinished message and another": b"\x01\x81\0\0\0\x002\x81\x81\0\0\0\x002",
    "a bad close code": b"\x88\x82\0\0\0\0\x00\x01",
    "HTTP": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("frame", FRAMES)
def test_a_bad_frame_ends_the_connection(watched: LiveServer, frame: str) -> None:
    with Line(watched) as line:
        line.send(request("GET", f"{PATH}?EIO=4&transport=websocket", *HANDSHAKE))
        assert line.reply().status == 101
        line.send(FRAMES[frame])
        assert line.drained()


@pytest.mark.parametrize("key", ["", "short", "ä" * 24])
def test_a_bad_handshake_is_refused(watched: LiveServer, key: str) -> None:
    headers = [*HANDSHAKE[:-1], ("Sec-WebSocket-Key", key)]
    assert ask(watched, "GET", f"{PATH}?EIO=4&transport=websocket", *headers).status == 400


@pytest.mark.parametrize("seed", range(5))
def test_noise_harms_nobody(watched: LiveServer, seed: int) -> None:
    dice = random.Random(seed)
    alphabet = '0123456789/,?[]{}":subscribe\\u\x1e\U0001f600'
    with socket(watched) as client, suppress(ConnectionClosed):
        for _ in range(25):
            client.send(dice.choice("0123456b") + "".join(dice.choices(alphabet, k=dice.randrange(30))))
    assert ask(watched, "GET", f"{PATH}?EIO=4&transport=polling").status == 200


@pytest.fixture(scope="module")
def watched(live: LiveServer) -> Iterator[LiveServer]:
    """The shared server, which must have nothing to complain about."""
    yield live
    complaints = [line for line in live.output.splitlines() if line.startswith("Traceback") or " ERROR " in line]
    assert not complaints


# --- those who do not read


def test_who_does_not_read_is_dropped_and_nobody_else_notices(fresh_server: FreshServer) -> None:
    server = fresh_server(env={"API3_REQUEST_TIMEOUT": "2"})
    reader = server.subject("reader", "api:*:read")
    writer = server.client(server.subject("writer", "api:*:*"))
    with subscriber(server, reader) as attentive, _numb(server) as line:
        line.sendall(_frame("40/storage,") + _frame(f'42/storage,0["subscribe",{{"accessToken":"{reader}"}}]'))
        _await(line, b'"success":true')
        for number in range(60):  # more than the system, the server and the feed keep for anybody
            note = {"app": "test", "eventType": "Note", "date": now_ms(), "device": f"d{number}", "utcOffset": 0}
            assert writer.post("/api/v3/treatments", json={**note, "notes": "x" * 500_000}).status_code == 201
            assert attentive.change()[1]["doc"]["device"] == f"d{number}"
        wait_until(lambda: '"status":101' in server.output)  # the line in the log when a websocket is over
    assert "Traceback" not in server.output


def _numb(server: LiveServer) -> sockets.socket:
    """A websocket that takes little off the line."""
    line = sockets.socket()
    line.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    line.connect(("127.0.0.1", server.port))
    line.settimeout(20)
    line.sendall(request("GET", f"{PATH}?EIO=4&transport=websocket", *HANDSHAKE))
    _await(line, b'"sid"')
    return line


def _await(line: sockets.socket, text: bytes) -> None:
    received = b""
    while text not in received:
        received += line.recv(4096)


def _frame(text: str) -> bytes:
    """A text as a client's frame; the mask is zero."""
    data = text.encode()
    return bytes([0x81, 0x80 | len(data)]) + bytes(4) + data
