"""A hub for tests of the device's side, which does what the test says: it forgets answers, refuses, closes, tells wrong times.

How the real one behaves is tested with the real one, in tests/devices/.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from apiv3.client.devices import Device, pauses, uplink
from apiv3.client.devices.folder import Folder
from apiv3.client.devices.folder import Hub as Address
from apiv3.noise import Channel, KeyPair, NoiseError, Responder
from tests.support.waiting import PATIENCE, until

Envelope = dict[str, Any]
Answer = Callable[[Envelope], Envelope | int | None]
"""What is answered to a message: a body of an ack, a status of an error, or nothing at all."""


class FakeHub:
    """`received`: every message, in order, also those that came again. `taken`: the first of each id that was acknowledged.

    `known`: the keys of devices that may connect. `ahead`: ms by which its clock is ahead. `answer`: see `Answer`; `code`: the
    close code for devices that it does not want now; `codes`: those with which connections have ended.
    """

    def __init__(self) -> None:
        self.keys, self.known = KeyPair.generate(), set[bytes]()
        self.received: list[Envelope] = []
        self.taken: dict[str, Envelope] = {}
        self.answers: list[Envelope] = []
        self.handshakes: list[bytes] = []
        self.payloads: list[Any] = []
        self.ahead, self.code, self.longest = 0, 0, 65_519
        self.greets = True
        self.codes: list[int | None] = []
        self.answer: Answer = lambda _: {}
        self.port = 0
        self._live: tuple[ServerConnection, Channel] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def now(self) -> int:
        return time.time_ns() // 1_000_000 + self.ahead

    @property
    def is_connected(self) -> bool:
        return self._live is not None

    def enrol(self, path: Path) -> Folder:
        """Makes a device out of a folder."""
        folder = Folder(path)
        folder.make()
        folder.belong_to(Address(self.url, self.keys.public, "0" * 24))
        self.known.add(folder.keys().public)
        return folder

    def bodies(self, type: str) -> list[Any]:
        """The bodies of the messages of a type that were taken, in order."""
        return [each["body"] for each in self.taken.values() if each["type"] == type]

    def documents(self) -> list[Any]:
        return [document for body in self.bodies("data") for document in body["documents"]]

    async def send(self, type: str, body: Any) -> str:
        """Sends a message once a device is connected; returns its id."""
        await until(lambda: self._live)
        message = str(uuid.uuid4())
        await self._send({"v": 1, "type": type, "id": message, "ts": self.now(), "body": body})
        return message

    async def send_raw(self, frame: bytes | str) -> None:
        await until(lambda: self._live)
        assert self._live is not None
        await self._live[0].send(frame)

    async def close(self, code: int) -> None:
        """Closes the connection that there is."""
        await until(lambda: self._live)
        assert self._live is not None
        await self._live[0].close(code)

    async def break_off(self) -> None:
        """Ends the connection that there is without a word."""
        await until(lambda: self._live)
        live = self._live
        assert live is not None
        live[0].transport.abort()
        await until(lambda: self._live is not live)

    async def _send(self, envelope: Envelope) -> None:
        assert self._live is not None
        socket, channel = self._live
        await socket.send(channel.encrypt(json.dumps(envelope).encode()))

    async def _serve(self, socket: ServerConnection) -> None:
        try:
            if self.code:
                await socket.close(self.code)
                return
            handshake = Responder(self.keys)
            handshake.read(_binary(await socket.recv()))
            await socket.send(handshake.write(json.dumps({"now": self.now(), "max": self.longest}).encode()))
            self.payloads.append(json.loads(handshake.read(_binary(await socket.recv()))))
            self.handshakes.append(handshake.remote_static)
            if handshake.remote_static not in self.known:
                await socket.close(4401)
                return
            self._live = live = (socket, handshake.channel())
            if self.greets:
                await self.send("time", {"now": self.now()})
            await self._talk(socket, live[1])
        except NoiseError:
            await socket.close(4400)
        except ConnectionClosed:
            pass
        finally:
            self.codes.append(socket.close_code)
            if self._live is not None and self._live[0] is socket:
                self._live = None

    async def _talk(self, socket: ServerConnection, channel: Channel) -> None:
        async for frame in socket:
            envelope = json.loads(channel.decrypt(_binary(frame)))
            if envelope["type"] in ("ack", "error"):
                self.answers.append(envelope)
                continue
            self.received.append(envelope)
            answer = self.answer(envelope)
            if answer is None:
                continue
            if isinstance(answer, int):
                body: Any = {"status": answer, "message": "Date header out of tolerance" if answer == 401 else "refused"}
                await self._send({"type": "error", "re": envelope["id"], "body": body})
                continue
            self.taken.setdefault(envelope["id"], envelope)
            await self._send(
                {"v": 1, "type": "ack", "id": str(uuid.uuid4()), "ts": self.now(), "re": envelope["id"], "body": answer}
            )


@asynccontextmanager
async def fake_hub() -> AsyncIterator[FakeHub]:
    hub = FakeHub()
    protocol: Sequence[Subprotocol] = [Subprotocol("apiv3.noise.1")]
    async with serve(hub._serve, "127.0.0.1", 0, subprotocols=protocol, compression=None) as server:
        hub.port = next(iter(server.sockets)).getsockname()[1]
        yield hub
        server.close()
        await asyncio.sleep(0)


def _binary(frame: str | bytes) -> bytes:
    assert isinstance(frame, bytes)
    return frame


def hasten(monkeypatch: pytest.MonkeyPatch, pause: float) -> None:
    """Let devices come back after a pause, in seconds; and let a test fail in which one waits for something in vain."""
    monkeypatch.setattr(pauses, "BOUNDS", dict.fromkeys(pauses.BOUNDS, (pause, pause)))
    monkeypatch.setattr(uplink, "RETRY", pause)
    for method in (Device.drained, Device.connected):
        monkeypatch.setattr(Device, method.__name__, _patient(method))


def _patient(method: Callable[[Device], Awaitable[None]]) -> Callable[[Device], Awaitable[None]]:
    async def waited(device: Device) -> None:
        async with asyncio.timeout(PATIENCE):
            await method(device)

    return waited
