"""Enrolling a device: what a pairing code says, and what every answer of a hub leaves behind."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from apiv3.client.devices import NotEnrolled, enrol
from apiv3.client.devices.enrolment import read_code
from apiv3.client.devices.folder import Folder, key_of, text_of
from apiv3.client.errors import NoAnswer, Refused, Stranger, Unreachable
from apiv3.noise import KeyPair
from tests.support.processes import free_port

HUB = KeyPair.generate()
ID = "0123456789abcdef01234567"


def code(url: str, **changes: Any) -> str:
    told = {"url": url, "hub_key": text_of(HUB.public), "code": "s3cret-code", "device": ID, **changes}
    return "apiv3:1:" + base64.urlsafe_b64encode(json.dumps(told).encode()).rstrip(b"=").decode()


class Hub:
    """Answers as it is told, and keeps what it was sent."""

    def __init__(self) -> None:
        self.status, self.text = 200, json.dumps({"device": ID, "hub_key": text_of(HUB.public)})
        self.sent: list[tuple[str, Any]] = []
        self.url = ""


@contextmanager
def hub() -> Iterator[Hub]:
    made = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            made.sent.append((self.path, json.loads(body)))
            if not made.status:  # the answer is lost
                return
            self.send_response(made.status)
            self.send_header("Location", "/login")
            self.send_header("Content-Length", str(len(made.text)))
            self.end_headers()
            self.wfile.write(made.text.encode())

        def log_message(self, format: str, *arguments: object) -> None:
            """Silence."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        made.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield made
        server.shutdown()


def test_a_device_is_enrolled(tmp_path: Path) -> None:
    with hub() as server:
        assert asyncio.run(enrol(tmp_path / "a/b", f" {code(server.url + '/')}\n")) == ID
    folder = Folder(tmp_path / "a/b")
    assert folder.hub() == (server.url, HUB.public, ID)
    assert server.sent == [("/api/v3/hub/enrol", {"code": "s3cret-code", "public_key": text_of(folder.keys().public)})]
    assert "s3cret-code" not in "".join(file.read_text() for file in folder.path.iterdir())


@pytest.mark.parametrize(
    ("status", "text", "error"),
    [
        (401, '{"status": 401, "message": "Bad code"}', Refused),
        (400, '{"status": 400, "message": "Bad key"}', Refused),
        (404, '{"status": 404, "message": "no such page"}', Stranger),
        (302, "", Stranger),
        (200, "<html>", Stranger),
        (200, '{"device": "another"}', Stranger),
        (200, "[]", Stranger),
        (429, '{"message": "slow down"}', NoAnswer),
        (503, '{"message": "busy"}', NoAnswer),
        (0, "", NoAnswer),
    ],
)
def test_a_refusal_leaves_no_device_and_the_same_key_for_the_next_attempt(
    tmp_path: Path, status: int, text: str, error: type[Exception]
) -> None:
    with hub() as server:
        good = server.text
        server.status, server.text = status, text
        with pytest.raises(error) as raised:
            asyncio.run(enrol(tmp_path, code(server.url)))
        assert "s3cret" not in str(raised.value)
        if error is not NoAnswer:  # where the answer is lost, the hub may have taken the key
            with pytest.raises(NotEnrolled):
                Folder(tmp_path).hub()
        first = Folder(tmp_path).keys()
        server.status, server.text = 200, good
        asyncio.run(enrol(tmp_path, code(server.url)))
    assert Folder(tmp_path).hub().device == ID
    assert (Folder(tmp_path).keys() == first) == (error is not NoAnswer)


def test_enrolling_again_takes_another_key_and_a_refusal_breaks_nothing(tmp_path: Path) -> None:
    with hub() as server:
        asyncio.run(enrol(tmp_path, code(server.url)))
        first, place = Folder(tmp_path).keys(), Folder(tmp_path).hub()
        good, server.status, server.text = server.text, 401, "{}"
        with pytest.raises(Refused):
            asyncio.run(enrol(tmp_path, code(server.url)))
        assert (Folder(tmp_path).keys(), Folder(tmp_path).hub()) == (first, place)
        server.status, server.text = 200, good
        Folder(tmp_path).make_new_keys()
        asyncio.run(enrol(tmp_path, code(server.url)))
    second = Folder(tmp_path).keys()
    assert second != first
    assert Folder(tmp_path).new_keys() is None
    assert server.sent[-1][1]["public_key"] == text_of(second.public)


def test_a_folder_is_one_device_only(tmp_path: Path) -> None:
    with hub() as server:
        asyncio.run(enrol(tmp_path, code(server.url)))
        with pytest.raises(Refused, match="another folder"):
            asyncio.run(enrol(tmp_path, code(server.url, device="f" * 24)))
        assert len(server.sent) == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "apiv3:1:",
        "apiv3:2:" + code("http://h").removeprefix("apiv3:1:"),
        code("http://h")[:-1],
        code("http://h") + "é",
        code("http://h", hub_key="x"),
        code("http://h", hub_key=text_of(bytes(32))),
        code("http://h", hub_key=text_of(b"\xff" * 32)),
        code("http://h", code=1),
        code("http://h", device=None),
        "apiv3:1:" + base64.urlsafe_b64encode(b"[" * 100_000).decode(),
        "apiv3:1:bnVsbA",
        "s3cret",
    ],
)
def test_what_is_no_pairing_code_is_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(Refused, match="no pairing code") as refused:
        read_code(text)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("url", ["ftp://h", "http://user@h", "nonsense"])
def test_a_pairing_code_with_an_address_that_is_none(tmp_path: Path, url: str) -> None:
    with pytest.raises(Unreachable):
        asyncio.run(enrol(tmp_path, code(url)))


def test_a_hub_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NoAnswer):
        asyncio.run(enrol(tmp_path, code(f"http://127.0.0.1:{free_port()}")))


def test_keys_as_text() -> None:
    assert key_of(text_of(HUB.private)) == HUB.private
    assert len(text_of(HUB.private)) == 43
