"""HTTP spoken byte by byte, for what no well-behaved client would send."""

import hashlib
import http.client
import json
import secrets
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import httpx

from tests.support.server import LiveServer
from tests.support.waiting import PATIENCE

LOCAL = "127.0.0.1"


@dataclass(frozen=True)
class Reply:
    """One response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        return str(self.json["message"])


class Line:
    """One connection to a server: bytes go out as they are given, responses come back one by one."""

    def __init__(
        self,
        server: LiveServer,
        *,
        to: str = LOCAL,
        port: int | None = None,
        source: str = LOCAL,
        patience: float = PATIENCE,
    ) -> None:
        address = (to, port or server.port)
        self._socket = socket.create_connection(address, patience, source_address=(source, 0) if source != LOCAL else None)
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> "Line":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()
        self._socket.close()

    def fileno(self) -> int:
        """For `select`: whether the server has said something."""
        return self._socket.fileno()

    def send(self, data: bytes) -> "Line":
        self._socket.sendall(data)
        return self

    def reply(self, method: str = "GET") -> Reply:
        """The next response; 100 (Continue) is one of its own."""
        line = self._file.readline()
        if not line:
            raise ConnectionError("the server closed the connection without an answer")
        status = int(line.split()[1])
        headers = http.client.parse_headers(self._file)
        bodiless = method == "HEAD" or status < 200 or status in (204, 304)
        length = 0 if bodiless else int(headers.get("content-length", "0"))
        return Reply(status, dict(headers.items()), self._file.read(length))

    def hears(self, text: bytes) -> bool:
        """Whether the server says so, after anything else; False when it closes the connection before."""
        heard = b""
        while not heard.endswith(text):
            if not (byte := self._file.read(1)):
                return False
            heard += byte
        return True

    def drained(self) -> bool:
        """Whether the server closes the connection, whatever it says before."""
        try:
            while self._file.read(1):
                pass
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False
        return True

    def ends(self) -> bool:
        """Whether the server closes the connection, and says no more."""
        try:
            return self._file.read(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False


def request(method: str, target: str, *headers: tuple[str, str | bytes], body: bytes | None = None) -> bytes:
    """A request as it stands on the wire; the body's length is added where there is a body."""
    lines = [f"{method} {target} HTTP/1.1".encode("latin-1"), b"Host: 127.0.0.1"]
    for name, value in headers:
        lines.append(name.encode() + b": " + (value if isinstance(value, bytes) else value.encode("latin-1")))
    if body is not None:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*lines, b"", body or b""])


def ask(server: LiveServer, method: str, target: str, *headers: tuple[str, str | bytes], body: bytes | None = None) -> Reply:
    """One request on a connection of its own."""
    with Line(server) as line:
        return line.send(request(method, target, *headers, body=body)).reply(method)


def undated(server: LiveServer, **options: Any) -> httpx.Client:
    """A client that sends nothing of its own accord: no timestamp, no token."""
    client = server.client(**options)
    client.event_hooks = {"request": []}
    return client


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def api_secret(server: LiveServer) -> str:
    """What the api-secret header carries."""
    return hashlib.sha1(server.secret.encode()).hexdigest()


def unique(name: str) -> str:
    """A name that no other test on the same server uses."""
    return f"{name}-{secrets.token_hex(4)}"
