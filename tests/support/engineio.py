"""Socket.IO spoken packet by packet, over a websocket or by polling, for what no well-behaved client would send."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.support.server import LiveServer
from tests.support.waiting import PATIENCE
from tests.support.wire import Reply, ask

PATH = "/socket.io/"


class Socket:
    """A client of Engine.IO's version on a websocket. Heartbeats are answered while it waits for something."""

    def __init__(self, connection: ClientConnection, version: int) -> None:
        self.connection, self.version = connection, version
        self.greeting = json.loads(self.receive()[1:])
        self._acknowledged = 0
        if version == 3:
            assert self.receive() == "40"

    def send(self, packet: str | bytes) -> "Socket":
        self.connection.send(packet)
        return self

    def receive(self) -> str:
        """The next packet that is no heartbeat."""
        deadline = time.monotonic() + PATIENCE
        while True:
            packet = self.connection.recv(timeout=max(0.0, deadline - time.monotonic()))
            assert isinstance(packet, str)
            if packet != "2":
                return packet
            self.send("3")

    def expect(self, start: str) -> str:
        """The rest of the next packet, which begins like this."""
        packet = self.receive()
        assert packet.startswith(start), packet
        return packet.removeprefix(start)

    def enter(self, namespace: str) -> "Socket":
        self.send(f"40{namespace},")
        self.expect(f"40{namespace},")
        return self

    def emit(self, namespace: str, event: str, *data: Any) -> Any:
        """Returns the acknowledgement, which is the next packet."""
        self._acknowledged += 1
        self.send(f"42{namespace},{self._acknowledged}{json.dumps([event, *data])}")
        [answer] = json.loads(self.expect(f"43{namespace},{self._acknowledged}"))
        return answer

    def subscribe(self, token: str, namespace: str = "/storage", **wishes: Any) -> Any:
        return self.enter(namespace).emit(namespace, "subscribe", {"accessToken": token, **wishes})

    def change(self) -> tuple[str, Any]:
        """The next event of /storage: its name and its argument."""
        name, argument = json.loads(self.expect("42/storage,"))
        return name, argument

    def ends(self) -> bool:
        """Whether the server closes the connection, whatever it says before."""
        try:
            while True:
                self.receive()
        except ConnectionClosed:
            return True
        except TimeoutError:
            return False


def address(server: LiveServer, version: int = 4, **query: str) -> str:
    query = {"EIO": str(version), "transport": "websocket", **query}
    return server.url.replace("http", "ws", 1) + PATH + "?" + "&".join(f"{name}={value}" for name, value in query.items())


@contextmanager
def socket(server: LiveServer, version: int = 4, **options: Any) -> Iterator[Socket]:
    with connect(address(server, version), proxy=None, compression=None, **options) as connection:
        yield Socket(connection, version)


@contextmanager
def subscriber(server: LiveServer, token: str, **wishes: Any) -> Iterator[Socket]:
    """Subscribed to /storage."""
    with socket(server) as each:
        answer = each.subscribe(token, **wishes)
        assert answer["success"], answer
        yield each


class Poller:
    """A client that polls. Each request comes by a connection of its own, so it may reach any worker."""

    def __init__(self, server: LiveServer, version: int = 4) -> None:
        self.server, self.version = server, version
        greeting = self.request("GET")
        assert greeting.status == 200, greeting.body
        packets = self._packets(greeting.body.decode())
        self.greeting = json.loads(packets.pop(0)[1:])
        self.sid = self.greeting["sid"]
        self._packets_left = packets

    def request(self, method: str, content: str | bytes = b"", **query: str) -> Reply:
        query = {"EIO": str(self.version), "transport": "polling", **query}
        body = content.encode() if isinstance(content, str) else content
        return ask(self.server, method, f"{PATH}?{urlencode(query)}", body=body if method == "POST" else None)

    @property
    def target(self) -> str:
        """What it asks for when it polls."""
        return f"{PATH}?EIO={self.version}&transport=polling&sid={self.sid}"

    def poll(self) -> Reply:
        return self.request("GET", sid=self.sid)

    def post(self, *packets: str) -> Reply:
        if self.version == 4:
            body = "\x1e".join(packets)
        else:
            body = "".join(f"{len(packet.encode('utf-16-le')) // 2}:{packet}" for packet in packets)
        return self.request("POST", body.encode(), sid=self.sid)

    def receive(self) -> str:
        """The next packet."""
        while not self._packets_left:
            answer = self.poll()
            assert answer.status == 200, answer.body
            self._packets_left = self._packets(answer.body.decode())
        return self._packets_left.pop(0)

    def _packets(self, payload: str) -> list[str]:
        if self.version == 4:
            return payload.split("\x1e")
        units, packets = payload.encode("utf-16-le"), []
        while units:
            length = units.decode("utf-16-le").partition(":")[0]
            start = 2 * (len(length) + 1)
            end = start + 2 * int(length)
            packets.append(units[start:end].decode("utf-16-le"))
            units = units[end:]
        return packets


def beside(server: LiveServer, poller: Poller) -> ClientConnection:
    """A websocket for the session of somebody who polls."""
    url = address(server, poller.version, sid=poller.sid)
    return connect(url, proxy=None, compression=None)
